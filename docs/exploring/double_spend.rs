//! # A double spend between two awaits
//!
//! An account has 100, and two tasks want to pay 80 from it. A payment looks whether there is enough, takes the journal, whose lock it
//! holds while it writes, and subtracts. An auditor takes the journal, too.
//!
//! To acquire a free lock does not suspend: no other task runs between the check and the subtraction, and the second payment is
//! refused. But if the auditor has the journal, both payments check, both wait for it, and both subtract. The check was right when
//! it was made, and is old when it is used. A normal run does not show it, because there the auditor comes last.
//!
//! The mend is to check when nothing can come between: with the lock held.
//!
//! `cargo test -p exploring --test double_spend`. What the exploration says is in `double_spend.txt`, and the run that
//! it has found in `double_spend.html`, for any browser.

mod found;

use std::cell::Cell;
use std::rc::Rc;

use loopwheel::explore::{self, Fault};
use loopwheel::sync::Lock;
use loopwheel::{TaskBuilder, run_test, yield_now};

struct Account {
    balance: Cell<i32>,
    journal: Lock,
}

impl Account {
    /// Subtracts, and writes that into the journal, which the caller holds.
    async fn subtract(&self, price: i32) {
        self.balance.set(self.balance.get() - price);
        yield_now().await; // stands for a file, or a database
    }
}

/// Returns whether it could be paid.
async fn broken(account: Rc<Account>, price: i32) -> bool {
    if account.balance.get() < price {
        return false;
    }
    let _journal = account.journal.acquire().await; // does not suspend, if the journal is free
    account.subtract(price).await;
    true
}

async fn mended(account: Rc<Account>, price: i32) -> bool {
    let _journal = account.journal.acquire().await;
    if account.balance.get() < price {
        return false;
    }
    account.subtract(price).await;
    true
}

async fn audit(account: Rc<Account>) {
    let _journal = account.journal.acquire().await;
    yield_now().await; // it reads
}

/// The test: of two payments, one can be made.
async fn two_payments(pay: impl AsyncFn(Rc<Account>, i32) -> bool + Copy + 'static) {
    let journal = Lock::new().named("journal");
    let account = Rc::new(Account { balance: Cell::new(100), journal });
    let payments = ["ann", "bob"].map(|name| {
        let account = account.clone();
        TaskBuilder::new().name(name).create_task(async move { pay(account, 80).await })
    });
    let auditor = TaskBuilder::new().name("auditor").create_task(audit(account.clone()));
    let mut paid = 0;
    for payment in payments {
        paid += u32::from(payment.await.unwrap());
    }
    auditor.await.unwrap();
    assert_eq!((paid, account.balance.get()), (1, 20), "payments made, and what is left");
}

#[test]
fn a_normal_run_shows_nothing() {
    run_test(two_payments(broken));
}

#[test]
fn some_order_spends_twice() {
    let exploration = explore::all(10_000).play_to(found::folder());
    let found = exploration.try_run(|| two_payments(broken)).unwrap_err();
    assert_eq!(found.fault, Fault::Panicked);
    found::check("double_spend", &found);
}

#[test]
fn mended_it_passes_in_every_order() {
    let summary = explore::all(10_000).must_be_complete().run(|| two_payments(mended));
    println!("{summary}");
}

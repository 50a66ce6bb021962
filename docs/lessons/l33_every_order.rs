//! # L33: every order
//!
//! Ann and Bob read the same page through a cache. Bob logs in first, so the page is there when he asks: it is loaded
//! once, as it should be. Then the same program is run in every order in which its tasks can be polled.
//!
//! Which of two ready tasks is polled first, the loop decides: the one that was woken first. So a test sees one order,
//! each time the same. [`explore::all`] runs the program again and again, and decides otherwise, until a run fails or
//! there is no other order. In one of them Bob has logged in before the page is there: both find the cache empty, and
//! both load the page. That order is shrunk to the fewest decisions that it needs, and told. Asyncio has nothing like it.
//!
//! The points to notice: nothing in the program is made for the exploration; it is the program itself that is run. One
//! decision makes the failure happen again: `0*2.1/2` is the usual one twice, and then the second of two ready tasks.
//! And the program that keeps a lock from the look to the store is not merely lucky: these were *all* orders.
//!
//! An exploration makes loops of its own, one for each run. So in this lesson, which has a loop already, it is called in
//! another thread. A test calls it as it is: `docs/exploring.md` says how.
//!
//! It needs a feature: `cargo run -p lessons --features explore -- L33`.
//!
//! Step through the run that fails: `docs/players/l33_every_order.html`, in any browser.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use loopwheel::sync::Lock;
use loopwheel::{TaskBuilder, explore, to_thread, yield_now};

#[derive(Default)]
struct Cache {
    page: RefCell<Option<&'static str>>,
    loads: Cell<u32>,
    lock: Lock,
}

impl Cache {
    async fn load(&self) -> &'static str {
        self.loads.set(self.loads.get() + 1);
        yield_now().await; // the network
        "the page"
    }

    /// The mistake: between the look and the store is an await.
    async fn read(&self) {
        if self.page.borrow().is_none() {
            let page = self.load().await;
            self.page.replace(Some(page));
        }
    }

    /// The same, by one task at a time.
    async fn read_in_turn(&self) {
        let _in_turn = self.lock.acquire().await;
        self.read().await;
    }
}

async fn log_in() {
    yield_now().await;
}

/// Ann and Bob read the page, which must be loaded once.
pub async fn two_readers(in_turn: bool) {
    let cache = Rc::new(Cache::default());
    let readers = ["ann", "bob"].map(|name| {
        let cache = cache.clone();
        TaskBuilder::new().name(name).create_task(async move {
            if name == "bob" {
                log_in().await;
            }
            if in_turn { cache.read_in_turn().await } else { cache.read().await }
        })
    });
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(cache.loads.get(), 1, "times that the page was loaded");
}

/// Runs it once, then in every order; and in every order when it is mended.
pub async fn lesson() {
    two_readers(false).await;
    println!("One run: the page is loaded once");

    let explored = to_thread(|| explore::all(1_000).try_run(|| two_readers(false))).await.unwrap();
    let found = explored.unwrap_err();
    println!("Order {} fails:", found.order);
    for line in found.message.lines().take(3) {
        println!("  {line}");
    }
    for line in &found.schedule {
        println!("    {line}");
    }
    println!("These choices run it again: {}", found.shrunk);

    let explored = to_thread(|| explore::all(1_000).try_run(|| two_readers(true))).await.unwrap();
    let summary = explored.unwrap();
    println!("Mended: {} orders, and none fails", summary.orders);
    println!("Were these all? {}", summary.is_complete);
}

fn main() {
    loopwheel::run(lesson());
}

//! # A program that hangs, and its page
//!
//! Two transfers between the same two accounts lock them in opposite orders. The page has a button that leads to the deadlock, and
//! shows at each step which transfer holds which account:
//!
//! ```text
//! CARGO_PROFILE_DEV_DEBUG=full cargo run -p interop --features record --example hung_program -- hung.html
//! ```

use std::cell::Cell;
use std::env;
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Lock;
use loopwheel::trace::note;
use loopwheel::{EventLoop, Recorder, TaskBuilder, VirtualClock, gather, sleep};

struct Account {
    lock: Lock,
    amount: Cell<u32>,
}

impl Account {
    fn new(name: &str, amount: u32) -> Rc<Account> {
        Rc::new(Account { lock: Lock::new().named(name), amount: Cell::new(amount) })
    }
}

async fn transfer(amount: u32, from: Rc<Account>, to: Rc<Account>) {
    let _from = from.lock.acquire().await;
    sleep(Duration::from_millis(10)).await; // it asks the bank
    let _to = to.lock.acquire().await;
    from.amount.set(from.amount.get() - amount);
    to.amount.set(to.amount.get() + amount);
    note(format_args!("{amount} are transferred"));
}

async fn program() {
    let (ann, bob) = (Account::new("ann", 100), Account::new("bob", 100));
    let to_bob =
        TaskBuilder::new().name("to bob").create_task(transfer(10, ann.clone(), bob.clone()));
    let to_ann = TaskBuilder::new().name("to ann").create_task(transfer(20, bob, ann));
    gather([to_bob, to_ann]).await;
}

fn main() -> std::io::Result<()> {
    let recorder = Recorder::new().title("hung", "A program that hangs").with_lines();
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock).trace(recorder.clone()).build();
    let error = event_loop.try_run(program()).expect_err("neither transfer can go on");
    println!("{error}");
    let path = env::args().nth(1).unwrap_or_else(|| "hung.html".to_owned());
    recorder.write_player(File::create(&path)?)?;
    println!("{path} shows it");
    Ok(())
}

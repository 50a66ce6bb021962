//! # A clean-up that a second cancel cuts
//!
//! A worker takes a connection from a pool and serves until it is cancelled. Then it says goodbye to the other side, which takes an
//! await, and gives the connection back: in `finally`, as it should.
//!
//! Its test stops it by a cancel, and the connection is back. But the clean-up awaits, so another cancel can reach it there: the user
//! presses Ctrl-C twice, or a time limit expires around a group that is being cancelled. Then the connection is lost. The test cancels
//! once, so it cannot show that; the exploration adds a second cancel, before each poll, before and after the test's own.
//!
//! The mend is `finally_within`, which holds further cancels back until the clean-up has ended, for at most a given time. (Clean-up
//! that needs no await belongs into a destructor.)
//!
//! `cargo test -p exploring --test second_cancel`. What the exploration says is in `second_cancel.txt`, and the run
//! that it has found in `second_cancel.html`, for any browser.

mod found;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::explore::{self, Fault};
use loopwheel::{TaskBuilder, finally, finally_within, run_test, yield_now};

struct Pool {
    free: Cell<u32>,
}

impl Pool {
    fn take(&self) {
        self.free.set(self.free.get() - 1);
    }

    fn give_back(&self) {
        self.free.set(self.free.get() + 1);
    }
}

/// Never ends by itself.
async fn serve() {
    pending::<()>().await;
}

async fn say_goodbye() {
    yield_now().await;
}

async fn broken(pool: Rc<Pool>) {
    pool.take();
    let clean_up = async || {
        say_goodbye().await; // a cancel that comes here ends the clean-up
        pool.give_back();
    };
    finally(serve(), clean_up).await;
}

async fn mended(pool: Rc<Pool>) {
    pool.take();
    let clean_up = async || {
        say_goodbye().await;
        pool.give_back();
    };
    finally_within(serve(), Duration::from_secs(5), clean_up).await;
}

/// The test: a worker that is stopped gives its connection back.
async fn stopped(work: impl AsyncFn(Rc<Pool>) + 'static) {
    let pool = Rc::new(Pool { free: Cell::new(1) });
    let worker = {
        let pool = pool.clone();
        TaskBuilder::new().name("worker").create_task(async move { work(pool).await })
    };
    yield_now().await; // now it serves
    worker.cancel();
    assert!(worker.await.unwrap_err().is_cancelled());
    assert_eq!(pool.free.get(), 1, "a connection is lost");
}

#[test]
fn a_normal_run_shows_nothing() {
    run_test(stopped(broken));
}

#[test]
fn no_order_shows_it_either() {
    let summary = explore::all(10_000).must_be_complete().run(|| stopped(broken));
    println!("{summary}");
}

#[test]
fn a_second_cancel_loses_the_connection() {
    let exploration = explore::all(10_000).cancels(1).play_to(found::folder());
    let found = exploration.try_run(|| stopped(broken)).unwrap_err();
    assert_eq!(found.fault, Fault::Panicked);
    found::check("second_cancel", &found);
}

#[test]
fn mended_it_passes_in_every_order_and_with_more_cancels() {
    let summary = explore::all(10_000).cancels(3).must_be_complete().run(|| stopped(mended));
    println!("{summary}");
}

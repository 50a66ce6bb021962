//! Measures the memory of a task: bytes of heap per task, with a million of them waiting at one time.
//!
//! `cargo bench --bench memory`. It counts what was asked of the allocator and not given back: records, the slot table and
//! the wheel's entries, with the slack of doubling.

#[path = "../tests/common/counting.rs"]
mod counting;

use std::future::{Future, pending};
use std::time::Duration;

use counting::counts;
use loopwheel::{EventLoop, VirtualClock, sleep, wait_for, yield_now};

const TASKS: usize = 1_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Measures one row: a million tasks of `future`, each polled once and waiting.
fn weigh<F: Future<Output = ()> + 'static>(what: &str, future: impl Fn() -> F) {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    event_loop.run_until_complete(yield_now());
    let before = counts().live_bytes;
    for _ in 0..TASKS {
        drop(event_loop.create_task(future()));
    }
    event_loop.run_until_complete(yield_now());
    assert_eq!(event_loop.all_tasks().len(), TASKS, "they all wait");
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let per_task = (counts().live_bytes - before) as f64 / TASKS as f64;
    let own = size_of_val(&future());
    #[allow(clippy::cast_precision_loss)]
    let engine = per_task - own as f64;
    println!("{what:<44}{per_task:>12.1}{own:>14}{engine:>14.1}");
}

fn main() {
    println!("bytes of heap, with {TASKS} tasks");
    println!("{:<44}{:>12}{:>14}{:>14}", "a task that", "has in all", "its future", "the rest");
    weigh("waits", pending);
    weigh("waits, in an async block", || async { pending().await });
    weigh("sleeps", || sleep(HOUR));
    weigh("sleeps, in an async block", || async { sleep(HOUR).await });
    weigh("sleeps, with a time limit", || async { wait_for(sleep(HOUR), 2 * HOUR).await.unwrap() });
}

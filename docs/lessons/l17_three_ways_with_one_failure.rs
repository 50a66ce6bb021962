//! # L17: three ways with one failure
//!
//! Ten exports run; number *n* takes *n* tenths of a second, and number 7 fails. The code that gathers decides what
//! happens to that failure:
//!
//! 1. The first error is raised: [`try_gather`], awaited directly; in asyncio `await asyncio.gather(*exports)`.
//! 2. All outcomes are collected: [`return_exceptions`](loopwheel::Gather::return_exceptions); in asyncio
//!    `return_exceptions=True`.
//! 3. Each export logs its own failure and carries on: then nothing can fail, and [`gather`] is enough; in asyncio
//!    `try:` / `except Exception:` in the coroutine.
//!
//! The point to notice: in all three the other nine finish. In the first the error arrives at 0.7 s and six exports
//! are done, but a failure in a gather *cancels no other task*: the last three go on, although no code waits for
//! them, and are done at 1 s. To stop them, use a group (lesson L08).
//!
//! Step through it: `docs/players/l17_three_ways_with_one_failure.html`, in any browser.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{gather, now, sleep, try_gather};

/// How many exports have been finished.
type Finished = Rc<Cell<u32>>;

async fn export(number: u64, finished: Finished) -> Result<u64, String> {
    sleep(Duration::from_millis(100 * number)).await;
    if number == 7 {
        return Err(format!("note {number} cannot be read"));
    }
    finished.set(finished.get() + 1);
    Ok(number)
}

async fn export_or_log(number: u64, finished: Finished) {
    if let Err(error) = export(number, finished).await {
        println!("Log: {error}");
    }
}

async fn first_error() {
    let (start, finished) = (now(), Finished::default());
    match try_gather((1..=10).map(|number| export(number, finished.clone()))).await {
        Ok(numbers) => println!("Exported {numbers:?}"),
        Err(error) => println!("Raised after {:.1}s: {error}", (now() - start).as_secs_f64()),
    }
    println!("Finished by then: {}", finished.get());
    sleep(Duration::from_millis(500)).await;
    println!("Finished half a second later: {}", finished.get());
}

async fn all_outcomes() {
    let (start, finished) = (now(), Finished::default());
    let exports = try_gather((1..=10).map(|number| export(number, finished.clone())));
    let outcomes = exports.return_exceptions().await;
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let secs = (now() - start).as_secs_f64();
    println!("Collected after {secs:.1}s: {} values, {} error", good.len(), bad.len());
    println!("Finished by then: {}", finished.get());
}

async fn log_and_carry_on() {
    let (start, finished) = (now(), Finished::default());
    gather((1..=10).map(|number| export_or_log(number, finished.clone()))).await;
    println!("Carried on to the end, {:.1}s", (now() - start).as_secs_f64());
    println!("Finished by then: {}", finished.get());
}

/// Lets one of ten exports fail, in three ways.
pub async fn lesson() {
    first_error().await;
    all_outcomes().await;
    log_and_carry_on().await;
}

fn main() {
    loopwheel::run(lesson());
}

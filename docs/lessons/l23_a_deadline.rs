//! # L23: a deadline
//!
//! An operation of 5 s is given 0.2 s.
//!
//! [`wait_for`] (same name in asyncio) awaits a future for at most a given time. When the time is up it *cancels*
//! the future and gives `Err(TimedOut)`, where asyncio raises `TimeoutError`.
//!
//! The points to notice: the caller goes on at 0.2 s, not at 5 s, and the operation is really over: its last line is
//! never printed. A time limit is a cancel, so an operation that cleans up (lesson L22) does that here too, and
//! `wait_for` waits for it. To stop waiting while the work goes on, make it a task and give `wait_for` a
//! [`shield`](loopwheel::shield) around its handle.
//!
//! Step through it: `docs/players/l23_a_deadline.html`, in any browser.

use std::time::Duration;

use loopwheel::{now, sleep, wait_for};

async fn slow_operation() -> &'static str {
    println!("Operation started");
    sleep(Duration::from_secs(5)).await;
    println!("Operation finished"); // never
    "a result"
}

/// Gives a slow operation too little time.
pub async fn lesson() {
    let start = now();
    match wait_for(slow_operation(), Duration::from_millis(200)).await {
        Ok(result) => println!("Got {result}"),
        Err(_) => println!("Operation timed out!"),
    }
    println!("Waited {:.2}s", (now() - start).as_secs_f64());
}

fn main() {
    loopwheel::run(lesson());
}

//! # L07: sequential or concurrent
//!
//! Five calls of 1 s each are made: one after the other, then all at once.
//!
//! A loop that awaits in its body is sequential, in asyncio as here: `for n in range(1, 6): await call(n)`.
//! [`gather`] runs the same calls concurrently.
//!
//! The point to notice: one thread is enough for this. *Concurrent* means that the waits overlap, and these calls do
//! nothing but wait. Five computations of 1 s each would take 5 s either way; they need threads, not tasks.
//!
//! Step through it: `docs/players/l07_sequential_or_concurrent.html`, in any browser.

use std::time::Duration;

use loopwheel::{gather, now, sleep};

async fn call(number: u32) -> u32 {
    sleep(Duration::from_secs(1)).await;
    number * number
}

/// Makes five calls one by one, then all at once.
pub async fn lesson() {
    let start = now();
    let mut results = vec![];
    for number in 1..=5 {
        results.push(call(number).await);
    }
    let sequential = (now() - start).as_secs_f64();
    println!("Sequential: {results:?} in {sequential:.2}s");

    let start = now();
    let results = gather((1..=5).map(call)).await;
    let concurrent = (now() - start).as_secs_f64();
    println!("Concurrent: {results:?} in {concurrent:.2}s");

    println!("Speedup: {:.1}x", sequential / concurrent);
}

fn main() {
    loopwheel::run(lesson());
}

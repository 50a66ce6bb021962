//! # L25: fastest first
//!
//! Three tasks: A takes 0.3 s, B 0.1 s, C 0.2 s. They are awaited in the order in which they end: B, C, A. Then the
//! same is done with a limit of 0.25 s for all of them together.
//!
//! [`as_completed`] has the same name in asyncio. With `timeout` its `next` gives `Err(TimedOut)` when the time is
//! up, where asyncio raises `TimeoutError`.
//!
//! The points to notice: [`gather`](loopwheel::gather) would give the first result at 0.3 s, with all the others;
//! here the first arrives at 0.1 s. And when the time is up no task is cancelled: A is still running, `pending`
//! gives its handle back, and we decide what happens to it.
//!
//! Step through it: `docs/players/l25_fastest_first.html`, in any browser.

use std::time::Duration;

use loopwheel::{Task, as_completed, create_task, now, sleep};

async fn work(name: &'static str, takes: Duration) -> &'static str {
    sleep(takes).await;
    name
}

fn start_all() -> [Task<&'static str>; 3] {
    [("A", 300), ("B", 100), ("C", 200)]
        .map(|(name, millis)| create_task(work(name, Duration::from_millis(millis))))
}

/// Takes the results of three tasks as they come.
pub async fn lesson() {
    let start = now();
    let mut completed = as_completed(start_all());
    let mut order = vec![];
    while let Some(task) = completed.next().await {
        let name = task.await.unwrap();
        println!("{name}, after {:.1}s", (now() - start).as_secs_f64());
        order.push(name);
    }
    println!("Order: {}", order.join(", "));

    let mut completed = as_completed(start_all()).timeout(Duration::from_millis(250));
    let mut order = vec![];
    while let Ok(Some(task)) = completed.next().await {
        order.push(task.await.unwrap());
    }
    let late = completed.pending();
    println!("In 0.25s: {}; still running: {}", order.join(", "), late.len());
    for task in late {
        let name = task.await.unwrap();
        println!("{name} was worth waiting for");
    }
}

fn main() {
    loopwheel::run(lesson());
}

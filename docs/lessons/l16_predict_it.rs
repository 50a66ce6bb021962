//! # L16: predict it
//!
//! Three tasks are created: A takes 2 s, B 1 s, C 3 s. Then they are awaited in this order.
//!
//! Before you run it, say what it prints: in which order are the results, and how long does it take? Then do the
//! same with a C that takes only 0.5 s.
//!
//! The points to notice: the results are in the order in which *you* await, whichever task was ready first. The time
//! is that of the slowest task, whichever it is. With the fast C that is A, so the time is 2 s. The results are the
//! same, though C is now the first to finish.
//!
//! Step through it: `docs/players/l16_predict_it.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, now, sleep};

async fn work(name: &'static str, takes: Duration) -> String {
    sleep(takes).await;
    format!("{name} done")
}

async fn run_with(c_takes: Duration) {
    let start = now();
    let a = create_task(work("A", Duration::from_secs(2)));
    let b = create_task(work("B", Duration::from_secs(1)));
    let c = create_task(work("C", c_takes));
    let results = [a.await.unwrap(), b.await.unwrap(), c.await.unwrap()];
    println!("{results:?}");
    println!("Total: {:.2}s", (now() - start).as_secs_f64());
}

/// Awaits three tasks in order, with a slow C and with a fast one.
pub async fn lesson() {
    run_with(Duration::from_secs(3)).await;
    run_with(Duration::from_millis(500)).await;
}

fn main() {
    loopwheel::run(lesson());
}

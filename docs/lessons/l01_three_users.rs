//! # L01: three users
//!
//! Three users are fetched, each in one second: first as three tasks, then one by one.
//!
//! [`create_task`] (same name in asyncio) hands a future to the loop, which runs it from then on. So all three wait
//! for their second *at the same time*, and the whole takes one second. A future that is awaited directly does not
//! start before its turn comes: that takes three seconds.
//!
//! The point to notice: `await` is not what makes things run side by side. Here the handles are awaited in order, as
//! the futures are below; the difference is that all tasks were created before the first `await`.
//!
//! Awaiting a handle gives a `Result`, because the task may have been cancelled or may have panicked. In this lesson
//! neither happens.
//!
//! Step through it: `docs/players/l01_three_users.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, now, sleep};

async fn fetch_user(id: u32) -> String {
    sleep(Duration::from_secs(1)).await;
    format!("User-{id}")
}

/// Fetches three users as tasks, then one by one.
pub async fn lesson() {
    let start = now();
    let one = create_task(fetch_user(1));
    let two = create_task(fetch_user(2));
    let three = create_task(fetch_user(3));
    let users = [one.await.unwrap(), two.await.unwrap(), three.await.unwrap()];
    println!("Results: {}", users.join(", "));
    println!("As tasks: {:.2}s", (now() - start).as_secs_f64());

    let start = now();
    let users = [fetch_user(1).await, fetch_user(2).await, fetch_user(3).await];
    println!("Results: {}", users.join(", "));
    println!("One by one: {:.2}s", (now() - start).as_secs_f64());
}

fn main() {
    loopwheel::run(lesson());
}

//! # L05: fail, gathered or grouped
//!
//! Three calls: API1 takes 1 s, API2 fails at once with a timeout error, API3 takes 1 s. First they are gathered and
//! every outcome is collected; then they are the children of a [`TaskGroup`].
//!
//! Gathered ([`return_exceptions`](loopwheel::Gather::return_exceptions), in asyncio `gather(*calls,
//! return_exceptions=True)`), the calls are independent: after 1 s there are two values and an error, each in its
//! place. In a group they are *one* piece of work, which fails when one part of it fails: the group fails at 0 s,
//! and API1 and API3 are cancelled.
//!
//! The points to notice: use a gather when half of the answers are still useful, and a group when they are not. And
//! the error is in the group's [`ExceptionGroup`](loopwheel::ExceptionGroup), not in the task's handle: the handle
//! can only say that the error went there. The handles are kept outside the body, because a group that fails cannot
//! return them.
//!
//! Step through it: `docs/players/l05_fail_gathered_or_grouped.html`, in any browser.

use std::time::Duration;

use loopwheel::{TaskError, TaskGroup, TimedOut, now, sleep, try_gather};

const NAMES: [&str; 3] = ["API1", "API2", "API3"];

async fn call(name: &str) -> Result<String, TimedOut> {
    if name == "API2" {
        return Err(TimedOut);
    }
    sleep(Duration::from_secs(1)).await;
    Ok(format!("data of {name}"))
}

async fn gathered() {
    let start = now();
    let outcomes = try_gather(NAMES.map(call)).return_exceptions().await;
    println!("Gathered, after {:.2}s:", (now() - start).as_secs_f64());
    for (name, outcome) in NAMES.into_iter().zip(outcomes) {
        match outcome {
            Ok(data) => println!("{name}: {data}"),
            Err(TaskError::Failed(error)) => println!("{name}: {error}"),
            Err(error) => println!("{name}: {error}"),
        }
    }
}

async fn grouped() {
    let start = now();
    let mut tasks = vec![];
    let group = TaskGroup::scope(async |group| {
        tasks.extend(NAMES.map(|name| group.create_task(call(name))));
    });
    let errors = group.await.unwrap_err();
    println!("Grouped, after {:.2}s: {errors}", (now() - start).as_secs_f64());
    for error in &errors {
        println!("The error: {error}");
    }
    for (name, task) in NAMES.into_iter().zip(tasks) {
        match task.await {
            Ok(data) => println!("{name}: {data}"),
            Err(error) => println!("{name}: {error}"),
        }
    }
}

/// Lets one of three calls fail: gathered, then grouped.
pub async fn lesson() {
    gathered().await;
    grouped().await;
}

fn main() {
    loopwheel::run(lesson());
}

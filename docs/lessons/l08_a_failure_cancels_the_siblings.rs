//! # L08: a failure cancels the siblings
//!
//! A group has three tasks: task 2 fails after 1 s, and tasks 1 and 3 would take 5 s. The body of the group would
//! take a minute.
//!
//! As soon as a child fails, a [`TaskGroup`] cancels the rest of the group: the other children, *and its own body*,
//! which is stopped where it waits. It waits until they are over, and then fails with all the errors. In asyncio:
//! `asyncio.TaskGroup`, and `except* ValueError` for its errors.
//!
//! The points to notice: the group fails at 1 s, not at 5 s. And tasks 1 and 3 themselves show that they are
//! stopped: what a task owns is dropped with it, so the guard below knows whether its task reached its end.
//!
//! Step through it: `docs/players/l08_a_failure_cancels_the_siblings.html`, in any browser.

use std::time::Duration;

use loopwheel::{TaskGroup, now, sleep};

/// Tells how its task ended, when it is dropped with it.
struct Guard {
    number: u32,
    is_complete: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let how = if self.is_complete { "complete" } else { "stopped before its end" };
        println!("Task {}: {how}", self.number);
    }
}

async fn work(number: u32) -> Result<(), String> {
    let mut guard = Guard { number, is_complete: false };
    println!("Task {number}: begins");
    sleep(Duration::from_secs(5)).await;
    guard.is_complete = true;
    Ok(())
}

async fn fail(number: u32) -> Result<(), String> {
    println!("Task {number}: begins");
    sleep(Duration::from_secs(1)).await;
    Err(format!("task {number} has failed"))
}

/// Lets one of three children of a group fail.
pub async fn lesson() {
    let start = now();
    let group = TaskGroup::scope(async |group| {
        group.create_task(work(1));
        group.create_task(fail(2));
        group.create_task(work(3));
        sleep(Duration::from_secs(60)).await;
        println!("The body: complete"); // never
    });
    let errors = group.await.unwrap_err();
    println!("The group failed after {:.2}s: {errors}", (now() - start).as_secs_f64());
    for error in &errors {
        println!("The error: {error}");
    }
}

fn main() {
    loopwheel::run(lesson());
}

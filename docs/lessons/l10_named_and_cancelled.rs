//! # L10: named and cancelled
//!
//! Two tasks have names of their own; the first is cancelled after 0.1 s, and the second is left alone.
//!
//! Reports and error messages use a task's name, and the task can read it with [`current_task`]. It is set with
//! [`TaskBuilder`], or later with `set_name`; a task without one is called `Task-1`, `Task-2`, … In asyncio:
//! `create_task(coro, name="fetch-1")`, `task.get_name()`.
//!
//! The points to notice: `cancel` is a request. It returns at once; the task is stopped at the `await` where it
//! waits, the next time the loop comes to it. And the code that awaits a cancelled task gets an `Err`, a value to
//! look at. That code is not cancelled itself, and the other task is not affected.
//!
//! Step through it: `docs/players/l10_named_and_cancelled.html`, in any browser.

use std::time::Duration;

use loopwheel::{TaskBuilder, current_task, now, sleep};

async fn fetch() -> &'static str {
    println!("{}: begins", current_task().name());
    sleep(Duration::from_secs(1)).await;
    "the data"
}

/// Cancels one of two named tasks.
pub async fn lesson() {
    let start = now();
    let first = TaskBuilder::new().name("fetch-1").create_task(fetch());
    let second = TaskBuilder::new().name("fetch-2").create_task(fetch());

    sleep(Duration::from_millis(100)).await;
    first.cancel();

    for task in [first, second] {
        let name = task.name(); // awaiting the task uses the handle up
        let outcome = task.await;
        let secs = (now() - start).as_secs_f64();
        match outcome {
            Ok(data) => println!("{name}: {data}, after {secs:.2}s"),
            Err(error) if error.is_cancelled() => println!("{name}: cancelled, after {secs:.2}s"),
            Err(error) => println!("{name}: {error}"),
        }
    }
}

fn main() {
    loopwheel::run(lesson());
}

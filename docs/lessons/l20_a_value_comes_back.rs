//! # L20: a value comes back
//!
//! A task computes a value, `42`, and awaiting its handle gives that value.
//!
//! In asyncio: `answer = await asyncio.create_task(compute(21))`. There a failure is raised from the `await`; here
//! the `await` gives a `Result`, and `?`, `match` or `unwrap` decide what happens to a failure.
//!
//! The point to notice: the value is *moved* out of the task, not copied. So awaiting uses the handle up, and the
//! value may be of any type: it need not be `Clone`, nor `Send`, because all of this happens on one thread.
//! `Task::shared` makes a handle that several tasks may await, each for a clone.
//!
//! Step through it: `docs/players/l20_a_value_comes_back.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, sleep};

async fn compute(number: u32) -> u32 {
    sleep(Duration::from_secs(1)).await;
    number * 2
}

/// Awaits the value of a task.
pub async fn lesson() {
    let task = create_task(compute(21));
    let answer = task.await.unwrap();
    println!("{answer}");
}

fn main() {
    loopwheel::run(lesson());
}

//! # L24: wait three ways
//!
//! Tasks A (0.3 s), B (0.1 s) and C (0.2 s) are awaited until the first is over, and then the rest until all are.
//! Then the same tasks are awaited until one fails; this time C fails. Each of these waits is also done with a time
//! limit that is too short.
//!
//! [`wait`] gives the tasks back in two lists, those that are over and those that are not. In asyncio: `done, pending
//! = await asyncio.wait(tasks, return_when=FIRST_COMPLETED, timeout=0.05)`.
//!
//! The points to notice: `wait` only looks. It cancels no task, not even when the time is up. That is no error for
//! `wait`: it says how far things are. It raises no task's error either: a task that failed is over, and awaiting it
//! tells more. Under `FirstException` a task that succeeds is not enough, so B alone does not end the wait. With
//! `&mut` handles the caller keeps them all, and can wait again.
//!
//! Step through it: `docs/players/l24_wait_three_ways.html`, in any browser.

use std::time::Duration;

use loopwheel::{
    AllCompleted, FirstCompleted, FirstException, ReturnWhen, Task, TaskHandle, now, sleep,
    try_create_task, wait,
};

type Work = Task<&'static str, &'static str>;

fn start_all(c_fails: bool) -> [Work; 3] {
    [("A", 300), ("B", 100), ("C", 200)].map(|(name, millis)| {
        try_create_task(async move {
            sleep(Duration::from_millis(millis)).await;
            if name == "C" && c_fails { Err("C is broken") } else { Ok(name) }
        })
    })
}

/// Waits, says how far things are, and gives those that are not over.
async fn wait_and_tell<H: TaskHandle>(
    tasks: impl IntoIterator<Item = H>,
    until: ReturnWhen,
    limit: Option<Duration>,
) -> Vec<H> {
    let start = now();
    let (done, pending) = wait(tasks, until).timeout(limit).await;
    let secs = (now() - start).as_secs_f64();
    let limit = limit.map_or("no limit".to_owned(), |limit| format!("at most {limit:?}"));
    let (done, still) = (done.len(), pending.len());
    println!("{until:?}, {limit}: {done} done, {still} pending, after {secs:.2}s");
    pending
}

/// Waits until one, until all, and until one fails; each with and without a time limit.
pub async fn lesson() {
    let limit = |millis| Some(Duration::from_millis(millis));

    let rest = wait_and_tell(start_all(false), FirstCompleted, None).await;
    wait_and_tell(rest, AllCompleted, None).await;

    let rest = wait_and_tell(start_all(false), FirstCompleted, limit(50)).await;
    wait_and_tell(rest, AllCompleted, limit(200)).await;

    let mut tasks = start_all(true);
    wait_and_tell(&mut tasks, FirstException, limit(150)).await;
    wait_and_tell(&mut tasks, FirstException, None).await;
    for task in tasks {
        match task.await {
            Ok(name) => println!("{name} is well"),
            Err(error) => println!("{error}"),
        }
    }
}

fn main() {
    loopwheel::run(lesson());
}

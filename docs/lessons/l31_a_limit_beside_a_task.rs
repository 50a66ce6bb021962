//! # L31: a limit beside a task
//!
//! A download may take 0.2 s but takes longer; it runs in a `join!` with a task that takes 0.5 s. Then the same two
//! run, but the task around them is cancelled after 0.1 s.
//!
//! In asyncio a coroutine awaits one thing, and a time limit cancels the task that it is in. Rust's `join!` awaits
//! several things in one task. So here a time limit cancels what it holds, and nothing beside it.
//!
//! The points to notice: when the limit is up, the download is stopped, and may clean up; the report beside it is
//! not affected. A cancel of the whole task, on the other hand, reaches both: the download cleans up, the task for
//! the report is cancelled, and both are waited for.
//!
//! Step through it: `docs/players/l31_a_limit_beside_a_task.html`, in any browser.

use std::time::Duration;

use loopwheel::{Task, create_task, finally, sleep, wait_for, yield_now};

async fn download() -> &'static str {
    let transfer = async {
        sleep(Duration::from_secs(10)).await;
        "the file"
    };
    finally(transfer, async || {
        sleep(Duration::from_millis(50)).await; // closing takes a while
        println!("download: connection closed");
    })
    .await
}

fn report() -> Task<&'static str> {
    create_task(async {
        let writes = async {
            sleep(Duration::from_millis(500)).await;
            "the report"
        };
        finally(writes, async || println!("report: put away")).await
    })
}

async fn both() {
    let limited = wait_for(download(), Duration::from_millis(200));
    let (file, report) = futures::join!(limited, report());
    println!("{file:?}, {report:?}");
}

/// Lets the limit pass, and then cancels the task in which it is.
pub async fn lesson() {
    both().await;

    let task = create_task(both());
    yield_now().await;
    sleep(Duration::from_millis(100)).await;
    task.cancel();
    println!("{}", task.await.unwrap_err());
}

fn main() {
    loopwheel::run(lesson());
}

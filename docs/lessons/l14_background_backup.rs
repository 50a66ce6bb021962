//! # L14: background backup
//!
//! A backup of 3 s runs as a task while the program goes on and awaits a status check of 0.5 s.
//!
//! A task runs whenever the others wait, even if no code awaits it. The handle is kept for later, and awaited when
//! the program wants to know how the backup went. In asyncio: `backup = asyncio.create_task(...)`, with `await
//! backup` at the end.
//!
//! There are two points to notice. The task does not begin inside `create_task`, but in the loop's next turn, so the
//! first line comes from the status check: a task can only run when the current one awaits. And the whole takes 3 s,
//! not 3.5 s.
//!
//! Step through it: `docs/players/l14_background_backup.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, now, sleep};

async fn back_up() -> u32 {
    println!("Backup started");
    sleep(Duration::from_secs(3)).await;
    120
}

async fn check_status() -> &'static str {
    println!("Checking the status...");
    sleep(Duration::from_millis(500)).await;
    "all is well"
}

/// Checks the status while a backup runs.
pub async fn lesson() {
    let start = now();
    let backup = create_task(back_up());

    let status = check_status().await;
    println!("Status: {status}, after {:.2}s", (now() - start).as_secs_f64());

    let notes = backup.await.unwrap();
    println!("Backup: {notes} notes saved, after {:.2}s", (now() - start).as_secs_f64());
}

fn main() {
    loopwheel::run(lesson());
}

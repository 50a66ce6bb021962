//! # L32: a handle in a `select!` loop
//!
//! A worker takes 0.5 s. Meanwhile the task that waits for it looks at the clock every 0.2 s, with `select`, the
//! function beneath `select!`. (The macro takes `(&mut worker).fuse()` and `sleep(…).fuse()`.) Then the same is
//! done, but the task that waits is cancelled while it looks elsewhere.
//!
//! A handle that loses a `select!` is not gone: it is kept, and awaited again in the next round. In asyncio that is
//! `asyncio.wait({worker}, timeout=0.2)` in a loop.
//!
//! The points to notice: `&mut worker` awaits the handle without giving it away. A cancel of the task reaches what
//! the task awaits at that moment. While it is in the `select!`, that includes the worker. While it writes its notes
//! and only keeps the handle, the worker is not cancelled: it goes on, and another handle can still give its value.
//!
//! Step through it: `docs/players/l32_a_handle_in_a_select_loop.html`, in any browser.

use std::time::Duration;

use futures::future::{Either, select};
use loopwheel::{Task, create_task, now, sleep};
use std::pin::pin;

fn worker() -> Task<&'static str> {
    create_task(async {
        sleep(Duration::from_millis(500)).await;
        "done"
    })
}

/// Checks every 0.2 s whether the worker is done, and writes that down, which takes `notes`.
async fn watch(
    mut worker: impl Future<Output = Result<&'static str, loopwheel::TaskError>> + Unpin,
    notes: Duration,
) {
    loop {
        let tick = pin!(sleep(Duration::from_millis(200)));
        match select(&mut worker, tick).await {
            Either::Left((result, _)) => {
                return println!("the worker is {}", result.unwrap_or("cancelled"));
            }
            Either::Right(_) => println!("still waiting"),
        }
        sleep(notes).await; // the handle is kept, and not awaited
    }
}

/// Watches to the end; is cancelled in the `select!`; is cancelled beside it.
pub async fn lesson() {
    watch(worker(), Duration::ZERO).await;

    for after in [100, 250] {
        let start = now();
        let worker = worker().shared();
        let watcher = create_task(watch(worker.clone(), Duration::from_millis(100)));
        sleep(Duration::from_millis(after)).await;
        watcher.cancel();
        println!("cancelled after {after} ms: {}", watcher.await.unwrap_err());
        let result = worker.await;
        println!("the worker is {}, after {:?}", result.unwrap_or("cancelled"), now() - start);
    }
}

fn main() {
    loopwheel::run(lesson());
}

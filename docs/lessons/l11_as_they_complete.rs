//! # L11: as they complete
//!
//! Three downloads run as tasks: `report` takes 0.3 s, `photo` 0.1 s, `song` 0.2 s. Each is handled as soon as it
//! arrives, and we know which one it is.
//!
//! [`as_completed`] gives the tasks back in the order in which they end, one for each `next().await`, and then
//! `None`. In asyncio: `async for task in asyncio.as_completed(tasks)`, which gives the tasks themselves since
//! Python 3.13. A plain `for` gives a new coroutine each time, and the caller has to find out which task it belongs
//! to.
//!
//! The points to notice: what comes back is the same handle that was given, so it has its task's name. To test for a
//! particular task, compare [`TaskRef`](loopwheel::TaskRef)s. And the task that comes back is over: awaiting it does
//! not wait.
//!
//! Step through it: `docs/players/l11_as_they_complete.html`, in any browser.

use std::time::Duration;

use loopwheel::{TaskBuilder, as_completed, now, sleep};

async fn download(kilobytes: u64) -> String {
    sleep(Duration::from_millis(kilobytes)).await;
    format!("{kilobytes} kB")
}

/// Deals with three downloads as they complete.
pub async fn lesson() {
    let start = now();
    let files = [("report", 300), ("photo", 100), ("song", 200)];
    let tasks = files.map(|(name, size)| TaskBuilder::new().name(name).create_task(download(size)));
    let photo = tasks[1].to_ref();

    let mut completed = as_completed(tasks);
    while let Some(task) = completed.next().await {
        let (name, is_photo) = (task.name(), task.to_ref() == photo);
        let size = task.await.unwrap();
        println!("{name}: {size}, after {:.2}s", (now() - start).as_secs_f64());
        if is_photo {
            println!("The photo can be shown already");
        }
    }
    println!("All are there");
}

fn main() {
    loopwheel::run(lesson());
}

//! # L26: nobody asked
//!
//! A task fails, and its handle has been dropped: no code can take the error any more. The loop reports it, once,
//! with the task's name, where it was created, and the error. Then another task fails, and is awaited: its error is
//! an ordinary value and there is no report.
//!
//! [`try_create_task`](loopwheel::try_create_task) is for futures that return a `Result`: its `Err` is then the
//! *task's* failure. [`set_exception_handler`] (`loop.set_exception_handler` in asyncio) sets the function that gets
//! the report; without one the report goes to stderr.
//!
//! The point to notice is *when* the report comes: as soon as no code can take the error any more. Here that is the
//! moment of the failure, because the handle is gone by then. If the handle had been kept, it would be the moment
//! when the handle is dropped without having been awaited. asyncio's `Task exception was never retrieved` comes when
//! Python frees the task object, and a reference cycle can delay that until the garbage collector runs.
//!
//! Step through it: `docs/players/l26_nobody_asked.html`, in any browser.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{TaskBuilder, set_exception_handler, sleep};

async fn send_mail() -> Result<(), &'static str> {
    sleep(Duration::from_millis(500)).await;
    Err("the mail server is down")
}

/// Lets one task fail unheard and another one heard.
pub async fn lesson() {
    let reports = Rc::new(Cell::new(0));
    let counter = reports.clone();
    set_exception_handler(move |context| {
        counter.set(counter.get() + 1);
        println!("Report: {context}");
    });

    drop(TaskBuilder::new().name("send-mail").try_create_task(send_mail()));
    sleep(Duration::from_secs(1)).await;
    println!("Nobody asked; reports so far: {}", reports.get());

    let task = TaskBuilder::new().name("send-again").try_create_task(send_mail());
    if let Err(error) = task.await {
        println!("send-again: {error}");
    }
    println!("Somebody asked; reports so far: {}", reports.get());
}

fn main() {
    loopwheel::run(lesson());
}

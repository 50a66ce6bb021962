//! # A loop inside `GLib`
//!
//! The main loop of `GLib` (and so of GTK) drives the loop as one of its own futures, and serves its timers. Futures of
//! `GLib` and tasks of the loop take turns on one thread, and may share what is not `Send`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use glib::{MainContext, MainLoop};
use loopwheel::{EventLoop, create_task, sleep, to_thread, wait_for};

/// A timer of `GLib`. It counts whole milliseconds and leaves out what is less, so it is set to the next one.
fn timer(duration: Duration) -> impl Future<Output = ()> {
    glib::timeout_future(duration + Duration::from_millis(1))
}

/// What happened, in order. A program with windows uses `MainContext::default()`, and leaves the main loop to GTK.
pub(crate) fn run() -> Vec<String> {
    let context = MainContext::new();
    let main_loop = MainLoop::new(Some(&context), false);
    let seen: Rc<RefCell<Vec<String>>> = Rc::default();
    let see = {
        let seen = seen.clone();
        move |what: &str| seen.borrow_mut().push(what.to_owned())
    };

    let main = {
        let see = see.clone();
        async move {
            let task = create_task(sleep(Duration::from_millis(5)));
            task.await.expect("it only sleeps");
            see("a task has slept");
            let too_slow = wait_for(sleep(Duration::from_secs(3600)), Duration::from_millis(5));
            see(if too_slow.await.is_err() { "a limit has passed" } else { "an hour has passed" });
            // GLib has nothing to do now. The thread wakes the loop, which wakes GLib.
            see(to_thread(|| "a thread has answered").await.expect("it does not panic"));
        }
    };

    let quits = main_loop.clone();
    context
        .with_thread_default(|| {
            drop(context.spawn_local(async move {
                glib::timeout_future(Duration::ZERO).await;
                see("a future of GLib has slept");
            }));
            drop(context.spawn_local(async move {
                let ended = EventLoop::new().drive(main, timer).await;
                quits.quit();
                ended.expect("main neither panics nor is cancelled");
            }));
            main_loop.run();
        })
        .expect("no other thread has this context");
    seen.take()
}

fn main() {
    for what in run() {
        println!("{what}");
    }
}

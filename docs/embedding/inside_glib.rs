//! # A loop inside GLib
//!
//! The main loop of GLib (and so of GTK) drives the loop as one of its own futures, and serves its timers. Callbacks of GLib
//! and tasks of the loop take turns on one thread, and may share what is not `Send`.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use glib::{ControlFlow, MainContext, MainLoop};
use loopwheel::{EventLoop, Handle, create_task, sleep, wait_for};

/// A timer of GLib. It counts whole milliseconds and leaves out what is less, so it is set to the next one.
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
        let (see, main_loop) = (see.clone(), main_loop.clone());
        async move {
            let ticker = create_task({
                let see = see.clone();
                async move {
                    sleep(Duration::from_millis(5)).await;
                    see("a task has slept");
                }
            });
            ticker.await.expect("it only sleeps");
            let too_slow = wait_for(sleep(Duration::from_secs(3600)), Duration::from_millis(5));
            see(if too_slow.await.is_err() { "a limit has passed" } else { "an hour has passed" });
            // GLib has nothing to do now. A thread wakes the loop, which wakes GLib.
            let handle = Handle::current();
            let (sender, receiver) = async_answer();
            thread::spawn(move || handle.call_soon(move || sender.set("a thread has answered")));
            see(receiver.wait().await);
            main_loop.quit();
        }
    };

    context
        .with_thread_default(|| {
            glib::timeout_add_local_once(Duration::ZERO, move || see("a callback of GLib"));
            let driven = context.spawn_local(EventLoop::new().drive(main, timer));
            main_loop.run();
            drop(driven);
        })
        .expect("no other thread has this context");
    seen.take()
}

fn main() {
    for what in run() {
        println!("{what}");
    }
}

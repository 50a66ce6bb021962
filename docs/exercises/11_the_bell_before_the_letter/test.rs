//! A host sleeps until the wake hook notifies it, and then takes a turn. A thread loads a picture, and wakes the task that waits for it.
//! In the hook the thread pauses until the host has taken its turn, so that it comes to the worst each time.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use loopwheel::{Budget, EventLoop};

#[test]
fn when_the_hook_is_called_the_wake_up_is_in_the_inbox() {
    let (notify, notified) = mpsc::channel();
    let turned = Arc::new(Barrier::new(2));
    let hook = {
        let turned = turned.clone();
        move || {
            notify.send(()).unwrap();
            turned.wait();
        }
    };
    let mut event_loop = EventLoop::builder().wake_hook(hook).build();

    let is_loaded = Arc::new(AtomicBool::new(false));
    let (wakers, waker) = mpsc::channel();
    let show = event_loop.create_task({
        let is_loaded = is_loaded.clone();
        poll_fn(move |cx| {
            if is_loaded.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            wakers.send(cx.waker().clone()).unwrap();
            Poll::Pending
        })
    });
    event_loop.turn(Budget::unlimited()); // the first poll
    let waker = waker.recv().unwrap();

    let loader = thread::spawn(move || {
        is_loaded.store(true, Ordering::Release);
        waker.wake();
    });
    notified.recv_timeout(Duration::from_secs(10)).expect("the hook is called");
    event_loop.turn(Budget::unlimited());
    let is_shown = show.is_done();
    turned.wait();
    loader.join().unwrap();
    assert!(is_shown, "the host was notified, and found nothing; now it sleeps again");
}

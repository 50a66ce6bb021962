//! An executor of another make awaits a task of the loop. Its wakers take a while to clone, and meanwhile the loop goes on: here
//! it takes its turns inside that clone, so that it happens each time.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use cooked_waker::{IntoWaker, Wake, WakeRef};
use loopwheel::EventLoop;

thread_local! {
    static EVENT_LOOP: RefCell<EventLoop> = RefCell::new(EventLoop::new());
}

/// A waker of the other executor.
struct SlowToClone(Arc<AtomicBool>);

impl Clone for SlowToClone {
    fn clone(&self) -> SlowToClone {
        EVENT_LOOP.with_borrow_mut(EventLoop::run_until_stalled);
        SlowToClone(self.0.clone())
    }
}

impl WakeRef for SlowToClone {
    fn wake_by_ref(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Wake for SlowToClone {}

#[test]
fn a_task_that_ends_while_its_waiter_registers_is_noticed() {
    let task = EVENT_LOOP.with_borrow(|event_loop| event_loop.handle().create_task(async || 42));
    let mut task = pin!(task.unwrap());

    let is_woken = Arc::new(AtomicBool::new(false));
    let waker = Box::new(SlowToClone(is_woken.clone())).into_waker();
    let mut cx = Context::from_waker(&waker);
    let mut polled = task.as_mut().poll(&mut cx);
    if polled.is_pending() && is_woken.load(Ordering::Acquire) {
        polled = task.as_mut().poll(&mut cx);
    }
    assert_eq!(polled, Poll::Ready(Ok(42)), "the task has ended, and its waiter sleeps for ever");
}

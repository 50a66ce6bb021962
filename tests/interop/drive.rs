//! Tests the loop as a future of another executor: `EventLoop::drive` is polled by hand, and the tests compare lists of events.

#[path = "../common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{ms, watched_loop};
use loopwheel::sync::Event;
use loopwheel::{
    Clock, EventLoop, Instant, RunError, create_task, current_task, finally, run_virtual, sleep,
    to_thread, yield_now,
};

/// The other executor's waker. It counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The other executor. It polls one future when the test says so, and has a clock that the test moves.
struct Other {
    time: Rc<Cell<Instant>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    events: Rc<RefCell<Vec<String>>>,
}

/// A timer of the other executor's.
struct Timer {
    time: Rc<Cell<Instant>>,
    deadline: Instant,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.time.get() >= self.deadline { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Other {
    fn new() -> Other {
        let wakes = Arc::new(Wakes::default());
        let (time, events) = (Rc::new(Cell::new(Instant::START)), Rc::default());
        Other { time, waker: wakes.clone().into(), wakes, events }
    }

    fn event_loop(&self) -> EventLoop {
        let time = self.time.clone();
        EventLoop::builder().clock(Clock::host(move || time.get())).build()
    }

    fn timers(&self) -> impl FnMut(Duration) -> Timer + use<> {
        let (time, events) = (self.time.clone(), self.events.clone());
        move |duration| {
            events.borrow_mut().push(format!("timer of {} ms", duration.as_millis()));
            Timer { time: time.clone(), deadline: time.get() + duration }
        }
    }

    /// Polls `driven` once, and logs the result and how often it asked to be polled again.
    fn poll<T: std::fmt::Debug>(&self, driven: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let polled = driven.poll(&mut Context::from_waker(&self.waker));
        let wakes = self.wakes.0.swap(0, Ordering::SeqCst);
        let text = match (&polled, wakes) {
            (Poll::Ready(output), _) => format!("ready: {output:?}"),
            (Poll::Pending, 0) => "pending".to_owned(),
            (Poll::Pending, 1) => "pending, again".to_owned(),
            (Poll::Pending, _) => format!("pending, {wakes} wakes"),
        };
        self.events.borrow_mut().push(text);
        match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn wait(&self, duration: Duration) {
        self.time.set(self.time.get() + duration);
    }

    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        assert_eq!(self.events.take(), expected);
    }
}

#[test]
fn a_poll_is_a_turn_and_a_deadline_is_a_timer_of_the_other() {
    let other = Other::new();
    let events = other.events.clone();
    let main = async move {
        events.borrow_mut().push("main begins".into());
        yield_now().await;
        events.borrow_mut().push("main sleeps".into());
        sleep(ms(5)).await;
        events.borrow_mut().push("main ends".into());
        42
    };
    let mut driven = pin!(other.event_loop().drive(main, other.timers()));
    for _ in 0..3 {
        other.poll(driven.as_mut());
    }
    other.expect(&[
        "main begins",
        "pending, again",
        "main sleeps",
        "timer of 5 ms",
        "pending",
        "pending", // polled without being woken: the same timer
    ]);
    other.wait(ms(5));
    other.poll(driven.as_mut()); // its timer has woken it
    other.expect(&["main ends", "ready: Ok(42)"]);
}

#[test]
fn a_nearer_deadline_takes_the_timers_place() {
    let other = Other::new();
    let main = async {
        let long = create_task(sleep(ms(100)));
        yield_now().await;
        yield_now().await;
        sleep(ms(10)).await;
        long.await.unwrap();
    };
    let mut driven = pin!(other.event_loop().drive(main, other.timers()));
    for _ in 0..4 {
        other.poll(driven.as_mut());
    }
    other.expect(&["pending, again", "pending, again", "timer of 10 ms", "pending", "pending"]);
    other.wait(ms(10));
    other.poll(driven.as_mut());
    other.wait(ms(90));
    other.poll(driven.as_mut());
    other.poll(driven.as_mut());
    other.expect(&["timer of 90 ms", "pending", "pending, again", "ready: Ok(())"]);
}

#[test]
fn wake_ups_from_other_threads_wake_the_other_executor_once_between_two_polls() {
    let other = Other::new();
    let (sender, receiver) = async_channel::unbounded();
    let main = async move { receiver.recv().await.unwrap() + receiver.recv().await.unwrap() };
    let event_loop = other.event_loop();
    let handle = event_loop.handle();
    let mut driven = pin!(event_loop.drive(main, other.timers()));
    other.poll(driven.as_mut());
    other.expect(&["pending"]);
    for number in [20, 22] {
        let (handle, sender) = (handle.clone(), sender.clone());
        let thread = std::thread::spawn(move || {
            sender.send_blocking(number).unwrap();
            handle.call_soon(|| ()).unwrap();
        });
        thread.join().unwrap();
        assert_eq!(other.wakes.0.swap(0, Ordering::SeqCst), 1);
        // As often as it asks for it.
        while other.poll(driven.as_mut()).is_none()
            && other.events.borrow().last().unwrap() == "pending, again"
        {}
    }
    assert_eq!(other.events.borrow().last().unwrap(), "ready: Ok(42)");
}

#[test]
fn tasks_that_are_left_are_cancelled_and_their_clean_up_runs_in_the_others_time() {
    let other = Other::new();
    let events = other.events.clone();
    let main = async move {
        let cleaned = events.clone();
        let clean_up = async move || {
            sleep(ms(3)).await;
            cleaned.borrow_mut().push("cleaned up".into());
        };
        drop(create_task(finally(pending::<()>(), clean_up)));
        yield_now().await;
        "main is over"
    };
    let mut driven = pin!(other.event_loop().drive(main, other.timers()));
    for _ in 0..3 {
        other.poll(driven.as_mut());
    }
    other.wait(ms(3));
    other.poll(driven.as_mut());
    other.expect(&[
        "pending, again",
        "timer of 3 ms",
        "pending",
        "pending",
        "cleaned up",
        "ready: Ok(\"main is over\")",
    ]);
}

#[test]
fn dropping_the_future_drops_the_loop_with_its_tasks() {
    struct Sees(Rc<Cell<usize>>);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let other = Other::new();
    let dropped = Rc::new(Cell::new(0));
    let sees = dropped.clone();
    let main = async move {
        let child = Sees(sees.clone());
        drop(create_task(async move {
            let _child = child;
            pending::<()>().await;
        }));
        let _main = Sees(sees);
        pending::<()>().await;
    };
    let mut driven = Box::pin(other.event_loop().drive(main, other.timers()));
    other.poll(driven.as_mut());
    assert_eq!(dropped.get(), 0);
    drop(driven);
    assert_eq!(dropped.get(), 2);
}

#[test]
fn a_panic_and_a_cancel_of_main_are_errors() {
    let timer = async_io::Timer::after;
    let main = async { panic!("oh") };
    let panicked: Result<(), _> = async_io::block_on(EventLoop::new().drive(main, timer));
    let Err(RunError::Panicked(panic)) = panicked else { panic!("{panicked:?}") };
    assert_eq!(panic.message(), "oh");
    let main = async {
        current_task().cancel();
        yield_now().await;
    };
    let cancelled = async_io::block_on(EventLoop::new().drive(main, timer));
    assert!(matches!(cancelled, Err(RunError::Cancelled(_))), "{cancelled:?}");
}

#[test]
fn a_loop_that_waits_for_the_other_executor_is_no_deadlock() {
    let (event_loop, _) = watched_loop();
    let event = Rc::new(Event::new());
    let waits = event.clone();
    let main = async move {
        waits.wait().await;
        42
    };
    let mut driven = pin!(event_loop.drive(main, async_io::Timer::after));
    let other = Other::new();
    other.poll(driven.as_mut());
    other.poll(driven.as_mut());
    event.set(); // by a task of the other executor
    other.poll(driven.as_mut());
    other.expect(&["pending", "pending", "ready: Ok(42)"]);
}

#[test]
fn a_virtual_clock_jumps_and_needs_no_timer() {
    let (event_loop, _) = watched_loop();
    let no_timer = |_| -> std::future::Ready<()> { panic!("a timer of the other's") };
    let main = async {
        sleep(Duration::from_secs(3600)).await;
        to_thread(|| 1).await
    };
    let ended = async_io::block_on(event_loop.drive(main, no_timer));
    assert_eq!(ended, Ok(Ok(1)));
}

#[test]
fn work_that_is_out_on_a_thread_is_waited_for() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    let main = async move {
        drop(to_thread(move || {
            released.recv().unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }));
    };
    let mut driven = pin!(EventLoop::new().drive(main, async_io::Timer::after));
    assert!(driven.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    release.send(()).unwrap();
    assert_eq!(async_io::block_on(driven), Ok(()));
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn a_loop_inside_a_task_of_a_loop_is_an_error() {
    let ended = run_virtual(async {
        let inner = EventLoop::new();
        inner.drive(ready(1), |_| ready(())).await
    });
    assert!(matches!(ended, Err(RunError::AlreadyRunning)), "{ended:?}");
}

//! How a loop sleeps: in a parker, and, on virtual time, before it jumps over what foreign code waits for.
//!
//! The real clock is the point where a thread or a parker sleeps here: what is tested is that the loop waits for it. Nothing asserts
//! how long that takes.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use common::{Watchdog, ms};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use loopwheel::sync::Event;
use loopwheel::{
    EventLoop, Failure, Handle, Instant, VirtualClock, create_task, now, run_virtual, sleep,
    thread_channel, wait_for, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A loop that sleeps on a channel, and what the parker was called with.
fn loop_on_a_channel() -> (EventLoop, Rc<RefCell<Vec<Option<Duration>>>>) {
    let (hook, woken) = channel();
    let calls = Rc::new(RefCell::new(Vec::new()));
    let log = calls.clone();
    let event_loop = EventLoop::builder()
        .wake_hook(move || _ = hook.send(()))
        .park_with(move |at_most| {
            log.borrow_mut().push(at_most);
            wait(&woken, at_most);
        })
        .build();
    (event_loop, calls)
}

fn wait(woken: &Receiver<()>, at_most: Option<Duration>) {
    match at_most {
        Some(time) => drop(woken.recv_timeout(time)),
        None => drop(woken.recv()),
    }
}

#[test]
fn a_parker_is_given_the_time_to_the_next_deadline() {
    let (mut event_loop, calls) = loop_on_a_channel();
    event_loop.run(async {
        let _task = create_task(sleep(HOUR));
        sleep(ms(2)).await;
    });
    let calls = calls.borrow();
    assert!(!calls.is_empty());
    assert!(calls.iter().all(|call| call.is_some_and(|time| time <= ms(2))), "{calls:?}");
}

/// The loop asks the system for a little less sleep than is left, and sleeps again if it wakes before the deadline.
#[test]
fn a_thread_that_is_woken_early_fires_no_timer_early() {
    loopwheel::run(async {
        for micros in (20..1_500).step_by(37) {
            let (time, start) = (Duration::from_micros(micros), std::time::Instant::now());
            sleep(time).await;
            assert!(start.elapsed() >= time);
        }
    });
}

#[test]
fn a_wake_up_from_another_thread_ends_the_sleep_of_a_parker() {
    let (mut event_loop, calls) = loop_on_a_channel();
    let (sender, receiver) = oneshot::channel();
    let thread = thread::spawn(move || sender.send(42));
    assert_eq!(event_loop.run(receiver), Ok(42));
    thread.join().unwrap().unwrap();
    assert!(calls.borrow().iter().all(|call| call.is_none_or(|time| time.is_zero())));
}

#[test]
fn a_parker_wakes_tasks_on_the_thread_of_the_loop() {
    let waiting: Rc<Cell<Option<Waker>>> = Rc::default();
    let (to_wake, is_ready) = (waiting.clone(), Rc::new(Cell::new(false)));
    let set = is_ready.clone();
    let mut event_loop = EventLoop::builder()
        .park_with(move |at_most| {
            assert_eq!(at_most, None, "there is no timer, and the task waits");
            set.set(true);
            to_wake.take().expect("the task has left its waker").wake();
        })
        .build();
    event_loop.run(poll_fn(|cx| {
        if is_ready.get() {
            return Poll::Ready(());
        }
        waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }));
}

#[test]
fn a_busy_loop_lets_its_parker_look_at_the_sockets() {
    let (mut event_loop, calls) = loop_on_a_channel();
    event_loop.run(async {
        for _ in 0..640 {
            yield_now().await;
        }
    });
    let calls = calls.borrow();
    assert!(calls.iter().all(|call| *call == Some(Duration::ZERO)), "{calls:?}");
    assert!((9..=11).contains(&calls.len()), "{}", calls.len());
}

/// On virtual time each turn can end with a jump, and on real time with a wake-up from another thread: the loop never sleeps.
#[test]
fn a_loop_that_is_never_ready_twice_lets_its_parker_look_at_the_sockets() {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::impatient())
        .park_with(move |at_most| {
            assert_eq!(at_most, Some(Duration::ZERO));
            count.set(count.get() + 1);
        })
        .build();
    event_loop.run(async {
        for _ in 0..640 {
            sleep(ms(1)).await;
        }
    });
    assert!((9..=11).contains(&calls.get()), "{}", calls.get());
}

#[cfg(feature = "async-io")]
#[test]
#[should_panic(expected = "waits in the reactor of async-io, and not in a parker")]
fn a_loop_that_waits_in_async_io_takes_no_parker() {
    drop(loopwheel::io::builder().park_with(|_| ()));
}

#[test]
fn a_loop_without_a_wake_up_to_come_is_a_deadlock_with_a_parker_too() {
    let (mut event_loop, calls) = loop_on_a_channel();
    let ended = event_loop.try_run(pending::<()>());
    assert!(matches!(ended, Err(loopwheel::RunError::Deadlock(_))), "{ended:?}");
    assert!(calls.borrow().is_empty());
}

#[test]
fn a_panic_of_the_parker_comes_out_of_run_and_the_loop_can_run_again() {
    let panics = Rc::new(Cell::new(true));
    let does_panic = panics.clone();
    let mut event_loop = EventLoop::builder()
        .park_with(move |at_most| {
            assert!(!does_panic.get(), "the poller is broken");
            thread::sleep(at_most.expect("there is a timer"));
        })
        .build();
    let dropped = Rc::new(());
    let kept = dropped.clone();
    let run = catch_unwind(AssertUnwindSafe(|| {
        event_loop.run(async move {
            sleep(ms(1)).await;
            drop(kept);
        });
    }));
    let payload = run.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the poller is broken"));
    assert_eq!(Rc::strong_count(&dropped), 1, "main was dropped");
    panics.set(false);
    event_loop.run(sleep(ms(1)));
}

#[test]
fn a_parker_may_create_tasks_and_may_not_run_a_loop() {
    let created = Rc::new(Cell::new(false));
    let log = created.clone();
    let mut event_loop = EventLoop::builder()
        .park_with(move |at_most| {
            assert!(matches!(
                loopwheel::try_run(async {}),
                Err(loopwheel::RunError::AlreadyRunning)
            ));
            let log = log.clone();
            drop(create_task(async move { log.set(true) }));
            thread::sleep(at_most.unwrap().min(ms(1)));
        })
        .build();
    event_loop.run(sleep(ms(2)));
    assert!(created.get());
}

thread_local! {
    static IS_CALLED: Rc<Event> = Rc::default();
}

/// A thread that answers when it is asked, after some real time.
fn answers_after(time: Duration) -> oneshot::Receiver<u32> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        thread::sleep(time);
        _ = sender.send(42);
    });
    receiver
}

#[test]
fn virtual_time_waits_for_another_thread() {
    // On a busy machine an answer may come too late. Not a hundred times.
    let is_in_time = (0..100).any(|_| {
        run_virtual(async {
            let answer = wait_for(answers_after(ms(5)), HOUR).await;
            // It knows now that there is an outside, and waits for longer.
            let later = wait_for(answers_after(ms(120)), HOUR).await;
            (answer, later, now().as_nanos()) == (Ok(Ok(42)), Ok(Ok(42)), 0)
        })
    });
    assert!(is_in_time);
}

#[test]
fn virtual_time_waits_for_a_handle_and_for_a_channel_from_a_thread() {
    let is_in_time = (0..100).any(|_| {
        run_virtual(async {
            let handle = Handle::current();
            thread::spawn(move || {
                thread::sleep(ms(5));
                handle.call_soon(|| IS_CALLED.with(|event| event.set()))
            });
            let event = IS_CALLED.with(Rc::clone);
            let called = wait_for(event.wait(), HOUR).await;
            event.clear();
            let (sender, receiver) = thread_channel(1);
            thread::spawn(move || {
                thread::sleep(ms(5));
                sender.send(42)
            });
            let item = wait_for(receiver.recv(), HOUR).await;
            (called, item, now().as_nanos()) == (Ok(()), Ok(Some(42)), 0)
        })
    });
    assert!(is_in_time);
}

#[test]
fn virtual_time_goes_on_if_nothing_comes() {
    run_virtual(async {
        let (sender, mut receiver) = mpsc::unbounded::<()>();
        for hour in 1..=100 {
            assert!(wait_for(receiver.next(), HOUR).await.is_err());
            assert_eq!(now(), Instant::START + hour * HOUR);
        }
        drop(sender);
    });
}

#[test]
fn virtual_time_that_is_impatient_waits_for_nothing() {
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::impatient())
        .park_with(|at_most| assert_eq!(at_most, Some(Duration::ZERO), "it only looks"))
        .build();
    event_loop.run(async {
        let _handle = Handle::current(); // so another thread could wake the loop
        sleep(HOUR).await;
    });
}

#[test]
fn virtual_time_does_not_wait_again_and_again_before_narrow_jumps() {
    let _watchdog = Watchdog::new("a thousand seconds in narrow jumps");
    run_virtual(async {
        let _handle = Handle::current();
        for _ in 0..100_000 {
            sleep(ms(10)).await;
        }
    });
}

#[test]
fn virtual_time_goes_on_while_wake_ups_come_without_end() {
    run_virtual(async {
        let shared: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
        let of_thread = shared.clone();
        let thread = thread::spawn(move || {
            while !of_thread.lock().unwrap().0 {
                let waker = of_thread.lock().unwrap().1.take();
                waker.iter().for_each(Waker::wake_by_ref);
                thread::sleep(ms(1));
            }
        });
        let woken = poll_fn(|cx| {
            shared.lock().unwrap().1 = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(wait_for(woken, ms(20)).await.is_err());
        assert_eq!(now().as_nanos(), 20_000_000);
        shared.lock().unwrap().0 = true;
        thread.join().unwrap();
    });
}

#[test]
fn an_answer_that_comes_when_time_has_jumped_over_its_wait_is_reported_once() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let log = reports.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .exception_handler(move |context| {
            let Failure::JumpedOverOutside { from, to } = context.failure else {
                panic!("{context}")
            };
            log.borrow_mut().push((from.as_secs_f64(), to.as_secs_f64(), context.to_string()));
        })
        .build();
    event_loop.run(async {
        for _ in 0..2 {
            let (ask, asked) = channel();
            let (sender, receiver) = oneshot::channel();
            let thread = thread::spawn(move || {
                asked.recv().unwrap();
                sender.send(42)
            });
            let asks = create_task(async move {
                sleep(HOUR).await;
                ask.send(()).unwrap();
            });
            assert_eq!(receiver.await, Ok(42));
            asks.await.unwrap();
            thread.join().unwrap().unwrap();
        }
    });
    let reports = reports.borrow();
    let [(from, to, text)] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((*from, *to), (0.0, 3600.0));
    assert!(text.contains("use `run`, or keep the clock from jumping"), "{text}");
}

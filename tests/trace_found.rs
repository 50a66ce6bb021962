//! What foreign code does to a traced loop, and to one whose polls are watched.

mod common;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/random.rs"]
mod random;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::{panic, thread};

use common::{Trace, ms};
use dice::Dice;
use loopwheel::sync::Lock;
use loopwheel::trace::{Event, Id, What};
use loopwheel::{
    EventLoop, EventLoopBuilder, ExceptionContext, Handle, Recorder, Sleep, TaskGroup, TaskRef,
    VirtualClock, call_later, catch_cancel, create_task, current_task, gather, now, set_trace,
    sleep, trace, wait_for, yield_now,
};
use random::{World, program};

/// Sets its cell when it is dropped.
struct Sentinel(Rc<Cell<bool>>);

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

// ---- the end of a loop ----

#[test]
fn a_task_that_the_destructor_of_an_observer_spawns_ends_with_the_loop() {
    struct Spawns(Rc<Cell<bool>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let sentinel = Sentinel(self.0.clone());
            create_task(async move {
                pending::<()>().await;
                drop(sentinel);
            });
        }
    }
    let is_dropped: Rc<Cell<bool>> = Rc::default();
    let spawns = Spawns(is_dropped.clone());
    let builder = EventLoop::builder().clock(VirtualClock::impatient());
    drop(builder.trace(move |_: &Event<'_>| _ = &spawns).build());
    assert!(is_dropped.get());
}

/// Sets another observer when it is dropped, so many times in a row. Each holds a task, and so the loop.
struct Sets(u32, TaskRef, Rc<Sentinel>);

impl Drop for Sets {
    fn drop(&mut self) {
        if let Some(left) = self.0.checked_sub(1) {
            let next = Sets(left, self.1.clone(), self.2.clone());
            set_trace(move |_: &Event<'_>| _ = &next);
        }
    }
}

#[test]
fn observers_that_destructors_set_while_the_loop_closes_are_dropped() {
    for in_a_row in [0, 1, 2, 5] {
        let is_dropped: Rc<Cell<bool>> = Rc::default();
        let sentinel = Rc::new(Sentinel(is_dropped.clone()));
        let mut event_loop = EventLoop::builder().clock(VirtualClock::impatient()).build();
        event_loop.run(async move {
            let sets = Sets(in_a_row, current_task(), sentinel);
            set_trace(move |_: &Event<'_>| _ = &sets);
        });
        drop(event_loop);
        assert!(is_dropped.get(), "{in_a_row}");
    }
}

#[test]
fn a_loop_that_ends_while_its_polls_are_recorded_is_freed() {
    let is_dropped: Rc<Cell<bool>> = Rc::default();
    let sentinel = Sentinel(is_dropped.clone());
    let builder = EventLoop::builder().clock(VirtualClock::impatient());
    let mut event_loop = builder.exception_handler(move |_| _ = &sentinel).build();
    event_loop.run(async {
        for _ in 0..1_003_500 {
            yield_now().await; // a livelock, after a million
        }
    });
    drop(event_loop);
    assert!(is_dropped.get());
}

// ---- a timer that is replaced while others of its moment fire ----

type Kept = Rc<RefCell<Option<Pin<Box<Sleep>>>>>;

thread_local! {
    static ON_WAKE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A foreign waker that calls what is in `ON_WAKE`.
struct Calls;

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        if let Some(call) = ON_WAKE.take() {
            call();
        }
    }
}

/// Two sleeps of a moment are polled with a foreign waker. When the first is over, the second is dropped, and `call` is called.
async fn replace_the_second(call: impl FnOnce() + 'static) {
    let waker = Waker::from(Arc::new(Calls));
    let poll = |sleep: &mut Pin<Box<Sleep>>| {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    };
    let (mut first, mut second) = (Box::pin(sleep(ms(10))), Box::pin(sleep(ms(10))));
    poll(&mut first);
    poll(&mut second);
    let second: Kept = Rc::new(RefCell::new(Some(second)));
    ON_WAKE.set(Some(Box::new(move || {
        let dropped = second.take();
        drop(dropped);
        call();
    })));
    sleep(ms(20)).await;
}

#[test]
fn a_traced_timer_fires_once_and_not_before_it_is_due() {
    let recorder = Recorder::new();
    let builder = EventLoop::builder().clock(VirtualClock::impatient()).trace(recorder.clone());
    builder.build().run(async {
        replace_the_second(|| _ = call_later(ms(100), || ())).await;
        sleep(ms(300)).await;
    });
    let (mut deadlines, mut fired) = (BTreeMap::new(), BTreeSet::new());
    for event in &recorder.events() {
        match event.what {
            What::TimerSet { timer, deadline, .. } => _ = deadlines.insert(timer, deadline),
            What::TimerFired { timer, .. } => {
                assert!(event.at >= deadlines[&timer], "too early: {event}");
                assert!(fired.insert(timer), "twice: {event}");
            }
            _ => {}
        }
    }
    assert_eq!(fired.len(), 4, "the first, the callback's, and two of main");
}

#[test]
fn a_foreign_waker_is_not_woken_before_its_timer_is_due() {
    thread_local!(static WOKEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) });
    struct Notes;
    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            WOKEN.with_borrow_mut(|woken| woken.push(now().as_nanos() / 1_000_000));
        }
    }
    for is_traced in [false, true] {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::impatient()).build();
        event_loop.run(async move {
            if is_traced {
                set_trace(|_: &Event<'_>| ());
                yield_now().await;
            }
            let later: Kept = Rc::default();
            let kept = later.clone();
            replace_the_second(move || {
                let mut sleep = Box::pin(sleep(ms(100)));
                let waker = Waker::from(Arc::new(Notes));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                *kept.borrow_mut() = Some(sleep);
            })
            .await;
            sleep(ms(300)).await;
        });
        assert_eq!(WOKEN.take(), [110]);
    }
}

// ---- observers that fail ----

#[test]
fn a_task_at_whose_spawn_the_observer_panics_is_not_traced() {
    let builder = EventLoop::builder().clock(VirtualClock::impatient()).exception_handler(|_| ());
    let observer = |event: &Event<'_>| {
        assert!(!matches!(event.what, What::Spawned { task: Id::Task(2), .. }));
    };
    builder.trace(observer).build().run(async {
        let task = create_task(sleep(ms(1)));
        assert_eq!(task.to_ref().traced(), None);
    });
}

#[test]
fn a_handle_that_is_not_used_is_not_told_of() {
    let recorder = Recorder::new();
    let builder = EventLoop::builder().clock(VirtualClock::impatient()).trace(recorder.clone());
    let mut event_loop = builder.build();
    let told = || recorder.events().iter().any(|event| event.to_string().contains("callback"));
    let handle = event_loop.run(async {
        let handle = Handle::current();
        set_trace(recorder.clone()); // from the next turn on, which finds what there is
        yield_now().await;
        handle
    });
    assert!(!told());
    handle.call_soon(|| trace::note("called")).unwrap();
    event_loop.run_until_stalled();
    let events = recorder.events();
    let first = events.iter().position(|event| {
        let is_of_runner = |task: &Id| matches!(task, Id::Callback(1));
        match &event.what {
            What::Spawned { task, .. }
            | What::Woken { task, .. }
            | What::PollBegan { task, .. } => is_of_runner(task),
            _ => false,
        }
    });
    assert!(matches!(events[first.unwrap()].what, What::Spawned { .. }), "first its spawn");
    assert!(told());
}

#[test]
fn a_handler_may_ask_for_a_handle_at_any_report_of_an_observer() {
    for panics_at in 1..=30 {
        let got: Rc<Cell<u32>> = Rc::default();
        let (counted, told) = (got.clone(), Cell::new(0));
        let builder =
            EventLoop::builder().clock(VirtualClock::impatient()).exception_handler(move |_| {
                let _ = Handle::current();
                counted.set(counted.get() + 1);
            });
        let observer = move |_: &Event<'_>| {
            told.set(told.get() + 1);
            assert_ne!(told.get(), panics_at);
        };
        let mut event_loop = builder.trace(observer).build();
        event_loop.run(async {
            let handle = Handle::current();
            handle.call_soon(|| ()).unwrap();
            for _ in 0..3 {
                yield_now().await;
            }
        });
        assert_eq!(got.get(), 1, "{panics_at}");
    }
}

/// What is seen of a random program from outside: the time at its end, its polls, and its reports.
type Seen = (u64, u64, Vec<String>);

fn run_program(seed: u64, builder: EventLoopBuilder, around: impl Fn()) -> Seen {
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let sink = reports.clone();
    let handler = move |it: &ExceptionContext| sink.borrow_mut().push(it.to_string());
    let builder = builder.clock(VirtualClock::impatient()).exception_handler(handler);
    let mut event_loop = builder.build();
    let world = World::new(true);
    let mut main = pin!(async {
        let tasks = program(seed, &world, create_task);
        let _ = wait_for(gather(tasks), ms(60)).await;
        now().as_nanos()
    });
    let at = event_loop.run(poll_fn(|cx| {
        let polled = main.as_mut().poll(cx);
        around();
        polled
    }));
    let polls = event_loop.stats().polls;
    drop(event_loop);
    (at, polls, reports.take())
}

fn plain(seed: u64) -> Seen {
    run_program(seed, EventLoop::builder(), || ())
}

#[test]
fn a_traced_run_is_the_run() {
    for seed in 0..150 {
        let builder = EventLoop::builder().trace(|event: &Event<'_>| _ = event.to_string());
        assert_eq!(run_program(seed, builder, || ()), plain(seed), "seed {seed}");
    }
}

#[test]
fn tracing_that_begins_and_ends_anywhere_changes_nothing() {
    for seed in 0..40 {
        let dice = RefCell::new(Dice::new(seed + 1_000_000));
        let switched =
            run_program(seed, EventLoop::builder(), || match dice.borrow_mut().below(3) {
                0 => set_trace(Recorder::last(3)),
                1 => trace::stop(),
                _ => {}
            });
        assert_eq!(switched, plain(seed), "seed {seed}");
    }
}

#[test]
fn an_observer_that_asks_what_a_task_waits_for_changes_nothing() {
    for seed in 0..30 {
        let asked: Rc<RefCell<Option<TaskRef>>> = Rc::default();
        let kept = asked.clone();
        let builder = EventLoop::builder().trace(move |_: &Event<'_>| {
            let Some(task) = &*kept.borrow() else { return };
            let _ = (task.waiting_for(), task.cancelled_by(), task.traced(), format!("{task:?}"));
        });
        let traced = run_program(seed, builder, || *asked.borrow_mut() = Some(current_task()));
        asked.take();
        assert_eq!(traced, plain(seed), "seed {seed}");
    }
}

#[test]
fn an_observer_that_panics_at_any_event_is_reported_once_and_changes_nothing_else() {
    let run = |seed, panics_at| {
        let told = Rc::new(Cell::new(0));
        let counted = told.clone();
        let builder = EventLoop::builder().trace(move |_: &Event<'_>| {
            counted.set(counted.get() + 1);
            assert_ne!(counted.get(), panics_at);
        });
        (run_program(seed, builder, || ()), told.get())
    };
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ())); // thousands of panics are meant
    let differs = (0..4).find_map(|seed| {
        let (plain, (_, all)) = (plain(seed), run(seed, 0));
        let differs = |at: &usize| {
            let ((end, polls, reports), _) = run(seed, *at);
            (end, polls, reports.len()) != (plain.0, plain.1, plain.2.len() + 1)
        };
        Some((seed, (1..=all).step_by(1 + all / 200).find(differs)?))
    });
    panic::set_hook(hook);
    assert_eq!(differs, None, "the seed, and the event");
}

// ---- a handler that drops the task whose poll is reported ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    WithValue,
    WithError,
    WithPanic,
    Later,
    Cancelled,
    /// By a cancel that it has caught and lets go on.
    InterruptedLater,
}

/// The future of a scope, which a handler can drop.
type Scope = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;

/// Runs a child of a group. The handler of the first report drops the group, and so the child.
fn handler_drops_the_group(ends: Ends, builder: EventLoopBuilder, poll: impl Fn() + 'static) {
    let _trace = Trace(format!("{ends:?}"));
    let scope: Scope = Rc::default();
    let reports: Rc<Cell<u32>> = Rc::default();
    let (kept, count) = (scope.clone(), reports.clone());
    let builder = builder.clock(VirtualClock::impatient()).exception_handler(move |_| {
        count.set(count.get() + 1);
        let dropped = kept.take();
        drop(dropped);
    });
    let is_dropped: Rc<Cell<bool>> = Rc::default();
    let sentinel = Sentinel(is_dropped.clone());
    let child: Rc<RefCell<Option<TaskRef>>> = Rc::default();
    let to_keep = child.clone();
    *scope.borrow_mut() = Some(Box::pin(async move {
        let _ = TaskGroup::scope(async |group| {
            let task = group.create_task(async move {
                let _sentinel = sentinel;
                if ends == Ends::InterruptedLater {
                    let cancelled = catch_cancel(sleep(ms(20))).await.unwrap_err();
                    yield_now().await;
                    cancelled.reraise().await;
                }
                yield_now().await;
                poll();
                match ends {
                    Ends::WithValue => Ok(()),
                    Ends::WithError => Err("an error"),
                    Ends::WithPanic => panic!("a panic"),
                    Ends::Later | Ends::Cancelled | Ends::InterruptedLater => {
                        sleep(ms(20)).await;
                        Ok(())
                    }
                }
            });
            *to_keep.borrow_mut() = Some(task.to_ref());
            let _ = task.await;
            Ok::<(), &str>(())
        })
        .await;
    }));
    let mut event_loop = builder.build();
    event_loop.run(async move {
        let polled = scope.clone();
        let holder = create_task(poll_fn(move |cx| {
            let taken = polled.take();
            let Some(mut future) = taken else { return Poll::Ready(()) };
            let ready = future.as_mut().poll(cx);
            if ready.is_pending() {
                *polled.borrow_mut() = Some(future);
            }
            ready
        }));
        yield_now().await;
        yield_now().await;
        let ended: Rc<Cell<u32>> = Rc::default();
        let (task, counted) = (child.borrow().clone().unwrap(), ended.clone());
        task.add_done_callback(move |_| counted.set(counted.get() + 1));
        if matches!(ends, Ends::Cancelled | Ends::InterruptedLater) {
            yield_now().await;
            task.cancel();
        }
        // It is polled next, in foreign code, and is not interrupted.
        let mut turns_left = 20;
        let beside = create_task(poll_fn(move |cx| {
            turns_left -= 1;
            cx.waker().wake_by_ref();
            if turns_left > 0 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let _ = wait_for(holder, ms(50)).await;
        yield_now().await;
        assert!(task.is_done());
        assert_eq!(ended.get(), 1, "it ends once");
        assert_eq!(beside.await, Ok(()));
        // The loop goes on as before.
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let other = lock.clone();
        let waiter = create_task(async move { drop(other.acquire().await) });
        yield_now().await;
        drop(guard);
        assert!(wait_for(waiter, ms(5)).await.is_ok());
    });
    assert!(event_loop.all_tasks().is_empty());
    assert!(is_dropped.get());
    assert!(reports.get() > 0);
}

#[test]
fn a_task_that_is_dropped_by_the_report_of_its_slow_poll_ends_once() {
    for ends in [Ends::WithValue, Ends::WithError, Ends::WithPanic, Ends::Later] {
        let builder = EventLoop::builder().slow_callback_duration(ms(5));
        handler_drops_the_group(ends, builder, || thread::sleep(ms(10)));
    }
}

#[test]
fn a_task_that_is_dropped_by_the_report_of_an_observer_ends_once() {
    const CHILD: Id = Id::Task(3);
    type Is = fn(&What<'_>) -> bool;
    let at: [(Ends, Is); 11] = [
        (Ends::WithValue, |it| {
            matches!(it, What::PollEnded { task: CHILD, how: trace::Poll::Ready })
        }),
        (Ends::WithError, |it| {
            matches!(it, What::PollEnded { task: CHILD, how: trace::Poll::Ready })
        }),
        (Ends::WithPanic, |it| {
            matches!(it, What::PollEnded { task: CHILD, how: trace::Poll::Ready })
        }),
        (Ends::Later, |it| {
            matches!(it, What::PollEnded { task: CHILD, how: trace::Poll::Pending })
        }),
        (Ends::WithValue, |it| matches!(it, What::PollBegan { task: CHILD, .. })),
        (Ends::Cancelled, |it| matches!(it, What::CancelRequested { task: CHILD, .. })),
        (Ends::WithValue, |it| matches!(it, What::Ended { task: CHILD, .. })),
        (Ends::WithError, |it| matches!(it, What::Ended { task: CHILD, .. })),
        (Ends::Later, |it| matches!(it, What::Woken { task: CHILD, .. })),
        (Ends::Cancelled, |it| matches!(it, What::CancelDelivered { task: CHILD, .. })),
        (Ends::InterruptedLater, |it| {
            matches!(it, What::PollEnded { task: CHILD, how: trace::Poll::Interrupted })
        }),
    ];
    for (ends, is_it) in at {
        let observer = move |event: &Event<'_>| assert!(!is_it(&event.what));
        handler_drops_the_group(ends, EventLoop::builder().trace(observer), || ());
    }
}

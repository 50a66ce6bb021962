//! Tests limits and bad input: each has a defined answer, and none hangs, aborts or corrupts.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{ms, watched_loop};
use futures::FutureExt;
use loopwheel::errors::{CreateTaskError, RemoteError};
use loopwheel::{
    CallbackHandle, EventLoop, Instant, Recorder, RunError, Task, TaskBuilder, TaskGroup, TaskRef,
    VirtualClock, call_later, call_soon, create_task, gather, interval, now, run, run_virtual,
    sleep, sleep_until, timeout_at, try_create_task, try_now, try_run, wait_for, yield_now,
};

fn panic_text(action: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(action)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&'static str>().unwrap()).to_owned(),
    }
}

#[test]
fn a_yield_of_a_task_that_is_woken_already_lets_the_others_run_first() {
    let main = async || {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        })
        .await;
        let other = create_task(async {});
        yield_now().await;
        assert!(other.is_done());
    };
    run_virtual(main());
    EventLoop::builder().clock(VirtualClock::new()).trace(Recorder::new()).build().run(main());
}

#[test]
fn a_sleep_that_is_over_stays_ready() {
    run_virtual(async {
        for mut over in [sleep(ms(5)), sleep(ms(0)), sleep_until(now())] {
            (&mut over).await;
            assert_eq!((&mut over).now_or_never(), Some(()));
        }
    });
}

#[test]
fn a_sleep_that_is_polled_with_the_waker_of_a_task_of_another_loop_wakes_that_task() {
    let (mut one, mut other) = (watched_loop().0, watched_loop().0);
    let (waker, polls) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    let (sees, counts) = (waker.clone(), polls.clone());
    let _task = one.create_task(poll_fn(move |cx| {
        *sees.borrow_mut() = Some(cx.waker().clone());
        counts.set(counts.get() + 1);
        Poll::<()>::Pending
    }));
    one.run_until_stalled();
    other.run(async move {
        let waker: Waker = waker.take().expect("it was polled");
        let mut moved = Box::pin(sleep(ms(5)));
        assert!(moved.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sleep(ms(9)).await;
    });
    assert_eq!(polls.get(), 1);
    one.run_until_stalled();
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_zero_or_past_deadline_is_a_yield() {
    run_virtual(async {
        sleep(ms(10)).await;
        let task = create_task(async {});
        sleep(Duration::ZERO).await;
        assert!(task.is_done(), "the others had a turn");
        sleep_until(Instant::START).await;
        sleep_until(now()).await;
        let called = Rc::new(Cell::new(false));
        let flag = called.clone();
        call_later(Duration::ZERO, move || flag.set(true));
        assert!(!called.get());
        yield_now().await;
        yield_now().await;
        assert!(called.get());
        let mut ticks = interval(Duration::ZERO);
        for _ in 0..3 {
            ticks.tick().await;
        }
        assert_eq!(now(), Instant::START + ms(10));
    });
}

#[test]
fn a_duration_that_overflows_waits_for_the_last_moment_there_is() {
    run_virtual(async {
        sleep(ms(1)).await;
        assert!(wait_for(sleep(Duration::MAX), ms(50)).await.is_err());
        assert_eq!(wait_for(sleep(ms(5)), Duration::MAX).await, Ok(()));
        assert!(
            timeout_at(now() + ms(1), async |_| sleep_until(Instant::MAX).await).await.is_err()
        );
        let mut ticks = interval(Duration::MAX);
        assert_eq!(ticks.tick().await, Instant::MAX);
        assert_eq!(now(), Instant::MAX);
        sleep(ms(1)).await; // and after the end of time nothing hangs
    });
}

#[test]
fn an_instant_and_an_interval_say_what_they_were_given() {
    run_virtual(async {
        let mut moment = Instant::START;
        moment += ms(7);
        assert_eq!(moment, Instant::START + ms(7));
        assert_eq!(interval(ms(7)).period(), ms(7));
    });
}

#[test]
fn a_task_that_awaits_itself_panics_with_one_clear_sentence() {
    run_virtual(async {
        let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let own = slot.clone();
        let task = create_task(async move {
            yield_now().await;
            let itself = own.borrow_mut().take().unwrap();
            drop(itself.await);
        });
        let task_ref = task.to_ref();
        *slot.borrow_mut() = Some(task);
        loopwheel::set_exception_handler(|context| {
            assert!(context.to_string().contains("cannot await itself"));
        });
        sleep(ms(1)).await;
        assert!(task_ref.is_failed());
    });
}

#[test]
fn a_task_whose_outcome_was_taken_says_so_when_it_is_awaited() {
    run_virtual(async {
        let mut task = create_task(async { 1 });
        yield_now().await;
        task.result().unwrap().unwrap();
        let again = create_task(task).await.unwrap_err();
        assert!(again.to_string().contains("taken before"), "{again}");
    });
}

#[test]
fn a_loop_inside_a_loop_is_refused() {
    run_virtual(async {
        assert_eq!(try_run(async {}), Err(RunError::AlreadyRunning));
        assert!(panic_text(|| run(async {})).contains("already running"));
        let mut another = EventLoop::new();
        assert_eq!(another.try_run_until_complete(async {}), Err(RunError::AlreadyRunning));
        drop(another);
        yield_now().await; // this one goes on
        assert!(try_now().is_ok());
    });
}

#[test]
fn without_a_loop_there_is_one_clear_sentence_or_an_error() {
    for action in [
        (|| drop(create_task(async {}))) as fn(),
        || drop(loopwheel::call_soon(|| ())),
        || drop(call_later(ms(1), || ())),
        || assert!(now() > Instant::START),
        || drop(loopwheel::all_tasks()),
    ] {
        assert!(panic_text(action).starts_with("no event loop is running on this thread"));
    }
    assert!(panic_text(|| drop(loopwheel::current_task())).starts_with("no task is running"));
    assert!(try_now().is_err());
    assert!(loopwheel::try_current_task().is_err());
    assert!(TaskBuilder::new().create_task_if_running(async {}).is_err());
}

#[test]
fn a_handle_that_outlives_its_loop_is_harmless() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let mut done = event_loop.create_task(async { 1 });
    let pending = event_loop.create_task(std::future::pending::<()>());
    let callback = event_loop.call_later(ms(5), || unreachable!("the loop is gone"));
    event_loop.run_until_complete(yield_now());
    let kept = pending.to_ref();
    drop(event_loop);
    assert_eq!(done.result(), Ok(Ok(1)));
    assert!(pending.is_cancelled() && !pending.cancel() && !kept.cancel());
    assert!(!callback.cancel() && callback.is_cancelled());
    kept.add_done_callback(|_| unreachable!("no loop is left to call it"));
    // It can even be awaited, on another loop.
    let ended = run_virtual(pending);
    assert!(ended.unwrap_err().is_cancelled());
}

#[test]
fn a_wake_after_the_loop_is_gone_does_nothing() {
    let mut event_loop = EventLoop::new();
    let waker: Waker =
        event_loop.run(std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())));
    waker.wake_by_ref();
    drop(event_loop);
    waker.wake_by_ref();
    let mut next = EventLoop::new(); // may well have taken the place of the first
    waker.wake_by_ref();
    next.run(yield_now());
    waker.wake();
}

#[test]
fn a_sleep_that_outlives_its_loop_can_be_dropped() {
    let kept = Rc::new(RefCell::new(Box::pin(sleep(ms(50)))));
    let inner = kept.clone();
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    event_loop.run(async move {
        std::future::poll_fn(|cx| {
            assert!(inner.borrow_mut().as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    drop(event_loop);
    drop(kept);
}

/// Does what it is told when it is dropped.
struct Destructor<F: FnMut()>(F);

impl<F: FnMut()> Drop for Destructor<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_destructor_may_spawn_and_wake_and_cancel() {
    let spawned = Rc::new(Cell::new(0));
    let count = spawned.clone();
    run_virtual(async move {
        let main = create_task(async {
            sleep(ms(1)).await;
        });
        let main_ref = main.to_ref();
        let (tx, waker) =
            (count.clone(), std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())));
        let waker = waker.await;
        let task = create_task(async move {
            let _guard = Destructor(move || {
                let count = tx.clone();
                drop(create_task(async move { count.set(count.get() + 1) }));
                waker.wake_by_ref();
                main_ref.cancel();
            });
            std::future::pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err());
        assert!(main.await.unwrap_err().is_cancelled());
        yield_now().await;
    });
    assert_eq!(spawned.get(), 1);
}

#[test]
fn a_destructor_may_spawn_while_the_loop_is_being_dropped() {
    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    let mut event_loop = EventLoop::new();
    drop(event_loop.create_task(async move {
        let _guard = Destructor(move || {
            let flag = flag.clone();
            drop(create_task(async move { flag.set(true) }));
        });
        std::future::pending::<()>().await;
    }));
    event_loop.run_until_complete(yield_now());
    drop(event_loop);
    assert!(!ran.get(), "what is spawned then is dropped, not run");
}

#[test]
fn a_destructor_that_panics_is_the_outcome_or_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        // At the end of a future: the outcome.
        let task = create_task(async {
            let _guard = Destructor(|| panic!("at the end"));
        });
        assert!(task.await.unwrap_err().is_panic());
        // When cancelled: the outcome too.
        let task = create_task(async {
            let _guard = Destructor(|| panic!("on the way out"));
            std::future::pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_panic());
        // Of an unclaimed value: reported.
        drop(create_task(async { Destructor(|| panic!("of the value")) }));
        yield_now().await;
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("of the value"));
}

#[test]
fn an_exception_handler_that_panics_does_not_take_the_loop_with_it() {
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .exception_handler(|_| panic!("the handler"))
        .build();
    event_loop.run(async {
        drop(try_create_task(async { Err::<(), _>("unseen") }));
        sleep(ms(1)).await;
    });
}

#[test]
fn the_exception_handler_may_use_the_loop() {
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .exception_handler(move |_| {
            let count = count.clone();
            loopwheel::set_exception_handler(|_| ());
            drop(create_task(async move { count.set(count.get() + 1) }));
        })
        .build();
    event_loop.run(async {
        drop(try_create_task(async { Err::<(), _>("first") }));
        sleep(ms(1)).await;
        drop(try_create_task(async { Err::<(), _>("second") }));
        sleep(ms(1)).await;
    });
    assert_eq!(seen.get(), 1);
}

#[test]
fn what_is_left_after_a_deadlock_is_dropped_and_the_loop_can_run_again() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let ended = event_loop.try_run(std::future::pending::<()>());
    assert!(matches!(ended, Err(RunError::Deadlock(_))));
    assert_eq!(event_loop.run(async { 1 }), 1);
}

#[test]
fn a_loop_among_a_threads_own_variables_is_dropped_with_them() {
    thread_local! {
        static KEPT: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    }
    let thread = std::thread::spawn(|| {
        KEPT.with_borrow_mut(|kept| kept.insert(EventLoop::new()).run(async { 1 }))
    });
    assert_eq!(thread.join().unwrap(), 1);
}

/// A foreign waker that panics when it is woken.
struct Panicking;

impl std::task::Wake for Panicking {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("in a foreign waker");
    }
}

#[test]
fn a_foreign_waker_that_panics_loses_no_timer_but_its_own() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let when = now() + ms(5);
        let mut foreign = Box::pin(sleep_until(when));
        let waker = Waker::from(std::sync::Arc::new(Panicking));
        assert!(foreign.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        sleep_until(when).await; // due at the same moment, after the other
        drop(foreign);
    });
    assert!(reports.borrow()[0].contains("in a foreign waker"), "{reports:?}");
}

/// A panic payload may panic again when it is dropped.
struct ThrowsAgain;

impl Drop for ThrowsAgain {
    fn drop(&mut self) {
        panic!("thrown by what was thrown");
    }
}

#[test]
fn what_a_panic_throws_may_throw_when_it_is_dropped() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        drop(create_task(async { std::panic::panic_any(ThrowsAgain) }));
        yield_now().await;
        let task = create_task(async { std::panic::panic_any(ThrowsAgain) });
        assert!(task.await.is_err_and(|error| error.is_panic()));
    });
    assert_eq!(reports.borrow().len(), 1);
}

#[test]
fn a_future_and_its_value_whose_destructors_both_throw_are_one_panic() {
    struct Throws;
    impl Drop for Throws {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }
    /// Ready at once, with a value that throws, and so does it itself.
    struct Both(Throws);
    impl Future for Both {
        type Output = Throws;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Throws> {
            Poll::Ready(Throws)
        }
    }
    let (mut event_loop, _) = watched_loop();
    event_loop.run(async {
        let both = create_task(Both(Throws));
        assert!(both.await.is_err_and(|error| error.is_panic()));
        assert_eq!(create_task(async { 1 }).await, Ok(1), "the loop goes on");
    });
}

#[test]
fn a_callback_whose_destructor_ends_it_frees_no_slot_but_its_own() {
    struct Evil(Rc<RefCell<Option<CallbackHandle>>>, Rc<RefCell<Option<Task<i32>>>>);
    impl Drop for Evil {
        fn drop(&mut self) {
            if let Some(handle) = self.0.take() {
                handle.cancel();
                *self.1.borrow_mut() = Some(create_task(async { 7 }));
                panic!("after it has ended itself");
            }
        }
    }
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let (slot, made) = (Rc::default(), Rc::default());
        let evil = Evil(Rc::clone(&slot), Rc::clone(&made));
        let handle = call_later(ms(1_000), move || drop(evil));
        *slot.borrow_mut() = Some(handle.clone());
        handle.cancel();
        let innocent = made.take().unwrap();
        assert_eq!(innocent.await, Ok(7));
    });
    assert_eq!(reports.borrow().len(), 1);
}

/// A virtual loop with room for this many tasks.
fn small_loop(max_tasks: usize) -> EventLoop {
    EventLoop::builder().clock(VirtualClock::new()).max_tasks(max_tasks).build()
}

thread_local! {
    /// The place where this thread last panicked.
    static PANICKED_AT: Cell<Option<(&'static str, u32)>> = const { Cell::new(None) };
}

#[test]
fn one_task_too_many_is_refused_at_the_callers_line_and_the_loop_goes_on() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(at) = info.location() {
            let is_here = at.file() == file!();
            PANICKED_AT.set(is_here.then_some((file!(), at.line())));
        }
        report(info);
    }));
    small_loop(3).run(async {
        let tasks = [create_task(std::future::pending::<()>()), create_task(sleep(ms(10)))];
        let refused: [(fn(), u32); 4] = [
            (|| drop(create_task(async {})), line!()),
            (|| drop(try_create_task(async { Ok::<_, ()>(()) })), line!()),
            (|| drop(TaskBuilder::new().name("it").create_task(async {})), line!()),
            (|| drop(TaskBuilder::new().try_create_task(async { Ok::<_, ()>(()) })), line!()),
        ];
        for (create, line) in refused {
            let text = panic_text(create);
            assert!(
                text.starts_with("too many tasks are alive on this event loop (at most 3): await")
            );
            assert_eq!(PANICKED_AT.take(), Some((file!(), line)));
        }
        let names: Vec<_> = loopwheel::all_tasks().iter().map(TaskRef::name).collect();
        assert_eq!(names, ["main", "Task-2", "Task-3"], "nothing has changed");
        let [waits, sleeps] = tasks;
        sleeps.await.unwrap();
        let next = create_task(async { 4 });
        assert_eq!(next.name(), "Task-4", "no number was lost");
        assert_eq!(next.await, Ok(4));
        assert!(waits.cancel());
        assert!(waits.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn one_task_too_many_is_an_error_where_errors_are_asked_for_and_its_future_is_dropped() {
    small_loop(1).run(async {
        let kept = Rc::new(());
        let future = {
            let kept = kept.clone();
            async move { drop(kept) }
        };
        let refused = TaskBuilder::new().create_task_if_running(future).unwrap_err();
        assert!(matches!(refused, CreateTaskError::TooManyTasks(full) if full.limit == 1));
        assert!(refused.to_string().contains("max_tasks"), "{refused}");
        assert_eq!(Rc::strong_count(&kept), 1);
    });
    let refused = TaskBuilder::new().create_task_if_running(async {}).unwrap_err();
    assert!(matches!(refused, CreateTaskError::NoRunningLoop(_)));
}

#[test]
fn a_future_that_panics_when_it_is_refused_and_dropped_is_a_panic_and_no_abort() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb");
        }
    }
    small_loop(1).run(async {
        let bomb = Bomb;
        let text = panic_text(|| drop(create_task(async move { drop(bomb) })));
        assert_eq!(text, "a bomb");
        let bomb = Bomb;
        let text = panic_text(|| {
            _ = TaskBuilder::new().create_task_if_running(async move { drop(bomb) });
        });
        assert_eq!(text, "a bomb");
    });
}

#[test]
fn gathers_groups_and_other_threads_are_told_of_one_task_too_many() {
    let mut event_loop = small_loop(2);
    let handle = event_loop.handle();
    event_loop.run(async {
        let line = line!() + 1;
        let text = panic_text(|| drop(gather((0..2).map(|_| async {}))));
        assert!(text.starts_with("too many tasks are alive"), "{text}");
        assert!(text.contains(&format!("limits.rs:{line}")), "{text}");
        yield_now().await; // the first of the two ends
        let ended = TaskGroup::scope(async |group| {
            let child = group.create_task(async { Ok::<_, String>(1) });
            let text = panic_text(|| drop(group.create_task(async { Ok(2) })));
            assert!(text.starts_with("too many tasks are alive"), "{text}");
            Ok::<_, String>(child.await.unwrap())
        });
        assert_eq!(ended.await.unwrap(), 1);
        let waits = create_task(std::future::pending::<()>());
        let remote = handle.create_task(|| async {}).unwrap();
        assert!(matches!(remote.await, Err(RemoteError::TooManyTasks(_))));
        assert!(!waits.is_done());
    });
}

#[test]
fn a_loop_that_is_full_of_tasks_still_runs_main_and_calls_callbacks() {
    let mut event_loop = small_loop(1_000);
    let called = Rc::new(Cell::new(0));
    let count = || {
        let called = called.clone();
        move || called.set(called.get() + 1)
    };
    for _ in 0..1_000 {
        let task = event_loop.create_task(sleep(ms(1)));
        let count = count();
        task.to_ref().add_done_callback(move |_| count());
    }
    assert!(panic_text(|| drop(event_loop.create_task(async {}))).starts_with("too many tasks"));
    event_loop.run(async {
        for _ in 0..1_000 {
            call_soon(count());
            call_later(ms(1), count());
        }
        assert!(panic_text(|| drop(create_task(async {}))).starts_with("too many tasks"));
        sleep(ms(2)).await;
        assert_eq!(called.get(), 3_000);
        assert_eq!(create_task(async { 1 }).await, Ok(1));
    });
}

//! Tests how tasks, callbacks and `run` work, and where each failure is reported.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use common::{Log, OnDrop, ms, watched_loop};
use loopwheel::errors::ResultError;
use loopwheel::sync::Event;
use loopwheel::{
    Budget, Clock, EventLoop, Instant, RunError, TaskBuilder, TaskError, TaskRef, VirtualClock,
    all_tasks, call_at, call_exception_handler, call_later, call_soon, catch_cancel, create_task,
    current_task, finally, interval, interval_at, now, run_virtual, sleep, sleep_until,
    try_create_task, try_run, yield_now,
};

#[test]
fn tasks_start_in_the_order_of_their_creation_and_take_turns() {
    run_virtual(async {
        let log = Log::new();
        let tasks: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let log = log.clone();
                create_task(async move {
                    for turn in 1..=2 {
                        log.add(format!("{name}{turn}"));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        log.expect(&[(0, "a1"), (0, "b1"), (0, "c1"), (0, "a2"), (0, "b2"), (0, "c2")]);
    });
}

#[test]
fn who_wakes_itself_starves_neither_timers_nor_others() {
    run_virtual(async {
        let busy = create_task(async {
            loop {
                yield_now().await;
            }
        });
        // A virtual clock stops while a task is polled, so the clock is moved by hand below.
        let others = create_task(async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        others.await.unwrap();
        busy.cancel();
    });

    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    event_loop.run(async {
        let busy = create_task(async move {
            loop {
                clock.advance(ms(1));
                yield_now().await;
            }
        });
        sleep(ms(500)).await;
        busy.cancel();
    });
}

#[test]
fn timers_fire_in_the_order_of_deadline_and_then_of_arming() {
    run_virtual(async {
        let log = Log::new();
        let sleepers: Vec<_> = [(30, "d"), (10, "a"), (20, "b"), (20, "c")]
            .into_iter()
            .map(|(millis, name)| {
                let log = log.clone();
                create_task(async move {
                    sleep(ms(millis)).await;
                    log.add(name);
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        log.expect(&[(10, "a"), (20, "b"), (20, "c"), (30, "d")]);
    });
}

#[test]
fn an_interval_does_not_drift_and_leaves_out_what_was_missed() {
    run_virtual(async {
        let log = Log::new();
        let mut ticks = interval(ms(10));
        for work in [0, 3, 25, 0, 0] {
            ticks.tick().await;
            log.add("tick");
            sleep(ms(work)).await;
        }
        log.expect(&[(10, "tick"), (20, "tick"), (30, "tick"), (55, "tick"), (60, "tick")]);
    });
}

#[test]
fn an_interval_with_a_start_ticks_at_it_and_then_every_period() {
    run_virtual(async {
        let log = Log::new();
        let mut ticks = interval_at(now() + ms(3), ms(10));
        let mut at_once = interval_at(now(), ms(10));
        for _ in 0..2 {
            at_once.tick().await;
            log.add("at once");
            ticks.tick().await;
            log.add("later");
        }
        // One that begins in the past: the tick that is due comes at once, those missed do not.
        let mut late = interval_at(now() - ms(13) - ms(8), ms(10));
        assert_eq!(late.tick().await, Instant::START); // which saturates
        late.tick().await;
        log.add("late");
        log.expect(&[(0, "at once"), (3, "later"), (10, "at once"), (13, "later"), (20, "late")]);
        let mut moment = now();
        moment -= ms(5);
        assert_eq!((now().duration_since(moment), moment.duration_since(now())), (ms(5), ms(0)));
    });
}

#[cfg(feature = "futures")]
#[test]
fn handles_and_sleeps_are_terminated_once_they_have_given_their_outcome() {
    use futures::future::FusedFuture;
    run_virtual(async {
        for mut sleep in [sleep(ms(5)), sleep(ms(0)), sleep_until(now())] {
            assert!(!sleep.is_terminated());
            let mut polls = Vec::new();
            poll_fn(|cx| {
                let polled = std::pin::Pin::new(&mut sleep).poll(cx);
                polls.push((polled.is_ready(), sleep.is_terminated()));
                polled
            })
            .await;
            assert_eq!(polls, [(false, false), (true, true)]);
        }
        let mut one = create_task(sleep(ms(5))).shared();
        let (mut other, mut task) = (one.clone(), create_task(sleep(ms(9))));
        let mut pause = sleep(ms(1));
        sleep(ms(6)).await;
        let mut ended = Vec::new();
        loop {
            futures::select_biased! {
                _ = one => ended.push("one"),
                _ = other => ended.push("other"), // it is done, and not given yet
                () = pause => ended.push("pause"),
                _ = task => ended.push("task"),
                complete => break,
            }
        }
        assert_eq!(ended, ["one", "other", "pause", "task"]);
        assert!(!one.clone().is_terminated(), "a clone gives it again");
    });
}

#[test]
fn callbacks_and_tasks_stand_in_one_queue() {
    run_virtual(async {
        let log = Log::new();
        let (a, b, c) = (log.clone(), log.clone(), log.clone());
        call_soon(move || a.add("callback"));
        let task = create_task(async move { b.add("task") });
        call_soon(move || c.add("another"));
        task.await.unwrap();
        yield_now().await;
        log.expect(&[(0, "callback"), (0, "task"), (0, "another")]);
    });
}

#[test]
fn timed_callbacks_come_in_order_and_can_be_cancelled() {
    run_virtual(async {
        let log = Log::new();
        let say = |text: &'static str| {
            let log = log.clone();
            move || log.add(text)
        };
        call_later(ms(20), say("c"));
        call_at(now() + ms(10), say("a"));
        let cancelled = call_later(ms(10), say("never"));
        call_later(ms(10), say("b"));
        assert_eq!(cancelled.when(), Some(now() + ms(10)));
        assert!(cancelled.cancel());
        assert!(cancelled.is_cancelled() && !cancelled.cancel());
        let soon = call_soon(say("never"));
        soon.cancel();
        sleep(ms(30)).await;
        log.expect(&[(10, "a"), (10, "b"), (20, "c")]);
    });
}

#[test]
fn callbacks_are_no_tasks() {
    run_virtual(async {
        let seen = Rc::new(Cell::new(false));
        let flag = seen.clone();
        call_soon(move || {
            assert!(loopwheel::try_current_task().is_err());
            assert_eq!(all_tasks().len(), 1);
            flag.set(true);
        });
        yield_now().await;
        assert!(seen.get());
    });
}

#[test]
fn done_callbacks_and_awaiters_go_on_in_the_order_in_which_they_came() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(sleep(ms(5))).shared();
        let awaiter = |name: &'static str| {
            let (task, log) = (task.clone(), log.clone());
            create_task(async move {
                task.await.unwrap();
                log.add(name);
            })
        };
        let first = awaiter("first");
        yield_now().await;
        let callback = log.clone();
        task.to_ref().add_done_callback(move |task| {
            assert!(task.is_done());
            callback.add("second");
        });
        let third = awaiter("third");
        first.await.unwrap();
        third.await.unwrap();
        let late = log.clone();
        task.to_ref().add_done_callback(move |_| late.add("late"));
        yield_now().await;
        log.expect(&[(5, "first"), (5, "second"), (5, "third"), (5, "late")]);
    });
}

#[test]
fn tasks_have_names() {
    run_virtual(async {
        let given = TaskBuilder::new().name("fetch-1").create_task(async { current_task().name() });
        assert_eq!(given.name(), "fetch-1");
        let other = create_task(async {});
        assert!(other.name().starts_with("Task-"));
        other.set_name("renamed");
        assert_eq!(other.to_ref().name(), "renamed");
        assert_eq!(given.await.unwrap(), "fetch-1");
        assert_eq!(format!("{:?}", current_task().name()), "\"main\"");
    });
}

#[test]
fn a_result_can_be_had_without_awaiting_once() {
    run_virtual(async {
        let mut task = try_create_task(async { Err::<(), _>("broken") });
        assert_eq!(task.result(), Err(ResultError::Pending));
        yield_now().await;
        assert_eq!(task.result(), Ok(Err(TaskError::Failed("broken"))));
        assert_eq!(task.result(), Err(ResultError::Taken));

        let shared = create_task(async { 5 }).shared();
        assert_eq!(shared.result(), Err(ResultError::Pending));
        yield_now().await;
        assert_eq!(shared.result(), Ok(Ok(5)));
        assert_eq!(shared.clone().await, Ok(5));
    });
}

#[test]
fn dropping_a_handle_detaches() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        drop(create_task(async move {
            sleep(ms(5)).await;
            inner.add("went on");
        }));
        sleep(ms(10)).await;
        log.expect(&[(5, "went on")]);
    });
}

#[test]
fn main_may_borrow_from_the_stack() {
    let mut numbers = vec![1];
    let sum = run_virtual(async {
        yield_now().await;
        numbers.push(2);
        numbers.iter().sum::<i32>()
    });
    assert_eq!((sum, numbers.len()), (3, 2));
}

#[test]
fn a_reference_to_main_that_outlives_the_run_finds_it_over() {
    let kept = RefCell::new(None);
    let borrowed = String::from("on the stack");
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    event_loop.run(async {
        kept.replace(Some(current_task()));
        assert_eq!(borrowed, "on the stack");
    });
    let main = kept.take().unwrap();
    assert!(main.is_done() && !main.cancel());
    assert_eq!(main.name(), "main");
}

#[test]
fn tasks_that_are_left_are_cancelled_and_their_clean_up_awaited() {
    let cleaned = Rc::new(Cell::new(0));
    let count = cleaned.clone();
    run_virtual(async move {
        for _ in 0..3 {
            let count = count.clone();
            create_task(finally(pending::<()>(), async move || {
                sleep(ms(100)).await;
                count.set(count.get() + 1);
                // What is begun now is cancelled too, before it runs.
                create_task(async { unreachable!("the loop is closing") });
            }));
        }
        yield_now().await;
        create_task(async { unreachable!("cancelled before its first poll") });
    });
    assert_eq!(cleaned.get(), 3);
}

#[test]
fn a_loop_keeps_its_tasks_from_one_run_to_the_next() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let task = event_loop.create_task(async {
        sleep(ms(10)).await;
        42
    });
    event_loop.run_until_complete(sleep(ms(5)));
    assert_eq!(event_loop.all_tasks().len(), 1);
    assert_eq!(event_loop.run_until_complete(task), Ok(42));
    assert_eq!(event_loop.now(), Instant::START + ms(10));
}

#[test]
fn dropping_a_loop_drops_its_tasks_hard() {
    let dropped = Rc::new(Cell::new(0));
    struct Count(Rc<Cell<i32>>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let event_loop = EventLoop::new();
    let guard = Count(dropped.clone());
    let mut task = event_loop.create_task(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    event_loop.call_soon({
        let guard = Count(dropped.clone());
        move || drop(guard)
    });
    drop(event_loop);
    assert_eq!(dropped.get(), 2);
    assert!(task.result().unwrap().unwrap_err().is_cancelled());
}

/// Only the ready queue keeps a task that was woken in its last poll, with the value that it panicked with.
#[test]
fn what_is_dropped_with_the_ready_queue_leaves_nothing_behind() {
    struct Spawns(Arc<()>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let token = self.0.clone();
            drop(create_task(async move {
                pending::<()>().await;
                drop(token);
            }));
        }
    }
    let token = Arc::new(());
    let mut event_loop = EventLoop::builder().exception_handler(|_| ()).build();
    let mut thrown = Some(Spawns(token.clone()));
    drop(event_loop.create_task(poll_fn(move |cx| -> Poll<()> {
        cx.waker().wake_by_ref();
        std::panic::panic_any(thrown.take().unwrap())
    })));
    event_loop.turn(Budget::unlimited());
    assert_eq!(Arc::strong_count(&token), 2, "it is still there");
    drop(event_loop);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn an_unclaimed_error_is_reported_once_with_name_and_location() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let failing = || async { Err::<(), _>("no such host") };
        drop(TaskBuilder::new().name("early").try_create_task(failing())); // dropped before it ends
        let late = TaskBuilder::new().name("late").try_create_task(failing());
        let taken = try_create_task(failing());
        yield_now().await;
        drop(late); // dropped after it ended
        assert!(taken.await.is_err());
        drop(create_task(async { panic!("on fire") }));
        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        yield_now().await;
    });
    let reports = reports.borrow();
    let place = format!("{}:", file!());
    assert_eq!(reports.len(), 3, "{reports:#?}");
    for (report, (name, error)) in
        reports.iter().zip([("early", "no such host"), ("late", "no such host"), ("", "on fire")])
    {
        assert!(report.contains(name) && report.contains(error), "{report}");
        assert!(report.contains(&place), "{report}");
    }
}

#[test]
fn a_panic_is_the_outcome_of_its_task_alone() {
    run_virtual(async {
        let task = create_task(async { panic!("number {}", now().as_nanos() + 7) });
        let Err(TaskError::Panicked(panic)) = task.await.map(|never: ()| never) else {
            unreachable!("it panicked")
        };
        assert_eq!(panic.message(), "number 7");
        assert_eq!(*panic.take_payload().unwrap().downcast::<String>().unwrap(), "number 7");
    });
}

#[test]
#[should_panic(expected = "main itself")]
fn a_panic_of_main_goes_on_in_the_caller_after_the_clean_up() {
    run_virtual(async {
        create_task(finally(pending::<()>(), async || sleep(ms(5)).await));
        yield_now().await;
        panic!("main itself");
    });
}

#[test]
fn a_panicking_callback_is_reported_and_the_loop_goes_on() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        call_soon(|| panic!("in a callback"));
        create_task(async {}).to_ref().add_done_callback(|_| panic!("in a done-callback"));
        sleep(ms(5)).await;
    });
    assert_eq!(reports.borrow().len(), 2);
    assert!(reports.borrow().iter().all(|report| report.starts_with("callback")));
}

#[test]
fn a_deadlock_is_reported_with_what_each_task_waits_for() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let ended = event_loop.try_run(async {
        let never = TaskBuilder::new().name("never").create_task(pending::<()>());
        let _ = TaskBuilder::new().name("waiter").create_task(never).await;
    });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    let waits: Vec<_> = deadlock
        .waits()
        .iter()
        .map(|wait| (wait.task.as_str(), wait.waits_for.join(",")))
        .collect();
    assert_eq!(
        waits,
        [
            ("main", "'waiter' (Task-3)".to_owned()),
            ("never", String::new()),
            ("waiter", "'never' (Task-2)".to_owned())
        ]
    );
    assert!(deadlock.to_string().contains(file!()));
}

#[test]
fn a_deadlock_is_reported_when_the_task_whose_waker_was_given_away_is_over() {
    let ended = try_run(async {
        let kept = create_task(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).await;
        let also_kept = create_task(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).await;
        pending::<()>().await;
        drop((kept, also_kept));
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "{ended:?}");
}

#[test]
fn a_task_that_waits_twice_is_cancelled_after_it_was_reported_in_a_deadlock() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let ended = Rc::new(Cell::new(false));
    let is_ended = ended.clone();
    let waits_twice = async {
        let event = Event::new();
        futures::join!(event.wait(), event.wait());
    };
    drop(event_loop.create_task(finally(waits_twice, async move || is_ended.set(true))));
    let stuck = event_loop.try_run(pending::<()>());
    assert!(matches!(stuck, Err(RunError::Deadlock(_))), "{stuck:?}");
    assert!(event_loop.cancel_all().is_ok());
    assert!(ended.get());
}

#[test]
fn tasks_that_await_each_other_are_a_deadlock_and_can_be_cancelled() {
    type Slot = Rc<RefCell<Option<loopwheel::SharedTask<()>>>>;
    let knot = |cancel: bool| {
        loopwheel::try_run(async move {
            let slot: Slot = Rc::default();
            let inner = slot.clone();
            let a = create_task(async move {
                yield_now().await;
                let other = inner.borrow().clone().unwrap();
                let _ = other.await;
            })
            .shared();
            let b = create_task({
                let a = a.clone();
                async move {
                    let _ = a.await;
                }
            })
            .shared();
            *slot.borrow_mut() = Some(b.clone());
            sleep(ms(1)).await;
            if cancel {
                b.cancel();
            }
            let _ = a.await;
        })
    };
    assert!(matches!(knot(false), Err(RunError::Deadlock(_))));
    assert_eq!(knot(true), Ok(()));
}

#[test]
fn a_held_clock_that_is_never_moved_is_a_deadlock() {
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let hold = clock.hold();
    let ended = event_loop.try_run(sleep(ms(5)));
    assert!(ended.unwrap_err().to_string().contains("clock is held"));
    drop(hold);
    event_loop.run(sleep(ms(5)));
    assert_eq!(clock.now(), Instant::START + ms(5));
}

#[test]
fn a_held_clock_only_moves_by_hand() {
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let _hold = clock.hold();
    event_loop.run(async {
        let sleeper = create_task(sleep(ms(5)));
        yield_now().await;
        clock.advance(ms(4));
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!sleeper.is_done());
        clock.advance(ms(1));
        sleeper.await.unwrap();
    });
}

#[test]
fn a_clock_that_goes_backwards_does_not_turn_the_loops_time_back() {
    let time = Rc::new(Cell::new(Instant::START + ms(100)));
    let clock = time.clone();
    let event_loop = EventLoop::builder().clock(Clock::host(move || clock.get())).build();
    assert_eq!(event_loop.now(), Instant::START + ms(100));
    time.set(Instant::START + ms(50));
    assert_eq!(event_loop.now(), Instant::START + ms(100));
}

#[test]
fn a_slow_poll_is_reported_without_what_comes_after_it() {
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = reports.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .slow_callback_duration(ms(60))
        .exception_handler(move |report| {
            let is_done = report.task.as_ref().map(TaskRef::is_done);
            seen.borrow_mut().push(format!("{:?}, done: {is_done:?}", report.failure));
            thread::sleep(ms(80)); // the handler is slow as well, but no poll; polls are measured by the real clock
        })
        .build();
    event_loop.run(async move {
        drop(create_task(async move {
            thread::sleep(ms(80));
            panic!("slow");
        }));
        yield_now().await;
        yield_now().await;
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].starts_with("SlowPoll") && reports[0].ends_with("done: Some(false)"));
    assert!(reports[1].starts_with("Panicked"));
}

#[test]
fn main_can_be_cancelled_by_a_task_and_swallow_it() {
    run_virtual(async {
        let main = current_task();
        drop(create_task(async move { main.cancel() }));
        assert!(catch_cancel(sleep(ms(50))).await.is_err());
    });
    let ended = loopwheel::try_run(async {
        let main = current_task();
        drop(create_task(async move { main.cancel_with_reason("enough") }));
        pending::<()>().await;
    });
    assert_eq!(ended.unwrap_err().to_string(), "the main task was cancelled: enough");
}

#[test]
fn destructors_run_when_a_task_ends_whatever_handles_remain() {
    run_virtual(async {
        let log = Log::new();
        let guard = OnDrop(log.clone(), "dropped");
        let task = create_task(async move {
            let _guard = guard;
            sleep_until(now() + ms(3)).await;
        });
        let kept = task.to_ref();
        task.await.unwrap();
        log.add("ended");
        log.expect(&[(3, "dropped"), (3, "ended")]);
        assert!(kept.is_done());
    });
}

#[test]
fn who_takes_the_slot_of_one_that_was_cancelled_does_not_take_its_turn() {
    run_virtual(async {
        let log = Log::new();
        let say = |text: &'static str| {
            let log = log.clone();
            move || log.add(text)
        };
        let cancelled = call_soon(say("a"));
        call_soon(say("b"));
        cancelled.cancel();
        call_soon(say("c"));
        yield_now().await;
        log.expect(&[(0, "b"), (0, "c")]);
    });
}

#[test]
fn what_the_program_reports_itself_goes_where_the_loop_reports() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let line = line!() + 1;
        call_exception_handler("said by main");
        TaskBuilder::new()
            .name("worker")
            .create_task(async { call_exception_handler(String::from("said by a task")) })
            .await
            .unwrap();
        call_soon(|| call_exception_handler("said by a callback"));
        yield_now().await;
        let reports = reports.borrow();
        let here = format!("reported at {}:{line}:9: said by main", file!());
        assert!(
            reports[0].starts_with("task 'main' ") && reports[0].ends_with(&here),
            "{reports:?}"
        );
        assert!(reports[1].starts_with("task 'worker' "), "{reports:?}");
        assert!(reports[2].starts_with("code outside of all tasks reported at "), "{reports:?}");
    });
    call_exception_handler("said where no loop runs: this line belongs on stderr");
    assert_eq!(reports.borrow().len(), 3);
}

#[test]
fn a_yield_that_moves_to_a_younger_loop_ends_there() {
    let (mut older, mut younger) = (EventLoop::new(), EventLoop::new());
    let (sender, mut receiver) = older.thread_channel(100);
    (0..65).for_each(|number| sender.send_nowait(number).unwrap());
    let mut receiver = older.run(async move {
        for _ in 0..10_000 {
            yield_now().await;
        }
        for _ in 0..64 {
            poll_fn(|cx| receiver.poll_recv(cx)).await;
        }
        // It yields before the next item, and is taken elsewhere in that.
        let is_pending = poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx).is_pending())).await;
        assert!(is_pending);
        receiver
    });
    let mut polls = 0;
    let item = younger.run(poll_fn(|cx| {
        polls += 1;
        receiver.poll_recv(cx)
    }));
    assert_eq!((item, polls), (Some(64), 1)); // not as many as the older loop has made
    drop(sender);
}

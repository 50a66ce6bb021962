//! Tests what a loop notices of itself: slow polls, quiet, livelocks, and tasks that outlive the run.
//!
//! Slow polls and quiet are measured by the real clock, so these tests sleep for real. They assert that it took so long at least, and
//! never that it took no longer.

mod common;

use std::cell::{Cell, RefCell};
use std::env;
use std::future::pending;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use common::{Watchdog, ms, turns, watched_loop};
use loopwheel::sync::{Event, Lock, Queue};
use loopwheel::{
    Clock, EventLoop, EventLoopBuilder, Failure, Handle, Instant, TaskBuilder, VirtualClock,
    catch_cancel, create_task, current_task, finally, set_debug, set_exception_handler, sleep,
    to_thread, yield_now,
};

type Reports = Rc<RefCell<Vec<(String, Failure)>>>;

/// A builder whose exception handler keeps what it is told.
fn reporting() -> (EventLoopBuilder, Reports) {
    let reports = Reports::default();
    let sink = reports.clone();
    let handler = move |context: &loopwheel::ExceptionContext| {
        sink.borrow_mut().push((context.to_string(), context.failure.clone()));
    };
    (EventLoop::builder().exception_handler(handler), reports)
}

fn on_virtual_time() -> (EventLoopBuilder, Reports) {
    let (builder, reports) = reporting();
    (builder.clock(VirtualClock::new()), reports)
}

// ---- quiet ----

/// The real time is the point: the loop's own stands still.
#[test]
fn a_loop_that_waits_for_a_clock_of_the_host_which_stands_still_says_so_once() {
    let _watchdog = Watchdog::new("a clock that stands still");
    let (builder, reports) = reporting();
    let time = Rc::new(Cell::new(Instant::START + ms(16)));
    let (clock, moves) = (time.clone(), time);
    let sink = reports.clone();
    let handler = move |context: &loopwheel::ExceptionContext| {
        sink.borrow_mut().push((context.to_string(), context.failure.clone()));
        moves.set(moves.get() + ms(50)); // not far enough yet: a new quiet time begins
    };
    let clock = Clock::host(move || clock.get());
    let mut event_loop =
        builder.exception_handler(handler).clock(clock).stall_after(ms(20)).build();
    let task = TaskBuilder::new().name("plays");
    event_loop.run(async {
        drop(task.create_task(finally(pending::<()>(), async || sleep(ms(100)).await)));
        yield_now().await;
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    for ((text, failure), at) in reports.iter().zip([16, 66]) {
        let Failure::Stalled { stands_at, waits, quiet_for, .. } = failure else {
            panic!("{text}")
        };
        assert_eq!(*stands_at, Some(Instant::START + ms(at)));
        assert_eq!((waits[0].task.as_str(), *quiet_for >= ms(20)), ("plays", true));
        assert!(text.contains("`Clock::host`") && text.contains("0.0"), "{text}");
    }
}

/// A clock that runs slowly is no stall, however long the loop parks.
#[test]
fn a_clock_of_the_host_that_moves_is_not_reported() {
    let (builder, reports) = reporting();
    let start = std::time::Instant::now();
    let clock = Clock::host(move || Instant::START + start.elapsed() / 10);
    let mut event_loop = builder.clock(clock).stall_after(ms(5)).build();
    event_loop.run(sleep(ms(10))); // 100 ms of real time
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn a_loop_that_only_the_outside_can_wake_says_what_it_waits_for_once_and_goes_on() {
    for is_virtual in [false, true] {
        let (builder, reports) = if is_virtual { on_virtual_time() } else { reporting() };
        let mut event_loop = builder.stall_after(ms(20)).build();
        event_loop.run(async {
            let (handle, event) = (Handle::current(), Rc::new(Event::new()));
            let waits = TaskBuilder::new().name("waits").create_task({
                let event = event.clone();
                async move { event.wait().await }
            });
            let (to_set, keeper) = (event.clone(), create_task(pending::<()>()));
            let setter = Handle::current();
            let thread = thread::spawn(move || {
                thread::sleep(ms(200)); // quiet for long: there is one report all the same
                setter.call_soon(move || ()).unwrap();
            });
            // The call from outside begins a second quiet time, and the second report ends the wait.
            let seen = reports.clone();
            let count = Rc::new(Cell::new(0));
            set_exception_handler(move |context| {
                seen.borrow_mut().push((context.to_string(), context.failure.clone()));
                count.set(count.get() + 1);
                if count.get() == 2 {
                    to_set.set();
                }
            });
            waits.await.unwrap();
            thread.join().unwrap();
            drop((handle, keeper));
        });
        let reports = reports.borrow();
        assert_eq!(reports.len(), 2, "one for each quiet time");
        for (text, failure) in &*reports {
            let Failure::Stalled { quiet_for, waits, .. } = failure else { panic!("{text}") };
            assert!(*quiet_for >= ms(20));
            let waits: Vec<_> = waits.iter().map(|it| (it.task.as_str(), &it.waits_for)).collect();
            assert_eq!(waits[0], ("main", &vec!["'waits' (Task-2)".to_owned()]));
            assert_eq!(waits[1], ("waits", &vec!["event 1".to_owned()]));
            assert_eq!(waits.len(), 3);
            assert!(text.starts_with("the event loop has been quiet for "), "{text}");
            assert!(
                text.contains("'waits' (Task-2), waiting, spawned at tests/watch.rs:"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_loop_that_will_be_woken_is_not_stalled() {
    let (builder, reports) = reporting();
    let mut event_loop = builder.stall_after(ms(5)).build();
    event_loop.run(async {
        let _handle = Handle::current();
        sleep(ms(40)).await; // by a timer
        to_thread(|| thread::sleep(ms(40))).await.unwrap(); // by a thread
    });
    assert!(reports.borrow().is_empty());
    // And without a limit it is not watched.
    let mut event_loop = reporting().0.debug(false).build();
    event_loop.run(async {
        let handle = Handle::current();
        let waiting = Rc::new(Event::new());
        let thread = thread::spawn(move || {
            thread::sleep(ms(40));
            handle.create_task(|| async { current_task().name() }).unwrap().wait().unwrap()
        });
        while !thread.is_finished() {
            sleep(ms(5)).await;
        }
        drop(waiting);
    });
    assert!(reports.borrow().is_empty());
}

#[test]
fn a_task_that_was_asked_waits_as_before() {
    let (builder, reports) = reporting();
    let mut event_loop = builder.stall_after(ms(10)).build();
    event_loop.run(async {
        let queue = Rc::new(Queue::bounded(1));
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let getter = create_task({
            let queue = queue.clone();
            async move { queue.get().await.unwrap() }
        });
        let locker = create_task({
            let lock = lock.clone();
            async move { drop(lock.acquire().await) }
        });
        let (sender, receiver) = futures::channel::oneshot::channel();
        let thread = thread::spawn(move || {
            thread::sleep(ms(100));
            sender.send(7).unwrap();
        });
        assert_eq!(receiver.await, Ok(7)); // a foreign future, which the report polls as well
        thread.join().unwrap();
        queue.put(1).await.unwrap();
        drop(guard);
        assert_eq!(getter.await, Ok(1));
        locker.await.unwrap();
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1);
    let Failure::Stalled { waits, .. } = &reports[0].1 else { panic!("{reports:?}") };
    assert!(waits[0].waits_for.is_empty(), "foreign code cannot say");
    assert_eq!(waits[1].waits_for.len() + waits[2].waits_for.len(), 2);
}

// ---- livelock ----

#[test]
fn a_million_polls_at_one_moment_of_virtual_time_are_reported_with_their_tasks() {
    let (builder, reports) = on_virtual_time();
    let mut event_loop = builder.build();
    event_loop.run(async {
        let is_over = Rc::new(Cell::new(false));
        let spin = |name| {
            let is_over = is_over.clone();
            TaskBuilder::new().name(name).create_task(async move {
                while !is_over.get() {
                    yield_now().await;
                }
            })
        };
        let (one, other) = (spin("ping"), spin("pong"));
        let waits = TaskBuilder::new().name("waits").create_task(sleep(ms(1)));
        // A test cannot wait for a time that never comes: it counts.
        turns(1_000_000).await;
        is_over.set(true);
        one.await.unwrap();
        other.await.unwrap();
        waits.await.unwrap();
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "once: {reports:?}");
    let Failure::Livelock { polls, polled } = &reports[0].1 else { panic!("{reports:?}") };
    assert!(*polls >= 1_000_000);
    let named = |name: &str| polled.iter().any(|it| it.starts_with(&format!("task '{name}' (")));
    assert!(named("main") && named("ping") && named("pong") && !named("waits"), "{polled:?}");
    assert!(reports[0].0.contains("polls while its virtual time stood still"), "{reports:?}");
}

#[test]
fn many_polls_are_no_livelock_while_time_passes_nor_on_a_real_clock() {
    let (builder, reports) = on_virtual_time();
    builder.build().run(async {
        for _ in 0..21 {
            turns(100_000).await;
            sleep(ms(1)).await;
        }
    });
    let (builder, of_the_real_clock) = reporting();
    builder.build().run(turns(2_100_000));
    assert!(reports.borrow().is_empty() && of_the_real_clock.borrow().is_empty());
}

// ---- tasks that outlive the run ----

#[test]
fn a_task_that_takes_back_the_cancel_of_the_runs_end_is_reported_at_once() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        drop(TaskBuilder::new().name("stubborn").create_task(async {
            assert!(catch_cancel(sleep(ms(60_000))).await.is_err());
            current_task().uncancel();
            sleep(ms(60_000)).await;
        }));
        yield_now().await;
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].starts_with("task 'stubborn' (spawned at tests/watch.rs:"), "{reports:?}");
    assert!(reports[0].contains("cancelled by the end of the run, is still there"), "{reports:?}");
    assert!(reports[0].contains("`reraise`"), "{reports:?}");
}

#[test]
fn a_task_that_swallows_the_cancel_and_goes_on_is_reported_once() {
    let (mut event_loop, reports) = watched_loop();
    let is_over = Rc::new(Cell::new(false));
    let turns = Rc::new(Cell::new(0_u64));
    event_loop.run(async {
        let (is_over, turns) = (is_over.clone(), turns.clone());
        drop(TaskBuilder::new().name("heartbeat").create_task(async move {
            while !is_over.get() {
                let _ = catch_cancel(sleep(ms(1_000))).await; // swallows the cancel, and beats on
                turns.set(turns.get() + 1);
                is_over.set(turns.get() > 1_000_100);
            }
        }));
        yield_now().await;
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("task 'heartbeat' (spawned at "), "{reports:?}");
}

#[test]
fn on_a_clock_that_is_not_virtual_ten_seconds_without_an_end_are_reported() {
    let (builder, reports) = reporting();
    let time = Rc::new(Cell::new(Instant::START));
    let clock = Clock::host({
        let time = time.clone();
        move || time.get()
    });
    let mut event_loop = builder.clock(clock).build();
    event_loop.run(async {
        drop(create_task(async move {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            for _ in 0..30 {
                time.set(time.get() + Duration::from_secs(1));
                yield_now().await;
            }
        }));
        yield_now().await;
    });
    let reports = reports.borrow();
    let [(text, Failure::OutlivesRun { waited: Some(waited) })] = reports.as_slice() else {
        panic!("{reports:?}")
    };
    assert!(*waited >= Duration::from_secs(10), "{text}");
}

/// Creates a task when it is dropped, as a destructor would that has something to close.
struct ClosesInATask(Rc<Cell<u32>>);

impl Drop for ClosesInATask {
    fn drop(&mut self) {
        let closed = self.0.clone();
        drop(TaskBuilder::new().name("closer").create_task(async move {
            closed.set(closed.get() + 1);
        }));
    }
}

#[test]
fn in_debug_mode_a_task_that_a_destructor_creates_at_the_end_of_a_run_is_reported_if_it_never_begins()
 {
    // Clean-up that goes on long enough lets the task begin: that is no failure.
    for (debug, cleans_up) in [(true, false), (true, true), (false, false)] {
        let (builder, reports) = on_virtual_time();
        let closed = Rc::new(Cell::new(0));
        let mut event_loop = builder.debug(debug).build();
        event_loop.run(async {
            drop(ClosesInATask(closed.clone())); // this one begins while the run goes on
            let thing = ClosesInATask(closed.clone());
            drop(create_task(async move {
                let _thing = thing;
                pending::<()>().await;
            }));
            if cleans_up {
                drop(create_task(finally(pending::<()>(), async || turns(5).await)));
            }
            turns(2).await;
            drop(create_task(async {})); // it does not begin: main left it so
        });
        let reports = reports.borrow();
        assert_eq!(closed.get(), if cleans_up { 2 } else { 1 });
        if debug && !cleans_up {
            let [(text, Failure::NeverBegan)] = &reports[..] else { panic!("{reports:?}") };
            assert!(text.starts_with("task 'closer' (spawned at tests/watch.rs:"), "{text}");
            assert!(text.contains("before it began"), "{text}");
        } else {
            assert!(reports.is_empty(), "{reports:?}");
        }
    }
}

#[test]
fn clean_up_that_awaits_is_not_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        for number in 0..100 {
            drop(create_task(finally(sleep(ms(60_000)), async move || {
                sleep(ms(3_600_000)).await; // an hour
                turns(number * 10).await;
            })));
        }
        drop(create_task(async {
            if let Err(cancelled) = catch_cancel(sleep(ms(60_000))).await {
                sleep(ms(3_600_000)).await;
                cancelled.reraise().await;
            }
        }));
        yield_now().await;
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

// ---- slow polls, and the debug mode ----

#[test]
fn a_slow_poll_is_measured_in_real_time_and_names_what_the_task_waits_for_since() {
    let clocks = [
        VirtualClock::new().into(),
        Clock::monotonic(),
        Clock::host(|| Instant::START), // it stands still
    ];
    for clock in clocks {
        let (builder, reports) = reporting();
        let mut event_loop = builder.clock(clock).slow_callback_duration(ms(30)).build();
        event_loop.run_until_complete(async {
            let event = Rc::new(Event::new());
            let slow = TaskBuilder::new().name("slow").create_task({
                let event = event.clone();
                async move {
                    thread::sleep(ms(60));
                    event.wait().await;
                    thread::sleep(ms(60));
                }
            });
            turns(3).await;
            event.set();
            slow.await.unwrap();
        });
        let reports = reports.borrow();
        let texts: Vec<_> = reports.iter().map(|(text, _)| text).collect();
        assert_eq!(reports.len(), 2, "{texts:?}");
        assert!(texts.iter().all(|text| text.starts_with("task 'slow' (spawned at ")), "{texts:?}");
        assert!(texts[0].ends_with("in one poll; it now waits for event 1"), "{texts:?}");
        assert!(texts[1].ends_with("in one poll"), "it has ended: {texts:?}");
        let Failure::SlowPoll { took, .. } = &reports[0].1 else { panic!("{texts:?}") };
        assert!(*took >= ms(60), "{took:?}");
    }
}

#[test]
fn virtual_time_that_is_moved_in_a_poll_makes_it_no_slow_one() {
    let clock = VirtualClock::new();
    let (builder, reports) = reporting();
    let mut event_loop = builder.clock(clock.clone()).slow_callback_duration(ms(60_000)).build();
    event_loop.run(async {
        clock.advance(Duration::from_secs(3_600));
        yield_now().await;
    });
    assert!(reports.borrow().is_empty());
}

#[test]
fn the_debug_mode_can_be_switched_from_inside() {
    let (builder, reports) = on_virtual_time();
    builder.debug(false).build().run(async {
        thread::sleep(ms(150));
        yield_now().await;
        set_debug(true);
        yield_now().await;
        thread::sleep(ms(150));
        yield_now().await;
        set_debug(false);
        thread::sleep(ms(150));
        yield_now().await;
    });
    // The poll that switches it off is not reported: the mode counts when a poll has ended.
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    assert!(matches!(reports.borrow()[0].1, Failure::SlowPoll { .. }));
}

const SLOW: &str = "LOOPWHEEL_TEST_SLOW";

/// The second process of the next test. Without the variable it has nothing to do.
#[test]
fn a_program_with_a_slow_poll() {
    if env::var(SLOW).is_ok() {
        loopwheel::run(async {
            thread::sleep(ms(150));
            yield_now().await;
        });
    }
}

#[test]
fn the_debug_mode_can_be_switched_on_by_the_environment() {
    let values = [
        (None, false),
        (Some(""), false),
        (Some("0"), false),
        (Some("1"), true),
        (Some("yes"), true),
    ];
    for (value, is_on) in values {
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--exact", "a_program_with_a_slow_poll", "--nocapture"]).env(SLOW, "1");
        match value {
            Some(value) => program.env("LOOPWHEEL_DEBUG", value),
            None => program.env_remove("LOOPWHEEL_DEBUG"),
        };
        let output = program.output().unwrap();
        assert!(output.status.success());
        let errors = String::from_utf8(output.stderr).unwrap();
        let is_reported =
            errors.contains("loopwheel: task 'main'") && errors.contains("held up the loop for");
        assert_eq!(is_reported, is_on, "{value:?}: {errors}");
    }
}

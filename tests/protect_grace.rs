//! Tests the end of the grace time of a `protect` and a `finally_within`: it cancels what they hold, and is told.

mod common;
#[path = "common/protected.rs"]
mod protected;

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use common::{Log, ms, watched_loop};
use loopwheel::{
    EventLoop, ExceptionContext, Failure, TestRun, TimedOut, VirtualClock, catch_cancel,
    create_task, current_task, finally, finally_within, protect, run_test, run_virtual, sleep,
    wait_for, yield_now,
};
use protected::{LONG, at, cleans, why};

#[test]
fn when_its_grace_is_over_the_clean_up_is_cancelled_and_told_why() {
    run_virtual(async {
        let log = Log::new();
        let told = log.clone();
        let (line, grace) = (Location::caller().line() + 3, ms(50));
        let task = create_task(async move {
            let body = sleep(ms(LONG));
            finally_within(body, grace, async || {
                let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                told.add(cancelled.reason().unwrap());
                let by = current_task().cancelled_by().unwrap();
                assert_eq!(by.at().unwrap().line(), line);
                let text = format!("the grace time of 50ms (at {}", file!());
                assert!(by.to_string().starts_with(&text), "{by}");
                cancelled.reraise().await;
            })
            .await;
        });
        sleep(ms(5)).await;
        task.cancel_with_reason("first");
        let name = task.name();
        let ended = task.await.unwrap_err();
        assert_eq!(why(&ended), Some("first"));
        log.expect(&[(55, &format!("the grace time of 50ms is over, in {name}"))]);
    });
}

#[test]
fn without_a_cancel_the_end_of_the_grace_is_an_error_and_the_code_goes_on() {
    run_virtual(async {
        assert_eq!(protect(sleep(ms(LONG)), ms(5)).await, Err(TimedOut));
        assert_eq!(protect(sleep(ms(LONG)), ms(0)).await, Err(TimedOut));
        assert_eq!(finally_within(async { 1 }, ms(5), async || pending().await).await, 1);
        assert_eq!((at(), current_task().cancelling()), (10, 0));
        sleep(ms(1)).await;
    });
}

#[test]
fn a_cancel_that_was_held_back_goes_on_when_the_grace_is_over() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log.clone(), LONG));
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(0, "cleaning"), (1_000, "ended")]);
    });
}

#[test]
fn after_the_grace_each_cancel_from_outside_cancels_the_clean_up_once_more() {
    for held_back in [false, true] {
        run_virtual(async move {
            let log = Log::new();
            let told = log.clone();
            let task = create_task(async move {
                let stubborn = async {
                    for _ in 0..3 {
                        let caught = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                        told.add(caught.reason().unwrap_or("none"));
                    }
                };
                protect(stubborn, ms(50)).await.unwrap();
                told.add("went on");
            });
            sleep(ms(5)).await;
            if held_back {
                task.cancel_with_reason("early");
            }
            sleep(ms(55)).await;
            task.cancel_with_reason("late");
            sleep(ms(10)).await;
            task.cancel_with_reason("later");
            assert!(task.await.unwrap_err().is_cancelled());
            log.expect(&[
                (50, "the grace time of 50ms is over, in Task-2"),
                (60, "late"),
                (70, "later"),
            ]);
        });
    }
}

#[test]
fn a_limit_around_that_is_up_after_the_grace_interrupts_what_is_still_cleaned_up() {
    run_virtual(async {
        let log = Log::new();
        let slow = finally(sleep(ms(LONG)), async || {
            log.add("cleaning");
            sleep(ms(LONG)).await;
            log.add("never");
        });
        assert_eq!(wait_for(protect(slow, ms(10)), ms(30)).await, Err(TimedOut));
        log.add("timed out");
        log.expect(&[(10, "cleaning"), (30, "timed out")]);
    });
}

#[test]
fn of_nested_graces_each_ends_for_its_own_body_and_the_outer_one_for_both() {
    run_virtual(async {
        // The inner one is shorter.
        let log = Log::new();
        let outer = async {
            assert_eq!(protect(sleep(ms(LONG)), ms(5)).await, Err(TimedOut));
            sleep(ms(5)).await;
            log.add("went on");
        };
        assert_eq!(protect(outer, ms(20)).await, Ok(()));
        // The outer one is shorter.
        let outer = async {
            _ = protect(sleep(ms(LONG)), ms(20)).await;
            log.add("never");
        };
        assert_eq!(protect(outer, ms(5)).await, Err(TimedOut));
        log.add("out");
        // A clean-up that begins when the outer one is over is protected no more, but its own grace ends it.
        let outer = finally_within(sleep(ms(LONG)), ms(20), async || {
            log.add("cleaning");
            sleep(ms(LONG)).await;
            log.add("never");
        });
        assert_eq!(protect(outer, ms(5)).await, Err(TimedOut));
        log.add("out");
        log.expect(&[(10, "went on"), (15, "out"), (20, "cleaning"), (40, "out")]);
    });
}

#[test]
fn a_cancel_is_held_back_by_each_of_nested_protections_and_goes_on_once() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let cleanup = async {
                protect(sleep(ms(20)), ms(50)).await.unwrap();
                inner.add("the inner one is over");
                sleep(ms(10)).await;
                inner.add("the outer one is over");
            };
            protect(cleanup, ms(100)).await.unwrap();
            inner.add("never");
        });
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(20, "the inner one is over"), (30, "the outer one is over")]);
    });
}

#[test]
fn a_clean_up_that_begins_as_the_outer_grace_ends_is_cancelled_with_it() {
    run_virtual(async {
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let task = create_task(async move {
            let cleanup = async {
                receiver.await.unwrap();
                _ = protect(sleep(ms(LONG)), ms(1_000)).await;
            };
            (protect(cleanup, ms(5)).await, at())
        });
        sleep(ms(5)).await;
        sender.send(()).unwrap();
        assert_eq!(task.await, Ok((Err(TimedOut), 5)));
    });
}

#[test]
fn a_cancel_after_an_outer_grace_reaches_the_inner_clean_up() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let cleanup = finally_within(sleep(ms(LONG)), ms(1_000), async || {
                inner.add("cleaning");
                sleep(ms(500)).await;
                inner.add("never");
            });
            _ = protect(cleanup, ms(10)).await;
        });
        sleep(ms(20)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(10, "cleaning"), (20, "ended")]);
    });
}

/// Runs a task whose clean-up takes so long, in a grace of ten milliseconds, and returns what was reported.
fn reported(cleanup: u64, cancel: bool) -> Vec<String> {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async move {
        let task = create_task(async move {
            finally_within(sleep(ms(5)), ms(10), async || sleep(ms(cleanup)).await).await;
        });
        yield_now().await;
        if cancel {
            task.cancel();
            sleep(ms(1)).await;
            task.cancel();
        }
        assert_eq!(task.await.is_err(), cancel, "as after a clean-up that has ended");
    });
    reports.take()
}

#[test]
fn a_clean_up_that_its_grace_cut_off_is_reported_with_its_line_and_one_that_is_done_is_not() {
    for cancel in [false, true] {
        assert!(reported(9, cancel).is_empty());
        let reports = reported(LONG, cancel);
        let [report] = &reports[..] else { unreachable!("{reports:?}") };
        let begins = "task 'Task-2' (spawned at ";
        let says = "has not cleaned up in time: the clean-up of its `finally_within` at";
        let with = "with a grace time of 10ms, was cut off";
        assert!(report.starts_with(begins) && report.contains(says), "{report}");
        assert!(report.contains(with) && report.contains(file!()), "{report}");
    }
}

#[test]
fn a_clean_up_that_a_cancel_cut_off_after_its_grace_is_reported_once() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let slow = || finally(sleep(ms(LONG)), async || sleep(ms(LONG)).await);
        let work = finally_within(async {}, ms(10), slow);
        assert!(wait_for(work, ms(30)).await.is_err());
    });
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
}

#[test]
fn clean_up_that_ends_after_it_has_caught_the_end_of_its_grace_is_not_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        finally_within(async {}, ms(10), async || {
            assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
        })
        .await;
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn the_report_comes_before_a_panic_of_the_body_goes_on_and_its_handler_may_panic() {
    let reports = Rc::new(Cell::new(0));
    let count = reports.clone();
    let handler = move |context: &ExceptionContext| {
        let Failure::CleanUpCutOff { grace, at } = context.failure else { return };
        assert_eq!((grace, at.file()), (ms(10), file!()));
        count.set(count.get() + 1);
        panic!("a handler panics");
    };
    let builder = EventLoop::builder().clock(VirtualClock::new()).exception_handler(handler);
    builder.build().run(async {
        let body = async { panic!("the body panics") };
        let task = create_task(finally_within(body, ms(10), async || pending().await));
        assert!(task.await.unwrap_err().is_panic());
    });
    assert_eq!(reports.get(), 1);
}

#[test]
fn a_test_fails_on_a_clean_up_that_was_cut_off_unless_it_expects_that() {
    let cut = || finally_within(async {}, ms(10), async || pending().await);
    let failed = catch_unwind(AssertUnwindSafe(|| run_test(cut()))).unwrap_err();
    let text = failed.downcast_ref::<String>().unwrap();
    assert!(text.contains("was cut off"), "{text}");
    TestRun::new().expect_report("has not cleaned up in time").run(cut());
}

//! Tests what `protect` and `finally_within` promise: for the grace time nothing from outside interrupts what they hold; what was
//! held back comes afterwards; what happens inside is its own business.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, Location};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, Watchdog, ms, turns, watched_loop};
use futures::future::{Either, FutureExt, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::trace::What;
use loopwheel::{
    EventLoop, Task, TaskError, TaskGroup, TimedOut, VirtualClock, catch_cancel, create_task,
    current_task, finally, finally_within, gather, now, protect, run_virtual, sleep, timeout,
    timeout_at, try_create_task, wait_for, yield_now,
};

const LONG: u64 = 60_000;

/// Milliseconds since the start of the loop.
fn at() -> u64 {
    now().as_nanos() / 1_000_000
}

/// Why the task was cancelled that ended so.
fn why(ended: &TaskError) -> Option<&str> {
    match ended {
        TaskError::Cancelled(cancelled) => cancelled.reason(),
        _ => Some("it was not cancelled"),
    }
}

/// Is interrupted, and then cleans up for so long, within a grace of a second.
async fn cleans(log: Log, millis: u64) {
    finally_within(sleep(ms(LONG)), ms(1_000), async || {
        log.add("cleaning");
        sleep(ms(millis)).await;
        log.add("clean");
    })
    .await;
    log.add("never");
}

#[test]
fn what_is_not_cancelled_gives_its_value() {
    run_virtual(async {
        assert_eq!(protect(async { 1 }, ms(5)).await, Ok(1));
        let late = async {
            sleep(ms(3)).await;
            2
        };
        assert_eq!(protect(late, ms(5)).await, Ok(2));
        assert_eq!(finally_within(async { 3 }, ms(5), async || sleep(ms(1)).await).await, 3);
        assert_eq!(finally_within(async { 4 }, ms(5), sleep(ms(1)).map(drop)).await, 4);
        assert_eq!((at(), current_task().cancelling()), (5, 0));
    });
}

#[test]
fn a_second_cancel_is_held_back_until_the_clean_up_is_over_and_then_goes_on() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log.clone(), 20));
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel_with_reason("the second");
        yield_now().await;
        assert_eq!(task.cancelling(), 2);
        let ended = task.await.unwrap_err();
        assert_eq!(why(&ended), Some("the second"));
        log.add("ended");
        log.expect(&[(5, "cleaning"), (25, "clean"), (25, "ended")]);
    });
}

#[test]
fn a_cancel_that_was_held_back_comes_out_where_the_protection_ends() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let caught = catch_cancel(protect(sleep(ms(20)), ms(100))).await;
                log.add(caught.unwrap_err().reason().unwrap_or("none"));
                sleep(ms(5)).await; // it was delivered once
                log.add("went on");
            }
        });
        sleep(ms(5)).await;
        task.cancel_with_reason("why");
        assert_eq!(task.await, Ok(()));
        log.expect(&[(20, "why"), (25, "went on")]);
    });
}

#[test]
fn a_cancel_in_the_turn_in_which_the_clean_up_begins_does_not_cut_it() {
    for before in 0..3 {
        run_virtual(async move {
            let log = Log::new();
            let task = create_task(cleans(log.clone(), 20));
            sleep(ms(5)).await;
            task.cancel();
            turns(before).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            log.expect(&[(5, "cleaning"), (25, "clean")]);
        });
    }
}

#[test]
fn a_task_that_cancels_itself_in_its_clean_up_finishes_it() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let cancels_itself = async {
                current_task().cancel();
                wait_for(sleep(ms(50)), ms(10)).await.unwrap_err(); // its own limit, not the cancel
                inner.add("clean");
            };
            protect(cancels_itself, ms(100)).await.unwrap();
            inner.add("never");
        });
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(10, "clean")]);
    });
}

#[test]
fn a_hundred_cancels_cut_nothing_and_are_counted() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log.clone(), 200));
        yield_now().await;
        for _ in 0..100 {
            task.cancel();
            sleep(ms(1)).await;
        }
        assert_eq!(task.cancelling(), 100);
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(0, "cleaning"), (200, "clean")]);
    });
}

/// Each kind of limit, of five milliseconds.
async fn limited(kind: usize, body: impl Future<Output = ()>) -> Result<(), TimedOut> {
    match kind {
        0 => wait_for(body, ms(5)).await,
        1 => timeout(ms(5), async |_| body.await).await,
        _ => timeout_at(now() + ms(5), async |_| body.await).await,
    }
}

#[test]
fn a_limit_around_that_expires_during_the_clean_up_ends_as_timed_out_when_that_is_over() {
    for kind in 0..3 {
        run_virtual(async move {
            let log = Log::new();
            let cleaning = finally_within(async {}, ms(100), async || {
                sleep(ms(20)).await;
                log.add("clean");
            });
            assert_eq!(limited(kind, cleaning).await, Err(TimedOut));
            let protected = async { protect(sleep(ms(20)), ms(100)).await.unwrap() };
            assert_eq!(limited(kind, protected).await, Err(TimedOut));
            log.expect(&[(20, "clean")]);
            assert_eq!((at(), current_task().cancelling()), (40, 0));
        });
    }
}

#[test]
fn of_limits_around_a_clean_up_the_one_that_is_up_is_the_one_that_says_so() {
    run_virtual(async {
        // The inner one interrupts the body; the outer one expires during the clean-up, and is the one in the end.
        let log = Log::new();
        let inner = wait_for(cleans(log.clone(), 20), ms(5));
        assert_eq!(wait_for(inner, ms(10)).await, Err(TimedOut));
        // With time left outside, it is the inner one.
        let inner = wait_for(cleans(log.clone(), 20), ms(5));
        assert_eq!(wait_for(inner, ms(50)).await, Ok(Err(TimedOut)));
        // Both expire during the clean-up.
        let inner = wait_for(protect(sleep(ms(20)), ms(100)), ms(5));
        assert_eq!(wait_for(inner, ms(10)).await, Err(TimedOut));
        log.expect(&[(5, "cleaning"), (25, "clean"), (30, "cleaning"), (50, "clean")]);
        assert_eq!((at(), current_task().cancelling()), (70, 0));
    });
}

#[test]
fn a_cancel_and_a_limit_that_were_held_back_are_both_honoured() {
    for cancel_at in [2, 5, 8] {
        run_virtual(async move {
            let log = Log::new();
            let inner = log.clone();
            let task = create_task(async move {
                _ = wait_for(protect(sleep(ms(20)), ms(100)), ms(5)).await;
                inner.add("never: the task was cancelled as well");
            });
            sleep(ms(cancel_at)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(at(), 20);
            log.expect(&[]);
        });
    }
}

#[test]
fn a_limit_inside_holds_for_its_own_body_though_a_cancel_is_held_back() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                finally_within(sleep(ms(LONG)), ms(1_000), async || {
                    assert_eq!(wait_for(sleep(ms(LONG)), ms(10)).await, Err(TimedOut));
                    log.add("the first limit");
                    let task = create_task(sleep(ms(LONG)));
                    assert!(wait_for(task, ms(10)).await.is_err());
                    log.add("the second limit");
                    let zero = create_task(sleep(ms(LONG)));
                    assert!(wait_for(zero, ms(0)).await.is_err());
                    let both = wait_for(wait_for(sleep(ms(LONG)), ms(5)), ms(10)).await;
                    assert_eq!(both, Ok(Err(TimedOut)));
                    log.add("the third limit");
                })
                .await;
            }
        });
        for _ in 0..4 {
            sleep(ms(4)).await;
            task.cancel();
        }
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(14, "the first limit"), (24, "the second limit"), (29, "the third limit")]);
    });
}

#[test]
fn a_limit_inside_holds_for_its_own_body_though_one_around_is_up() {
    run_virtual(async {
        let log = Log::new();
        let cleanup = async {
            assert_eq!(wait_for(sleep(ms(LONG)), ms(10)).await, Err(TimedOut));
            log.add("the inner limit");
        };
        let protected = async { protect(cleanup, ms(100)).await.unwrap() };
        assert_eq!(wait_for(protected, ms(5)).await, Err(TimedOut));
        log.expect(&[(10, "the inner limit")]);
    });
}

#[test]
fn a_limit_inside_holds_for_its_own_body_though_the_first_cancel_was_taken_back() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                finally_within(sleep(ms(LONG)), ms(1_000), async || {
                    assert_eq!(current_task().uncancel(), 0);
                    assert_eq!(wait_for(sleep(ms(LONG)), ms(10)).await, Err(TimedOut));
                    log.add("the inner limit");
                })
                .await;
            }
        });
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(10, "the inner limit")]);
    });
}

#[test]
fn a_group_that_raises_a_cancel_again_in_a_clean_up_does_not_cut_it() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                finally_within(sleep(ms(LONG)), ms(1_000), async || {
                    let group = TaskGroup::<&str>::scope(async |group| {
                        group.create_task(async {
                            sleep(ms(10)).await;
                            Err::<(), _>("failed")
                        });
                    });
                    assert!(group.await.is_err());
                    sleep(ms(10)).await;
                    log.add("clean");
                })
                .await;
            }
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(20, "clean")]);
    });
}

#[test]
fn a_group_inside_ends_as_always_though_a_cancel_is_held_back() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let group = TaskGroup::<&str>::scope(async |group| {
                    group.create_task(async {
                        sleep(ms(20)).await;
                        Err::<(), _>("failed")
                    });
                    sleep(ms(LONG)).await;
                });
                let cleanup = async {
                    assert_eq!(group.await.unwrap_err().iter().count(), 1);
                    sleep(ms(10)).await; // the group raises a cancel again that its task has: it is held back, too
                    log.add("clean");
                };
                protect(cleanup, ms(100)).await.unwrap();
                log.add("never");
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(30, "clean")]);
    });
}

#[test]
fn what_is_raised_inside_comes_out() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
            let raises = async {
                sleep(ms(5)).await;
                cancelled.reraise().await
            };
            protect(futures::future::join(raises, sleep(ms(10))), ms(100)).await.unwrap();
        });
        yield_now().await;
        task.cancel_with_reason("first");
        let ended = task.await.unwrap_err();
        assert_eq!(why(&ended), Some("first"));
        assert_eq!(at(), 10, "the branch beside it was waited for");
    });
}

#[test]
fn what_is_raised_inside_is_caught_around() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
            let raises = async {
                sleep(ms(5)).await;
                cancelled.reraise().await
            };
            assert!(catch_cancel(protect(raises, ms(100))).await.is_err());
            at()
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await, Ok(5));
    });
}

#[test]
fn what_was_interrupted_before_and_is_kept_can_be_awaited_in_it() {
    run_virtual(async {
        let task = create_task(async {
            let mut kept = Box::pin(sleep(ms(20)));
            let catches = Box::pin(catch_cancel(sleep(ms(LONG))));
            assert!(matches!(select(&mut kept, catches).await, Either::Right(_)));
            let cleans = finally(sleep(ms(5)), async || ());
            let inner = finally(sleep(ms(LONG)), kept);
            let protected = async {
                let limited = protect(wait_for(inner, ms(1)), ms(100)).await;
                assert_eq!(limited, Ok(Err(TimedOut)));
            };
            futures::join!(protected, cleans);
            at()
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(20));
    });
}

#[test]
fn what_an_inner_limit_has_caught_is_not_taken_for_the_cancel_of_the_task() {
    run_virtual(async {
        let task = create_task(async {
            let inner = async {
                assert_eq!(wait_for(pending::<()>(), ms(5)).await, Err(TimedOut));
                pending::<()>().await;
            };
            // Ready in the poll that delivers the cancel, after the inner limit has caught its own.
            let late = poll_fn(|_| {
                if current_task().cancelling() > 0 { Poll::Ready(()) } else { Poll::Pending }
            });
            let protected = Box::pin(protect(inner, ms(100)));
            assert!(matches!(select(protected, late).await, Either::Right(_)));
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled(), "it has not caught the cancel");
        assert_eq!(at(), 5);
    });
}

#[test]
fn a_task_that_is_awaited_inside_takes_no_cancel_from_outside() {
    run_virtual(async {
        let log = Log::new();
        let flush = log.clone();
        let task = create_task(async move {
            let flushing = create_task(async move {
                sleep(ms(20)).await;
                flush.add("flushed");
                7
            });
            assert_eq!(protect(flushing, ms(100)).await, Ok(Ok(7)));
        });
        let outer = create_task(async { drop(task.await) }); // the cancel is forwarded along the chain
        sleep(ms(5)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        log.expect(&[(20, "flushed")]);
    });
}

#[test]
fn a_gathering_inside_takes_no_cancel_from_outside() {
    run_virtual(async {
        let task = create_task(async {
            let all = gather([sleep(ms(10)), sleep(ms(20))]);
            protect(all, ms(100)).await.unwrap();
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(at(), 20);
    });
}

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

#[test]
fn a_group_whose_child_fails_waits_for_the_clean_ups_of_the_others_and_of_its_body() {
    run_virtual(async {
        let log = Log::new();
        let (child, body) = (log.clone(), log.clone());
        let scope = TaskGroup::<&str>::scope(async move |group| {
            group.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("failed")
            });
            group.create_task(async move {
                protect(sleep(ms(20)), ms(100)).await.unwrap();
                child.add("never");
                Ok(())
            });
            let cleanup = async {
                sleep(ms(30)).await;
                body.add("clean");
            };
            protect(cleanup, ms(100)).await.unwrap();
            body.add("never");
        });
        assert_eq!(scope.await.unwrap_err().iter().collect::<Vec<_>>(), [&"failed"]);
        log.add("ended");
        log.expect(&[(30, "clean"), (30, "ended")]);
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_group_that_is_cancelled_waits_for_its_body() {
    run_virtual(async {
        let scope = TaskGroup::<&str>::scope(async |group| {
            let cancels = async {
                group.cancel();
                sleep(ms(20)).await;
            };
            protect(cancels, ms(100)).await.unwrap();
        });
        assert!(scope.await.unwrap_err().is_empty());
        assert_eq!(at(), 20);
    });
}

#[test]
fn a_panic_of_the_clean_up_goes_on_in_place_of_what_the_body_gave() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let task = create_task(finally_within(sleep(ms(LONG)), ms(100), async || {
            sleep(ms(10)).await;
            panic!("in the clean-up");
        }));
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        let ended = task.await.unwrap_err();
        assert!(matches!(&ended, TaskError::Panicked(panic) if panic.to_string().contains("in the clean-up")));
        // What comes after is whole.
        let task = create_task(wait_for(sleep(ms(LONG)), ms(5)));
        assert_eq!(task.await, Ok(Err(TimedOut)));
    });
    assert_eq!(reports.borrow().len(), 0);
}

#[test]
fn a_panic_of_the_body_is_not_lost_for_a_cancel_during_the_clean_up() {
    run_virtual(async {
        let body = async { panic!("in the body") };
        let task = create_task(finally_within(body, ms(100), async || sleep(ms(10)).await));
        sleep(ms(5)).await;
        task.cancel();
        let ended = task.await.unwrap_err();
        assert!(
            matches!(&ended, TaskError::Panicked(panic) if panic.to_string().contains("in the body"))
        );
        assert_eq!(at(), 10);
    });
}

#[test]
fn a_panic_that_is_caught_in_the_poll_that_delivers_leaves_the_branch_beside_to_be_interrupted() {
    run_virtual(async {
        let log = Log::new();
        let beside = OnDrop(log.clone(), "interrupted");
        let task = create_task(async move {
            let polls = Cell::new(0);
            let panics = poll_fn(move |_| {
                polls.set(polls.get() + 1);
                assert!(polls.get() < 2, "boom");
                Poll::<()>::Pending
            });
            let caught = AssertUnwindSafe(protect(panics, ms(100))).catch_unwind();
            let beside = async move {
                let _beside = beside;
                sleep(ms(LONG)).await;
            };
            assert!(futures::join!(caught, beside).0.is_err());
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(5, "interrupted")]);
    });
}

#[test]
fn at_the_end_of_a_run_the_clean_up_has_its_grace() {
    for (cleanup, ends) in [(20, 20), (LONG, 1_000)] {
        let log = Log::new();
        let inner = log.clone();
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        event_loop.run(async move {
            let cleaning = create_task(cleans(inner.clone(), cleanup)).to_ref();
            yield_now().await;
            cleaning.cancel();
            let limited = create_task(async move {
                protect(sleep(ms(cleanup)), ms(1_000)).await.unwrap();
                inner.add("never");
            });
            yield_now().await;
            drop(limited);
        });
        let ended = event_loop.run(async { at() });
        assert_eq!(ended, ends);
    }
}

#[test]
fn in_a_join_each_branch_is_interrupted_or_held_as_it_is() {
    run_virtual(async {
        let log = Log::new();
        let (one, two, three) = (log.clone(), log.clone(), OnDrop(log.clone(), "sleep"));
        let task = create_task(async move {
            let slow = async {
                _ = protect(sleep(ms(30)), ms(100)).await;
                one.add("never");
            };
            let fast = async {
                _ = protect(sleep(ms(10)), ms(100)).await;
                two.add("never");
            };
            let plain = finally(sleep(ms(LONG)), async move || {
                three.0.add("interrupted");
                drop(three);
            });
            futures::join!(slow, fast, plain);
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(5, "interrupted"), (5, "sleep"), (30, "ended")]);
    });
}

#[test]
fn a_limit_in_one_branch_leaves_the_protection_beside_it_alone() {
    run_virtual(async {
        let limited = wait_for(sleep(ms(LONG)), ms(5));
        let (limited, protected) = futures::join!(limited, protect(sleep(ms(20)), ms(100)));
        assert_eq!((limited, protected), (Err(TimedOut), Ok(())));
    });
}

#[test]
fn a_select_that_the_protection_loses_drops_it_and_its_cancel() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let held = OnDrop(inner.clone(), "dropped hard");
            let cleanup = Box::pin(protect(
                async move {
                    let _held = held;
                    sleep(ms(LONG)).await;
                },
                ms(LONG),
            ));
            let wins = protect(sleep(ms(10)), ms(100)).map(drop);
            let wins = Box::pin(catch_cancel(wins));
            drop(select(cleanup, wins).await);
            assert_eq!(current_task().cancelling(), 1);
            current_task().uncancel();
            sleep(ms(5)).await;
            inner.add("went on");
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(()));
        log.expect(&[(10, "dropped hard"), (15, "went on")]);
    });
}

#[test]
fn a_protection_that_lost_a_select_and_is_kept_takes_no_cancel_that_comes_meanwhile() {
    run_virtual(async {
        let task = create_task(async {
            let kept = Box::pin(protect(sleep(ms(20)), ms(100)));
            let Either::Right(((), kept)) = select(kept, Box::pin(sleep(ms(1)))).await else {
                unreachable!("the other is faster")
            };
            assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
            assert_eq!(kept.await, Ok(()));
            sleep(ms(1)).await;
            at()
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(21));
    });
}

#[test]
fn the_cancel_of_a_limit_that_is_gone_is_held_back_no_more() {
    run_virtual(async {
        let mut protected = Box::pin(protect(async { sleep(ms(30)).await }, ms(100)));
        let limited = Box::pin(wait_for(protected.as_mut(), ms(5)));
        drop(select(limited, Box::pin(sleep(ms(10)))).await);
        let asks = async {
            sleep(ms(1)).await;
            let dump = loopwheel::dump();
            assert!(dump.tasks.iter().all(|it| !it.is_held_back), "{dump}");
        };
        assert_eq!(futures::join!(protected, asks).0, Ok(()));
        assert_eq!((at(), current_task().cancelling()), (30, 0));
        sleep(ms(1)).await;
    });
}

#[test]
fn a_request_that_is_taken_back_meanwhile_is_gone() {
    run_virtual(async {
        let task = create_task(async { protect(sleep(ms(20)), ms(100)).await.map(|()| at()) });
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await, Ok(Ok(20)));
    });
}

#[test]
fn in_another_task_it_holds_no_cancel_of_the_first_back() {
    run_virtual(async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let first = create_task(async move {
            let cleanup = async {
                sleep(ms(10)).await;
                sleep(ms(20)).await;
            };
            let mut kept = Some(Box::pin(protect(cleanup, ms(100))));
            let mut sender = Some(sender);
            // It holds the cancel back, and is given away.
            let gives_away = poll_fn(|cx| {
                let pending = kept.as_mut().unwrap().as_mut().poll(cx).is_pending();
                if at() == 10 {
                    sender.take().map(|it| it.send(kept.take().unwrap()).ok());
                    return Poll::Ready(());
                }
                assert!(pending);
                Poll::Pending
            });
            gives_away.await;
        });
        sleep(ms(5)).await;
        first.cancel();
        let kept = receiver.await.unwrap();
        drop(first.await);
        assert_eq!(kept.await, Ok(()));
        assert_eq!((at(), current_task().cancelling()), (30, 0));
    });
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Futures in a set, with nothing else in it.
async fn set(futures: Vec<Boxed>, kind: usize) {
    match kind {
        0 => futures.into_iter().collect::<FuturesUnordered<_>>().collect::<()>().await,
        1 => drop(join_all(futures).await),
        _ => {
            let inner: Boxed = Box::pin(set(futures, 0));
            [inner].into_iter().collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
    }
}

#[test]
fn in_a_set_each_is_held_until_its_own_end() {
    for kind in 0..3 {
        for around in [false, true] {
            run_virtual(async move {
                let _watchdog = Watchdog::new("in_a_set_each_is_held_until_its_own_end");
                let log = Log::new();
                let inner = log.clone();
                let task = create_task(async move {
                    let cleans = |millis: u64, name: &'static str| -> Boxed {
                        let log = inner.clone();
                        Box::pin(async move {
                            let clean = async {
                                sleep(ms(millis / 2)).await;
                                sleep(ms(millis / 2)).await;
                                log.add(name);
                            };
                            protect(clean, ms(1_000)).await.unwrap();
                            log.add("never");
                        })
                    };
                    let mut all = vec![cleans(20, "a"), cleans(60, "b"), cleans(40, "c")];
                    all.push(Box::pin(sleep(ms(LONG))));
                    all.extend((0..40).map(|_| -> Boxed { Box::pin(sleep(ms(LONG))) }));
                    if around {
                        assert_eq!(wait_for(set(all, kind), ms(5)).await, Err(TimedOut));
                    } else {
                        set(all, kind).await;
                    }
                });
                sleep(ms(5)).await;
                if !around {
                    task.cancel();
                }
                assert_eq!(task.await.is_err(), !around);
                log.add("ended");
                log.expect(&[(20, "a"), (40, "c"), (60, "b"), (60, "ended")]);
            });
        }
    }
}

#[test]
fn in_a_set_it_holds_around_foreign_code() {
    for kind in 0..3 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("in_a_set_it_holds_around_foreign_code");
            let (sender, receiver) = futures::channel::oneshot::channel::<()>();
            let task = create_task(async move {
                let protected: Boxed = Box::pin(async {
                    protect(async { receiver.await.unwrap() }, ms(100)).await.unwrap();
                });
                let ticks: Boxed = Box::pin(async {
                    let ticks = async {
                        for _ in 0..8 {
                            sleep(ms(1)).await;
                        }
                    };
                    protect(ticks, ms(100)).await.unwrap();
                });
                set(vec![protected, Box::pin(sleep(ms(LONG))), ticks], kind).await;
            });
            sleep(ms(3)).await;
            task.cancel();
            sleep(ms(2)).await;
            task.cancel();
            sleep(ms(5)).await;
            assert!(!task.is_done());
            sender.send(()).unwrap();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(at(), 10);
        });
    }
}

#[test]
fn in_a_set_its_grace_ends_it() {
    for kind in 0..3 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("in_a_set_its_grace_ends_it");
            let task = create_task(async move {
                let protected: Boxed = Box::pin(async move {
                    let cleanup = set(vec![Box::pin(sleep(ms(LONG))), Box::pin(pending())], kind);
                    assert_eq!(protect(cleanup, ms(50)).await, Err(TimedOut));
                });
                set(vec![protected, Box::pin(sleep(ms(LONG)))], kind).await;
            });
            sleep(ms(60)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(at(), 60);
        });
    }
}

#[test]
fn while_a_cancel_is_held_back_a_limit_inside_reaches_what_is_in_a_set_beside_futures_that_wake_themselves()
 {
    for yielders in [1, 4, 20, 100] {
        run_virtual(async move {
            let _watchdog = Watchdog::new("a_limit_inside_reaches_all_in_a_set");
            let cleaned = Rc::new(Cell::new(false));
            let cleans = cleaned.clone();
            let task = create_task(async move {
                let work = finally(sleep(ms(LONG)), async move || cleans.set(true));
                let mut all: Vec<Boxed> = vec![Box::pin(work)];
                all.extend((0..yielders).map(|_| -> Boxed {
                    let yields = Cell::new(0);
                    Box::pin(poll_fn(move |cx| {
                        yields.set(yields.get() + 1);
                        cx.waker().wake_by_ref();
                        if yields.get() < 1_000_000 { Poll::Pending } else { Poll::Ready(()) }
                    }))
                }));
                let cleanup = async {
                    sleep(ms(10)).await;
                    assert_eq!(wait_for(set(all, 0), ms(0)).await, Err(TimedOut));
                };
                protect(cleanup, ms(100)).await.unwrap();
            });
            sleep(ms(5)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!((at(), cleaned.get()), (10, true), "beside {yielders}");
        });
    }
}

/// What a clean-up may wait for.
fn waits(kind: usize) -> Boxed {
    match kind {
        0 => Box::pin(sleep(ms(LONG))),
        1 => Box::pin(async {
            let lock = Lock::new();
            let _guard = lock.acquire().await;
            drop(lock.acquire().await);
        }),
        2 => Box::pin(async { Event::new().wait().await }),
        3 => Box::pin(async { _ = Queue::<u32>::unbounded().get().await }),
        4 => Box::pin(async { drop(Semaphore::new(0).acquire().await) }),
        5 => Box::pin(async { drop(create_task(sleep(ms(LONG))).await) }),
        6 => Box::pin(async { drop(gather([sleep(ms(LONG))]).await) }),
        7 => Box::pin(wait_for(sleep(ms(LONG)), ms(LONG)).map(drop)),
        8 => Box::pin(protect(sleep(ms(LONG)), ms(LONG)).map(drop)),
        9 => Box::pin(set(vec![Box::pin(sleep(ms(LONG)))], 0)),
        _ => Box::pin(pending()),
    }
}

#[test]
fn whatever_it_waits_for_a_cancel_leaves_it_alone_and_the_end_of_the_grace_ends_it() {
    for kind in 0..=10 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("whatever_it_waits_for");
            let task = create_task(async move { _ = protect(waits(kind), ms(50)).await });
            for _ in 0..10 {
                sleep(ms(4)).await;
                task.cancel();
            }
            sleep(ms(5)).await;
            assert!(!task.is_done(), "{kind}");
            assert!(task.await.unwrap_err().is_cancelled(), "{kind}");
            assert_eq!(at(), 50, "{kind}");
        });
    }
}

#[test]
fn dropped_hard_in_every_state_it_leaves_nothing_behind() {
    // Not polled, waiting, holding a cancel back, after its grace, and after its end.
    for (cancels, after) in [(false, 0), (false, 5), (true, 5), (false, 60), (true, 60)] {
        for kind in 0..=10 {
            run_virtual(async move {
                let log = Log::new();
                let held = OnDrop(log.clone(), "dropped");
                let cleanup = async move {
                    let _held = held;
                    loop {
                        _ = catch_cancel(waits(kind)).await;
                    }
                };
                let protected: Boxed = Box::pin(protect(cleanup, ms(50)).map(drop));
                let keeps = Rc::new(RefCell::new(Some(protected)));
                let kept = keeps.clone();
                let task = create_task(poll_fn(move |cx| match &mut *kept.borrow_mut() {
                    Some(protected) if after > 0 => protected.as_mut().poll(cx),
                    _ => Poll::Pending,
                }));
                sleep(ms(2)).await;
                if cancels {
                    task.cancel();
                }
                sleep(ms(after)).await;
                let dropped = keeps.take();
                drop(dropped);
                log.expect(&[(2 + after, "dropped")]);
                let requests = task.cancelling();
                assert_eq!(requests, usize::from(cancels), "{kind} {after}: {requests}");
                let dump = loopwheel::dump();
                assert!(dump.tasks.iter().all(|it| !it.is_held_back), "{kind} {after}: {dump}");
            });
        }
    }
}

#[test]
fn a_loop_that_is_dropped_ends_it_hard() {
    let log = Log::new();
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let dropped = Rc::new(Cell::new(false));
    let sets = dropped.clone();
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let held = Sets(sets);
    drop(event_loop.create_task(async move {
        let _held = held;
        protect(sleep(ms(LONG)), ms(LONG)).await.unwrap();
        log.add("never");
    }));
    drop(event_loop);
    assert!(dropped.get());
}

#[test]
fn a_dump_says_that_a_cancel_is_held_back() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log, 20));
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        let of = |dump: &loopwheel::dump::Dump| {
            dump.tasks.iter().find(|it| it.task.name == "Task-2").unwrap().clone()
        };
        assert!(!of(&loopwheel::dump()).is_held_back, "the first one has been delivered");
        task.cancel();
        yield_now().await;
        let dump = loopwheel::dump();
        assert!(of(&dump).is_held_back);
        assert!(
            dump.to_string().contains("2 cancels requested, held back until its clean-up is over"),
            "{dump}"
        );
        assert!(dump.await_tree().to_string().contains("held back"), "{dump}");
        assert!(task.await.is_err());
    });
}

#[test]
fn a_trace_says_that_a_cancel_is_held_back_and_let_go() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let tells = told.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .trace(move |event: &loopwheel::trace::Event<'_>| {
            let what = match &event.what {
                What::CancelHeldBack { .. } => "held back",
                What::CancelDelivered { .. } => "delivered",
                What::CancelCaught { .. } => "caught",
                _ => return,
            };
            tells.borrow_mut().push((
                event.at.as_nanos() / 1_000_000,
                what,
                event.what.to_string(),
            ));
        })
        .build();
    event_loop.run(async {
        let task = create_task(cleans(Log::new(), 20));
        yield_now().await;
        task.cancel();
        for _ in 0..2 {
            sleep(ms(5)).await;
            task.cancel();
        }
        assert!(task.await.is_err());
    });
    let told = told.borrow();
    let seen: Vec<_> = told.iter().map(|(at, what, _)| (*at, *what)).collect();
    let expected =
        [(0, "delivered"), (0, "caught"), (5, "held back"), (10, "held back"), (20, "delivered")];
    assert_eq!(seen, expected);
    assert_eq!(told[2].2, "The cancel of Task-2 is held back until its clean-up is over.");
}

#[test]
fn used_wrongly_it_says_so() {
    let outside = std::panic::catch_unwind(|| protect(async {}, ms(1)).now_or_never());
    let text = *outside.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("a grace time (created at tests"), "{text}");
    assert!(text.contains("was polled outside a task: await it in a task of a loop"), "{text}");
}

/// Whatever happens when: the clean-up ends after its time or its grace, and every request is counted.
#[test]
fn cancels_and_limits_at_whatever_moments_never_cut_a_clean_up() {
    let _watchdog = Watchdog::new("cancels_and_limits_at_whatever_moments");
    for cleanup in [0, 3, 6] {
        for limit in 0..8 {
            for first in 0..8 {
                for second in first..8 {
                    run_virtual(async move {
                        let ended = Rc::new(Cell::new(None));
                        let ends = ended.clone();
                        let task: Task<Result<(), TimedOut>> = create_task(async move {
                            let body = sleep(ms(2));
                            let work = finally_within(body, ms(5), async || {
                                let begun = at();
                                let cut = catch_cancel(sleep(ms(cleanup))).await;
                                ends.set(Some((at() - begun, cut.is_err())));
                                if let Err(cancelled) = cut {
                                    cancelled.reraise().await;
                                }
                            });
                            wait_for(work, ms(limit)).await
                        });
                        yield_now().await;
                        sleep(ms(first)).await;
                        let one = task.cancel();
                        sleep(ms(second - first)).await;
                        let two = task.cancel();
                        let counted = task.cancelling();
                        let limits = usize::from(!task.is_done() && at() >= limit);
                        assert!(task.is_done() || counted >= usize::from(one) + usize::from(two));
                        assert!(counted <= 2 + limits);
                        let outcome = task.await;
                        let case = format!("{cleanup} {limit} {first} {second}: {outcome:?}");
                        let expected = (cleanup.min(5), cleanup > 5);
                        assert_eq!(ended.get(), Some(expected), "{case}");
                        let is_over = 2.min(limit).min(first) + cleanup.min(5);
                        let is_cancelled = first < is_over;
                        let is_late = first == is_over; // at the same moment either may be first
                        assert!(is_late || outcome.is_err() == is_cancelled, "{case}");
                    });
                }
            }
        }
    }
}

#[test]
fn a_failing_task_that_is_cancelled_in_its_clean_up_is_cancelled() {
    run_virtual(async {
        let task =
            try_create_task(finally_within(async { Err::<(), _>("lost") }, ms(50), async || {
                sleep(ms(10)).await;
            }));
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// Expects that a limit in what is protected, up and cleaning up, does not take a cancel that comes after the grace for its own: the
/// cancel goes on, whether it is one of the task, or of a limit around.
#[test]
fn a_cancel_after_the_grace_passes_a_limit_inside_that_is_up() {
    let _watchdog = Watchdog::new("a cancel after the grace");
    for by_limit in [false, true] {
        let log = Log::new();
        run_virtual(async {
            let inner = log.clone();
            let protected = protect(
                async move {
                    // The grace ends here, and the first cancel that comes after it does.
                    drop(catch_cancel(sleep(ms(1_000))).await);
                    drop(catch_cancel(sleep(ms(1_000))).await);
                    let slow = finally(sleep(ms(1_000)), sleep(ms(1_000)));
                    let limited = wait_for(slow, ms(10)).await; // up at 40 ms
                    inner.add(format!("went on: {limited:?}"));
                    sleep(ms(1_000)).await;
                },
                ms(20),
            );
            let task = create_task(async move {
                if by_limit {
                    let _ = wait_for(protected, ms(50)).await;
                } else {
                    let _ = protected.await;
                }
            });
            sleep(ms(30)).await;
            task.cancel();
            sleep(ms(20)).await;
            if !by_limit {
                task.cancel();
            }
            drop(task.await);
            log.add("ended");
        });
        log.expect(&[(50, "ended")]);
    }
}

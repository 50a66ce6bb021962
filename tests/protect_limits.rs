//! Tests `protect` and `finally_within` with time limits and groups: those around are held back, those inside are their own business.

mod common;
#[path = "common/protected.rs"]
mod protected;

use std::future::{Future, pending, poll_fn};
use std::task::Poll;

use common::{Log, ms};
use futures::future::{Either, select};
use loopwheel::{
    TaskGroup, TimedOut, catch_cancel, create_task, current_task, finally, finally_within, now,
    protect, run_virtual, sleep, timeout, timeout_at, wait_for, yield_now,
};
use protected::{LONG, at, cleans, why};

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

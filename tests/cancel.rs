//! Tests what cancellation promises: how a cancel gets in, what it runs on its way, and how the task ends.
//! Where a test has a counterpart among asyncio's own tests, it behaves as `CPython` 3.14 does.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, ms, watched_loop};
use futures::future::{Either, select};
use loopwheel::{
    Instant, Task, TaskError, TaskRef, catch_cancel, create_task, current_task, finally, gather,
    now, run_virtual, shield, sleep, try_create_task, wait_for, yield_now,
};

#[test]
fn a_task_cancelled_before_its_first_poll_never_runs() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move { log.add("ran") }
        });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[]);
    });
}

#[test]
fn a_cancel_interrupts_a_sleep_at_once_and_runs_destructors() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let _guard = OnDrop(log.clone(), "dropped");
                sleep(ms(50)).await;
                log.add("never");
            }
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(!task.is_done(), "a cancel is asked for, not done at once");
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(10, "dropped"), (10, "ended")]);
    });
}

#[test]
fn a_finished_task_cannot_be_cancelled() {
    run_virtual(async {
        let mut task = create_task(async { 7 });
        yield_now().await;
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.result(), Ok(Ok(7)));
    });
}

#[test]
fn clean_up_may_await_and_delays_the_end() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let cancelled = catch_cancel(sleep(ms(50))).await.unwrap_err();
                log.add("cleaning");
                sleep(ms(20)).await;
                log.add("clean");
                cancelled.reraise().await
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(5, "cleaning"), (25, "clean"), (25, "ended")]);
    });
}

#[test]
fn a_swallowed_cancel_lets_the_task_go_on_and_stays_counted() {
    run_virtual(async {
        let task = create_task(async {
            let caught = catch_cancel(sleep(ms(50))).await;
            assert!(caught.is_err());
            assert_eq!(current_task().cancelling(), 1);
            sleep(ms(10)).await; // is not cancelled: a cancel is delivered once
            assert_eq!(current_task().uncancel(), 0);
            4
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(4));
    });
}

#[test]
fn two_cancels_before_the_task_runs_are_delivered_as_one() {
    run_virtual(async {
        let task = create_task(async {
            assert!(catch_cancel(sleep(ms(50))).await.is_err());
            assert_eq!(current_task().cancelling(), 2);
            sleep(ms(10)).await;
            1
        });
        sleep(ms(5)).await;
        assert!(task.cancel());
        assert!(task.cancel());
        assert_eq!(task.await, Ok(1));
    });
}

#[test]
fn a_second_cancel_interrupts_the_clean_up() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let cleanup = log.clone();
                finally(sleep(ms(50)), async || {
                    cleanup.add("cleaning");
                    sleep(ms(20)).await;
                    cleanup.add("never");
                })
                .await;
                log.add("never");
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(5, "cleaning"), (10, "ended")]);
    });
}

#[test]
fn a_cancel_of_oneself_is_delivered_at_the_next_await_that_waits() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                assert!(current_task().cancel());
                log.add("still here");
                let done = create_task(async {});
                assert_eq!(current_task().cancelling(), 1);
                sleep(ms(5)).await;
                drop(done);
                log.add("never");
            }
        });
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(0, "still here"), (0, "ended")]);
    });
}

#[test]
fn a_cancel_of_oneself_that_finds_no_await_ends_the_task_cancelled() {
    run_virtual(async {
        let value = create_task(async {
            current_task().cancel();
            5
        });
        assert!(value.await.unwrap_err().is_cancelled());

        let error = try_create_task(async {
            current_task().cancel();
            Err::<(), _>("an error is still an error")
        });
        assert_eq!(error.await, Err(TaskError::Failed("an error is still an error")));
    });
}

#[test]
fn uncancel_takes_back_a_cancel_that_was_not_delivered() {
    run_virtual(async {
        let task = create_task(async {
            current_task().cancel();
            assert_eq!(current_task().uncancel(), 0);
            assert_eq!(current_task().uncancel(), 0, "there is nothing below zero");
            sleep(ms(5)).await;
            1
        });
        assert_eq!(task.await, Ok(1));

        // The task has not run yet, and is not asleep either.
        let fresh = create_task(async { 2 });
        fresh.cancel();
        fresh.to_ref().uncancel();
        assert_eq!(fresh.await, Ok(2));
    });
}

#[test]
fn uncancel_does_not_give_back_a_sleep_that_was_interrupted() {
    run_virtual(async {
        let task = create_task(sleep(ms(50)));
        sleep(ms(5)).await;
        task.cancel();
        task.to_ref().uncancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_reason_is_shown_by_every_task_that_ends_with_it() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            assert_eq!(cancelled.reason(), Some("shutting down"));
            cancelled.reraise().await
        });
        yield_now().await;
        task.cancel_with_reason("shutting down");
        let error = task.await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: shutting down");
    });
}

/// The text of the error that a task ends with.
async fn error_of(task: Task<()>) -> String {
    task.await.unwrap_err().to_string()
}

#[test]
fn of_two_cancels_of_a_sleeping_task_the_first_gives_the_reason() {
    run_virtual(async {
        let task = create_task(sleep(ms(50)));
        sleep(ms(5)).await;
        task.cancel_with_reason("first");
        task.cancel_with_reason("second");
        assert_eq!(error_of(task).await, "cancelled: first");

        let task = create_task(sleep(ms(50)));
        sleep(ms(5)).await;
        task.cancel();
        task.cancel_with_reason("second");
        assert_eq!(error_of(task).await, "cancelled");

        // Nothing of this one was interrupted yet.
        let task = create_task(sleep(ms(50)));
        task.cancel_with_reason("first");
        task.cancel_with_reason("second");
        assert_eq!(error_of(task).await, "cancelled: second");
    });
}

#[test]
fn the_reason_that_comes_out_of_an_await_is_that_of_the_awaited_task() {
    run_virtual(async {
        let inner = create_task(sleep(ms(50)));
        let outer = create_task(async { drop(inner.await) });
        sleep(ms(5)).await;
        outer.cancel_with_reason("first");
        outer.cancel_with_reason("second");
        assert_eq!(error_of(outer).await, "cancelled: first");

        // The second one interrupts the clean-up.
        let inner = create_task(finally(sleep(ms(50)), async || sleep(ms(50)).await));
        let outer = create_task(async { drop(inner.await) });
        sleep(ms(5)).await;
        outer.cancel_with_reason("first");
        sleep(ms(5)).await;
        outer.cancel_with_reason("second");
        assert_eq!(error_of(outer).await, "cancelled: second");
    });
}

#[test]
fn a_cancelled_gathering_has_the_reason_of_the_child_that_decided() {
    run_virtual(async {
        let swallows = || async { drop(catch_cancel(sleep(ms(50))).await) };
        let gathering = create_task(async move { drop(gather([swallows(), swallows()]).await) });
        sleep(ms(5)).await;
        gathering.cancel_with_reason("swallowed");
        assert_eq!(error_of(gathering).await, "cancelled");

        let gathering = create_task(async { drop(gather([sleep(ms(50)), sleep(ms(50))]).await) });
        sleep(ms(5)).await;
        gathering.cancel_with_reason("both");
        assert_eq!(error_of(gathering).await, "cancelled: both");

        let current = Rc::new(RefCell::new(None));
        let child = {
            let current = current.clone();
            async move {
                current.replace(Some(current_task()));
                sleep(ms(50)).await;
            }
        };
        let gathering = create_task(async { drop(gather([child]).await) });
        sleep(ms(5)).await;
        current.take().unwrap().cancel_with_reason("the child");
        assert_eq!(error_of(gathering).await, "cancelled: the child");
    });
}

#[test]
fn a_shield_does_not_tell_why_the_task_was_cancelled() {
    run_virtual(async {
        let mut task = create_task(sleep(ms(50)));
        sleep(ms(5)).await;
        task.cancel_with_reason("over");
        assert_eq!(shield(&mut task).await.unwrap_err().to_string(), "cancelled");

        let task = create_task(sleep(ms(50)));
        let outer = create_task(async { drop(shield(task).await) });
        sleep(ms(5)).await;
        outer.cancel_with_reason("the outer one");
        assert_eq!(error_of(outer).await, "cancelled: the outer one");

        let task = create_task(sleep(ms(50))).shared();
        sleep(ms(5)).await;
        task.to_ref().cancel_with_reason("over");
        assert_eq!(shield(task.clone()).await.unwrap_err().to_string(), "cancelled");
        assert_eq!(task.await.unwrap_err().to_string(), "cancelled: over");
    });
}

#[test]
fn the_innermost_catches_first() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let inner = async {
                    let cancelled = catch_cancel(sleep(ms(50))).await.unwrap_err();
                    sleep(ms(1)).await;
                    log.add("inner");
                    cancelled.reraise().await
                };
                let cancelled = catch_cancel(inner).await.unwrap_err();
                sleep(ms(2)).await;
                log.add("outer");
                cancelled.reraise().await
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(6, "inner"), (8, "outer")]);
    });
}

#[test]
fn a_cancel_is_passed_along_the_chain_of_awaits_and_unwinds_from_its_end() {
    run_virtual(async {
        let log = Log::new();
        let last = {
            let log = log.clone();
            create_task(async move {
                let cancelled = catch_cancel(sleep(ms(50))).await.unwrap_err();
                sleep(ms(4)).await;
                log.add("last is clean");
                cancelled.reraise().await
            })
        };
        let last_ref = last.to_ref();
        let middle = {
            let log = log.clone();
            create_task(async move {
                let cancelled = catch_cancel(last).await.unwrap_err();
                log.add("middle unwinds");
                cancelled.reraise().await
            })
        };
        let middle_ref = middle.to_ref();
        let first = create_task(middle);
        sleep(ms(5)).await;
        assert!(first.cancel());
        // All of them were told at once.
        assert_eq!((first.cancelling(), middle_ref.cancelling(), last_ref.cancelling()), (1, 1, 1));
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(middle_ref.is_cancelled() && last_ref.is_cancelled());
        log.expect(&[(9, "last is clean"), (9, "middle unwinds")]);
    });
}

#[test]
fn a_chain_of_awaits_longer_than_the_stack_is_deep_can_be_cancelled() {
    run_virtual(async {
        let mut chain = create_task(sleep(ms(1000)));
        for _ in 0..100_000 {
            let next = chain;
            chain = create_task(async move { drop(next.await) });
        }
        sleep(ms(1)).await;
        chain.cancel();
        assert!(chain.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn an_awaiter_of_a_task_that_swallowed_the_cancel_goes_on_with_its_value() {
    run_virtual(async {
        let inner = create_task(async {
            assert!(catch_cancel(sleep(ms(50))).await.is_err());
            sleep(ms(3)).await;
            8
        });
        let outer = create_task(async move {
            let value = inner.await;
            assert_eq!(current_task().cancelling(), 1);
            sleep(ms(1)).await; // not cancelled: the inner task took it
            value
        });
        sleep(ms(5)).await;
        outer.cancel();
        assert_eq!(outer.await, Ok(Ok(8)));
    });
}

#[test]
fn an_awaiter_of_a_task_that_fails_while_it_is_cancelled_gets_the_error() {
    run_virtual(async {
        let inner = try_create_task(async {
            drop(catch_cancel(sleep(ms(50))).await);
            Err::<(), _>("late")
        });
        let outer = create_task(inner);
        sleep(ms(5)).await;
        outer.cancel();
        assert_eq!(outer.await, Ok(Err(TaskError::Failed("late"))));
    });
}

#[test]
fn a_task_that_another_task_cancelled_is_a_value() {
    run_virtual(async {
        let inner = create_task(sleep(ms(50)));
        let inner_ref = inner.to_ref();
        let outer = create_task(async move {
            let ended = inner.await;
            assert_eq!(current_task().cancelling(), 0);
            ended.unwrap_err().is_cancelled()
        });
        sleep(ms(5)).await;
        inner_ref.cancel();
        assert_eq!(outer.await, Ok(true));
    });
}

#[test]
fn a_task_can_cancel_the_one_that_awaits_it_and_gets_it_back_through_the_chain() {
    run_virtual(async {
        let main = current_task();
        let log = Log::new();
        let child = {
            let log = log.clone();
            create_task(async move {
                sleep(ms(5)).await;
                main.cancel();
                log.add("going on");
                sleep(ms(5)).await;
                log.add("never");
            })
        };
        assert!(catch_cancel(child).await.is_err());
        log.add("caught");
        log.expect(&[(5, "going on"), (5, "caught")]);
    });
}

#[test]
fn a_branch_of_a_join_that_is_awaiting_a_task_passes_the_cancel_on() {
    run_virtual(async {
        let (one, other) = (create_task(sleep(ms(50))), create_task(sleep(ms(60))));
        let refs = (one.to_ref(), other.to_ref());
        let both = create_task(async move { futures_lite_join(one, other).await });
        sleep(ms(5)).await;
        both.cancel();
        assert!(both.await.is_err());
        assert!(refs.0.is_cancelled() && refs.1.is_cancelled(), "no branch is orphaned");
    });
}

#[test]
fn only_a_shield_that_was_cancelled_leaves_an_orphan() {
    for is_cancelled in [false, true] {
        let (mut event_loop, reports) = watched_loop();
        event_loop.run(async {
            let mut task = try_create_task(async {
                sleep(ms(10)).await;
                Err::<(), _>("broken")
            });
            if is_cancelled {
                assert!(wait_for(shield(&mut task), ms(5)).await.is_err());
            } else {
                let (shielded, slept) = (pin!(shield(&mut task)), pin!(sleep(ms(5))));
                assert!(matches!(select(shielded, slept).await, Either::Right(_)));
            }
            assert_eq!(task.await, Err(TaskError::Failed("broken")));
        });
        assert_eq!(reports.borrow().len(), usize::from(is_cancelled), "{reports:?}");
    }
}

/// The simplest foreign `join!`. It polls both until both are done.
async fn futures_lite_join<A: Future + Unpin, B: Future + Unpin>(mut a: A, mut b: B) {
    let (mut a_done, mut b_done) = (false, false);
    std::future::poll_fn(move |cx| {
        a_done = a_done || std::pin::Pin::new(&mut a).poll(cx).is_ready();
        b_done = b_done || std::pin::Pin::new(&mut b).poll(cx).is_ready();
        if a_done && b_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn a_wait_that_was_given_up_takes_no_cancel() {
    run_virtual(async {
        let mut other = create_task(sleep(ms(50)));
        let other_ref = other.to_ref();
        let task = create_task(async move {
            // A `select!` whose other branch was ready: `other` is awaited no more.
            std::future::poll_fn(|cx| {
                assert!(std::pin::Pin::new(&mut other).poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            let kept = other;
            pending::<()>().await;
            drop(kept);
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(other_ref);
    });
}

#[test]
fn finally_runs_after_a_value_a_cancel_and_a_panic() {
    run_virtual(async {
        let log = Log::new();
        let value = finally(async { 1 }, async || log.add("after a value")).await;
        assert_eq!(value, 1);

        let cleanup = log.clone();
        let panicking = create_task(async move {
            finally(async { panic!("boom") }, async || {
                sleep(ms(3)).await;
                cleanup.add("after a panic");
            })
            .await;
        });
        assert!(panicking.await.unwrap_err().is_panic());

        let cleanup = log.clone();
        let cancelled = create_task(async move {
            finally(pending::<()>(), async || {
                sleep(ms(3)).await;
                cleanup.add("after a cancel");
            })
            .await;
        });
        yield_now().await;
        cancelled.cancel();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        log.expect(&[(0, "after a value"), (3, "after a panic"), (6, "after a cancel")]);
    });
}

#[test]
fn a_foreign_future_that_was_ready_at_that_moment_completes_first() {
    run_virtual(async {
        // A foreign future knows nothing of signals: it is ready when its flag says so.
        let flag = std::rc::Rc::new(std::cell::Cell::new(false));
        let log = Log::new();
        let task = create_task({
            let (flag, log) = (flag.clone(), log.clone());
            async move {
                std::future::poll_fn(|_| {
                    if flag.get() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
                log.add("completed");
                sleep(ms(1)).await;
                log.add("never");
            }
        });
        yield_now().await;
        flag.set(true);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(0, "completed")]);
    });
}

#[test]
fn a_value_that_comes_in_spite_of_a_cancel_is_none_whatever_another_task_has_caught() {
    run_virtual(async {
        let catches = create_task(catch_cancel(sleep(ms(60_000))));
        let flag = Rc::new(Cell::new(false));
        let of_task = flag.clone();
        let task =
            create_task(poll_fn(
                move |_| {
                    if of_task.get() { Poll::Ready(()) } else { Poll::Pending }
                },
            ));
        yield_now().await;
        flag.set(true);
        catches.cancel();
        task.cancel(); // its poll comes right after the one in which the other catches
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(catches.await.unwrap().is_err());
    });
}

thread_local! {
    static TO_BE_CANCELLED: Cell<Option<TaskRef>> = const { Cell::new(None) };
}

/// A task polls two others. One panics with a value that cancels the task when it is dropped, as the next poll begins.
#[test]
fn a_cancel_by_a_destructor_as_a_poll_begins_is_the_tasks_own() {
    struct Canceller;
    impl Drop for Canceller {
        fn drop(&mut self) {
            let task = TO_BE_CANCELLED.take().expect("it is dropped once");
            assert!(task.cancel());
        }
    }
    run_virtual(async {
        let other = Rc::new(RefCell::new(create_task(sleep(ms(1_000)))));
        let panicking = Rc::new(RefCell::new(Some(create_task(async {
            sleep(ms(1)).await;
            resume_unwind(Box::new(Canceller));
        }))));
        let task = create_task({
            let (panicking, other) = (panicking.clone(), other.clone());
            poll_fn(move |cx| {
                let mut panicking = panicking.borrow_mut();
                let Some(handle) = panicking.as_mut() else { return Poll::Ready(()) };
                assert!(pin!(handle).poll(cx).is_pending());
                assert!(pin!(&mut *other.borrow_mut()).poll(cx).is_pending());
                Poll::Pending
            })
        });
        TO_BE_CANCELLED.set(Some(task.to_ref()));
        let drops_the_handle = create_task(async move {
            sleep(ms(1)).await; // behind the panic, and before the task that it has woken
            let handle = panicking.take().expect("it is still there");
            assert!(handle.is_done());
        });
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        drops_the_handle.await.unwrap();
        assert!(!other.borrow().is_cancelled() && other.borrow().cancelling() == 0);
    });
}

#[test]
fn a_cancel_that_a_branch_lets_go_on_is_gone_with_the_branch_that_loses() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(sleep(ms(1_000))).await.unwrap_err();
            sleep(ms(1)).await;
            match select(pin!(cancelled.reraise()), ready(7)).await {
                Either::Left(_) => 0,
                Either::Right((value, _)) => value,
            }
        });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(task.await, Ok(7));
    });
}

#[test]
fn a_cancel_of_oneself_cannot_be_taken_back_once_the_task_waits() {
    run_virtual(async {
        let task = create_task(async {
            current_task().cancel();
            sleep(ms(10)).await;
        });
        let of_helper = task.to_ref();
        let helper = create_task(async move { of_helper.uncancel() });
        assert_eq!(helper.await, Ok(0));
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), Instant::START);
    });
}

#[test]
fn a_cancel_of_oneself_after_one_that_was_caught_ends_the_task_cancelled() {
    run_virtual(async {
        for several in [false, true] {
            let task = create_task(async move {
                if several {
                    let both = async { futures::join!(sleep(ms(1_000)), sleep(ms(1_000))) };
                    assert!(catch_cancel(both).await.is_err());
                } else {
                    assert!(catch_cancel(sleep(ms(1_000))).await.is_err());
                }
                current_task().cancel();
            });
            sleep(ms(1)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn a_value_that_comes_in_spite_of_a_cancel_is_none_if_several_were_awaited() {
    run_virtual(async {
        let flag = Rc::new(Cell::new(false));
        let is_set = flag.clone();
        let task = create_task(async move {
            let ready = poll_fn(|_| if is_set.get() { Poll::Ready(()) } else { Poll::Pending });
            let two = pin!(async { futures::join!(sleep(ms(1_000)), sleep(ms(1_000))) });
            match select(two, ready).await {
                Either::Left(_) => 1,
                Either::Right(_) => 2,
            }
        });
        sleep(ms(1)).await;
        flag.set(true);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

//! Tests what `TaskGroup` promises: children end with their scope, however it ends, and no error is lost. Also tests the
//! `ExceptionGroup` that carries the errors.

mod common;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, ms, watched_loop};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::errors::GroupClosed;
use loopwheel::sync::Event;
use loopwheel::{
    Budget, EventLoop, ExceptionGroup, Panic, Raised, TaskError, TaskGroup, TaskGroupBuilder,
    TaskRef, VirtualClock, call_later, catch_cancel, create_task, current_task, finally, now,
    run_virtual, sleep, wait_for, yield_now,
};

type Group = TaskGroup<&'static str>;
type Errors = ExceptionGroup<&'static str>;

fn leaves(errors: &Errors) -> Vec<&'static str> {
    errors.iter().copied().collect()
}

/// Ends after this long with this error.
async fn fails(after: u64, error: &'static str) -> Result<(), &'static str> {
    sleep(ms(after)).await;
    Err(error)
}

/// Sleeps, and says when it is cancelled.
async fn waits(log: Log, name: &'static str, after: u64) -> Result<(), &'static str> {
    match catch_cancel(sleep(ms(after))).await {
        Ok(()) => log.add(format!("{name} done")),
        Err(cancelled) => {
            log.add(format!("{name} cancelled"));
            cancelled.reraise().await;
        }
    }
    Ok(())
}

#[test]
fn values_come_through_the_handles_and_through_the_body() {
    run_virtual(async {
        let sum = TaskGroup::scope(async |group| {
            let one = group.create_task(async { Ok::<_, String>(1) });
            let two = group.create_task(async {
                sleep(ms(5)).await;
                Ok(2)
            });
            assert_eq!(group.running(), 2);
            let sum = one.await.unwrap() + two.await.unwrap();
            assert_eq!(group.running(), 0);
            Ok::<_, String>(sum)
        });
        assert_eq!(sum.await, Ok(3));
    });
}

#[test]
fn a_handle_may_be_carried_out_of_the_scope() {
    run_virtual(async {
        let handle = TaskGroup::scope(async |group| {
            Ok::<_, &str>(group.create_task(async {
                sleep(ms(5)).await;
                Ok::<_, &str>(7)
            }))
        });
        let mut handle = handle.await.unwrap();
        assert!(handle.is_done(), "the scope has waited for it");
        assert_eq!(handle.result(), Ok(Ok(7)));
    });
}

#[test]
fn a_scope_waits_for_children_whose_handles_were_dropped() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "one", 20));
            group.create_task(waits(log.clone(), "other", 10));
            log.add("body done");
            Ok::<_, &str>("value")
        });
        assert_eq!(scope.await, Ok("value"));
        log.expect(&[(0, "body done"), (10, "other done"), (20, "one done")]);
    });
}

#[test]
fn a_scope_without_children_ends_with_its_body() {
    run_virtual(async {
        assert_eq!(Group::scope(async |_| Ok::<_, &str>(1)).await, Ok(1));
        let failed = Group::scope(async |_| Err::<(), _>("body")).await.unwrap_err();
        assert_eq!(failed.members(), [Raised::Error("body")]);
    });
}

#[test]
fn children_may_spawn_even_when_the_body_has_ended() {
    run_virtual(async {
        let log = Log::new();
        /// Each child spawns the next one at its very end.
        fn descend(group: &Group, log: Log, depth: u32) {
            let again = group.clone();
            group.create_task(async move {
                sleep(ms(1)).await;
                log.add(format!("generation {depth}"));
                if depth < 3 {
                    descend(&again, log, depth + 1);
                }
                Ok(())
            });
        }
        let scope = TaskGroup::scope(async |group: &Group| {
            descend(group, log.clone(), 1);
            log.add("body done");
            Ok::<_, &str>(())
        });
        scope.await.unwrap();
        log.add("over");
        log.expect(&[
            (0, "body done"),
            (1, "generation 1"),
            (2, "generation 2"),
            (3, "generation 3"),
            (3, "over"),
        ]);
    });
}

#[test]
fn the_first_failure_cancels_siblings_and_body() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "sibling", 50));
            group.create_task(fails(10, "broken"));
            waits(log.clone(), "body", 50).await
        });
        let errors = scope.await.unwrap_err();
        log.add("over");
        assert_eq!(errors.members(), [Raised::Error("broken")]);
        log.expect(&[(10, "sibling cancelled"), (10, "body cancelled"), (10, "over")]);
        assert_eq!(current_task().cancelling(), 0, "the group has taken its request back");
        sleep(ms(1)).await;
    });
}

/// Whether what the body awaits is cancelled before a task runs that is queued behind what cancels it.
async fn is_cancelled_at_once(
    in_body: impl AsyncFnOnce(&Group, &TaskRef) -> Rc<Cell<bool>>,
) -> Rc<Cell<bool>> {
    let outside = create_task(pending::<()>());
    let mut seen = None;
    let scope = TaskGroup::scope(async |group: &Group| {
        let awaited = outside.to_ref();
        seen = Some(in_body(group, &awaited).await);
        _ = outside.await;
        Ok::<_, &str>(())
    });
    _ = wait_for(scope, ms(50)).await.expect("the body is cancelled");
    seen.expect("the body ran")
}

#[test]
fn what_the_body_awaits_is_cancelled_before_any_other_task_runs() {
    let watch = |awaited: &TaskRef, turns: usize| {
        let (seen, awaited) = (Rc::new(Cell::new(false)), awaited.clone());
        let result = seen.clone();
        drop(create_task(async move {
            common::turns(turns).await;
            result.set(awaited.cancelling() > 0);
        }));
        seen
    };
    run_virtual(async {
        let by_itself = is_cancelled_at_once(async |group, awaited| {
            let seen = watch(awaited, 0);
            group.cancel();
            seen
        });
        assert!(by_itself.await.get(), "by a group that its own body cancels");
        let by_a_child = is_cancelled_at_once(async |group, awaited| {
            group.create_task(async { Err::<(), _>("one") });
            watch(awaited, 1)
        });
        assert!(by_a_child.await.get(), "by the failure of a child");
    });
}

#[test]
fn a_scope_in_a_set_of_futures_is_woken_by_a_failure_and_by_a_cancel() {
    run_virtual(async {
        for is_cancelled in [false, true] {
            let scope = TaskGroup::scope(async |group: &Group| {
                if is_cancelled {
                    let group = group.clone();
                    call_later(ms(5), move || group.cancel());
                } else {
                    group.create_task(fails(5, "one"));
                }
                pending::<()>().await;
                Ok::<_, &str>(())
            });
            let mut set: FuturesUnordered<_> = [scope].into_iter().collect();
            let begun = now();
            let ended = wait_for(set.next(), ms(50)).await.expect("it is woken").unwrap();
            assert_eq!(now() - begun, ms(5));
            assert_eq!(
                ended.err().map(|errors| leaves(&errors)).unwrap_or_default().len(),
                usize::from(!is_cancelled)
            );
        }
    });
}

#[test]
fn a_cancel_of_a_scope_that_goes_to_another_task_goes_with_it() {
    run_virtual(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let scope = TaskGroup::scope(async move |group: &Group| {
            *keep.borrow_mut() = Some(group.clone());
            pending::<()>().await;
            Ok::<_, &str>(())
        });
        let scope = Rc::new(RefCell::new(Box::pin(scope)));
        let (polls, is_first) = (scope.clone(), Cell::new(true));
        let first = create_task(poll_fn(move |cx| {
            if is_first.take() {
                assert!(polls.borrow_mut().as_mut().poll(cx).is_pending());
            }
            Poll::<()>::Pending
        }));
        yield_now().await;
        let group: Group = kept.take().unwrap();
        group.cancel();
        assert_eq!((first.to_ref().cancelling(), current_task().cancelling()), (1, 0));
        let ended = poll_fn(|cx| scope.borrow_mut().as_mut().poll(cx)).await;
        assert!(ended.unwrap_err().is_empty(), "it ends quietly");
        assert_eq!(first.to_ref().cancelling(), 0);
        assert!(!first.is_done());
    });
}

#[test]
fn a_failure_after_the_body_has_ended_cancels_the_siblings_and_no_other_task() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "sibling", 50));
            group.create_task(fails(10, "broken"));
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["broken"]);
        log.expect(&[(10, "sibling cancelled")]);
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
        assert_eq!(now().as_nanos(), 11_000_000);
    });
}

#[test]
fn all_errors_are_kept_in_the_order_in_which_they_came() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            for (cleanup, error) in [(30, "slow"), (10, "fast")] {
                group.create_task(async move {
                    let _ = catch_cancel(pending::<()>()).await;
                    fails(cleanup, error).await
                });
            }
            group.create_task(fails(5, "first"));
            let _ = catch_cancel(pending::<()>()).await;
            sleep(ms(100)).await;
            Err::<(), _>("body")
        });
        let errors = scope.await.unwrap_err();
        assert_eq!(leaves(&errors), ["first", "fast", "slow", "body"]);
        assert_eq!(errors.to_string(), "unhandled errors in a TaskGroup (4 errors)");
    });
}

#[test]
fn two_that_fail_in_one_turn_are_both_kept() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(async { Err::<(), _>("one") });
            group.create_task(async { Err::<(), _>("other") });
            pending::<()>().await;
            Ok::<_, &str>(())
        });
        // As in asyncio, the task that was ready in the same turn went first.
        assert_eq!(leaves(&scope.await.unwrap_err()), ["one", "other"]);

        let started = Rc::new(Event::new());
        let scope = TaskGroup::scope(async |group: &Group| {
            for error in ["one", "other"] {
                let started = started.clone();
                group.create_task(async move {
                    started.wait().await;
                    Err::<(), _>(error)
                });
            }
            yield_now().await;
            started.set();
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["one", "other"]);
    });
}

#[test]
fn an_error_of_the_body_cancels_the_children_and_comes_out() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "child", 50));
            sleep(ms(5)).await;
            Err::<(), _>("body")
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["body"]);
        log.expect(&[(5, "child cancelled")]);
    });
}

#[test]
fn a_panic_of_a_child_is_an_error_of_the_group() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let mut handle = None;
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "sibling", 50));
            handle = Some(group.create_task(async {
                sleep(ms(5)).await;
                panic!("a child's panic");
                #[allow(unreachable_code)]
                Ok(())
            }));
            pending::<()>().await;
            Ok::<_, &str>(())
        });
        let errors = scope.await.unwrap_err();
        assert_eq!(leaves(&errors), [] as [&str; 0]);
        let messages: Vec<_> = errors.panics().map(|panic| panic.message().to_owned()).collect();
        assert_eq!(messages, ["a child's panic"]);
        assert!(matches!(errors.members(), [Raised::Panic(_)]));
        assert!(handle.unwrap().await.unwrap_err().is_panic());
        log.expect(&[(5, "sibling cancelled")]);
    });
    assert_eq!(*reports.borrow(), [] as [String; 0], "the panic is in the group's errors");
}

#[test]
fn a_panic_of_the_body_goes_on_when_the_children_have_ended() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let scope = TaskGroup::scope(async |group: &Group| {
                    let log = log.clone();
                    group.create_task(finally(pending::<Result<(), &str>>(), async move || {
                        sleep(ms(20)).await;
                        log.add("child has cleaned up");
                    }));
                    sleep(ms(5)).await;
                    assert!(group.running() == 0, "the body's panic");
                    Ok::<_, &str>(())
                });
                scope.await.unwrap();
            }
        });
        let Err(TaskError::Panicked(panic)) = task.await else { panic!("it panicked") };
        assert_eq!(panic.message(), "the body's panic");
        log.add("over");
        log.expect(&[(25, "child has cleaned up"), (25, "over")]);
    });
}

#[test]
fn a_cancel_from_outside_waits_for_the_children_and_goes_on() {
    for body_sleeps in [0, 100] {
        run_virtual(async {
            let log = Log::new();
            let task = create_task({
                let log = log.clone();
                async move {
                    let scope = TaskGroup::scope(async |group: &Group| {
                        let cleanup = log.clone();
                        group.create_task(finally(
                            pending::<Result<(), &str>>(),
                            async move || {
                                sleep(ms(7)).await;
                                cleanup.add("child has cleaned up");
                            },
                        ));
                        sleep(ms(body_sleeps)).await;
                        Ok::<_, &str>(())
                    });
                    let ended = catch_cancel(scope).await;
                    log.add(format!("caught {}", ended.is_err()));
                    current_task().cancelling()
                }
            });
            sleep(ms(10)).await;
            task.cancel();
            assert_eq!(task.await, Ok(1), "the request is not the group's to take back");
            log.expect(&[(17, "child has cleaned up"), (17, "caught true")]);
        });
    }
}

#[test]
fn errors_come_before_a_cancel_from_outside_which_is_raised_at_the_next_await() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let scope = TaskGroup::scope(async |group: &Group| {
                    group.create_task(async {
                        let _ = catch_cancel(pending::<()>()).await;
                        Err::<(), _>("while being cancelled")
                    });
                    pending::<()>().await;
                    Ok::<_, &str>(())
                });
                let errors = scope.await.unwrap_err();
                log.add(format!("{:?}", leaves(&errors)));
                assert_eq!(current_task().cancelling(), 1);
                sleep(ms(50)).await;
                log.add("never");
            }
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(10, "[\"while being cancelled\"]")]);
    });
}

#[test]
fn a_second_cancel_while_the_children_clean_up_still_waits_for_them() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let scope = TaskGroup::scope(async |group: &Group| {
                    let log = log.clone();
                    group.create_task(finally(pending::<Result<(), &str>>(), async move || {
                        sleep(ms(20)).await;
                        log.add("child has cleaned up");
                    }));
                    pending::<()>().await;
                    Ok::<_, &str>(())
                });
                let _ = scope.await;
            }
        });
        sleep(ms(10)).await;
        task.cancel();
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(30, "child has cleaned up"), (30, "ended")]);
    });
}

#[test]
fn a_time_limit_ends_a_scope_with_its_children() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "child", 50));
            Ok::<_, &str>(())
        });
        assert!(wait_for(scope, ms(10)).await.is_err());
        log.expect(&[(10, "child cancelled")]);
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_child_that_is_cancelled_from_outside_is_no_failure() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            let child = group.create_task(pending::<Result<(), &str>>());
            group.create_task(waits(log.clone(), "sibling", 10));
            yield_now().await;
            child.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            Ok::<_, &str>(1)
        });
        assert_eq!(scope.await, Ok(1));
        log.expect(&[(10, "sibling done")]);
    });
}

#[test]
fn a_failed_child_tells_its_awaiter_that_its_error_went_to_the_group() {
    run_virtual(async {
        let mut seen = None;
        let scope = TaskGroup::scope(async |group: &Group| {
            let child = group.create_task(async { Err::<(), _>("broken") });
            let ended = catch_cancel(child).await;
            assert!(ended.is_err(), "the group's cancel of the body comes first");
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["broken"]);

        let scope = TaskGroup::scope(async |group: &Group| {
            seen = Some(group.create_task(async { Err::<(), _>("broken") }));
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["broken"]);
        let error = seen.unwrap().await.unwrap_err();
        assert_eq!(error, TaskError::Grouped);
        assert!(error.to_string().contains("TaskGroup::scope"), "it says where the error is");
    });
}

#[test]
fn the_errors_of_a_group_inside_come_as_a_group() {
    run_virtual(async {
        let outer = TaskGroup::scope(async |outer: &Group| {
            outer.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("outer")
            });
            // The body's own error is the inner group.
            let inner = TaskGroup::scope(async |inner: &Group| {
                inner.create_task(fails(1, "inner"));
                pending::<()>().await;
                Ok::<_, &str>(())
            });
            inner.await
        });
        let errors = outer.await.unwrap_err();
        assert_eq!(
            errors.tree(),
            "unhandled errors in a TaskGroup (1 error)\n\
             └─ unhandled errors in a TaskGroup (1 error)\n   \
                └─ inner"
        );
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

#[test]
fn a_failure_outside_ends_the_group_inside_without_an_error_of_its_own() {
    run_virtual(async {
        let log = Log::new();
        let outer = TaskGroup::scope(async |outer: &Group| {
            outer.create_task(fails(10, "outer"));
            let inner = TaskGroup::scope(async |inner: &Group| {
                inner.create_task(waits(log.clone(), "inner child", 50));
                waits(log.clone(), "inner body", 50).await
            });
            let ended = inner.await;
            log.add("never");
            ended
        });
        let errors = outer.await.unwrap_err();
        assert_eq!(errors.members(), [Raised::Error("outer")]);
        log.expect(&[(10, "inner body cancelled"), (10, "inner child cancelled")]);
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

#[test]
fn groups_nest_through_their_children() {
    run_virtual(async {
        let outer = TaskGroup::scope(async |outer: &TaskGroup<ExceptionGroup<&str>>| {
            for error in ["left", "right"] {
                outer.create_task(async move {
                    let inner = TaskGroup::scope(async |inner: &Group| {
                        inner.create_task(fails(5, error));
                        // Its clean-up outlasts the failure of the other one.
                        let _ = catch_cancel(sleep(ms(50))).await;
                        Ok::<_, &str>(())
                    });
                    inner.await
                });
            }
            Ok::<_, ExceptionGroup<&str>>(())
        });
        let errors = outer.await.unwrap_err();
        let all: Vec<_> = errors.iter().flat_map(ExceptionGroup::iter).copied().collect();
        assert_eq!(all, ["left", "right"], "both had failed before the first of them was known");
        assert_eq!(errors.members().len(), 2);
    });
}

#[test]
fn a_group_that_is_shutting_down_or_over_takes_no_child() {
    run_virtual(async {
        let dropped = Log::new();
        let mut kept = None;
        let scope = TaskGroup::scope(async |group: &Group| {
            kept = Some(group.clone());
            group.create_task(fails(5, "broken"));
            let late = group.clone();
            group.create_task(async move {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(ms(5)).await;
                let refused = late.create_task_if_open(async { Ok(()) }).unwrap_err();
                assert_eq!(refused, GroupClosed::ShuttingDown);
                Ok(())
            });
            let _ = catch_cancel(pending::<()>()).await;
            let guard = OnDrop(dropped.clone(), "dropped");
            let refused = group.create_task_if_open(async move {
                drop(guard);
                Ok(())
            });
            assert_eq!(refused.unwrap_err(), GroupClosed::ShuttingDown);
            dropped.expect(&[(5, "dropped")]);
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["broken"]);
        let group = kept.unwrap();
        let refused = group.create_named_if_open("late", async { Ok(()) }).unwrap_err();
        assert_eq!(refused, GroupClosed::Over);
        assert_eq!(
            refused.to_string(),
            "the task group is over: spawn inside the body of its scope, or in one of its children"
        );
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            drop(group.create_task(async { Ok(()) }));
        }));
        let text = *panicked.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(text, refused.to_string());
    });
}

#[test]
fn cancel_ends_a_group_quietly() {
    run_virtual(async {
        // By its body, which goes on to its next await.
        let log = Log::new();
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "child", 50));
            yield_now().await;
            group.cancel();
            waits(log.clone(), "body", 50).await
        });
        let error = scope.await.unwrap_err();
        assert!(error.is_empty());
        assert_eq!(error.to_string(), "the task group was cancelled, and its body was interrupted");
        log.expect(&[(0, "child cancelled"), (0, "body cancelled")]);

        // By a child.
        let scope = TaskGroup::scope(async |group: &Group| {
            let canceller = group.clone();
            group.create_task(async move {
                canceller.cancel();
                Ok(())
            });
            pending::<()>().await;
            Ok::<_, &str>(())
        });
        assert!(scope.await.unwrap_err().is_empty());

        // When the body has ended its value stays.
        let scope = TaskGroup::scope(async |group: &Group| {
            let canceller = group.clone();
            group.create_task(async move {
                sleep(ms(5)).await;
                canceller.cancel();
                canceller.cancel(); // twice is once
                pending::<Result<(), &str>>().await
            });
            group.create_task(pending::<Result<(), &str>>());
            Ok::<_, &str>("value")
        });
        assert_eq!(scope.await, Ok("value"));
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
        assert_eq!(now().as_nanos(), 6_000_000);
    });
}

#[test]
fn an_error_while_a_group_ends_quietly_is_not_lost() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("in clean-up")
            });
            yield_now().await;
            group.cancel();
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["in clean-up"]);
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

#[test]
fn no_more_than_the_limit_run_at_once_in_the_order_of_spawning() {
    for limit in [1, 3, 7, 100] {
        run_virtual(async move {
            let running = Rc::new(Cell::new(0));
            let most = Rc::new(Cell::new(0));
            let order = Rc::new(RefCell::new(Vec::new()));
            let scope = TaskGroupBuilder::default().limit(limit).scope(async |group: &Group| {
                for number in 0..20_u64 {
                    let (running, most, order) = (running.clone(), most.clone(), order.clone());
                    group.create_task(async move {
                        running.set(running.get() + 1);
                        most.set(most.get().max(running.get()));
                        order.borrow_mut().push(number);
                        sleep(ms(1 + number % 3)).await;
                        running.set(running.get() - 1);
                        Ok(())
                    });
                }
                Ok::<_, &str>(())
            });
            scope.await.unwrap();
            assert_eq!(most.get(), limit.min(20));
            assert!(order.borrow().iter().copied().eq(0..20));
        });
    }
}

#[test]
fn a_limit_is_not_used_up_by_children_that_are_cancelled_and_a_failure_stops_those_that_wait() {
    run_virtual(async {
        let log = Log::new();
        let scope = TaskGroupBuilder::default().limit(1).scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "one", 10));
            let two = group.create_task(waits(log.clone(), "two", 10)); // waits for its turn
            group.create_task(waits(log.clone(), "three", 10));
            group.create_task(fails(10, "four"));
            group.create_task(waits(log.clone(), "five", 10));
            yield_now().await;
            two.cancel();
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["four"]);
        // The fifth got the permit of the fourth, in the turn before the failure was told.
        log.expect(&[(10, "one done"), (20, "three done"), (30, "five cancelled")]);
        assert_eq!(now().as_nanos(), 30_000_000);
    });
}

#[test]
fn a_limit_of_zero_is_one() {
    run_virtual(async {
        let scope = TaskGroupBuilder::default().limit(0).scope(async |group: &Group| {
            group.create_task(async { Ok(()) });
            Ok::<_, &str>(())
        });
        scope.await.unwrap();
    });
}

#[test]
fn children_have_names() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            let child = group.create_named("fetch-1", async { Ok(current_task().name()) });
            assert_eq!(child.name(), "fetch-1");
            Ok::<_, &str>(child.await.unwrap())
        });
        assert_eq!(scope.await.unwrap(), "fetch-1");
    });
}

/// Counts how many of its values are alive.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Alive {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

type Scenario = Pin<Box<dyn Future<Output = ()>>>;

/// Children that sleep, await each other, spawn, nest and clean up, with or without a failure.
fn scenario(alive: &Rc<Cell<usize>>, fail: bool, limit: usize) -> Scenario {
    let alive = alive.clone();
    Box::pin(async move {
        let _outside = Alive::new(&alive);
        let scope = TaskGroupBuilder::default().limit(limit).scope(async |group: &Group| {
            let _body = Alive::new(&alive);
            let counted = alive.clone();
            let first = group.create_task(async move {
                let _child = Alive::new(&counted);
                sleep(ms(2)).await;
                Ok(1)
            });
            let (counted, spawner) = (alive.clone(), group.clone());
            group.create_task(async move {
                let _child = Alive::new(&counted);
                yield_now().await;
                let counted = counted.clone();
                let grandchild = spawner.create_task_if_open(async move {
                    let _child = Alive::new(&counted);
                    let slow = Alive::new(&counted);
                    finally(sleep(ms(4)), async move || {
                        sleep(ms(2)).await;
                        drop(slow);
                    })
                    .await;
                    Ok(())
                });
                drop(grandchild); // detached, and refused if the group shuts down
                Ok(())
            });
            let counted = alive.clone();
            group.create_task(async move {
                let inner = TaskGroup::scope(async |inner: &Group| {
                    for nap in 1..4 {
                        let guard = Alive::new(&counted);
                        inner.create_task(async move {
                            sleep(ms(nap)).await;
                            drop(guard);
                            if fail && nap == 2 { Err("inner") } else { Ok(()) }
                        });
                    }
                    yield_now().await;
                    Ok::<_, &str>(())
                });
                inner.await.map_err(|_| "inner group")
            });
            let _ = first.await;
            for _ in 0..3 {
                sleep(ms(1)).await;
            }
            Ok::<_, &str>(())
        });
        assert_eq!(scope.await.is_err(), fail);
    })
}

/// Polls `scenario`, drops it after this many polls, and says whether it was over before. With `restless` it polls also when
/// nothing has happened, in the next turn and a little later.
async fn dropped_after(
    polls: usize,
    restless: bool,
    alive: &Rc<Cell<usize>>,
    scenario: Scenario,
) -> bool {
    let mut held = Some(scenario);
    let mut polled = 0;
    let mut nap = None;
    poll_fn(move |cx| {
        let mut is_over = false;
        if polled < polls {
            polled += 1;
            is_over = held.as_mut().unwrap().as_mut().poll(cx).is_ready();
        }
        if is_over || polled == polls {
            drop(held.take());
            assert_eq!(alive.get(), 0, "after {polls} polls a child outlives the scope");
            return Poll::Ready(is_over);
        }
        if restless && polled % 4 != 0 {
            cx.waker().wake_by_ref();
        } else if restless {
            let _ = Pin::new(nap.insert(sleep(ms(1) / 5))).poll(cx);
        }
        Poll::Pending
    })
    .await
}

#[test]
fn no_child_outlives_a_scope_that_is_dropped_hard_at_whatever_moment() {
    for (fail, restless, limit) in [
        (false, false, 99),
        (true, false, 99),
        (false, true, 99),
        (true, true, 99),
        (false, true, 1),
        (true, true, 2),
    ] {
        let mut moments = 0;
        loop {
            let is_over = Rc::new(Cell::new(false));
            run_virtual(async {
                let alive = Rc::new(Cell::new(0));
                let driver = create_task({
                    let (alive, is_over) = (alive.clone(), is_over.clone());
                    async move {
                        let scenario = scenario(&alive, fail, limit);
                        is_over.set(dropped_after(moments, restless, &alive, scenario).await);
                    }
                });
                if let Err(TaskError::Panicked(panic)) = driver.await {
                    panic.resume();
                }
                assert_eq!(alive.get(), 0);
                sleep(ms(50)).await; // a child that had been forgotten would go on now
                assert_eq!(loopwheel::all_tasks().len(), 1, "only main is left");
            });
            if is_over.get() {
                break;
            }
            moments += 1;
            assert!(moments < 1_000, "never over: {fail} {restless} {limit}");
        }
        assert!(moments >= 4, "there were moments to drop it in: {moments}");
    }
}

#[test]
fn a_child_that_drops_its_own_scope_is_dropped_at_the_end_of_its_poll() {
    run_virtual(async {
        let log = Log::new();
        let held: Rc<RefCell<Option<Scenario>>> = Rc::default();
        let scope: Scenario = Box::pin({
            let (log, held) = (log.clone(), held.clone());
            async move {
                let scope = TaskGroup::scope(async |group: &Group| {
                    let _body = OnDrop(log.clone(), "body dropped");
                    let (inside, sibling, held) = (log.clone(), log.clone(), held.clone());
                    group.create_task(async move {
                        let _sibling = OnDrop(sibling, "sibling dropped");
                        pending::<Result<(), &str>>().await
                    });
                    group.create_task(async move {
                        let _child = OnDrop(inside.clone(), "child dropped");
                        sleep(ms(5)).await;
                        let scope = held.borrow_mut().take();
                        drop(scope);
                        inside.add("child goes on");
                        sleep(ms(5)).await;
                        inside.add("never");
                        Ok(())
                    });
                    pending::<()>().await;
                    Ok::<_, &str>(())
                });
                scope.await.unwrap();
            }
        });
        *held.borrow_mut() = Some(scope);
        let driver = create_task({
            let held = held.clone();
            poll_fn(move |cx| {
                let mut held = held.borrow_mut();
                held.as_mut().map_or(Poll::Ready(()), |scope| scope.as_mut().poll(cx))
            })
        });
        sleep(ms(50)).await;
        driver.cancel();
        log.expect(&[
            (5, "body dropped"),
            (5, "sibling dropped"),
            (5, "child goes on"),
            (5, "child dropped"),
        ]);
    });
}

#[test]
fn a_child_that_drops_its_own_scope_and_fails_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let held: Rc<RefCell<Option<Scenario>>> = Rc::default();
        let drops = held.clone();
        let scope = TaskGroup::scope(async move |group: &Group| {
            group.create_task(async move {
                sleep(ms(5)).await;
                drop(drops.take());
                Err::<(), _>("nobody else takes it")
            });
            pending::<()>().await;
            Ok::<_, &str>(())
        });
        let mut scope: Scenario = Box::pin(async move { _ = scope.await });
        assert!(poll_fn(|cx| Poll::Ready(scope.as_mut().poll(cx))).await.is_pending());
        *held.borrow_mut() = Some(scope);
        sleep(ms(50)).await;
    });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("nobody else takes it"), "{reports:?}");
}

#[test]
fn a_scope_in_a_task_that_is_cancelled_before_its_first_poll_spawns_nothing() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let scope = TaskGroup::scope(async |group: &Group| {
                    group.create_task(waits(log.clone(), "child", 1));
                    Ok::<_, &str>(())
                });
                scope.await.unwrap();
            }
        });
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        sleep(ms(10)).await;
        log.expect(&[]);
    });
}

#[test]
fn the_errors_of_a_scope_that_was_dropped_hard_are_not_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let mut scope = Box::pin(TaskGroup::scope(async |group: &Group| {
            group.create_task(fails(50, "never"));
            Ok::<_, &str>(())
        }));
        poll_fn(|cx| {
            assert!(scope.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(scope);
        sleep(ms(100)).await;
    });
    assert_eq!(*reports.borrow(), [] as [String; 0]);
}

#[test]
fn a_group_that_is_cancelled_as_its_body_completes_leaves_no_cancel_behind() {
    run_virtual(async {
        // What the body awaits knows nothing of cancels, and is ready when the child's failure arrives.
        let flag = Rc::new(Cell::new(false));
        let scope = TaskGroup::scope(async |group: &Group| {
            let set = flag.clone();
            group.create_task(async move {
                sleep(ms(1)).await;
                set.set(true);
                Err::<(), _>("broken")
            });
            poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            Ok::<_, &str>(())
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["broken"]);
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

#[test]
fn a_scope_that_is_dropped_hard_takes_its_cancel_of_the_body_with_it() {
    run_virtual(async {
        let task = create_task(async {
            let flag = Rc::new(Cell::new(false));
            let set = flag.clone();
            let mut scope = Box::pin(TaskGroup::scope(async move |group: &Group| {
                group.create_task(async move {
                    sleep(ms(1)).await;
                    set.set(true);
                    Err::<(), _>("broken")
                });
                pending::<()>().await;
                Ok::<_, &str>(())
            }));
            poll_fn(|cx| {
                if flag.get() {
                    return Poll::Ready(()); // as a `select!` whose other branch is ready
                }
                assert!(scope.as_mut().poll(cx).is_pending());
                Poll::Pending
            })
            .await;
            drop(scope);
            assert_eq!(current_task().cancelling(), 0);
            sleep(ms(1)).await;
        });
        assert_eq!(task.await, Ok(()));
    });
}

/// `(a b (c !p) d)`, where `!p` is a panic.
async fn tree() -> Errors {
    let panic = create_task(async { panic!("p") }).await;
    let Err(TaskError::Panicked(panic)) = panic else { panic!("it panicked") };
    let inner = ExceptionGroup::from_members("inner", [Raised::Error("c"), Raised::Panic(panic)]);
    let members =
        [Raised::Error("a"), Raised::Error("b"), Raised::Group(inner), Raised::Error("d")];
    ExceptionGroup::from_members("outer", members)
}

#[test]
fn errors_are_iterated_leaf_by_leaf_from_left_to_right() {
    run_virtual(async {
        let errors = tree().await;
        assert_eq!(leaves(&errors), ["a", "b", "c", "d"]);
        assert!((&errors).into_iter().eq(errors.iter()));
        assert_eq!(errors.panics().map(Panic::message).collect::<Vec<_>>(), ["p"]);
        assert_eq!((errors.message(), errors.members().len()), ("outer", 4));
        assert!(
            !errors.is_empty() && ExceptionGroup::<&str>::new("none", [] as [&str; 0]).is_empty()
        );
        assert!(matches!(&errors.into_members()[..], [_, _, Raised::Group(_), _]));
    });
}

#[test]
fn a_split_keeps_the_shape_and_loses_no_error() {
    run_virtual(async {
        let (matching, rest) = tree().await.split(|error| ["a", "c"].contains(error));
        assert_eq!(matching.unwrap().tree(), "outer (2 errors)\n├─ a\n└─ inner (1 error)\n   └─ c");
        assert_eq!(
            rest.unwrap().tree(),
            "outer (3 errors)\n├─ b\n├─ inner (1 error)\n│  └─ the task panicked: p\n└─ d"
        );

        let (matching, rest) = tree().await.split(|_| true);
        assert_eq!(leaves(&matching.unwrap()), ["a", "b", "c", "d"]);
        let rest = rest.unwrap();
        assert_eq!((rest.iter().count(), rest.panics().count()), (0, 1), "panics are of the rest");

        let (matching, rest) = tree().await.split(|_| false);
        assert!(matching.is_none());
        assert_eq!(rest, Some(rest.clone().unwrap()));
        assert_eq!(rest.unwrap().members().len(), 4);
    });
}

#[test]
fn a_subgroup_is_what_matches_and_what_is_left_can_be_raised() {
    run_virtual(async {
        let subgroup = tree().await.subgroup(|error| *error == "c").unwrap();
        assert_eq!(subgroup.tree(), "outer (1 error)\n└─ inner (1 error)\n   └─ c");
        assert_eq!(tree().await.subgroup(|error| *error == "z"), None);
        assert_eq!(ExceptionGroup::raise(None::<Errors>), Ok(()));
        let rest = ExceptionGroup::new("rest", ["x"]);
        assert_eq!(ExceptionGroup::raise(Some(rest.clone())), Err(rest));
    });
}

#[test]
fn a_group_prints_as_a_tree_and_is_an_error() {
    run_virtual(async {
        let errors = tree().await;
        assert_eq!(
            errors.tree(),
            "outer (4 errors)\n\
             ├─ a\n\
             ├─ b\n\
             ├─ inner (2 errors)\n\
             │  ├─ c\n\
             │  └─ the task panicked: p\n\
             └─ d"
        );
        let error: Box<dyn Error> = Box::new(errors);
        assert_eq!(error.to_string(), "outer (4 errors)");
        fn question_mark() -> Result<(), Box<dyn Error>> {
            Err(ExceptionGroup::new("by question mark", ["x"]))?;
            Ok(())
        }
        assert_eq!(question_mark().unwrap_err().to_string(), "by question mark (1 error)");
    });
}

/// The group hears of the failure in the next turn, and there is none.
#[test]
fn a_loop_that_is_dropped_before_a_group_has_heard_of_a_failure_leaks_nothing() {
    let owned = Rc::new(());
    let of_body = owned.clone();
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let main = event_loop.create_task(async move {
        let scope = TaskGroup::<Rc<()>>::scope(async |group| {
            let error = of_body.clone();
            drop(group.create_task(async move { Err::<(), _>(error) }));
            Ok::<_, Rc<()>>(())
        });
        drop(scope.await);
    });
    for _ in 0..2 {
        event_loop.turn(Budget::unlimited());
    }
    assert!(!main.is_done());
    drop((event_loop, main));
    assert_eq!(Rc::strong_count(&owned), 1);
}

// ---- of two loops on one thread

/// Two loops whose clocks are moved by hand, as a host moves them.
fn two_loops() -> [(EventLoop, VirtualClock); 2] {
    [(); 2].map(|()| {
        let clock = VirtualClock::new();
        (EventLoop::builder().clock(clock.clone()).build(), clock)
    })
}

#[test]
fn a_failure_of_a_child_on_another_loop_cancels_the_body_on_its_own() {
    let [(mut owner, owner_clock), (mut other, _)] = two_loops();
    let log = Log::new();
    let group = Rc::new(RefCell::new(None::<Group>));
    let (kept, seen) = (group.clone(), log.clone());
    let parent = owner.create_task(async move {
        let parent = current_task();
        let scope = TaskGroup::scope(async |group| {
            *kept.borrow_mut() = Some(group.clone());
            let mut awaited = create_task(pending::<()>());
            let mut is_first = true;
            let polled = poll_fn(|cx| {
                let on_its_own_loop = now().as_nanos() == if is_first { 0 } else { 20_000_000 };
                assert!(on_its_own_loop);
                is_first = false;
                Pin::new(&mut awaited).poll(cx)
            });
            let ended = catch_cancel(polled).await;
            assert!(current_task() == parent, "its task polls it");
            seen.add(format!("interrupted: {}", ended.is_err()));
            yield_now().await;
            Ok::<_, &str>(())
        });
        scope.await.unwrap_err().iter().copied().collect::<Vec<_>>()
    });
    owner.run_until_stalled();
    owner_clock.advance(ms(20));
    let group = group.take().unwrap();
    let spawned = other.create_task(async move {
        group.create_task(async { Err::<(), _>("on the other loop") });
    });
    other.run_until_stalled();
    assert!(spawned.is_done());
    owner.run_until_stalled();
    log.expect(&[(20, "interrupted: true")]); // by the clock of its own loop
    let mut parent = parent;
    assert_eq!(parent.result(), Ok(Ok(vec!["on the other loop"])));
}

#[test]
fn a_cancel_of_a_group_from_another_loop_wakes_the_host() {
    let woken = Rc::new(Cell::new(false));
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = calls.clone();
    let mut owner = EventLoop::builder()
        .clock(VirtualClock::new())
        .wake_hook(move || _ = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        .build();
    let group = Rc::new(RefCell::new(None::<Group>));
    let (kept, ended) = (group.clone(), woken.clone());
    drop(owner.create_task(async move {
        let body = async |group: &Group| {
            *kept.borrow_mut() = Some(group.clone());
            pending::<Result<(), &str>>().await
        };
        assert!(TaskGroup::scope(body).await.unwrap_err().is_empty());
        ended.set(true);
    }));
    owner.run_until_stalled();
    let group = group.take().unwrap();
    run_virtual(async move { group.cancel() });
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1, "the host is called");
    owner.run_until_stalled();
    assert!(woken.get());
}

// ---- What a child and the body return

#[test]
fn a_child_and_the_body_may_return_nothing() {
    run_virtual(async {
        let done = Rc::new(Cell::new(0));
        let (one, two) = (done.clone(), done.clone());
        let ended = TaskGroup::scope(async |group| {
            group.create_task(async move { one.set(one.get() + 1) });
            group.create_task(async move {
                two.set(two.get() + 1);
                Ok::<_, String>(())
            });
        });
        assert_eq!(ended.await.map_err(|_| "no error"), Ok(()));
        assert_eq!(done.get(), 2);
        let failed = TaskGroup::scope(async |group| {
            group.create_task(async {});
            group.create_task(async { Err::<(), _>("broken") });
        });
        assert_eq!(failed.await.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
        // No error is named anywhere, so the group says that there is none.
        let infallible = TaskGroup::<Infallible>::scope(async |group| {
            group.create_named("child", async {}).await.unwrap();
        });
        infallible.await.unwrap();
    });
}

// ---- Isolated failures

#[test]
fn a_group_that_isolates_failures_goes_on_and_each_failure_goes_to_its_handle_or_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let mut kept = None;
        let scope = TaskGroupBuilder::new().isolate_failures().scope(async |group: &Group| {
            group.create_task(fails(5, "first"));
            group.create_task(async { assert_eq!(1, 2, "second") });
            let handle = group.create_task(fails(5, "third"));
            kept = Some(group.create_task(fails(30, "fourth")));
            group.create_task(waits(log.clone(), "sibling", 20));
            assert_eq!(handle.await, Err(TaskError::Failed("third")));
            sleep(ms(5)).await;
            group.create_task(fails(0, "fifth")); // it still takes children
            Ok::<_, &str>("body")
        });
        assert_eq!(scope.await.unwrap(), "body");
        assert_eq!(now().as_nanos(), 30_000_000, "it waits for all children");
        log.expect(&[(20, "sibling done")]);
        assert_eq!(kept.take().unwrap().await, Err(TaskError::Failed("fourth")));
    });
    let reports = reports.borrow();
    let is_of = |text: &str| reports.iter().filter(|report| report.contains(text)).count();
    assert_eq!((is_of("second"), is_of("first"), is_of("fifth")), (1, 1, 1), "{reports:?}");
    assert_eq!(reports.len(), 3, "{reports:?}");
}

#[test]
fn a_group_that_isolates_failures_still_ends_with_its_body_with_a_cancel_and_with_a_hard_drop() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let isolated = || TaskGroupBuilder::new().isolate_failures();
        let scope = isolated().scope(async |group: &Group| {
            group.create_task(waits(log.clone(), "of the body", 50));
            sleep(ms(5)).await;
            Err::<(), _>("body")
        });
        assert_eq!(leaves(&scope.await.unwrap_err()), ["body"]);

        let of_the_task = log.clone();
        let task = create_task(isolated().scope(async move |group: &Group| {
            group.create_task(waits(of_the_task, "of the cancel", 50));
        }));
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());

        // One child is dropped with the scope; another drops the scope, and fails in the same poll.
        let scope = Rc::new(RefCell::new(None::<Pin<Box<dyn Future<Output = ()>>>>));
        let holder = scope.clone();
        let witness = OnDrop(log.clone(), "dropped");
        scope.replace(Some(Box::pin(async move {
            let scope = isolated().scope(async |group: &Group| {
                group.create_task(async move {
                    let _witness = witness;
                    pending::<()>().await;
                });
                group.create_task(async move {
                    drop(holder.take());
                    Err::<(), _>("it dropped its scope")
                });
            });
            drop(scope.await);
        })));
        poll_fn(|cx| {
            assert!(scope.borrow_mut().as_mut().unwrap().as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        sleep(ms(5)).await;
        log.expect(&[
            (5, "of the body cancelled"),
            (10, "of the cancel cancelled"),
            (10, "dropped"),
        ]);
    });
    let reports = reports.borrow();
    assert!(matches!(&reports[..], [only] if only.contains("it dropped its scope")), "{reports:?}");
}

#[test]
fn a_body_that_cancels_its_own_group_cancels_the_task_that_it_awaits_at_once() {
    run_virtual(async {
        let awaited = create_task(sleep(ms(1_000)));
        let awaited_ref = awaited.to_ref();
        let requests = create_task(async move { awaited_ref.cancelling() });
        let ended = TaskGroup::scope(async |group| {
            group.cancel();
            drop(awaited.await);
            Ok::<_, &str>(())
        });
        drop(ended.await);
        assert_eq!(requests.await, Ok(1));
    });
}

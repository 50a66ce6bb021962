//! Tests a time limit and a group among several awaits of a task: each interrupts what it holds, where it is polled, and
//! never what is beside it or the task that polled it first.
//!
//! How a cancel of the task itself is delivered is in `deliver.rs`.

mod common;

use std::cell::OnceCell;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::ptr;
use std::rc::Rc;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use common::{Log, Watchdog, ms};
use futures::future::{Either, FutureExt, join_all, select};
use loopwheel::sync::Condition;
use loopwheel::{
    ExceptionGroup, Instant, Task, TaskError, TaskGroup, TaskRef, TimedOut, call_later,
    catch_cancel, create_task, current_task, finally, gather, now, run_virtual, sleep, timeout,
    wait_for, yield_now,
};

const LONG: u64 = 60_000;

async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

/// Polls `future` in a `select` which it loses after a millisecond, and gives it back.
async fn loses<F: Future + Unpin>(future: F) -> F {
    match select(future, pin!(sleep(ms(1)))).await {
        Either::Left(_) => panic!("it was ready"),
        Either::Right(((), kept)) => kept,
    }
}

/// Runs a scope with one child that ends after this long, and returns what the child returned.
async fn scope_of(millis: u64) -> Result<u64, ExceptionGroup<Infallible>> {
    TaskGroup::scope(async |group| {
        let child = group.create_task(async move { Ok(after(millis).await) });
        Ok::<_, Infallible>(child.await.unwrap())
    })
    .await
}

/// Runs a scope whose child fails after 10 ms, and whose body would wait for ever.
async fn failing_scope() -> Result<(), ExceptionGroup<&'static str>> {
    TaskGroup::scope(async |group| {
        group.create_task(async {
            sleep(ms(10)).await;
            Err::<(), _>("broken")
        });
        pending::<()>().await;
        Ok::<_, &str>(())
    })
    .await
}

// ---- beside something else -----------------------------------------------------------------------------------------

#[test]
fn a_limit_beside_a_task_a_gathering_or_a_group_times_out_alone() {
    run_virtual(async {
        let limit = || wait_for(sleep(ms(100)), ms(10));
        let task = || create_task(after(30));
        assert_eq!(futures::join!(limit(), task()), (Err(TimedOut), Ok(30)));
        assert_eq!(futures::join!(task(), limit()), (Ok(30), Err(TimedOut)));
        let several = || gather([after(20), after(30)]);
        assert_eq!(futures::join!(limit(), several()), (Err(TimedOut), vec![20, 30]));
        assert_eq!(futures::join!(several(), limit()), (vec![20, 30], Err(TimedOut)));
        assert_eq!(futures::join!(limit(), scope_of(30)), (Err(TimedOut), Ok(30)));
        assert_eq!(futures::join!(scope_of(30), limit()), (Ok(30), Err(TimedOut)));
        assert_eq!(now(), Instant::START + ms(6 * 30));
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_group_whose_child_fails_beside_a_task_or_a_gathering_interrupts_its_own_body_alone() {
    run_virtual(async {
        let task = || create_task(after(30));
        let (failed, value) = futures::join!(failing_scope(), task());
        assert_eq!((failed.unwrap_err().iter().count(), value), (1, Ok(30)));
        let (value, failed) = futures::join!(task(), failing_scope());
        assert_eq!((failed.unwrap_err().iter().count(), value), (1, Ok(30)));
        let (failed, values) = futures::join!(failing_scope(), gather([after(20), after(30)]));
        assert_eq!((failed.unwrap_err().iter().count(), values), (1, vec![20, 30]));
        assert_eq!(now(), Instant::START + ms(90));
        assert_eq!(current_task().cancelling(), 0);
    });
}

// ---- in another task than the first --------------------------------------------------------------------------------

/// Polls `future` first in one task, and awaits it in another. Returns what came out of it and when, and expects that the first
/// task has gone on.
async fn moves<F>(future: F) -> (F::Output, Duration)
where
    F: Future + 'static,
{
    let start = now();
    let first = create_task(async move {
        let kept = loses(Box::pin(future)).await;
        let second: Task<_> = create_task(async move { (kept.await, now() - start) });
        let child = create_task(after(100));
        assert_eq!(child.await, Ok(100));
        assert_eq!(current_task().cancelling(), 0);
        second.await.unwrap()
    });
    first.await.unwrap()
}

#[test]
fn a_limit_holds_in_the_task_that_awaits_it_and_not_in_the_one_that_polled_it_first() {
    run_virtual(async {
        assert_eq!(moves(wait_for(pending::<()>(), ms(10))).await, (Err(TimedOut), ms(10)));
        let child = create_task(after(LONG));
        let child_ref = child.to_ref();
        assert_eq!(moves(wait_for(child, ms(10))).await, (Err(TimedOut), ms(10)));
        assert!(child_ref.is_cancelled());
        assert_eq!(moves(wait_for(after(30), ms(50))).await, (Ok(30), ms(30)));
    });
}

#[test]
fn a_group_holds_in_the_task_that_awaits_it_and_not_in_the_one_that_polled_it_first() {
    run_virtual(async {
        let (failed, when) = moves(failing_scope()).await;
        assert_eq!(failed.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
        assert_eq!(when, ms(10));
        assert_eq!(moves(scope_of(30)).await, (Ok(30), ms(30)));
    });
}

// ---- kept while its time passes ------------------------------------------------------------------------------------

/// Awaits `future` while a limit that lost a `select` is kept, and its time passes.
async fn with_a_kept_limit<F: Future>(future: F) -> F::Output {
    let kept = loses(Box::pin(wait_for(pending::<()>(), ms(10)))).await;
    let output = future.await;
    assert_eq!(current_task().cancelling(), 0);
    let polled_at_last = now();
    assert_eq!(kept.await, Err(TimedOut));
    assert_eq!(now(), polled_at_last, "its time was up");
    output
}

#[test]
fn a_limit_that_is_kept_while_its_time_passes_interrupts_nothing_and_is_up_when_it_is_polled() {
    run_virtual(async {
        assert_eq!(with_a_kept_limit(create_task(after(30))).await, Ok(30));
        assert_eq!(with_a_kept_limit(gather([after(20), after(30)])).await, [20, 30]);
        assert_eq!(with_a_kept_limit(scope_of(30)).await, Ok(30));
        assert_eq!(with_a_kept_limit(catch_cancel(after(30))).await.unwrap(), 30);
        let cleanup = async || sleep(ms(20)).await;
        assert_eq!(with_a_kept_limit(finally(after(5), cleanup)).await, 5);
        assert_eq!(with_a_kept_limit(wait_for(after(30), ms(40))).await, Ok(30));
        let condition = Rc::new(Condition::new());
        let notifies = condition.clone();
        let waits = async {
            let guard = condition.acquire().await;
            call_later(ms(30), move || {
                create_task(async move { notifies.acquire().await.notify(1) });
            });
            guard.wait().await;
        };
        with_a_kept_limit(waits).await;
    });
}

/// A place where forgotten values can still be found, so that a sanitizer does not report a leak.
static FORGOTTEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

fn forget<T>(value: T) {
    let forgotten = ptr::from_mut(Box::leak(Box::new(value))).expose_provenance();
    FORGOTTEN.lock().unwrap().push(forgotten);
}

#[test]
fn a_limit_that_is_forgotten_cancels_neither_its_task_nor_the_next_in_its_place() {
    run_virtual(async {
        let forgets = async || {
            let mut limit = Box::pin(wait_for(pending::<()>(), ms(10)));
            assert!(futures::poll!(&mut limit).is_pending());
            forget(limit);
        };
        let goes_on = create_task(async move {
            forgets().await;
            assert_eq!(create_task(after(30)).await, Ok(30));
            current_task().cancelling()
        });
        assert_eq!(goes_on.await, Ok(0));

        create_task(async move { forgets().await }).await.unwrap();
        let successors = (0..10).map(|_| {
            create_task(async {
                let slept = catch_cancel(sleep(ms(30))).await;
                (slept.is_ok(), current_task().cancelling())
            })
        });
        for ended in join_all(successors).await {
            assert_eq!(ended, Ok((true, 0)));
        }
    });
}

// ---- without any time ----------------------------------------------------------------------------------------------

/// When it is cleaned up, which takes 50 ms, it logs that, and how often it was cancelled by then.
async fn long_clean_up(log: Log) {
    finally(sleep(ms(LONG)), async || {
        let ended = catch_cancel(sleep(ms(50))).await;
        let how = if ended.is_ok() { "cleaned up" } else { "clean-up cut short" };
        log.add(format!("{how}, {} cancels", current_task().cancelling()));
    })
    .await;
}

#[test]
fn without_any_time_a_task_is_cancelled_and_waited_for() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(long_clean_up(log.clone()));
        sleep(ms(1)).await;
        assert_eq!(wait_for(task, Duration::ZERO).await, Err(TimedOut));
        assert_eq!((now() - Instant::START, current_task().cancelling()), (ms(51), 0));
        log.expect(&[(51, "cleaned up, 1 cancels")]);

        let swallows = create_task(async { catch_cancel(sleep(ms(LONG))).await.is_err() });
        yield_now().await;
        assert_eq!(wait_for(swallows, Duration::ZERO).await, Ok(Ok(true)));
        let swallows = create_task(async { drop(catch_cancel(sleep(ms(LONG))).await) });
        yield_now().await;
        let goes_on = async {
            swallows.await.unwrap();
            current_task().name()
        };
        assert_eq!(wait_for(goes_on, Duration::ZERO).await.as_deref(), Ok("main"));
        let over = create_task(async { 7 });
        yield_now().await;
        assert_eq!(wait_for(over, Duration::ZERO).await, Ok(Ok(7)));
    });
}

#[test]
fn without_any_time_a_cancel_ends_the_wait_and_leaves_the_clean_up_alone() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(long_clean_up(log.clone()));
        sleep(ms(1)).await;
        let waits = create_task(wait_for(task, Duration::ZERO));
        sleep(ms(10)).await;
        waits.cancel();
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(now() - Instant::START, ms(11));
        sleep(ms(100)).await;
        log.expect(&[(51, "cleaned up, 1 cancels")]);
    });
}

#[test]
fn without_any_time_a_cancel_that_came_before_goes_on() {
    run_virtual(async {
        let task = create_task(sleep(ms(LONG)));
        let task_too = task.to_ref();
        let waits = create_task(async move {
            current_task().cancel();
            wait_for(task, Duration::ZERO).await
        });
        assert!(waits.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert!(task_too.is_cancelled());
        assert_eq!(now(), Instant::START);
    });
}

#[test]
fn without_any_time_what_is_beside_the_limit_goes_on() {
    run_virtual(async {
        let (task, beside) = (create_task(sleep(ms(LONG))), create_task(after(5)));
        let limited = wait_for(task, Duration::ZERO);
        assert_eq!(futures::join!(limited, beside), (Err(TimedOut), Ok(5)));
        let (task, beside) = (create_task(sleep(ms(LONG))), create_task(after(5)));
        let limited = wait_for(task, Duration::ZERO);
        assert_eq!(futures::join!(beside, limited), (Ok(5), Err(TimedOut)));
    });
}

// ---- with a cancel of the task -------------------------------------------------------------------------------------

#[test]
fn a_limit_in_one_branch_and_a_cancel_of_the_task_at_the_same_moment_are_one_cancel() {
    let _watchdog = Watchdog::new("a limit and a cancel at once");
    run_virtual(async {
        let log = Log::new();
        let (inside, beside) = (log.clone(), log.clone());
        let place = Rc::new(OnceCell::<TaskRef>::new());
        let cancelled = place.clone();
        call_later(ms(10), move || {
            cancelled.get().unwrap().cancel();
        });
        let task = create_task(async move {
            let limited = finally(sleep(ms(LONG)), async || {
                sleep(ms(5)).await;
                inside.add("inside");
            });
            let beside = finally(sleep(ms(LONG)), async || {
                sleep(ms(7)).await;
                beside.add("beside");
            });
            futures::join!(wait_for(limited, ms(10)), beside)
        });
        place.set(task.to_ref()).unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(15, "inside"), (17, "beside")]);
    });
}

#[test]
fn a_limit_that_expires_while_a_cancel_of_the_task_is_cleaned_up_beside_it_does_not_take_it() {
    run_virtual(async {
        let task = create_task(async {
            let cleans = finally(sleep(ms(LONG)), async || sleep(ms(20)).await);
            futures::join!(wait_for(catch_cancel(sleep(ms(LONG))), ms(10)), cleans)
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), Instant::START + ms(25));
    });
}

// ---- after the end -------------------------------------------------------------------------------------------------

/// Awaits `future` in a task, twice, and returns what the panic says.
async fn polled_after_its_end<F: Future + 'static>(future: F) -> String {
    let task = create_task(async move {
        let mut future: Pin<Box<F>> = Box::pin(future);
        future.as_mut().await;
        future.as_mut().await;
    });
    match task.await {
        Err(TaskError::Panicked(panic)) => panic.message().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn cancels_itself() {
    current_task().cancel();
    pending::<()>().await;
}

#[test]
fn what_is_polled_after_its_end_panics_with_a_clear_sentence() {
    run_virtual(async {
        let panics = [
            polled_after_its_end(wait_for(async {}, ms(10))).await,
            polled_after_its_end(wait_for(sleep(ms(1)), ms(10))).await,
            polled_after_its_end(wait_for(sleep(ms(100)), ms(10))).await,
            polled_after_its_end(timeout(ms(10), async |_| sleep(ms(1)).await)).await,
            polled_after_its_end(timeout(ms(10), async |_| sleep(ms(100)).await)).await,
            polled_after_its_end(gather([after(1), after(2)])).await,
            polled_after_its_end(gather((after(1), after(2)))).await,
            polled_after_its_end(catch_cancel(async {})).await,
            polled_after_its_end(catch_cancel(cancels_itself())).await,
            polled_after_its_end(finally(sleep(ms(1)), async || ())).await,
            polled_after_its_end(scope_of(1)).await,
            polled_after_its_end(failing_scope()).await,
        ];
        for said in panics {
            let is_clear = said.contains("after its end") || said.contains("after completion");
            assert!(is_clear, "{said}");
        }
    });
}

/// This is as in asyncio, where both find the same sleep to cancel.
#[test]
fn a_limit_that_is_up_as_its_task_is_cancelled_leaves_the_clean_up_alone() {
    let log = Log::new();
    let l = log.clone();
    run_virtual(async move {
        let task = create_task(async move {
            let work = finally(sleep(ms(60_000)), async || {
                sleep(ms(5)).await;
                l.add("clean");
            });
            wait_for(work, ms(10)).await
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    log.expect(&[(15, "clean")]);
}

#[test]
fn the_clean_up_after_a_late_body_that_panics_is_not_cancelled() {
    // The panic left the limit's signal behind, so the next thing awaited in that poll was interrupted too.
    let log = Log::new();
    let (by_foreign, slept, seen) = (log.clone(), log.clone(), log.clone());
    let _watchdog = Watchdog::new("a panic in a limit");
    run_virtual(async move {
        let late = || async {
            let _ = catch_cancel(sleep(ms(LONG))).await;
            panic!("in the body");
        };
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let foreign = create_task(finally(wait_for(late(), ms(5)), async move || {
            receiver.await.expect("it is sent");
            by_foreign.add("received");
        }));
        let own = create_task(finally(wait_for(late(), ms(5)), async move || {
            sleep(ms(10)).await;
            slept.add("slept");
        }));
        sleep(ms(10)).await;
        sender.send(()).expect("it is awaited");
        for task in [foreign, own] {
            assert!(matches!(task.await, Err(TaskError::Panicked(_))));
            seen.add("ended");
        }
    });
    log.expect(&[(10, "received"), (10, "ended"), (15, "slept"), (15, "ended")]);
}

fn group_that_fails_late() -> impl Future<Output = Result<(), ExceptionGroup<&'static str>>> {
    TaskGroup::scope(async |group| {
        drop(group.create_task(async {
            drop(catch_cancel(sleep(ms(LONG))).await);
            sleep(ms(3)).await;
            Err::<(), _>("it fails")
        }));
        sleep(ms(LONG)).await;
        Ok::<_, &str>(())
    })
}

#[test]
fn errors_of_a_group_do_not_hide_the_cancel_of_a_task_that_returns() {
    run_virtual(async {
        let task = create_task(async {
            match select(pin!(group_that_fails_late()), pin!(sleep(ms(LONG)))).await {
                Either::Left((ended, _)) => assert!(ended.is_err()),
                Either::Right(_) => unreachable!("it is interrupted"),
            }
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), Instant::START + ms(4));
    });
}

#[test]
fn a_panic_that_comes_through_a_limit_that_is_up_leaves_the_task_awake() {
    run_virtual(async {
        let task = create_task(async {
            let mut polls = 0;
            let panics = poll_fn(|_| {
                polls += 1;
                // By then the limit looks whether anything in it is alive.
                assert!(polls < 4, "it is polled once more");
                Poll::<()>::Pending
            });
            let cleans_up = finally(sleep(ms(LONG)), async || sleep(ms(3)).await);
            let held = async { futures::join!(sleep(ms(LONG)), cleans_up, panics) };
            let limited = AssertUnwindSafe(wait_for(held, ms(5))).catch_unwind().await;
            assert!(limited.is_err());
            sleep(ms(3)).await;
            now()
        });
        assert_eq!(task.await, Ok(Instant::START + ms(8)));
    });
}

//! Tests what `gather`, `try_gather`, `wait` and `as_completed` promise: many tasks are awaited as one.

mod common;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use common::{Log, OnDrop, ms, watched_loop};
use futures::FutureExt;
use loopwheel::{
    AllCompleted, EventLoop, FirstCompleted, FirstException, Task, TaskError, TaskLocal, TimedOut,
    VirtualClock, all_tasks, as_completed, call_later, catch_cancel, create_task, current_task,
    finally, gather, now, run_virtual, sleep, try_create_task, try_gather, wait, wait_for,
    yield_now,
};

/// Returns the same number after that many milliseconds.
async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

/// Does the same, but odd numbers are errors.
async fn even_after(millis: u64) -> Result<u64, u64> {
    let millis = after(millis).await;
    if millis % 2 == 0 { Ok(millis) } else { Err(millis) }
}

// ---- gather

#[test]
fn values_come_in_the_order_of_the_arguments() {
    run_virtual(async {
        assert_eq!(gather([3, 1, 2].map(after)).await, [3, 1, 2]);
        assert_eq!(gather((1..=4).rev().map(after)).await, [4, 3, 2, 1]);
        assert_eq!(gather(vec![after(1)]).await, [1]);
        assert_eq!(now().as_nanos(), 8_000_000, "at the same time, not one by one");
    });
}

#[test]
fn a_tuple_gathers_what_differs() {
    run_virtual(async {
        assert_eq!(gather((async { 1 },)).await, (1,));
        assert_eq!(gather((after(2), async { "two" })).await, (2, "two"));
        let many = gather((
            async { 1_u8 },
            async { "2" },
            async { 3.0 },
            async {},
            async { Some(5) },
            async { 'c' },
            after(7),
            async { [8; 8] },
        ));
        assert_eq!(many.await, (1, "2", 3.0, (), Some(5), 'c', 7, [8; 8]));
        let fallible = try_gather((async { Ok::<_, &str>(1) }, async { Ok("two") }));
        assert_eq!(fallible.await, Ok((1, "two")));
        let fallible = try_gather((async { Ok::<_, &str>(1) }, async { Err::<(), _>("two") }));
        assert_eq!(fallible.await, Err("two"));
    });
}

#[test]
fn handles_are_taken_as_they_are() {
    run_virtual(async {
        let task = create_task(after(2));
        let shared = create_task(after(3)).shared();
        let (own, given, also) = gather((after(1), task, shared.clone())).await;
        assert_eq!((own, given, also), (1, Ok(2), Ok(3)));
        assert_eq!(shared.await, Ok(3), "a shared one can be awaited again");
        assert_eq!(gather([4, 5].map(|n| create_task(after(n)))).await, [Ok(4), Ok(5)]);

        let over = create_task(after(1));
        sleep(ms(5)).await;
        assert_eq!(gather([over]).await, [Ok(1)]);
    });
}

#[test]
fn a_given_task_that_fails_is_a_value_of_gather_and_an_error_of_try_gather() {
    run_virtual(async {
        let tasks = || [1, 2].map(|n| try_create_task(even_after(n)));
        assert_eq!(gather(tasks()).await, [Err(TaskError::Failed(1)), Ok(2)]);
        assert_eq!(try_gather(tasks()).await, Err(TaskError::Failed(1)));
    });
}

#[test]
fn nothing_is_gathered_at_once() {
    run_virtual(async {
        assert_eq!(gather([] as [std::future::Ready<()>; 0]).await, []);
        assert_eq!(try_gather(Vec::<std::future::Ready<Result<(), ()>>>::new()).await, Ok(vec![]));
        assert_eq!(gather(Vec::<Task<()>>::new()).return_exceptions().await, []);
        assert_eq!(now().as_nanos(), 0);
    });
}

#[test]
fn the_children_run_even_before_it_is_awaited() {
    run_virtual(async {
        let gathered = gather([after(5), after(10)]);
        sleep(ms(20)).await;
        assert_eq!(gathered.await, [5, 10]);
        assert_eq!(now().as_nanos(), 20_000_000);
    });
}

#[test]
fn a_hundred_thousand_are_gathered() {
    run_virtual(async {
        let sum: u64 = gather((0..100_000).map(|n| after(n % 10))).await.into_iter().sum();
        assert_eq!(sum, 450_000);
        assert_eq!(now().as_nanos(), 9_000_000);
    });
}

#[test]
fn the_first_error_is_raised_at_once_and_the_others_go_on() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let children = [10, 5, 7, 20].map(|n| {
            let log = log.clone();
            async move {
                let ended = even_after(n).await;
                log.add(format!("{ended:?}"));
                ended
            }
        });
        let first = try_gather(children).await;
        log.add(format!("gathered {first:?}"));
        sleep(ms(50)).await;
        log.expect(&[
            (5, "Err(5)"),
            (5, "gathered Err(5)"),
            (7, "Err(7)"),
            (10, "Ok(10)"),
            (20, "Ok(20)"),
        ]);
    });
    assert_eq!(
        *reports.borrow(),
        [] as [String; 0],
        "a later error is not reported, as in asyncio"
    );
}

#[test]
fn every_outcome_is_a_value_if_one_asks_for_it() {
    run_virtual(async {
        let panics = async {
            sleep(ms(3)).await;
            panic!("a child's panic")
        };
        let cancelled = try_create_task(pending::<Result<u64, u64>>());
        cancelled.cancel();
        let children = (even_after(1), even_after(2), panics);
        let (one, two, three): (_, _, Result<u64, TaskError<u64>>) =
            try_gather(children).return_exceptions().await;
        assert_eq!((one, two), (Err(TaskError::Failed(1)), Ok(2)));
        assert!(three.unwrap_err().is_panic());
        let given = gather([cancelled]).return_exceptions().await;
        let [Ok(Err(TaskError::Cancelled(_)))] = &given[..] else { panic!("{given:?}") };
        assert_eq!(now().as_nanos(), 3_000_000, "all have been waited for");
    });
}

#[test]
fn a_cancel_of_a_gather_cancels_the_children() {
    run_virtual(async {
        let log = Log::new();
        let children = [("one", 1), ("other", 4)].map(|(name, cleanup)| {
            let log = log.clone();
            finally(pending::<()>(), async move || {
                sleep(ms(cleanup)).await;
                log.add(name);
            })
        });
        let gathering = gather(children).return_exceptions();
        let task = create_task(gathering);
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("cancelled");
        log.expect(&[(11, "one"), (14, "other"), (14, "cancelled")]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_cancelled_gather_goes_on_when_the_first_child_has_ended_cancelled() {
    run_virtual(async {
        let log = Log::new();
        let children = [1, 4].map(|cleanup| {
            let log = log.clone();
            finally(pending::<()>(), async move || {
                sleep(ms(cleanup)).await;
                log.add(format!("{cleanup}"));
            })
        });
        let task = create_task(gather(children));
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("cancelled");
        sleep(ms(10)).await;
        log.expect(&[(11, "1"), (11, "cancelled"), (14, "4")]);
    });
}

#[test]
fn given_tasks_are_cancelled_with_the_gather_too() {
    run_virtual(async {
        let given = create_task(pending::<()>()).shared();
        let task = create_task(gather([given.clone()]));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(given.is_cancelled());
    });
}

#[test]
fn dropped_hard_it_cancels_its_own_children_and_leaves_given_tasks_alone() {
    for polls in 0..3 {
        run_virtual(async move {
            let log = Log::new();
            let child = {
                let guard = OnDrop(log.clone(), "own child dropped");
                async move {
                    let _guard = guard;
                    pending::<()>().await;
                }
            };
            let given = create_task(after(20));
            let given_ref = given.to_ref();
            let mut gathered = Box::pin(gather((child, given)));
            for _ in 0..polls {
                poll_fn(|cx| {
                    assert!(gathered.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                yield_now().await;
            }
            drop(gathered);
            yield_now().await;
            log.expect(&[(0, "own child dropped")]);
            sleep(ms(50)).await;
            assert!(given_ref.is_done() && !given_ref.is_cancelled());
        });
    }
}

#[test]
fn a_gather_that_loses_a_race_against_time_takes_its_children_with_it() {
    run_virtual(async {
        assert_eq!(wait_for(gather([after(5), after(50)]), ms(10)).await, Err(TimedOut));
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_panic_of_a_child_goes_on_in_the_task_that_gathers() {
    run_virtual(async {
        let others = Rc::new(Cell::new(false));
        let other = others.clone();
        let task = create_task(async move {
            gather((
                async {
                    sleep(ms(5)).await;
                    panic!("a child's panic")
                },
                async move {
                    sleep(ms(10)).await;
                    other.set(true);
                },
            ))
            .await
        });
        let error: TaskError = match task.await {
            Err(error) => error,
            Ok(((), ())) => unreachable!(),
        };
        let TaskError::Panicked(panic) = error else { panic!("it panicked") };
        assert_eq!(panic.message(), "a child's panic");
        assert_eq!(now().as_nanos(), 5_000_000);
        sleep(ms(10)).await;
        assert!(others.get(), "the other child went on");
    });
}

#[test]
fn a_child_that_another_task_cancels_cancels_the_gather_but_not_its_siblings() {
    run_virtual(async {
        let log = Log::new();
        let inside = log.clone();
        let task = create_task(async move {
            let child = async {
                let itself = loopwheel::current_task();
                drop(create_task(async move {
                    sleep(ms(5)).await;
                    itself.cancel();
                }));
                pending::<()>().await;
            };
            let sibling = async move {
                after(20).await;
                inside.add("sibling done");
            };
            gather((child, sibling)).await
        });
        let ended = task.await;
        assert!(ended.unwrap_err().is_cancelled());
        log.add("cancelled");
        sleep(ms(50)).await;
        log.expect(&[(5, "cancelled"), (20, "sibling done")]);
    });
}

#[test]
fn a_child_that_swallows_the_cancel_does_not_save_the_gather() {
    run_virtual(async {
        let child = async {
            let _ = catch_cancel(pending::<()>()).await;
            1
        };
        let task = create_task(gather([child]));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn gathers_nest() {
    run_virtual(async {
        let inner = |base: u64| gather([after(base), after(base + 1)]);
        assert_eq!(gather([inner(1), inner(5)]).await, [[1, 2], [5, 6]]);
        let log = Log::new();
        let deep = {
            let log = log.clone();
            async move {
                let _guard = OnDrop(log, "innermost cancelled");
                pending::<()>().await;
            }
        };
        let task = create_task(gather([gather([deep])]));
        sleep(ms(4)).await;
        task.cancel();
        assert!(task.await.is_err());
        log.expect(&[(10, "innermost cancelled")]);
    });
}

// ---- a gathering that is over in an unusual way

/// Runs when it is dropped.
struct WhenDropped(Option<Box<dyn FnOnce()>>);

impl Drop for WhenDropped {
    fn drop(&mut self) {
        (self.0.take().unwrap())();
    }
}

static WHEN_DROPPED: TaskLocal<WhenDropped> = TaskLocal::new();

/// Makes a task that sleeps for five milliseconds and runs this when its locals are dropped: in the middle of its end.
fn sleeper_whose_end_runs(run: impl FnOnce() + 'static) -> Task<()> {
    create_task(async move {
        WHEN_DROPPED.set(WhenDropped(Some(Box::new(run))));
        sleep(ms(5)).await;
    })
}

#[test]
fn a_gathering_that_is_dropped_in_the_middle_of_an_end_is_not_told_of_it() {
    run_virtual(async {
        let held: Rc<RefCell<Option<Box<dyn Any>>>> = Rc::default();
        let dropped = held.clone();
        let task = sleeper_whose_end_runs(move || drop(dropped.take()));
        *held.borrow_mut() = Some(Box::new(gather([task])));
        sleep(ms(10)).await;
        assert!(held.borrow().is_none());
    });
}

#[test]
fn a_gather_that_reuses_the_subscription_slot_of_a_dropped_one_is_notified_only_of_its_own_tasks() {
    run_virtual(async {
        let held: Rc<RefCell<Option<Box<dyn Any>>>> = Rc::default();
        let next: Rc<RefCell<Option<_>>> = Rc::default();
        let (dropped, made) = (held.clone(), next.clone());
        let others = [10, 20, 30].map(|millis| create_task(sleep(ms(millis))));
        let task = sleeper_whose_end_runs(move || {
            drop(dropped.take());
            *made.borrow_mut() = Some(gather(others));
        });
        *held.borrow_mut() = Some(Box::new(gather([task])));
        sleep(ms(7)).await;
        let gathering = next.take().unwrap();
        assert_eq!(format!("{gathering:?}"), "Gather { pending: 3, .. }");
        gathering.await;
        assert_eq!(now().as_nanos(), 30_000_000);
    });
}

#[test]
fn a_gathering_whose_cancel_was_caught_further_out_still_has_its_outcomes() {
    run_virtual(async {
        let mut gathering = gather([1, 100].map(|millis| async move {
            sleep(ms(millis)).await;
            millis
        }));
        assert!(wait_for(&mut gathering, ms(10)).await.is_err());
        let outcomes = gathering.return_exceptions().await;
        assert_eq!(outcomes[0], Ok(1));
        assert!(outcomes[1].as_ref().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_gathering_that_raised_a_cancel_raises_it_again_when_it_is_polled_again() {
    let ended = run_virtual(async {
        let task = create_task(async {
            let child = create_task(sleep(ms(60_000)));
            let inner = child.to_ref();
            call_later(ms(2), move || _ = inner.cancel());
            let gathering = gather([async move {
                child.await.unwrap_err();
                current_task().cancel();
                yield_now().await;
            }]);
            // The other branch catches what this one raises, so this one is polled again.
            drop(futures::future::join(gathering, catch_cancel(sleep(ms(10)))).await);
        });
        task.await
    });
    assert!(ended.unwrap_err().is_cancelled());
}

#[test]
fn a_gathering_whose_child_panicked_still_has_its_outcomes() {
    run_virtual(async {
        let mut gathering = gather([0, 1].map(|number| async move {
            assert_ne!(number, 0, "zero");
            number
        }));
        let polled = AssertUnwindSafe(&mut gathering).catch_unwind().await;
        assert!(polled.is_err());
        let outcomes = gathering.return_exceptions().await;
        assert!(outcomes[0].as_ref().unwrap_err().is_panic());
        assert_eq!(outcomes[1], Ok(1));
    });
}

// ---- wait

fn sleepers<const N: usize>(millis: [u64; N]) -> [Task<u64>; N] {
    millis.map(|millis| create_task(after(millis)))
}

fn times(tasks: Vec<Task<u64>>) -> Vec<u64> {
    tasks.into_iter().map(|mut task| task.result().unwrap().unwrap()).collect()
}

#[test]
fn wait_ends_with_the_first_or_with_all() {
    run_virtual(async {
        let (done, rest) = wait(sleepers([30, 10, 20, 10]), FirstCompleted).await;
        assert_eq!((times(done), rest.len()), (vec![10, 10], 2), "in the order of the arguments");
        let (done, rest) = wait(rest, AllCompleted).await;
        assert_eq!((times(done), rest.len()), (vec![30, 20], 0));
        assert_eq!(now().as_nanos(), 30_000_000);
        let (done, rest) = wait([] as [Task<()>; 0], AllCompleted).await;
        assert_eq!((done.len(), rest.len()), (0, 0));
    });
}

#[test]
fn wait_ends_with_the_first_error_or_panic_but_not_with_a_cancel() {
    run_virtual(async {
        let cancelled = try_create_task(pending::<Result<u64, u64>>());
        cancelled.cancel();
        let mut tasks = vec![cancelled];
        tasks.extend([2, 5, 8].map(|n| try_create_task(even_after(n))));
        let (done, rest) = wait(tasks, FirstException).await;
        assert_eq!((done.len(), rest.len(), now().as_nanos()), (3, 1, 5_000_000));

        let panics = create_task(async {
            sleep(ms(5)).await;
            panic!("the panic that is waited for")
        });
        let (done, rest) = wait([panics, create_task(after(50))], FirstException).await;
        assert_eq!((done.len(), rest.len(), now().as_nanos()), (1, 1, 10_000_000));
        assert!(done.into_iter().next().unwrap().await.unwrap_err().is_panic());

        // Without any exception it waits for all.
        let (done, _) = wait([2, 4].map(|n| try_create_task(even_after(n))), FirstException).await;
        assert_eq!(done.len(), 2);
    });
}

#[test]
fn wait_waits_no_longer_than_its_limit_and_cancels_no_task() {
    for until in [FirstException, AllCompleted] {
        run_virtual(async move {
            let (done, rest) = wait(sleepers([5, 20]), until).timeout(ms(10)).await;
            assert_eq!((times(done), rest.len()), (vec![5], 1));
            assert_eq!(now().as_nanos(), 10_000_000);
            let (done, _) = wait(rest, until).timeout(None).await;
            assert_eq!((times(done), now().as_nanos()), (vec![20], 20_000_000));
        });
    }
    run_virtual(async {
        let (done, rest) = wait(sleepers([5]), FirstCompleted).timeout(ms(0)).await;
        assert_eq!((done.len(), rest.len(), now().as_nanos()), (0, 1, 0));
    });
}

#[test]
fn wait_takes_handles_by_value_or_by_reference() {
    run_virtual(async {
        let mut tasks = sleepers([5, 10]);
        let (done, rest) = wait(tasks.iter_mut(), FirstCompleted).await;
        assert_eq!((done.len(), rest.len()), (1, 1));
        drop((done, rest));
        let [one, other] = tasks;
        assert_eq!((one.await, other.await), (Ok(5), Ok(10)));
        let shared = create_task(after(5)).shared();
        let (done, _) = wait([shared.clone(), shared], AllCompleted).await;
        assert_eq!(done.len(), 2);
    });
}

#[test]
fn a_cancelled_wait_cancels_no_task_and_is_cancelled_at_once() {
    run_virtual(async {
        let task = create_task(after(20)).shared();
        let waiting = create_task(wait([task.clone()], AllCompleted));
        sleep(ms(5)).await;
        waiting.cancel();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 5_000_000);
        assert_eq!(task.await, Ok(20));
    });
}

#[test]
fn a_wait_that_is_dropped_leaves_its_tasks_running() {
    run_virtual(async {
        let tasks = sleepers([5, 10]);
        let refs: Vec<_> = tasks.iter().map(Task::to_ref).collect();
        {
            let mut waiting = pin!(wait(tasks, AllCompleted));
            poll_fn(|cx| {
                assert!(waiting.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        sleep(ms(20)).await;
        assert!(refs.iter().all(|task| task.is_done() && !task.is_cancelled()));
    });
}

// ---- as_completed

#[test]
fn tasks_come_in_the_order_in_which_they_end() {
    run_virtual(async {
        let log = Log::new();
        let mut completed = as_completed(sleepers([30, 10, 20, 10]));
        while let Some(mut task) = completed.next().await {
            log.add(task.result().unwrap().unwrap().to_string());
        }
        assert!(completed.next().await.is_none(), "again and again");
        log.expect(&[(10, "10"), (10, "10"), (20, "20"), (30, "30")]);
        assert!(as_completed([] as [Task<()>; 0]).next().await.is_none());
    });
}

#[test]
fn failures_come_like_values() {
    run_virtual(async {
        let mut completed = as_completed([3, 2, 1].map(|n| try_create_task(even_after(n))));
        let mut order = Vec::new();
        while let Some(task) = completed.next().await {
            order.push(task.await);
        }
        assert_eq!(order, [Err(TaskError::Failed(1)), Ok(2), Err(TaskError::Failed(3))]);
    });
}

#[test]
fn those_who_end_in_time_come_and_then_the_time_is_up() {
    run_virtual(async {
        let mut completed = as_completed(sleepers([30, 5, 8])).timeout(ms(10));
        assert_eq!(times(vec![completed.next().await.unwrap().unwrap()]), [5]);
        sleep(ms(20)).await; // 8 has ended meanwhile, and the time is up
        assert_eq!(times(vec![completed.next().await.unwrap().unwrap()]), [8], "it was in time");
        assert_eq!(completed.next().await.unwrap_err(), TimedOut);
        assert_eq!(completed.next().await.unwrap_err(), TimedOut, "again and again");
        let pending = completed.pending();
        assert_eq!(pending.len(), 1);
        for task in pending {
            assert_eq!(task.await, Ok(30), "it was not cancelled");
        }
    });
}

#[test]
fn a_task_that_ended_too_late_does_not_come_though_the_first_poll_is_later_still() {
    run_virtual(async {
        let mut completed = as_completed(sleepers([15, 10, 5])).timeout(ms(10));
        sleep(ms(20)).await; // all have ended: one in time, one at the limit, one after it
        assert_eq!(times(vec![completed.next().await.unwrap().unwrap()]), [5]);
        assert_eq!(completed.next().await.unwrap_err(), TimedOut);
        assert_eq!(times(completed.pending()), [15, 10]);
    });
}

#[test]
fn a_limit_for_all_of_them_is_counted_from_the_start() {
    run_virtual(async {
        let mut completed = as_completed(sleepers([5, 12])).timeout(ms(10));
        assert!(completed.next().await.unwrap().is_some());
        assert_eq!(completed.next().await.unwrap_err(), TimedOut);
        assert_eq!(now().as_nanos(), 10_000_000);
        let mut unlimited = as_completed(sleepers([5, 12])).timeout(None);
        assert!(unlimited.next().await.unwrap().is_some());
        assert!(unlimited.next().await.unwrap().is_some());
        assert!(unlimited.next().await.unwrap().is_none());
    });
}

#[test]
fn dropped_early_it_leaves_the_others_running() {
    run_virtual(async {
        let tasks = sleepers([5, 10, 15]);
        let refs: Vec<_> = tasks.iter().map(Task::to_ref).collect();
        let mut completed = as_completed(tasks);
        let first = completed.next().await.unwrap();
        drop(completed);
        assert_eq!(first.await, Ok(5));
        sleep(ms(20)).await;
        assert!(refs.iter().all(|task| task.is_done() && !task.is_cancelled()));
    });
}

#[test]
fn a_next_that_is_cancelled_loses_no_task() {
    run_virtual(async {
        let mut completed = as_completed(sleepers([5, 10]));
        for _ in 0..3 {
            assert!(wait_for(completed.next(), ms(1)).await.is_err());
        }
        let mut order = Vec::new();
        while let Some(task) = completed.next().await {
            order.push(task.await.unwrap());
        }
        assert_eq!(order, [5, 10]);
    });
}

#[test]
fn as_completed_keeps_nothing_of_what_it_has_given_back() {
    run_virtual(async {
        let thrown = Arc::new(());
        let tasks = [0; 10].map(|_| {
            let thrown = thrown.clone();
            create_task(async { std::panic::panic_any(thrown) })
        });
        let mut completed = as_completed(tasks);
        while let Some(task) = completed.next().await {
            let ended: Result<(), _> = task.await;
            assert!(ended.is_err());
        }
        assert_eq!(Arc::strong_count(&thrown), 1);
        drop(completed);
    });
}

#[test]
fn a_gathering_that_never_came_about_hides_no_failure() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let futures = (0..2).map(|number| {
            assert_eq!(number, 0, "the iterator's own trouble");
            async { panic!("on fire") }
        });
        let gathering = AssertUnwindSafe(|| drop(gather::<_, _>(futures)));
        assert!(std::panic::catch_unwind(gathering).is_err());
        yield_now().await;
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("on fire"), "{:?}", reports.borrow());
}

#[test]
fn a_failure_whose_clone_ends_another_member_does_not_find_the_gathering_borrowed() {
    /// Its clone drops a loop.
    #[derive(Debug)]
    struct Hostile(Rc<RefCell<Option<EventLoop>>>);
    impl Clone for Hostile {
        fn clone(&self) -> Hostile {
            let event_loop = self.0.take();
            drop(event_loop);
            Hostile(self.0.clone())
        }
    }
    let is_error = run_virtual(async {
        let other = EventLoop::builder().clock(VirtualClock::new()).build();
        let of_other = other.try_create_task(pending::<Result<(), Hostile>>()).shared();
        let other = Rc::new(RefCell::new(Some(other)));
        let fails = try_create_task(async { Err::<(), _>(Hostile(other)) }).shared();
        catch_all(try_gather([fails, of_other])).await
    });
    assert!(is_error, "the error, and no panic");
}

/// Says whether it returned an error.
async fn catch_all<T, E>(gathered: impl Future<Output = Result<T, E>>) -> bool {
    AssertUnwindSafe(gathered).catch_unwind().await.is_ok_and(|ended| ended.is_err())
}

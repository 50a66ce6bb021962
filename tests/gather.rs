//! Tests what `gather` and `try_gather` promise: many tasks are awaited as one, and their values come in order.

mod common;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, ms, watched_loop};
use futures::FutureExt;
use loopwheel::{
    EventLoop, Task, TaskError, TaskLocal, TaskRef, TimedOut, VirtualClock, all_tasks,
    as_completed, call_later, catch_cancel, create_task, current_task, finally, gather, now,
    run_virtual, sleep, try_create_task, try_gather, wait_for, yield_now,
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
fn a_given_task_that_is_cancelled_with_the_gather_is_no_error_of_it() {
    run_virtual(async {
        let given = try_create_task(pending::<Result<(), u8>>());
        let task = create_task(async move { try_gather([given]).await.is_err() });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_gather_is_told_of_its_children_beside_more_sets_than_a_task_can_name() {
    const NAMES: usize = 1 << 16;
    run_virtual(async {
        let awaited = create_task(pending::<()>()).shared();
        let _sets: Vec<_> = (0..NAMES).map(|_| as_completed([awaited.clone()])).collect();
        assert_eq!(wait_for(gather([after(1)]), ms(9)).await, Ok(vec![1]));
    });
}

#[test]
fn a_cancel_that_comes_when_all_children_have_ended_leaves_their_values_there() {
    run_virtual(async {
        let task = create_task(async {
            let mut gathering = gather([after(0), after(0)]);
            assert!(catch_cancel(&mut gathering).await.is_err());
            gathering.await
        });
        yield_now().await;
        let children = all_tasks().split_off(2);
        assert_eq!(children.len(), 2);
        while !children.iter().all(TaskRef::is_done) {
            yield_now().await;
        }
        assert!(task.cancel());
        assert_eq!(task.await, Ok(vec![0, 0]));
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
fn a_gathering_after_one_that_failed_was_cancelled_or_dropped_is_as_any_other() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        for round in 0..3 {
            assert_eq!(try_gather([2, 4].map(even_after)).await, Ok(vec![2, 4]));
            assert_eq!(try_gather([2, 3, 4].map(even_after)).await, Err(3));
            let mut cancelled = create_task(try_gather([20, 40].map(even_after)));
            sleep(ms(round)).await;
            cancelled.cancel();
            assert!((&mut cancelled).await.is_err());
            let mut polled = try_gather([2, 3].map(even_after));
            assert!((&mut polled).now_or_never().is_none());
            drop(polled);
            let all = try_gather([3, 2].map(even_after)).return_exceptions().await;
            assert!(all[0].is_err() && all[1].is_ok());
        }
    });
    assert!(reports.borrow().is_empty());
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

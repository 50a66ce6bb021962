//! Tests what `wait` and `as_completed` promise: tasks are awaited, and their handles given back.

mod common;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use common::{Log, ms};
use loopwheel::{
    AllCompleted, FirstCompleted, FirstException, Task, TaskError, TimedOut, as_completed,
    create_task, now, run_virtual, sleep, try_create_task, wait, wait_for,
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
fn it_says_how_many_are_left_and_takes_a_turn_for_the_first_though_that_has_ended() {
    run_virtual(async {
        let tasks = sleepers([0, 0, 5]);
        sleep(ms(1)).await;
        let mut completed = as_completed(tasks);
        assert_eq!(completed.left(), 3);
        let other = create_task(async {});
        completed.next().await.unwrap();
        assert!(other.is_done(), "as in asyncio");
        let other = create_task(async {});
        completed.next().await.unwrap();
        assert_eq!((completed.left(), other.is_done()), (1, false));
        completed.next().await.unwrap();
        assert_eq!((completed.left(), completed.next().await.is_none()), (0, true));
    });
}

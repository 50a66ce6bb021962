//! Measures a task: to wake, to poll, to spawn, to await, to cancel, and to have values of its own.
//!
//! `cargo bench --bench tasks`. Where an iteration is many operations, criterion's throughput line counts operations.

mod common;

use std::future::{pending, poll_fn, ready};
use std::hint::black_box;
use std::task::Poll;
use std::time::Duration;

use common::parts::wake_self;
use common::{Group, HOUR, paths, settings, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use loopwheel::{TaskLocal, call_soon, create_task, run_virtual, sleep, yield_now};

fn wake(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "wake");
    group.path(&paths::YIELD_ALONE);
    group.path(&paths::YIELD_AMONG);
    group.once("itself-by-its-waker", wake_self);
    group.once("in-vain", || {
        poll_fn(|context| {
            context.waker().wake_by_ref(); // the poll that follows finds a task that goes on anyway
            Poll::Ready(())
        })
    });
    group.once("clone-and-drop-a-waker", || {
        poll_fn(|context| {
            drop(black_box(context.waker().clone()));
            Poll::Ready(())
        })
    });
    group.path(&paths::PING_PONG);
    group.path(&paths::STORM);
}

fn spawn(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "spawn");
    group.once("join-one", async || assert_eq!(create_task(ready(7)).await, Ok(7)));
    group.path(&paths::SPAWN_JOIN);
    group.path(&paths::SPAWN_EAGER);
    group.once("call_soon", async || {
        let callback = call_soon(|| ());
        yield_now().await;
        assert!(!callback.is_cancelled());
    });
    group.without_loop("a-loop", || assert_eq!(run_virtual(async { 7 }), 7));
}

fn cancel(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "cancel");
    group.path(&paths::CANCEL);
    group.rounds("a-sleeping-task", 1_000, |rounds| cancelled(rounds, || sleep(HOUR)));
    group.rounds("a-waiting-task", 1_000, |rounds| cancelled(rounds, pending::<()>));
    group.once("before-it-began", async || drop(create_task(pending::<()>())));
}

/// Times only the end of 1,000 tasks: they are cancelled, and awaited.
async fn cancelled<F>(rounds: u64, future: fn() -> F) -> Duration
where
    F: Future<Output = ()> + 'static,
{
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let tasks: Vec<_> = (0..1_000).map(|_| create_task(future())).collect();
        yield_now().await;
        took += timed(async || {
            for task in &tasks {
                assert!(task.cancel());
            }
            for task in tasks {
                assert!(task.await.is_err());
            }
        })
        .await;
    }
    took
}

static NUMBER: TaskLocal<u64> = TaskLocal::new();

fn task_local(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "task_local");
    group.once("set", async || NUMBER.set(7));
    group.rounds("get", 1, |rounds| async move {
        NUMBER.set(7);
        timed(async || {
            for _ in 0..rounds {
                assert_eq!(NUMBER.get(), Some(7));
            }
        })
        .await
    });
    group.rounds("inherit", 1, |rounds| async move {
        NUMBER.set(7);
        timed(async || {
            for _ in 0..rounds {
                assert_eq!(create_task(async { NUMBER.get() }).await, Ok(Some(7)));
            }
        })
        .await
    });
}

/// What an observer costs that does nothing. Each yield is five events: a turn, a poll, a wait, a wake-up, the end of the poll.
fn traced(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "traced");
    group.path(&paths::TRACED);
}

criterion_group! {
    name = tasks;
    config = settings();
    targets = wake, spawn, cancel, task_local, traced
}
criterion_main!(tasks);

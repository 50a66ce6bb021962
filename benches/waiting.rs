//! Measures waiting for several tasks at a time: ten tasks, each of which yields once. `cargo bench --bench waiting`
//!
//! An iteration is all of it, with the spawning of the ten. `ten-awaited-in-turn` measures that alone.

mod common;

use std::convert::Infallible;

use common::paths::{self, answer};
use common::{Group, settings};
use criterion::{Criterion, criterion_group, criterion_main};
use loopwheel::{
    AllCompleted, FirstCompleted, Task, TaskGroup, as_completed, create_task, gather, shield,
    try_gather, wait,
};

/// The sum of what the ten return.
const SUM: u64 = 45;

fn ten() -> [Task<u64>; 10] {
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|number| create_task(answer(number)))
}

fn combine(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "combine");
    group.once("ten-awaited-in-turn", async || {
        let mut sum = 0;
        for task in ten() {
            sum += task.await.expect("it has a value");
        }
        assert_eq!(sum, SUM);
    });
    group.path(&paths::GATHER);
    group.once("gather-a-pair", async || {
        assert_eq!(gather((answer(1), answer("two"))).await, (1, "two"));
    });
    group.once("gather-10-return_exceptions", async || {
        let outcomes = gather((0..10).map(answer)).return_exceptions().await;
        assert!(outcomes.iter().all(Result::is_ok));
    });
    group.once("try_gather-10", async || {
        let values = try_gather((0..10_u64).map(|number| answer(Ok::<_, ()>(number)))).await;
        assert_eq!(values.expect("no task fails").iter().sum::<u64>(), SUM);
    });
    group.once("task-group-10", async || {
        let sum = TaskGroup::<Infallible>::scope(async |group| {
            let tasks = (0..10).map(|number| group.create_task(answer(Ok(number))));
            let mut sum = 0;
            for task in tasks.collect::<Vec<_>>() {
                sum += task.await.expect("it has a value");
            }
            Ok::<u64, Infallible>(sum)
        });
        assert_eq!(sum.await.expect("no task fails"), SUM);
    });
    group.once("wait-all-of-10", async || {
        let (done, pending) = wait(ten(), AllCompleted).await;
        assert_eq!((done.len(), pending.len()), (10, 0));
    });
    group.once("wait-first-of-10", async || {
        let (done, pending) = wait(ten(), FirstCompleted).await;
        assert_eq!(done.len() + pending.len(), 10);
        assert!(!done.is_empty());
    });
    group.once("as_completed-10", async || {
        let mut completed = as_completed(ten());
        let mut sum = 0;
        while let Some(task) = completed.next().await {
            sum += task.await.expect("it has a value");
        }
        assert_eq!(sum, SUM);
    });
    group.once("shield-one", async || assert_eq!(shield(create_task(answer(7))).await, Ok(7)));
}

criterion_group! { name = waiting; config = settings(); targets = combine }
criterion_main!(waiting);

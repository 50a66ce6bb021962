//! Many tasks that yield once, spawned and awaited together.

use std::time::{Duration, Instant};

use loopwheel::{
    AllCompleted, Task, TaskGroup, as_completed, create_task, gather, try_gather, wait,
};

use crate::bare;
use crate::common::paths::answer;
use crate::table::Growth;

pub(crate) fn awaited(growth: &mut Growth) {
    let mut group = growth.group("tasks spawned and awaited");
    group.row("one by one", one_by_one);
    group.row("gather", gathered);
    group.row("try_gather", try_gathered);
    group.row("TaskGroup", grouped);
    group.row("wait(AllCompleted)", waited);
    group.row("as_completed", completed);
    group.bare("bare work", bare::made_and_run);
}

fn spawned(size: usize) -> impl Iterator<Item = Task<usize>> {
    (0..size).map(|number| create_task(answer(number)))
}

fn sum_below(size: usize) -> usize {
    size * (size - 1) / 2
}

async fn one_by_one(size: usize) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = spawned(size).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("it has a value");
    }
    assert_eq!(sum, sum_below(size));
    begun.elapsed()
}

async fn gathered(size: usize) -> Duration {
    let begun = Instant::now();
    let numbers = gather((0..size).map(answer)).await;
    assert_eq!(numbers.iter().sum::<usize>(), sum_below(size));
    begun.elapsed()
}

async fn try_gathered(size: usize) -> Duration {
    let begun = Instant::now();
    let numbers = try_gather((0..size).map(|number| answer(Ok::<_, ()>(number)))).await;
    assert_eq!(numbers.expect("no task fails").iter().sum::<usize>(), sum_below(size));
    begun.elapsed()
}

async fn grouped(size: usize) -> Duration {
    let begun = Instant::now();
    let tasks = TaskGroup::<()>::scope(async |group| {
        Ok::<Vec<_>, ()>((0..size).map(|number| group.create_task(answer(Ok(number)))).collect())
    });
    let mut sum = 0;
    for task in tasks.await.expect("no task fails") {
        sum += task.await.expect("it has a value");
    }
    assert_eq!(sum, sum_below(size));
    begun.elapsed()
}

async fn waited(size: usize) -> Duration {
    let begun = Instant::now();
    let (done, rest) = wait(spawned(size), AllCompleted).await;
    assert!(done.len() == size && rest.is_empty());
    drop(done);
    begun.elapsed()
}

async fn completed(size: usize) -> Duration {
    let begun = Instant::now();
    let mut completed = as_completed(spawned(size));
    let mut sum = 0;
    while let Some(task) = completed.next().await {
        sum += task.await.expect("it has a value");
    }
    assert_eq!(sum, sum_below(size));
    begun.elapsed()
}

//! Spawn many tasks, then wait for each.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const SPAWN: Workload = Workload {
    name: "spawn",
    about: "100,000 tasks are spawned, then each is awaited; an operation is one task",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const TASKS: usize = 100_000;

/// The body of every task.
#[allow(clippy::unused_async)] // a task needs a future, and this is the smallest
async fn answer(number: usize) -> usize {
    number
}

pub(crate) fn measure<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    repeat::<E, _>(workload, scale, tasks, move || async move {
        let mut spawned = Vec::with_capacity(tasks);
        for number in 0..tasks {
            spawned.push(E::spawn(answer(number)));
        }
        let mut sum = 0;
        for task in spawned {
            sum += E::join(task).await;
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
    })
}

/// The same futures boxed, then each polled and dropped.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, tasks, || {
        let mut boxed = Vec::with_capacity(tasks);
        for number in 0..tasks {
            boxed.push(super::boxed(answer(number)));
        }
        let mut sum = 0;
        for future in boxed {
            let Poll::Ready(number) = pin!(future).poll(&mut context) else {
                unreachable!("it awaits nothing")
            };
            sum += number;
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
    })
}

//! Spawn tasks and wait for them: many at once, or one after the other.

use std::hint::black_box;
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

pub(crate) const ONE: Workload = Workload {
    name: "spawn-1",
    about: "a task is spawned and awaited before the next is; an operation is one task",
    ..SPAWN
};

const TASKS: usize = 100_000;
const ONE_BY_ONE: usize = 10_000;

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

pub(crate) fn one<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(ONE_BY_ONE);
    repeat::<E, _>(workload, scale, tasks, move || async move {
        let mut sum = 0;
        for number in 0..tasks {
            sum += E::join(E::spawn(answer(number))).await;
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
    })
}

/// The same futures boxed, then each polled and dropped.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(ONE_BY_ONE);
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, tasks, || {
        let mut boxed = Vec::with_capacity(tasks);
        for number in 0..tasks {
            boxed.push(super::boxed(answer(number)));
        }
        let mut sum = 0;
        for future in boxed {
            sum += ready(pin!(future).poll(&mut context));
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
    })
}

/// One future boxed, polled and dropped before the next.
pub(crate) fn bare_one(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(ONE_BY_ONE);
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, tasks, || {
        let mut sum = 0;
        for number in 0..tasks {
            let future = black_box(super::boxed(answer(number)));
            sum += ready(pin!(future).poll(&mut context));
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
    })
}

fn ready<T>(polled: Poll<T>) -> T {
    match polled {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it awaits nothing"),
    }
}

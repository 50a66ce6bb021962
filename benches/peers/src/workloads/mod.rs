//! The workloads: what is measured, and on whom.

mod spawn;
mod threads;
mod yielding;

use std::pin::Pin;

use crate::executor::{Executor, Queue, Semaphore, Timers};
use crate::peer::Measure;

/// One table.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) runs: Runs,
}

/// What the two figures of a sample are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// CPU time of the whole process per operation; CPU per wall time.
    CpuNanos,
    /// Wall time per operation, where waiting is what is measured; CPU per wall time.
    WallNanos,
}

impl Unit {
    pub(crate) fn headings(self) -> [&'static str; 2] {
        match self {
            Unit::CpuNanos => ["ns CPU/op", "cpu/wall"],
            Unit::WallNanos => ["ns wall/op", "cpu/wall"],
        }
    }
}

/// How the samples of several processes become one, and where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    Median,
    /// On one core: with two, what is measured is how far they happen to be from each other, and it has two modes.
    PinnedMedian,
    /// The same, and the best counts: how many wakes come before the loop wakes up is a matter of luck.
    PinnedBest,
    /// The loop on one core and its partner on another. On one core a loop that never sleeps would show how long the
    /// kernel lets it run, and nothing else.
    TwoCoresMedian,
}

type Rows = Vec<(&'static Workload, Measure)>;

pub(crate) const ALL: &[&Workload] = &[
    &spawn::SPAWN,
    &yielding::ONE,
    &yielding::THOUSAND,
    &threads::PARKED,
    &threads::BUSY,
    &threads::FLOOD,
];

pub(crate) fn of_executors<E: Executor>() -> Rows {
    vec![
        (&spawn::SPAWN, spawn::measure::<E>),
        (&yielding::ONE, yielding::one::<E>),
        (&yielding::THOUSAND, yielding::thousand::<E>),
        (&threads::PARKED, threads::parked::<E>),
        (&threads::BUSY, threads::busy::<E>),
        (&threads::FLOOD, threads::flood::<E>),
    ]
}

pub(crate) fn of_timers<E: Timers>() -> Rows {
    vec![]
}

pub(crate) fn of_queues<E: Queue>() -> Rows {
    vec![]
}

pub(crate) fn of_semaphores<E: Semaphore>() -> Rows {
    vec![]
}

pub(crate) fn of_bare() -> Rows {
    vec![
        (&spawn::SPAWN, spawn::bare),
        (&yielding::ONE, yielding::bare_one),
        (&yielding::THOUSAND, yielding::bare_thousand),
    ]
}

/// As an executor has to hold a future: on the heap, its type forgotten.
fn boxed<T>(future: impl Future<Output = T> + 'static) -> Pin<Box<dyn Future<Output = T>>> {
    Box::pin(future)
}

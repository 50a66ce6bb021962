//! The workloads: what is measured, and on whom.

pub(crate) mod echo;
mod gather;
mod http;
mod lateness;
mod memory;
mod queue;
mod ring;
mod semaphore;
mod spawn;
mod storm;
mod threads;
mod timeouts;
mod timers;
mod yielding;

use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::executor::{Executor, Http, Queue, Semaphore, Sockets, Timers};
use crate::peer::Measure;
use crate::scale::Scale;

pub(crate) use gather::Set;

/// One table.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) runs: Runs,
}

impl Workload {
    /// One whose repetitions take so long that a third of the rounds has to do.
    pub(crate) fn is_long(&self) -> bool {
        self.name.ends_with("-1000000")
    }
}

/// What the two figures of a sample are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// CPU time of the whole process per operation; CPU per wall time.
    CpuNanos,
    /// Wall time per operation, where waiting is what is measured; CPU per wall time.
    WallNanos,
    /// CPU time of the whole process per operation; wall time per operation.
    CpuAndWallNanos,
    /// Microseconds after the deadline: the median, and one in a hundred, in one process.
    Lateness,
    /// Bytes: asked of the allocator; resident.
    Bytes,
}

impl Unit {
    pub(crate) fn headings(self) -> [&'static str; 2] {
        match self {
            Unit::CpuNanos => ["ns CPU/op", "cpu/wall"],
            Unit::WallNanos => ["ns wall/op", "cpu/wall"],
            Unit::CpuAndWallNanos => ["ns CPU/op", "ns wall/op"],
            Unit::Lateness => ["µs, p50", "p99 in one"],
            Unit::Bytes => ["bytes heap", "resident"],
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

/// In the order of the tables.
pub(crate) const ALL: &[&Workload] = &[
    &spawn::SPAWN,
    &spawn::ONE,
    &gather::TEN,
    &gather::THOUSAND,
    &gather::HUNDRED_THOUSAND,
    &yielding::ONE,
    &yielding::HUNDRED,
    &yielding::THOUSAND,
    &yielding::TEN_THOUSAND,
    &yielding::HUNDRED_THOUSAND,
    &yielding::MILLION,
    &ring::TWO,
    &ring::THOUSAND,
    &storm::HUNDRED,
    &storm::THOUSAND,
    &storm::TEN_THOUSAND,
    &storm::HUNDRED_THOUSAND,
    &storm::MILLION,
    &queue::QUEUE,
    &semaphore::SEMAPHORE,
    &timers::TIMERS,
    &timeouts::READY,
    &timeouts::BESIDE_TIMERS,
    &timeouts::ARMED,
    &lateness::LATENESS,
    &threads::PARKED,
    &threads::BUSY,
    &threads::FLOOD,
    &memory::PENDING,
    &memory::SLEEPING,
    &echo::ONE,
    &echo::HUNDRED,
    &echo::THOUSAND,
    &echo::BESIDE_IDLE,
    &http::HTTP,
];

pub(crate) fn of_executors<E: Executor>() -> Rows {
    let mut rows = of_spawning::<E>();
    rows.extend(of_tasks::<E>());
    rows
}

pub(crate) fn of_spawning<E: Executor>() -> Rows {
    vec![(&spawn::SPAWN, spawn::measure::<E>), (&spawn::ONE, spawn::one::<E>)]
}

fn of_tasks<E: Executor>() -> Rows {
    vec![
        (&gather::TEN, gather::measure::<E>),
        (&gather::THOUSAND, gather::measure::<E>),
        (&gather::HUNDRED_THOUSAND, gather::measure::<E>),
        (&yielding::ONE, yielding::one::<E>),
        (&yielding::HUNDRED, yielding::many::<E>),
        (&yielding::THOUSAND, yielding::many::<E>),
        (&yielding::TEN_THOUSAND, yielding::many::<E>),
        (&yielding::HUNDRED_THOUSAND, yielding::many::<E>),
        (&yielding::MILLION, yielding::many::<E>),
        (&ring::TWO, ring::two::<E>),
        (&ring::THOUSAND, ring::thousand::<E>),
        (&storm::HUNDRED, storm::measure::<E>),
        (&storm::THOUSAND, storm::measure::<E>),
        (&storm::TEN_THOUSAND, storm::measure::<E>),
        (&storm::HUNDRED_THOUSAND, storm::measure::<E>),
        (&storm::MILLION, storm::measure::<E>),
        (&threads::PARKED, threads::parked::<E>),
        (&threads::BUSY, threads::busy::<E>),
        (&threads::FLOOD, threads::flood::<E>),
        (&memory::PENDING, memory::waiting::<E>),
    ]
}

pub(crate) fn of_timers<E: Timers>() -> Rows {
    vec![
        (&timers::TIMERS, timers::measure::<E>),
        (&timeouts::READY, timeouts::at_once::<E>),
        (&timeouts::BESIDE_TIMERS, timeouts::beside_timers::<E>),
        (&timeouts::ARMED, timeouts::armed::<E>),
        (&lateness::LATENESS, lateness::measure::<E>),
        (&memory::SLEEPING, memory::sleeping::<E>),
    ]
}

pub(crate) fn of_queues<E: Queue>() -> Rows {
    vec![(&queue::QUEUE, queue::measure::<E>)]
}

pub(crate) fn of_semaphores<E: Semaphore>() -> Rows {
    vec![(&semaphore::SEMAPHORE, semaphore::measure::<E>)]
}

pub(crate) fn of_sockets<E: Sockets>() -> Rows {
    vec![
        (&echo::ONE, echo::measure::<E>),
        (&echo::HUNDRED, echo::measure::<E>),
        (&echo::THOUSAND, echo::measure::<E>),
        (&echo::BESIDE_IDLE, echo::measure::<E>),
    ]
}

pub(crate) fn of_http<E: Http>() -> Rows {
    vec![(&http::HTTP, http::measure::<E>)]
}

pub(crate) fn of_sets<E: Executor, S: Set>() -> Rows {
    vec![
        (&gather::TEN, gather::in_a_set::<E, S>),
        (&gather::THOUSAND, gather::in_a_set::<E, S>),
        (&gather::HUNDRED_THOUSAND, gather::in_a_set::<E, S>),
    ]
}

pub(crate) fn of_bare() -> Rows {
    vec![
        (&spawn::SPAWN, spawn::bare),
        (&spawn::ONE, spawn::bare_one),
        (&gather::TEN, gather::bare),
        (&gather::THOUSAND, gather::bare),
        (&gather::HUNDRED_THOUSAND, gather::bare),
        (&yielding::ONE, yielding::bare_one),
        (&yielding::HUNDRED, yielding::bare_many),
        (&yielding::THOUSAND, yielding::bare_many),
        (&yielding::TEN_THOUSAND, yielding::bare_many),
        (&yielding::HUNDRED_THOUSAND, yielding::bare_many),
        (&yielding::MILLION, yielding::bare_many),
        (&ring::TWO, ring::bare_two),
        (&ring::THOUSAND, ring::bare_thousand),
        (&storm::HUNDRED, storm::bare),
        (&storm::THOUSAND, storm::bare),
        (&storm::TEN_THOUSAND, storm::bare),
        (&storm::HUNDRED_THOUSAND, storm::bare),
        (&storm::MILLION, storm::bare),
        (&queue::QUEUE, queue::bare),
        (&memory::PENDING, memory::bare),
        (&echo::ONE, echo::bare),
        (&echo::HUNDRED, echo::bare),
        (&echo::THOUSAND, echo::bare),
        (&echo::BESIDE_IDLE, echo::bare),
    ]
}

/// The number at the end of a workload's name, of a smoke test's size in a smoke test.
fn size_in_name(workload: &Workload, scale: Scale) -> usize {
    let (_, size) = workload.name.split_once('-').expect("a name and a size");
    scale.size(size.parse().expect("a number"))
}

/// As an executor has to hold a future: on the heap, its type forgotten.
fn boxed<T>(future: impl Future<Output = T> + 'static) -> Pin<Box<dyn Future<Output = T>>> {
    Box::pin(future)
}

//! Tasks that give way: what a poll and a wake cost when there is nothing else.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::{Gate, Muster, yield_now};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed, size_in_name};

pub(crate) const ONE: Workload = Workload {
    name: "yield-1",
    about: "one task yields 100,000 times; an operation is one yield",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const HUNDRED: Workload = Workload {
    name: "yield-100",
    about: "100 tasks, spawned before, yield by turns; an operation is one yield",
    ..ONE
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "yield-1000",
    about: "1,000 tasks, spawned before, yield by turns; an operation is one yield",
    ..ONE
};

pub(crate) const TEN_THOUSAND: Workload = Workload {
    name: "yield-10000",
    about: "10,000 tasks, spawned before, yield by turns; an operation is one yield",
    ..ONE
};

pub(crate) const HUNDRED_THOUSAND: Workload = Workload {
    name: "yield-100000",
    about: "100,000 tasks, spawned before, yield by turns; an operation is one yield",
    ..ONE
};

pub(crate) const MILLION: Workload = Workload {
    name: "yield-1000000",
    about: "1,000,000 tasks, spawned before, yield by turns; an operation is one yield",
    ..ONE
};

const YIELDS: usize = 100_000;

pub(crate) fn one<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let times = scale.size(YIELDS);
    repeat::<E, _>(workload, scale, times, move || async move {
        assert_eq!(E::join(E::spawn(yields(times))).await, times);
    })
}

async fn yields(times: usize) -> usize {
    for _ in 0..times {
        yield_now().await;
    }
    times
}

/// Tasks that wait at a gate between two repetitions, so that no repetition spawns any, and the cost of a yield can be
/// compared between few and many.
#[derive(Default)]
struct Yielders {
    gate: Gate,
    muster: Muster,
    yielded: Cell<usize>,
}

/// How often each task yields each time, and how often it is polled for that: passing the gate is one poll more.
fn times(tasks: usize) -> (usize, usize) {
    let times = (YIELDS / tasks).clamp(10, 1_000);
    (times, times + 1)
}

pub(crate) fn many<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = size_in_name(workload, scale);
    let (times, polls) = times(tasks);
    let yielders = Rc::new(Yielders::default());
    let spawned = Cell::new(false);
    repeat::<E, _>(workload, scale, tasks * polls, move || {
        let yielders = yielders.clone();
        let begin = !spawned.replace(true);
        async move {
            if begin {
                yielders.muster.expect(tasks);
                (0..tasks).for_each(|_| E::spawn_detached(yield_for_ever(yielders.clone(), times)));
                yielders.muster.complete().await;
            }
            let before = yielders.yielded.get();
            yielders.muster.expect(tasks);
            yielders.gate.open();
            yielders.muster.complete().await;
            assert_eq!(yielders.yielded.get() - before, tasks * times);
        }
    })
}

async fn yield_for_ever(yielders: Rc<Yielders>, times: usize) {
    loop {
        yielders.muster.arrive();
        yielders.gate.pass().await;
        let yielded = yields(times).await;
        yielders.yielded.set(yielders.yielded.get() + yielded);
    }
}

pub(crate) fn bare_one(workload: &'static Workload, scale: Scale) -> Sample {
    let times = scale.size(YIELDS);
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, times, || {
        let mut future = boxed(yields(times));
        let mut polls = 1;
        while future.as_mut().poll(&mut context).is_pending() {
            polls += 1;
        }
        assert_eq!(polls, times + 1);
    })
}

/// A ring of boxed futures: pop, poll, push.
pub(crate) fn bare_many(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = size_in_name(workload, scale);
    let (times, polls) = times(tasks);
    let yielders = Rc::new(Yielders::default());
    let mut ring: VecDeque<_> =
        (0..tasks).map(|_| boxed(yield_for_ever(yielders.clone(), times))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll_all = |rounds| {
        yielders.muster.expect(tasks);
        yielders.gate.open();
        for _ in 0..tasks * rounds {
            let mut future = ring.pop_front().expect("it is full");
            assert!(future.as_mut().poll(&mut context).is_pending());
            ring.push_back(future);
        }
    };
    poll_all(1);
    repeat_bare(workload, scale, tasks * polls, || {
        let before = yielders.yielded.get();
        poll_all(polls);
        assert_eq!(yielders.yielded.get() - before, tasks * times);
    })
}

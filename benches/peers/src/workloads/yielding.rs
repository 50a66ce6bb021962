//! Tasks that give way: what a poll and a wake cost when there is nothing else.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::yield_now;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const ONE: Workload = Workload {
    name: "yield-1",
    about: "one task yields 100,000 times; an operation is one yield",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "yield-1000",
    about: "1,000 tasks yield 100 times each; an operation is one yield",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const YIELDS: usize = 100_000;

pub(crate) fn one<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E>(workload, scale, 1, scale.size(YIELDS))
}

pub(crate) fn thousand<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(1_000);
    measure::<E>(workload, scale, tasks, scale.size(YIELDS) / tasks)
}

async fn yields(times: usize) -> usize {
    for _ in 0..times {
        yield_now().await;
    }
    times
}

fn measure<E: Executor>(
    workload: &'static Workload,
    scale: Scale,
    tasks: usize,
    times: usize,
) -> Sample {
    repeat::<E, _>(workload, scale, tasks * times, move || async move {
        let spawned: Vec<_> = (0..tasks).map(|_| E::spawn(yields(times))).collect();
        let mut all = 0;
        for task in spawned {
            all += E::join(task).await;
        }
        assert_eq!(all, tasks * times);
    })
}

pub(crate) fn bare_one(workload: &'static Workload, scale: Scale) -> Sample {
    bare(workload, scale, 1, scale.size(YIELDS))
}

pub(crate) fn bare_thousand(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(1_000);
    bare(workload, scale, tasks, scale.size(YIELDS) / tasks)
}

/// A ring of boxed futures: pop, poll, push.
fn bare(workload: &'static Workload, scale: Scale, tasks: usize, times: usize) -> Sample {
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, tasks * times, || {
        let mut ring: VecDeque<_> = (0..tasks).map(|_| super::boxed(yields(times))).collect();
        let mut polls = 0;
        while let Some(mut future) = ring.pop_front() {
            polls += 1;
            if future.as_mut().poll(&mut context).is_pending() {
                ring.push_back(future);
            }
        }
        assert_eq!(polls, tasks * (times + 1));
    })
}

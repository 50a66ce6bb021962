//! Wait for a whole set of futures and have their outputs in order.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::yield_now;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed, size_in_name};

pub(crate) const TEN: Workload = Workload {
    name: "gather-10",
    about: "10 futures that yield once, gathered; an operation is one future",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "gather-1000",
    about: "1,000 futures that yield once, gathered; an operation is one future",
    ..TEN
};

pub(crate) const HUNDRED_THOUSAND: Workload = Workload {
    name: "gather-100000",
    about: "100,000 futures that yield once, gathered; an operation is one future",
    ..TEN
};

/// Small sets are gathered many times.
fn times(size: usize, scale: Scale) -> usize {
    scale.size(10_000).div_ceil(size)
}

async fn child(number: usize) -> usize {
    yield_now().await;
    number
}

fn check(outputs: &[usize], size: usize) {
    assert_eq!(outputs.len(), size);
    assert!(outputs.iter().enumerate().all(|(place, output)| place == *output), "in order");
}

/// With an executor's own way, which makes tasks of the futures.
pub(crate) fn measure<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let size = size_in_name(workload, scale);
    let times = times(size, scale);
    repeat::<E, _>(workload, scale, size * times, move || async move {
        for _ in 0..times {
            check(&E::gather((0..size).map(child)).await, size);
        }
    })
}

/// With a set that polls the futures within one task.
pub(crate) fn in_a_set<E: Executor, S: Set>(workload: &'static Workload, scale: Scale) -> Sample {
    let size = size_in_name(workload, scale);
    let times = times(size, scale);
    repeat::<E, _>(workload, scale, size * times, move || async move {
        for _ in 0..times {
            check(&S::gather((0..size).map(child)).await, size);
        }
    })
}

/// A set of futures that needs an executor only to be polled.
pub(crate) trait Set: 'static {
    fn gather<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>>;
}

/// A ring of boxed futures: pop, poll, push.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let size = size_in_name(workload, scale);
    let times = times(size, scale);
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, size * times, || {
        for _ in 0..times {
            let mut ring: VecDeque<_> = (0..size).map(|number| boxed(child(number))).collect();
            let mut outputs = Vec::with_capacity(size);
            while let Some(mut future) = ring.pop_front() {
                match future.as_mut().poll(&mut context) {
                    Poll::Ready(output) => outputs.push(output),
                    Poll::Pending => ring.push_back(future),
                }
            }
            check(&outputs, size);
        }
    })
}

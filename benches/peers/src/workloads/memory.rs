//! What a waiting task weighs, its future included.

use std::fs;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use crate::executor::{Executor, Timers};
use crate::heap;
use crate::measure::{Sample, in_a_task};
use crate::parts::{Muster, WaitForEver};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed};

pub(crate) const PENDING: Workload = Workload {
    name: "memory",
    about: "100,000 tasks wait for ever: what one weighs, its future included",
    unit: Unit::Bytes,
    runs: Runs::Median,
};

pub(crate) const SLEEPING: Workload = Workload {
    name: "memory-sleep",
    about: "100,000 tasks sleep for an hour: what one weighs, its future included",
    ..PENDING
};

const TASKS: usize = 100_000;
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn waiting<E: Executor>(_: &'static Workload, scale: Scale) -> Sample {
    measure::<E, _>(scale, WaitForEver::default)
}

pub(crate) fn sleeping<E: Timers>(_: &'static Workload, scale: Scale) -> Sample {
    measure::<E, _>(scale, || E::sleep(HOUR))
}

fn measure<E: Executor, F: Future<Output = ()> + 'static>(
    scale: Scale,
    wait: impl Fn() -> F + Copy + 'static,
) -> Sample {
    let tasks = scale.size(TASKS);
    let muster = Rc::new(Muster::default());
    in_a_task::<E, _>(async move {
        muster.expect(tasks);
        let scales = Scales::new();
        for _ in 0..tasks {
            E::spawn_detached(wait_in(muster.clone(), wait));
        }
        muster.complete().await;
        scales.per_task(tasks)
    })
}

async fn wait_in<F: Future<Output = ()>>(muster: Rc<Muster>, wait: impl Fn() -> F) {
    muster.arrive();
    wait().await;
}

/// The future alone, boxed.
pub(crate) fn bare(_: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let muster = Rc::new(Muster::default());
    let mut futures = Vec::with_capacity(tasks);
    let scales = Scales::new();
    futures.extend((0..tasks).map(|_| boxed(wait_in(muster.clone(), WaitForEver::default))));
    scales.per_task(futures.len())
}

/// What was in use when it was made.
struct Scales {
    heap: isize,
    resident: f64,
}

impl Scales {
    fn new() -> Scales {
        let resident = resident();
        Scales { heap: heap::count_from_now(), resident }
    }

    fn per_task(&self, tasks: usize) -> Sample {
        let heap = (heap::in_use() - self.heap) as f64 / tasks as f64;
        let resident = (resident() - self.resident) / tasks as f64;
        Sample { figure: heap, beside: resident, repetitions: Vec::new() }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    (pages.expect("the second number") * rustix::param::page_size()) as f64
}

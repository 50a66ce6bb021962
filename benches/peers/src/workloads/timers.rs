//! Many timers, all of which fire.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::executor::Timers;
use crate::measure::{Sample, repeat};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const TIMERS: Workload = Workload {
    name: "timers",
    about: "100,000 tasks sleep for 1 to 50 ms each; an operation is one task, its spawning included",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) fn measure<E: Timers>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(100_000);
    repeat::<E, _>(workload, scale, tasks, move || async move {
        let mut random = Rng::with_seed(42);
        let start = Instant::now();
        let mut spawned = Vec::with_capacity(tasks);
        let mut longest = Duration::ZERO;
        for _ in 0..tasks {
            let duration = Duration::from_micros(random.u64(1_000..50_000));
            longest = longest.max(duration);
            spawned.push(E::spawn(async move {
                E::sleep(duration).await;
                1
            }));
        }
        let mut fired = 0;
        for task in spawned {
            fired += E::join(task).await;
        }
        assert_eq!(fired, tasks);
        assert!(start.elapsed() >= longest, "a timer fired early");
    })
}

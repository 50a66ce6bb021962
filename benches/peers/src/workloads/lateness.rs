//! How late a timer fires on a loop that has nothing else to do. Never early.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::executor::Timers;
use crate::measure::{Sample, in_a_task};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const LATENESS: Workload = Workload {
    name: "lateness",
    about: "sleeps of 0.2 to 3 ms on an idle loop: by how much they are too long",
    unit: Unit::Lateness,
    runs: Runs::Median,
};

pub(crate) fn measure<E: Timers>(_: &'static Workload, scale: Scale) -> Sample {
    let sleeps = match scale {
        Scale::Smoke => 10,
        Scale::Quick => 150,
        Scale::Full => 1_000,
    };
    let mut late: Vec<Duration> = in_a_task::<E, _>(async move {
        let mut random = Rng::with_seed(7);
        let mut late = Vec::with_capacity(sleeps);
        for _ in 0..sleeps {
            let duration = Duration::from_micros(random.u64(200..3_000));
            let start = Instant::now();
            E::sleep(duration).await;
            let slept = start.elapsed();
            late.push(slept.checked_sub(duration).expect("it does not fire early"));
        }
        late
    });
    late.sort();
    let micros = |late: &Duration| late.as_nanos() as f64 / 1_000.0;
    let percentile = |percent: usize| micros(&late[sleeps * percent / 100]);
    let (figure, beside) = (percentile(50), percentile(99));
    Sample { figure, beside, repetitions: late.iter().map(micros).collect() }
}

//! One measurement, in this process.

use std::future::Future;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::executor::Executor;
use crate::scale::Scale;
use crate::workloads::{Unit, Workload};

/// What a process found out: the line it prints. What the two figures are, the workload's unit says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) figure: f64,
    pub(crate) beside: f64,
    /// What the figure is the median of: each repetition, or each sleep. Empty where it is no median.
    #[serde(default)]
    pub(crate) repetitions: Vec<f64>,
}

/// Repeats `once`, which does `operations` of what is measured and checks its result.
///
/// The first repetition is not counted: it pays for page faults, and for tables that grow.
pub(crate) fn repeat<E: Executor, F>(
    workload: &Workload,
    scale: Scale,
    operations: usize,
    once: impl Fn() -> F + 'static,
) -> Sample
where
    F: Future<Output = ()> + 'static,
{
    in_a_task::<E, _>(laps(scale, once)).sample(workload.unit, operations)
}

/// What [`repeat`] runs in its task.
pub(crate) async fn laps<F: Future<Output = ()>>(scale: Scale, once: impl Fn() -> F) -> Laps {
    once().await;
    let mut laps = Laps::new(scale);
    while laps.wanted() {
        let start = Lap::start();
        once().await;
        laps.push(start);
    }
    laps
}

/// [`repeat`] without an executor.
pub(crate) fn repeat_bare(
    workload: &Workload,
    scale: Scale,
    operations: usize,
    mut once: impl FnMut(),
) -> Sample {
    once();
    let mut laps = Laps::new(scale);
    while laps.wanted() {
        let start = Lap::start();
        once();
        laps.push(start);
    }
    laps.sample(workload.unit, operations)
}

/// Runs a future as a task of a fresh loop.
///
/// The main future is a special case in many executors (polled by another rule, or starving the tasks when it yields),
/// and what people run are tasks.
pub(crate) fn in_a_task<E: Executor, T: 'static>(task: impl Future<Output = T> + 'static) -> T {
    E::run(async { E::join(E::spawn(task)).await })
}

/// How long each repetition took.
pub(crate) struct Laps {
    scale: Scale,
    begun: Instant,
    done: Vec<(Duration, Duration)>,
}

#[derive(Clone, Copy)]
struct Lap {
    cpu: Duration,
    wall: Instant,
}

impl Lap {
    fn start() -> Lap {
        Lap { cpu: process_cpu(), wall: Instant::now() }
    }
}

impl Laps {
    fn new(scale: Scale) -> Laps {
        Laps { scale, begun: Instant::now(), done: Vec::new() }
    }

    fn wanted(&self) -> bool {
        self.done.len() < self.scale.repetitions() || self.begun.elapsed() < self.scale.time()
    }

    fn push(&mut self, start: Lap) {
        let wall = start.wall.elapsed();
        self.done.push((process_cpu().saturating_sub(start.cpu), wall));
    }

    pub(crate) fn sample(self, unit: Unit, operations: usize) -> Sample {
        let cpu: Duration = self.done.iter().map(|lap| lap.0).sum();
        let wall: Duration = self.done.iter().map(|lap| lap.1).sum();
        let per_operation = |nanos: fn(&(Duration, Duration)) -> u128| -> Vec<f64> {
            self.done.iter().map(|lap| nanos(lap) as f64 / operations as f64).collect()
        };
        let cpu_nanos = || per_operation(|(cpu, _)| cpu.as_nanos());
        let wall_nanos = || per_operation(|(_, wall)| wall.as_nanos());
        let cpu_per_wall = cpu.as_secs_f64() / wall.as_secs_f64();
        let (repetitions, beside) = match unit {
            Unit::WallNanos => (wall_nanos(), cpu_per_wall),
            Unit::CpuAndWallNanos => (cpu_nanos(), median(wall_nanos())),
            Unit::CpuNanos | Unit::Lateness | Unit::Bytes => (cpu_nanos(), cpu_per_wall),
        };
        Sample { figure: median(repetitions.clone()), beside, repetitions }
    }
}

/// All threads of the process: a helper thread is no way to look cheap.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("CPU time is not negative")
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

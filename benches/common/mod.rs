//! What the benchmarks share: a loop for criterion to run futures on, and settings that keep the whole run short.
#![allow(dead_code)] // each benchmark uses its part

pub(crate) mod parts;
pub(crate) mod paths;

use std::cell::RefCell;
use std::env;
use std::future::Future;
use std::time::{Duration, Instant};

use criterion::async_executor::AsyncExecutor;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use loopwheel::{EventLoop, VirtualClock};
use paths::Path;

/// For sleeps that are not meant to end.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// One loop for all samples of a benchmark, so that its tables have grown when the samples begin.
pub(crate) struct Loop(RefCell<EventLoop>);

impl Loop {
    /// Makes a loop on virtual time: nothing sleeps, and reading the clock adds no cost that is not the crate's.
    pub(crate) fn new() -> Loop {
        Loop(RefCell::new(EventLoop::builder().clock(VirtualClock::impatient()).build()))
    }

    pub(crate) fn on_system_time() -> Loop {
        Loop(RefCell::new(EventLoop::new()))
    }
}

impl AsyncExecutor for &Loop {
    /// Criterion times the inside of `future`, so what a run costs is not in the figures.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.borrow_mut().run_until_complete(future)
    }
}

/// Takes short samples: the figures are compared only with themselves, and there are many.
pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

/// A group of benchmarks. One iteration is one operation, unless a benchmark says otherwise.
pub(crate) struct Group<'a>(BenchmarkGroup<'a, WallTime>);

impl<'a> Group<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
        Group(criterion.benchmark_group(name))
    }

    /// One iteration is one `routine`, in the loop's main task.
    pub(crate) fn once<F: Future>(&mut self, name: &str, routine: impl FnMut() -> F + Copy) {
        self.once_on(&Loop::new(), name, routine);
    }

    /// Does the same on a loop of the caller's.
    pub(crate) fn once_on<F: Future>(
        &mut self,
        event_loop: &Loop,
        name: &str,
        routine: impl FnMut() -> F + Copy,
    ) {
        self.0.throughput(Throughput::Elements(1));
        self.0.bench_function(name, |bencher| bencher.to_async(event_loop).iter(routine));
    }

    /// One iteration is one round of several operations. `run` makes as many rounds as it is told, and returns how long they took.
    pub(crate) fn rounds<F: Future<Output = Duration>>(
        &mut self,
        name: &str,
        operations: u64,
        run: impl FnMut(u64) -> F + Copy,
    ) {
        self.0.throughput(Throughput::Elements(operations));
        self.0.bench_function(name, |bencher| {
            bencher.to_async(&Loop::new()).iter_custom(run);
        });
    }

    pub(crate) fn path(&mut self, path: &Path) {
        self.rounds(path.name, path.operations, path.run);
    }

    /// One iteration is one `routine`, outside of any loop.
    pub(crate) fn without_loop<O>(&mut self, name: &str, routine: impl FnMut() -> O + Copy) {
        self.0.throughput(Throughput::Elements(1));
        self.0.bench_function(name, |bencher| bencher.iter(routine));
    }
}

/// Says whether everything runs once only. Like criterion, this takes a run without `--bench` for a test, because
/// `cargo test --benches` calls it so.
pub(crate) fn is_test() -> bool {
    let has = |flag| env::args().any(|arg| arg == flag);
    has("--test") || !has("--bench")
}

/// Returns how long `body` takes, in the task that calls this.
pub(crate) async fn timed(body: impl AsyncFnOnce()) -> Duration {
    let begun = Instant::now();
    body().await;
    begun.elapsed()
}

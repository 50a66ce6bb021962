//! Runs each row at each size under criterion, and prints what one item took as a table.

use std::fmt::Write;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use loopwheel::{EventLoop, VirtualClock};

use crate::common::is_test;

/// The last size is the reason for this benchmark. A test leaves it out.
const SIZES: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
const SIZES_OF_A_TEST: [usize; 2] = [100, 1_000];

pub(crate) struct Growth {
    criterion: Criterion,
    is_test: bool,
    sizes: &'static [usize],
    table: String,
}

impl Default for Growth {
    fn default() -> Growth {
        let is_test = is_test();
        Growth {
            criterion: Criterion::default()
                .sample_size(10)
                .warm_up_time(Duration::from_millis(100))
                .measurement_time(Duration::from_millis(500))
                .configure_from_args(),
            is_test,
            sizes: if is_test { &SIZES_OF_A_TEST } else { &SIZES },
            table: String::new(),
        }
    }
}

impl Growth {
    /// Begins a group of rows that are to be compared with each other.
    pub(crate) fn group(&mut self, name: &str) -> Group<'_> {
        let mut benchmarks = self.criterion.benchmark_group(name);
        benchmarks.sampling_mode(SamplingMode::Flat); // one iteration is long
        Group {
            benchmarks,
            sizes: self.sizes,
            heading: Some(format!("{name}\n")),
            table: &mut self.table,
        }
    }

    pub(crate) fn finish(self) {
        self.criterion.final_summary();
        if self.is_test || self.table.is_empty() {
            return;
        }
        print!("\n{:<36}", "nanoseconds per item");
        for size in self.sizes {
            print!("{size:>12}");
        }
        println!("\n{}", self.table);
    }
}

pub(crate) struct Group<'a> {
    benchmarks: BenchmarkGroup<'a, WallTime>,
    sizes: &'static [usize],
    /// The heading, until it is in the table.
    heading: Option<String>,
    table: &'a mut String,
}

impl Group<'_> {
    /// Measures what `once` takes per item, with this many items. `once` times the part that counts by itself.
    pub(crate) fn row(&mut self, name: &str, once: impl AsyncFn(usize) -> Duration) {
        let once = &once;
        self.row_beside(name, |size| size, |_, size| async move || once(size).await);
    }

    /// Does the same, when `once` is about `items(size)` items, beside what `begin` has put into the loop.
    pub(crate) fn row_beside<O: AsyncFn() -> Duration>(
        &mut self,
        name: &str,
        items: impl Fn(usize) -> usize,
        begin: impl Fn(&EventLoop, usize) -> O,
    ) {
        self.measure(name, items, |size| {
            let mut event_loop = EventLoop::builder().clock(VirtualClock::impatient()).build();
            let once = begin(&event_loop, size);
            move || event_loop.run_until_complete(once())
        });
    }

    /// Measures a row without a loop.
    pub(crate) fn bare(&mut self, name: &str, once: fn(usize) -> Duration) {
        self.measure(name, |size| size, |size| move || once(size));
    }

    /// For each size, `begin` makes what is then measured again and again.
    pub(crate) fn measure<O: FnMut() -> Duration>(
        &mut self,
        name: &str,
        items: impl Fn(usize) -> usize,
        begin: impl Fn(usize) -> O,
    ) {
        let mut cells = String::new();
        for &size in self.sizes {
            let items = items(size) as u64;
            // Criterion's filter may leave this one out, so nothing is made before it is needed.
            let mut once = None;
            let mut samples = Vec::new();
            self.benchmarks.throughput(Throughput::Elements(items));
            self.benchmarks.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_custom(|iterations| {
                    let once = once.get_or_insert_with(|| begin(size));
                    let took = (0..iterations).map(|_| once()).sum::<Duration>();
                    samples.push(nanoseconds(took, iterations * items));
                    took
                });
            });
            samples.sort_unstable_by(f64::total_cmp);
            let median = samples.get(samples.len() / 2).map(|median| format!("{median:.1}"));
            write!(cells, "{:>12}", median.unwrap_or_default()).expect("into a string");
        }
        if !cells.trim_start().is_empty() {
            self.table.extend(self.heading.take());
            writeln!(self.table, "  {name:<34}{cells}").expect("into a string");
        }
    }
}

/// Of one item.
#[allow(clippy::cast_precision_loss)] // far below 2^52
fn nanoseconds(took: Duration, items: u64) -> f64 {
    took.as_nanos() as f64 / items as f64
}

//! The programs on shuttle: the tasks of its executor, and its semaphore for futures.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use cpu_time::ThreadTime;
use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::future::{JoinHandle, spawn_local};
use shuttle::scheduler::{
    DfsScheduler, PctScheduler, RandomScheduler, Schedule, Scheduler, TaskId,
};
use shuttle::{Config, FailurePersistence, Runner};

use crate::found::{self, All, Found, GIVES_UP, SEARCHES, Strategy};

// The same text with other tasks: each executor has a copy of the programs.
#[expect(clippy::duplicate_mod)]
#[path = "../programs.rs"]
pub(crate) mod programs;

/// Stands for an await of something else. shuttle's own `yield_now` also asks its PCT to put the task behind all others.
pub(crate) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(crate) struct Task<T>(JoinHandle<T>);

pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Task(spawn_local(future))
}

impl<T> Task<T> {
    pub(crate) async fn join(self) -> Option<T> {
        self.0.await.ok()
    }

    pub(crate) fn canceller(&self) -> impl Fn() + use<T> {
        let task = self.0.abort_handle();
        move || task.abort()
    }
}

pub(crate) struct Semaphore(BatchSemaphore);

pub(crate) struct Permit<'a>(&'a BatchSemaphore);

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Semaphore {
        Semaphore(BatchSemaphore::new(permits, Fairness::StrictlyFair))
    }

    pub(crate) async fn acquire(&self) -> Permit<'_> {
        self.0.acquire(1).await.expect("it is not closed");
        Permit(&self.0)
    }

    pub(crate) fn release(&self) {
        self.0.release(1);
    }

    pub(crate) fn available(&self) -> usize {
        self.0.available_permits()
    }
}

impl Permit<'_> {
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

/// Counts the choices between two tasks and more.
struct Counting<S> {
    inner: S,
    points: usize,
    deepest: Arc<AtomicUsize>,
}

impl<S: Scheduler> Scheduler for Counting<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.points = 0;
        self.inner.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&shuttle::scheduler::Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        self.points += usize::from(runnable.len() > 1);
        self.deepest.fetch_max(self.points, Ordering::Relaxed);
        self.inner.next_task(runnable, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// What came of some runs, up to the first that went wrong; or of all, if they are to go on after it.
struct Runs {
    made: usize,
    first: Option<usize>,
    deepest: usize,
    /// It stopped at a deadlock, which no program can go on after.
    is_stopped: bool,
}

fn runs(
    scheduler: impl Scheduler + 'static,
    program: fn() -> std::pin::Pin<Box<dyn Future<Output = bool>>>,
    goes_on: bool,
) -> Runs {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let [made, first, deepest] = [0; 3].map(|zero| Arc::new(AtomicUsize::new(zero)));
    let counting = Counting { inner: scheduler, points: 0, deepest: deepest.clone() };
    let (counted, noted) = (made.clone(), first.clone());
    let runner = Runner::new(counting, config);
    let run = move || {
        let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
        if !shuttle::future::block_on(program()) {
            _ = noted.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
            assert!(goes_on, "it went wrong");
        }
    };
    let is_stopped = catch_unwind(AssertUnwindSafe(|| runner.run(run))).is_err();
    let made = made.load(Ordering::Relaxed);
    if is_stopped {
        _ = first.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed);
    }
    let first = Some(first.load(Ordering::Relaxed)).filter(|&number| number > 0);
    Runs { made, first, deepest: deepest.load(Ordering::Relaxed), is_stopped }
}

pub(crate) fn all(program: programs::Program, limit: usize) -> All {
    let runs = runs(DfsScheduler::new(Some(limit), false), program.2, true);
    All {
        first: runs.first,
        orders: runs.made,
        is_complete: !runs.is_stopped && runs.made < limit,
        deepest: runs.deepest,
    }
}

pub(crate) fn sampled(program: programs::Program, strategy: Strategy) -> Found {
    let searches = if program.1 == programs::Fault::None { 1 } else { SEARCHES };
    let began = ThreadTime::now();
    let mut made = 0;
    let mut firsts = Vec::new();
    for seed in 0..searches as u64 {
        let runs = match strategy {
            Strategy::Random => {
                runs(RandomScheduler::new_from_seed(seed, GIVES_UP), program.2, false)
            }
            Strategy::Pct(depth) => {
                runs(PctScheduler::new_from_seed(seed, depth as usize, GIVES_UP), program.2, false)
            }
        };
        made += runs.made;
        firsts.push(runs.first);
    }
    let micros = found::micros_each(began.elapsed(), made);
    Found::of(firsts, micros)
}

//! The pool: threads that do blocking work. None exists before it is needed, and none stays long.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::foreign::discard;

/// Blocking work. It catches its own panics.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How a loop's pool is to be.
#[derive(Debug, Clone)]
pub(crate) struct PoolSettings {
    pub(crate) max_threads: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) thread_name: String,
}

impl Default for PoolSettings {
    fn default() -> PoolSettings {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        PoolSettings {
            // As many as asyncio's default executor.
            max_threads: (cores + 4).min(32),
            idle_timeout: Duration::from_secs(10),
            thread_name: "loopwheel-worker".to_owned(),
        }
    }
}

/// Threads for blocking work.
pub(crate) struct Pool {
    settings: PoolSettings,
    state: Mutex<State>,
    job_came: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

impl Pool {
    pub(crate) fn new(settings: PoolSettings) -> Arc<Pool> {
        Arc::new(Pool { settings, state: Mutex::default(), job_came: Condvar::new() })
    }

    /// Does the job on a thread: an idle one, a new one, or the first that comes free.
    pub(super) fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        // Who was notified and has not woken up yet still counts as idle, and its job as waiting.
        if state.jobs.len() > state.idle && state.threads < self.settings.max_threads.max(1) {
            state.threads += 1;
            drop(state);
            self.spawn();
        } else {
            self.job_came.notify_one();
        }
    }

    fn spawn(self: &Arc<Self>) {
        let pool = self.clone();
        let thread = thread::Builder::new().name(self.settings.thread_name.clone());
        if thread.spawn(move || pool.work()).is_err() {
            let mut state = self.state.lock();
            state.threads -= 1;
            let is_last = state.threads == 0;
            drop(state);
            if is_last {
                self.work_until_empty(); // no thread is to be had: better here than never
            }
        }
    }

    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // It catches what the work throws; what a waker throws must not take the thread along.
                catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(discard);
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let waited = self.job_came.wait_for(&mut state, self.settings.idle_timeout);
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn work_until_empty(&self) {
        loop {
            let job = self.state.lock().jobs.pop_front();
            let Some(job) = job else { return };
            job();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

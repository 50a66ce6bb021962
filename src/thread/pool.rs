//! The pool: threads that do blocking work. None exists before it is needed, and none stays long.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::engine::foreign::discard;

/// Blocking work. It catches its own panics.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Tells a process from those that are forked from it.
pub(super) fn this_process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 0 } // only Unix forks, and not every target has such numbers
}

/// How a loop's pool is to be.
#[derive(Debug, Clone)]
pub(crate) struct PoolSettings {
    pub(crate) max_threads: usize,
    pub(crate) idle_timeout: Duration,
    /// Without a NUL byte.
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
    /// A process that is forked from this one has a copy of the pool, but none of its threads.
    process: u32,
    // Both are std's. A thread that waits in `parking_lot` stands in a list of the whole process: a forked process would
    // keep that list, with the stack of a thread that it does not have.
    state: Mutex<State>,
    job_came: Condvar,
}

/// While jobs lie here there are threads: a thread ends only when it finds none.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

impl Pool {
    pub(crate) fn new(settings: PoolSettings) -> Arc<Pool> {
        let (state, job_came) = (Mutex::default(), Condvar::new());
        Arc::new(Pool { settings, process: this_process(), state, job_came })
    }

    /// False in a process that was forked from the pool's own: there nothing but its memory is left.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == this_process()
    }

    /// Does the job on a thread: an idle one, a new one, or the first that comes free. Only the loop's own thread calls
    /// this.
    ///
    /// # Errors
    /// Hands the job back if there is no thread, and none can be started.
    pub(super) fn run(self: &Arc<Self>, job: Job) -> Result<(), (Job, io::Error)> {
        let mut state = self.state();
        state.jobs.push_back(job);
        // A thread counts as idle until it has this lock again, whether it was notified or its time is over, and it ends
        // only if it finds no job then. So a job that is left to the idle threads here is found by one of them.
        if state.jobs.len() <= state.idle || state.threads >= self.settings.max_threads.max(1) {
            drop(state);
            self.job_came.notify_one();
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let Err(error) = self.spawn() else { return Ok(()) };
        let mut state = self.state();
        state.threads -= 1;
        if state.threads > 0 {
            return Ok(()); // one of those does it, if it has not done so already
        }
        // No thread was there to take it, and nobody else adds to the queue: it is the only one.
        match state.jobs.pop_back() {
            Some(job) => Err((job, error)),
            None => Ok(()),
        }
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let pool = self.clone();
        let thread = thread::Builder::new().name(self.settings.thread_name.clone());
        thread.spawn(move || pool.work()).map(drop)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // It catches what the work throws; what a waker throws must not take the thread along.
                catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(discard);
                state = self.state();
                continue;
            }
            state.idle += 1;
            let waited = self.job_came.wait_timeout(state, self.settings.idle_timeout);
            let (locked, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // nothing panics under it
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

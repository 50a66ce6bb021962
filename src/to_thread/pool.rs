//! The pool: the threads that do blocking work, and the queue of their jobs.
//!
//! A thread is started only if a job finds no idle one, and ends when it has been idle for a while. So a loop that uses no blocking
//! work has no threads. The pool cannot stop a job, and does not wait for its threads when the loop ends: `join_threads` does.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::panic::swallow;

/// Blocking work, with its completion. It catches the panics of the work.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Identifies this process, to tell it from the processes that are forked from it.
pub(super) fn this_process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 0 } // only Unix forks, and not every target has process ids
}

/// The settings of a loop's pool.
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
    /// The process of the threads. A forked process has a copy of the pool, but none of its threads.
    process: u32,
    // Both are from std: `parking_lot` keeps waiting threads in a list of the whole process. A forked process would inherit that
    // list, with the stack of a thread that it does not have.
    state: Mutex<State>,
    job_came: Condvar,
}

/// While there are jobs there are threads, because a thread ends only when it finds no job.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// How many threads wait for a job.
    idle: usize,
    /// Of all threads, and of some that have ended.
    handles: Vec<JoinHandle<()>>,
    /// A thread that finds no job ends at once.
    is_ending: bool,
}

impl Pool {
    pub(crate) fn new(settings: PoolSettings) -> Arc<Pool> {
        let (state, job_came) = (Mutex::default(), Condvar::new());
        Arc::new(Pool { settings, process: this_process(), state, job_came })
    }

    /// False in a forked process, which has the pool's memory but not its threads.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == this_process()
    }

    /// Runs the job on a thread: an idle one, a new one, or the first that becomes free. Called on the loop's thread only.
    ///
    /// # Errors
    /// Hands the job back if there is no thread and none can be started.
    pub(super) fn run(self: &Arc<Self>, job: Job) -> Result<(), (Job, io::Error)> {
        let mut state = self.state();
        state.jobs.push_back(job);
        // Leave the job to the idle threads if they are enough. No job is missed: a thread that was notified or has timed out
        // counts as idle until it has the lock again, and then ends only if it finds no job.
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
            return Ok(()); // one of those runs the job, or has already
        }
        // Without threads the queue holds this job only, because no other thread pushes.
        match state.jobs.pop_back() {
            Some(job) => Err((job, error)),
            None => Ok(()),
        }
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let pool = self.clone();
        let thread = thread::Builder::new().name(self.settings.thread_name.clone());
        let handle = thread.spawn(move || pool.work())?;
        let mut state = self.state();
        state.handles.retain(|handle| !handle.is_finished());
        state.handles.push(handle);
        Ok(())
    }

    pub(super) fn has_threads(&self) -> bool {
        self.state().threads > 0
    }

    /// From now on a thread ends when there is no job for it.
    pub(super) fn end(&self) {
        self.state().is_ending = true;
        self.job_came.notify_all();
    }

    /// Waits for the ends of all threads but the current one.
    pub(super) fn join_others(&self) {
        let handles = mem::take(&mut self.state().handles);
        let here = thread::current().id();
        let (own, others): (Vec<_>, Vec<_>) =
            handles.into_iter().partition(|handle| handle.thread().id() == here);
        self.state().handles.extend(own);
        for other in others {
            let _ = other.join(); // a panic of a destructor of a thread-local
        }
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The job catches a panic of the work. A panic of a waker must not end the thread.
                catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(swallow);
                state = self.state();
                continue;
            }
            if state.is_ending {
                state.threads -= 1;
                return;
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // never poisoned: nothing panics under the lock
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

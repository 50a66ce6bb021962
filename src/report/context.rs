//! **The context of a report**: what the exception handler is given.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::error::{Panic, Stuck, TooManyCallbacks};
use crate::kernel::record::RecordRef;
use crate::task::TaskRef;

/// A failure that the loop reports to its exception handler, because nothing else can take it.
///
/// # In asyncio
/// The `context` of `loop.set_exception_handler`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened.
    pub failure: Failure,
    /// The task in which it happened; `None` for a callback, or foreign code that belongs to no task.
    pub task: Option<TaskRef>,
    /// Where the task was created or the callback was scheduled. For foreign code that belongs to neither (a waker, a clock): where
    /// the crate called it.
    pub spawned_at: &'static Location<'static>,
    /// What failed, in words, if it is not a task.
    pub(crate) what: &'static str,
}

/// What happened, in an [`ExceptionContext`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// A task ended with this error (as `Debug` prints it), and no handle is left that could take it.
    Failed(String),
    /// A task panicked, and no handle is left that could take the panic; or a callback, a destructor or other foreign code
    /// panicked.
    Panicked(Panic),
    /// The program itself has reported this, with [`call_exception_handler`](crate::call_exception_handler).
    Reported {
        /// What it has said.
        text: String,
        /// The line of the call.
        at: &'static Location<'static>,
    },
    /// A call from another thread was lost: the loop ended before it was called, or had no room for it.
    LostCall,
    /// A run had ended, and the clean-up of the tasks that were left created other tasks, again and again. This task was dropped
    /// without clean-up.
    EndlessCleanUp {
        /// How often the remaining tasks had been cancelled before.
        rounds: u32,
    },
    /// The loop was dropped, and dropping this task or callback created another like it, again and again. It was forgotten: its
    /// destructors did not run.
    EndlessEnd {
        /// How often the remaining tasks and callbacks had been dropped before.
        rounds: u32,
    },
    /// A callback was dropped and will not be called, because the loop had no room for it.
    TooManyCallbacks(TooManyCallbacks),
    /// One poll blocked the loop. Only with [`debug`](crate::EventLoopBuilder::debug) or
    /// [`slow_callback_duration`](crate::EventLoopBuilder::slow_callback_duration).
    SlowPoll {
        /// How long, in real time.
        took: Duration,
        /// What the task waits for since, in words: the code before that await was slow. Empty if the task has ended or is ready
        /// again, or if foreign code in it cannot say.
        now_waits_for: Vec<String>,
    },
    /// Only a [`Handle`](crate::Handle), or a waker that foreign code holds, could still wake the loop, and nothing has for some
    /// time; or the clock of the host, for which the loop waits, stands still. Reported once; the loop goes on. Only with [`stall_after`](crate::EventLoopBuilder::stall_after) or
    /// [`debug`](crate::EventLoopBuilder::debug).
    Stalled {
        /// How long the loop has been quiet, in real time.
        quiet_for: Duration,
        /// The time on the host's clock, if the loop waits for that and it stands still.
        stands_at: Option<Instant>,
        /// The tasks, oldest first, each with what it waits for.
        waits: Vec<Stuck>,
        /// The same as a tree, with what they hold.
        tree: String,
    },
    /// Tasks were polled again and again while virtual time stood still, and nothing from outside woke them. Reported once a
    /// moment; the loop goes on.
    Livelock {
        /// How many polls there were.
        polls: u64,
        /// The tasks and callbacks that were polled last, in words.
        polled: Vec<String>,
    },
    /// The loop was woken from outside when its virtual time had jumped: perhaps over the wait of a task for a socket, or for another
    /// thread. The loop had waited for some real time before, but perhaps not long enough. It is reported once for each loop.
    JumpedOverOutside {
        /// The time before the first jump.
        from: Instant,
        /// The time after the last one.
        to: Instant,
    },
    /// The clean-up of a [`finally_within`](crate::finally_within) was not done when its grace time had passed, or that of a
    /// protection around it, and was cut off.
    CleanUpCutOff {
        /// How long it had.
        grace: Duration,
        /// The line of the `finally_within`.
        at: &'static Location<'static>,
    },
    /// A run has ended and has cancelled this task, but the task has caught the cancel and goes on; so the run goes on, too.
    /// Reported once a task.
    OutlivesRun {
        /// For how long no task has ended, on the loop's clock. `None` on a virtual clock (there it is reported after a million
        /// turns), and if the task has taken the cancel back, with [`uncancel`](crate::TaskRef::uncancel) (that is reported at
        /// once).
        waited: Option<Duration>,
    },
    /// A destructor, or clean-up, created this task when the run had ended: it was cancelled before it began, and does nothing. Only
    /// with [`debug`](crate::EventLoopBuilder::debug).
    NeverBegan,
}

impl Failure {
    /// In a word or two, for an observer.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Failure::Stalled { .. } => "stall",
            Failure::Livelock { .. } => "livelock",
            Failure::SlowPoll { .. } => "slow poll",
            Failure::JumpedOverOutside { .. } => "jump",
            Failure::CleanUpCutOff { .. } => "clean-up cut off",
            _ => "failure",
        }
    }
}

const CALLBACK: &str = "callback";

/// So many tasks are named in a text.
const MOST_SHOWN: usize = 10;

impl ExceptionContext {
    pub(crate) fn of(record: &RecordRef, failure: Failure) -> ExceptionContext {
        let task = TaskRef::of_task(record);
        ExceptionContext { failure, task, spawned_at: record.spawned_at(), what: CALLBACK }
    }

    /// The context of what a loop notices of itself.
    #[track_caller]
    pub(crate) fn of_loop(failure: Failure) -> ExceptionContext {
        ExceptionContext { what: "the event loop", ..Self::of_no_task(failure, Location::caller()) }
    }

    /// The context of what the program itself reports.
    #[track_caller]
    pub(super) fn of_program(task: Option<&RecordRef>, text: String) -> ExceptionContext {
        let at = Location::caller();
        let failure = Failure::Reported { text, at };
        match task.filter(|task| task.is_task()) {
            Some(task) => ExceptionContext::of(task, failure),
            None => ExceptionContext {
                what: "code outside of all tasks",
                ..ExceptionContext::of_no_task(failure, at)
            },
        }
    }

    /// The context of a failure that belongs to no task.
    pub(crate) fn of_no_task(
        failure: Failure,
        spawned_at: &'static Location<'static>,
    ) -> ExceptionContext {
        ExceptionContext { failure, task: None, spawned_at, what: CALLBACK }
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "task '{}' (spawned at {})", task.name(), self.spawned_at)?,
            None if self.what == CALLBACK => {
                write!(f, "{CALLBACK} (scheduled at {})", self.spawned_at)?;
            }
            None => f.write_str(self.what)?,
        }
        write!(f, " {}", self.failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(error) => write!(f, "failed and no code took its error: {error}"),
            Failure::Panicked(panic) => {
                write!(f, "panicked and no code took the panic: {}", panic.message())
            }
            Failure::Reported { text, at } => write!(f, "reported at {at}: {text}"),
            Failure::LostCall => f.write_str(
                "of another thread came too late: the loop has ended, or has no room for it",
            ),
            Failure::TooManyCallbacks(full) => write!(f, "was dropped: {full}"),
            Failure::EndlessCleanUp { rounds } => write!(
                f,
                "was left after {rounds} rounds of cancelling what the run had left, for the clean-up of each task makes \
                 another: it was dropped hard; let clean-up end without spawning"
            ),
            Failure::EndlessEnd { rounds } => write!(
                f,
                "was left after {rounds} rounds of dropping what the loop held, for its destructor makes another like it: \
                 it was forgotten, and its destructors did not run"
            ),
            Failure::SlowPoll { took, now_waits_for } => {
                write!(f, "held up the loop for {took:?} in one poll")?;
                match now_waits_for.as_slice() {
                    [] => Ok(()),
                    several => write!(f, "; it now waits for {}", several.join(" and ")),
                }
            }
            Failure::Stalled { quiet_for, stands_at: Some(at), tree, .. } => write!(
                f,
                "has been quiet for {quiet_for:.1?}: it waits for its clock (`Clock::host`), which stands still at {at}; if the thread \
                 that moves it is blocked by `run` or `cancel_all`, turn the loop instead{tree}"
            ),
            Failure::Stalled { quiet_for, tree, .. } => {
                write!(
                    f,
                    "has been quiet for {quiet_for:.1?}: no task is ready, and only a `Handle` or a waker that foreign code \
                     holds can wake it{tree}"
                )
            }
            Failure::Livelock { polls, polled } => {
                write!(
                    f,
                    "has made {polls} polls while its virtual time stood still: the clock moves only when no task is ready, so \
                     let these tasks wait for something, or `sleep`"
                )?;
                let (shown, more) = polled.split_at(polled.len().min(MOST_SHOWN));
                shown.iter().try_for_each(|task| write!(f, "\n  {task}"))?;
                if more.is_empty() { Ok(()) } else { write!(f, "\n  and {} more", more.len()) }
            }
            Failure::JumpedOverOutside { from, to } => write!(
                f,
                "was woken from outside when its virtual time had jumped from {from} to {to}: if a task waited for a socket or another \
                 thread meanwhile, the time limits around that may have expired too soon; use `run`, or keep the clock from \
                 jumping while the answer is awaited (`VirtualClock::hold`)"
            ),
            Failure::CleanUpCutOff { grace, at } => write!(
                f,
                "has not cleaned up in time: the clean-up of its `finally_within` at {at}, with a grace time of {grace:?}, was cut off; \
                 give it more time, or let it take less"
            ),
            Failure::NeverBegan => f.write_str(
                "was created when the run had ended, and was cancelled before it began: a destructor cannot leave work to a task then; \
                 let the owner close by an await, such as `finally`, or use `to_thread`",
            ),
            Failure::OutlivesRun { waited } => {
                let waited = waited.map(|waited| format!(" for {waited:.1?}")).unwrap_or_default();
                write!(
                    f,
                    "has been cancelled by the end of the run, is still there, and the run waits for it{waited}: let it end after \
                     `catch_cancel`, by `reraise` or by returning, and put a time limit around clean-up that may take long"
                )
            }
        }
    }
}

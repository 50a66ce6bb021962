//! **One explored run**: a test on a fresh loop, whose choices a *strategy* makes, and what came of it.
//!
//! Thousands of runs must not print thousands of panics, and no run may see anything of another. So the panic hook of the process is
//! silent on this thread while a run is explored (`panics`), and everything that a run has is made for it: loop, clock, chooser.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the run, and what came of it |
//! | `chooser` | asks the strategy, and keeps what was chosen |
//! | `panics` | where the panics of the run happened |
//!
//! It stands on `base`, `cells`, `clock`, the kernel, `trace`, `choices`, `test_run`, `recorder` and `explore/schedule`.

mod chooser;
pub(crate) mod panics;

use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::base::panic::{swallow, text_of};
use crate::cells::{start_noting, stop_noting};
use crate::choices::Chooser;
use crate::clock::VirtualClock;
use crate::engine::Engine;
use crate::explore::schedule::{Line, Point, note_event};
use crate::recorder::Recorder;
use crate::test_run::{Ended, Guide, TestRun, Wrong};

pub(crate) use chooser::{Limits, RunChooser};

/// A run that only the outside could wake fails after so long in real time. To shrink its failure takes many such runs.
const QUIET: Duration = Duration::from_secs(1);

/// What went wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `main` has panicked, as by an assertion.
    Panicked,
    /// Nothing could go on.
    Deadlock,
    /// `main` has ended, and has neither awaited nor cancelled these tasks.
    TasksLeft,
    /// A failure was reported, because no code took it; or an expected report has not come.
    Reported,
    /// The run has not ended after [`max_steps`](crate::explore::Exploration::max_steps) polls.
    Endless,
    /// The result is another one than in the first order: see [`deterministic`](crate::explore::Exploration::deterministic).
    OutcomeDiffers,
    /// No run has failed, but these were not all orders: see
    /// [`must_be_complete`](crate::explore::Exploration::must_be_complete).
    Incomplete,
    /// The program has not done the same again when it was given the same choices.
    NotRepeatable,
}

/// A fault, and what is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) message: String,
    /// Where the panic happened of which the message speaks first.
    pub(crate) place: Option<String>,
}

impl Failure {
    pub(crate) fn new(fault: Fault, message: String) -> Failure {
        Failure { fault, message, place: None }
    }

    /// Whether it is the same one as in another run: numbers may differ, such as those of tasks. All `assert_eq!` without a text begin
    /// with the same line: so the place counts too.
    pub(crate) fn is_like(&self, other: &Failure) -> bool {
        let first_line = |failure: &Failure| -> String {
            let line = failure.message.lines().next().unwrap_or_default();
            line.chars().filter(|it| !it.is_ascii_digit()).collect()
        };
        self.fault == other.fault
            && self.place == other.place
            && first_line(self) == first_line(other)
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct RunResult {
    pub(crate) points: Vec<Point>,
    pub(crate) polls: u64,
    /// The `Debug` text of what `main` has returned.
    pub(crate) outcome: Result<String, Failure>,
    /// The schedule in words, if that was asked for.
    pub(crate) lines: Vec<Line>,
    /// It was ended because its end was seen in another run: the outcome means nothing.
    pub(crate) is_cut: bool,
}

/// Runs `main` once. Its task is spawned at `called_at`: the exploration's call.
pub(crate) fn run_once<F, T>(
    main: &dyn Fn() -> F,
    called_at: &'static Location<'static>,
    test: TestRun,
    chooser: &Rc<RunChooser>,
    recorder: Option<&Recorder>,
) -> RunResult
where
    F: Future<Output = T>,
    T: Debug,
{
    let guided = Guided { chooser, recorder };
    let _silent = panics::silent();
    // The call of `main` is in the run too: it may panic, or ask for the running loop.
    let run = || test.run_to_its_end(async { main().await }, called_at, &guided);
    if chooser.reduces() {
        start_noting();
    }
    let ended = catch_unwind(AssertUnwindSafe(run));
    chooser.step_is_over();
    stop_noting();
    let outcome = match ended {
        Ok(ended) => outcome_of(ended),
        Err(payload) => {
            let message = format!("the test panicked outside of its run: {}", text_of(&*payload));
            swallow(payload);
            Err(Failure::new(Fault::Panicked, message))
        }
    };
    let outcome = match chooser.take_trouble(outcome.is_ok()) {
        Some(failure) => Err(failure),
        None => outcome.map_err(|failure| with_places(failure, &panics::of_run())),
    };
    chooser.finish(outcome)
}

fn outcome_of<T: Debug>(ended: Ended<T>) -> Result<String, Failure> {
    match ended {
        Ended::Passed(output) => {
            // Both are foreign code.
            let text = catch_unwind(AssertUnwindSafe(|| format!("{output:?}")));
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(output)));
            let what = if text.is_err() { "`Debug`" } else { "destructor" };
            match (text, dropped) {
                (Ok(text), Ok(())) => Ok(text),
                (Err(payload), dropped) => {
                    dropped.map_err(swallow).ok();
                    Err(failure_of_output(what, payload))
                }
                (Ok(_), Err(payload)) => Err(failure_of_output(what, payload)),
            }
        }
        Ended::Panicked { panic, beside } => {
            let beside = beside.map(|text| format!("\nbeside that: {text}"));
            let message = format!("{}{}", panic.message(), beside.unwrap_or_default());
            drop(panic);
            Err(Failure::new(Fault::Panicked, message))
        }
        Ended::Failed { wrong, verdict } => {
            let fault = match wrong {
                Wrong::Deadlock => Fault::Deadlock,
                Wrong::TasksLeft => Fault::TasksLeft,
                Wrong::Reported => Fault::Reported,
            };
            Err(Failure::new(fault, verdict))
        }
    }
}

fn failure_of_output(what: &str, payload: crate::base::panic::Payload) -> Failure {
    let message =
        format!("the {what} of what `main` has returned panicked: {}", text_of(&*payload));
    swallow(payload);
    Failure::new(Fault::Panicked, message)
}

/// Adds where the panics of which the message speaks happened. A deadlock speaks of none, whatever was caught before it.
fn with_places(failure: Failure, panics: &[panics::Seen]) -> Failure {
    if !matches!(failure.fault, Fault::Panicked | Fault::Reported) {
        return failure;
    }
    let mut places: Vec<&str> = Vec::new();
    let mut first: Option<(usize, &str)> = None;
    for seen in panics {
        let Some(at) = seen.place_in(&failure.message) else { continue };
        if !places.contains(&&*seen.place) {
            places.push(&seen.place);
        }
        // Of equal texts the last one counts: those before it were caught.
        if first.is_none_or(|(before, _)| at <= before) {
            first = Some((at, &seen.place));
        }
    }
    let Some((_, first)) = first else { return failure };
    let message = format!("{}\npanicked at {}", failure.message, places.join(", and at "));
    Failure { message, place: Some(first.to_owned()), ..failure }
}

struct Guided<'a> {
    chooser: &'a Rc<RunChooser>,
    recorder: Option<&'a Recorder>,
}

impl Guide for Guided<'_> {
    fn clock(&self) -> VirtualClock {
        // What comes from outside comes in no order that can be repeated: so it is not waited for.
        VirtualClock::impatient()
    }

    fn quiet_at_most(&self) -> Duration {
        QUIET
    }

    fn begins(&self, engine: &Rc<Engine>) {
        assert!(
            engine.is_virtual(),
            "an exploration needs virtual time: give the loop of `test` no other clock"
        );
        // Beside an observer of the test's own, which it may replace or stop.
        if let Some(recorder) = self.recorder {
            engine.trace_beside(Rc::new(recorder.clone()));
        } else if self.chooser.reduces() {
            engine.trace_beside(Rc::new(note_event));
        }
        engine.set_chooser(self.chooser.clone());
    }

    fn gives_up(&self) -> bool {
        self.chooser.is_over()
    }

    fn is_quiet(&self) -> bool {
        true
    }
}

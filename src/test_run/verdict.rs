//! **The verdict**: how a test's run has ended, and what was reported in it.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::mem;

use crate::error::{Panic, RunError};
use crate::report::{ExceptionContext, Failure};

/// How a test's run has ended.
pub(crate) enum Ended<T> {
    Passed(T),
    /// `main` has panicked. `beside`: what else went wrong.
    Panicked {
        panic: Panic,
        beside: Option<String>,
    },
    Failed {
        #[cfg_attr(not(feature = "explore"), allow(dead_code))]
        wrong: Wrong,
        verdict: String,
    },
}

/// What went wrong, if `main` has not panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Deadlock,
    TasksLeft,
    /// A report, or anything else.
    Reported,
}

impl Wrong {
    pub(super) fn of(error: &RunError) -> Wrong {
        if let RunError::Deadlock(_) = error { Wrong::Deadlock } else { Wrong::Reported }
    }
}

/// The reports of a test's run.
#[derive(Default)]
pub(super) struct Reports {
    /// The texts that are still expected.
    pub(super) expected: RefCell<Vec<String>>,
    pub(super) unexpected: RefCell<Vec<String>>,
    /// The run would not end by itself.
    pub(super) is_endless: Cell<bool>,
    /// The verdict has been given.
    pub(super) is_over: Cell<bool>,
    /// What is no failure is not printed.
    pub(super) is_quiet: bool,
}

impl Reports {
    /// The exception handler.
    pub(super) fn take(&self, context: &ExceptionContext) {
        let text = context.to_string();
        if self.is_over.get() {
            return self.print(&format!("after the end of a test: {text}"));
        }
        let is_expected = self.take_expected(&text);
        match context.failure {
            Failure::OutlivesRun { .. } => self.is_endless.set(true),
            Failure::Livelock { .. } | Failure::Stalled { .. } if !is_expected => {
                self.is_endless.set(true);
            }
            // These are no failures by themselves.
            Failure::SlowPoll { .. } | Failure::JumpedOverOutside { .. } if !is_expected => {
                return self.print(&text);
            }
            _ => {}
        }
        if !is_expected {
            self.unexpected.borrow_mut().push(text);
        }
    }

    fn print(&self, text: &str) {
        if !self.is_quiet {
            eprintln!("{text}");
        }
    }

    /// Whether a report with this text is expected: then one fewer is.
    fn take_expected(&self, text: &str) -> bool {
        let mut expected = self.expected.borrow_mut();
        let fitting = expected.iter().enumerate().filter(|(_, part)| text.contains(part.as_str()));
        // Of several that are equal the first would do as well as the last.
        let longest = fitting.max_by_key(|(_, part)| part.len()).map(|(index, _)| index);
        longest.map(|index| expected.remove(index)).is_some()
    }

    /// What the test fails with; `None` if it does not fail.
    pub(super) fn verdict(&self, others: Vec<(Wrong, String)>) -> Option<(Wrong, String)> {
        self.is_over.set(true);
        let reported = mem::take(&mut *self.unexpected.borrow_mut());
        let missing =
            self.expected.take().into_iter().map(|text| {
                format!("no report says {text:?}, which `TestRun::expect_report` expects")
            });
        let wrong = match &others[..] {
            [(wrong, _), ..] if reported.is_empty() => *wrong,
            _ => Wrong::Reported,
        };
        let others = others.into_iter().map(|(_, text)| text);
        let problems: Vec<String> = reported.into_iter().chain(others).chain(missing).collect();
        let verdict = match &problems[..] {
            [] => return None,
            [only] => only.clone(),
            several => {
                let mut verdict = format!("{} things went wrong in this test", several.len());
                for problem in several {
                    let _ = write!(verdict, "\n- {problem}"); // into a string
                }
                verdict
            }
        };
        Some((wrong, verdict))
    }
}

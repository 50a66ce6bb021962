//! **The search**: one run after the other, until one fails.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the next run |
//! | `shrink` | the same failure with fewer choices |
//! | `found` | what is said at the end |
//! | `progress` | what is shown meanwhile |
//!
//! It stands on `recorder`, `explore/page`, `explore/schedule` and `explore/one`.

mod found;
mod progress;
mod shrink;

use std::cell::RefCell;
use std::env;
use std::io::{self, Write};
use std::rc::Rc;

use crate::explore::one::{Failure, Fault, Limits, RunResult};
use crate::explore::page::{Names, Pages};
use crate::explore::schedule::{
    Clamped, Expected, Follow, Pct, Point, Random, Reduced, Script, Strategy, Tree, parse,
};
use crate::recorder::Recorder;

pub use found::{Found, Summary};
use progress::Progress;

/// Its value is the one schedule that is run, or the first seed.
pub(crate) const VARIABLE: &str = "LOOPWHEEL_EXPLORE";

/// A value that begins with this is about seeds: `seed=17` is the run of one, and `seed=17..` the exploration from it on.
const SEED: &str = "seed=";

/// Which orders are run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    All { limit: u64 },
    Seeds { runs: u64 },
    Pct { depth: u32, runs: u64 },
}

/// What is to be searched.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) how: How,
    pub(crate) limits: Limits,
    pub(crate) is_deterministic: bool,
    pub(crate) must_be_complete: bool,
    pub(crate) shows_progress: Option<bool>,
    pub(crate) pages: Pages,
}

/// How a run is made: who chooses, whether it is written down in words, who records it.
pub(crate) struct Order<'a> {
    pub(crate) strategy: Box<dyn Strategy>,
    pub(crate) in_words: bool,
    pub(crate) recorder: Option<&'a Recorder>,
}

/// The search of one exploration. `once` makes a run.
pub(crate) struct Search<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) once: &'a dyn Fn(Order<'_>) -> RunResult,
    pub(crate) names: &'a Names,
    summary: Summary,
    /// What the first run has returned.
    pub(crate) first: Option<String>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        once: &'a dyn Fn(Order<'_>) -> RunResult,
        names: &'a Names,
    ) -> Search<'a> {
        Search { settings, once, names, summary: Summary::default(), first: None }
    }

    pub(crate) fn go(mut self) -> Result<Summary, Box<Found>> {
        let value = env::var(VARIABLE).unwrap_or_default();
        let value = value.trim();
        match value.strip_prefix(SEED).and_then(|seeds| seeds.strip_suffix("..")) {
            Some(first) => self.explore(seed_of(value, first))?,
            None if value.is_empty() => self.explore(0)?,
            None => self.again(value)?,
        }
        Ok(self.summary)
    }

    /// All that is wanted; of random orders, those from this seed on.
    fn explore(&mut self, first: u64) -> Result<(), Box<Found>> {
        match self.settings.how {
            How::All { limit } => {
                if self.settings.limits.reduces {
                    self.all_that_differ(limit)?;
                } else {
                    self.all(limit)?;
                }
                if self.settings.must_be_complete && !self.summary.is_complete {
                    return Err(Box::new(self.incomplete(limit)));
                }
                Ok(())
            }
            How::Seeds { runs } => {
                if self.settings.is_deterministic {
                    self.normal_run()?;
                }
                self.seeds(first, runs, &|seed| Box::new(Random::of_seed(seed)))
            }
            How::Pct { depth, runs } => {
                let steps = self.normal_run()?;
                self.seeds(first, runs, &|seed| Box::new(Pct::of_seed(seed, depth, steps)))
            }
        }
    }

    pub(crate) fn run(&self, strategy: Box<dyn Strategy>) -> RunResult {
        let result = (self.once)(Order { strategy, in_words: false, recorder: None });
        self.judged(result)
    }

    /// If all results are to be equal, another one than the first is a failure.
    pub(crate) fn judged(&self, mut result: RunResult) -> RunResult {
        if self.settings.is_deterministic
            && let (Some(first), Ok(outcome)) = (&self.first, &result.outcome)
            && first != outcome
        {
            let message = format!(
                "the result depends on the order: the first order gives {first}, this one {outcome}"
            );
            result.outcome = Err(Failure::new(Fault::OutcomeDiffers, message));
        }
        result
    }

    /// Counts a run. If it has failed, that is what was found.
    fn take(&mut self, seed: Option<u64>, result: RunResult) -> Result<Vec<Point>, Box<Found>> {
        self.summary.add(&result);
        match result.outcome {
            Ok(outcome) => {
                self.first.get_or_insert(outcome);
                Ok(result.points)
            }
            Err(failure) => Err(self.found(self.summary.orders, seed, failure, &result.points)),
        }
    }

    /// The same with those left out that differ from another in nothing that matters.
    fn all_that_differ(&mut self, limit: u64) -> Result<(), Box<Found>> {
        let mut progress = Progress::new(self.settings.shows_progress, limit);
        let tree = Rc::new(RefCell::new(Tree::default()));
        for _ in 0..limit {
            let result = self.run(Box::new(Reduced::along(&tree)));
            if result.is_cut {
                self.summary.pruned += 1;
            } else {
                self.take(None, result)?;
            }
            progress.advance();
            if !tree.borrow_mut().next() {
                self.summary.is_complete = true;
                break;
            }
        }
        Ok(())
    }

    /// Depth first: the last choice that has another option takes it, and those after it begin at zero again.
    fn all(&mut self, limit: u64) -> Result<(), Box<Found>> {
        let mut progress = Progress::new(self.settings.shows_progress, limit);
        let mut next = Vec::new();
        for _ in 0..limit {
            let result = self.run(Box::new(Follow(next)));
            next = self.take(None, result)?;
            progress.advance();
            while next.pop_if(|last| last.chosen + 1 == last.options).is_some() {}
            let Some(last) = next.last_mut() else {
                self.summary.is_complete = true;
                break;
            };
            last.chosen += 1;
        }
        Ok(())
    }

    fn seeds(
        &mut self,
        first: u64,
        runs: u64,
        strategy: &dyn Fn(u64) -> Box<dyn Strategy>,
    ) -> Result<(), Box<Found>> {
        let mut progress = Progress::new(self.settings.shows_progress, runs);
        for seed in (0..runs).map(|number| first.wrapping_add(number)) {
            let result = self.run(strategy(seed));
            self.take(Some(seed), result)?;
            progress.advance();
        }
        Ok(())
    }

    /// The run that the others are measured by, and compared with. It is counted only if it fails. Returns its number of polls.
    fn normal_run(&mut self) -> Result<u64, Box<Found>> {
        let result = self.run(normal());
        let polls = result.polls;
        match &result.outcome {
            Ok(outcome) => self.first = Some(outcome.clone()),
            Err(_) => _ = self.take(None, result)?,
        }
        Ok(polls)
    }

    /// Runs the one schedule that the variable names.
    fn again(&mut self, value: &str) -> Result<(), Box<Found>> {
        let seed = value.strip_prefix(SEED).map(|seed| seed_of(value, seed));
        let strategy: Box<dyn Strategy> = match seed {
            Some(seed) => match self.settings.how {
                How::All { .. } => panic!(
                    "{VARIABLE}={value}: this exploration is `all`, and has no seeds: give the choices"
                ),
                How::Seeds { .. } => Box::new(Random::of_seed(seed)),
                How::Pct { depth, .. } => {
                    Box::new(Pct::of_seed(seed, depth, self.run(normal()).polls))
                }
            },
            None => Box::new(Script(choices_of(value))),
        };
        if self.settings.is_deterministic {
            self.first = self.run(normal()).outcome.ok();
        }
        let recorder = self.recorder(None); // its fault is not known yet
        let order = Order { strategy, in_words: true, recorder: recorder.as_ref() };
        let result = self.judged((self.once)(order));
        self.summary.add(&result);
        self.summary.is_rerun = true;
        match &result.outcome {
            Ok(_) => {
                // Not by `eprintln!`: the test harness does not show what a test prints that passes.
                let of = self.names.of_exploration();
                let _ = writeln!(
                    io::stderr(),
                    "{VARIABLE}={value}{of}: this schedule does not fail any more. It is the only order that was run, so a test that counts orders \
                     or results may fail now: to explore, unset the variable."
                );
                Ok(())
            }
            Err(failure) => Err(self.found_again(failure, &result, recorder.as_ref())),
        }
    }
}

/// The normal order, with which no run is compared choice by choice.
fn normal() -> Box<dyn Strategy> {
    Box::new(Clamped(Vec::new()))
}

fn seed_of(value: &str, seed: &str) -> u64 {
    seed.parse().unwrap_or_else(|_| panic!("{VARIABLE}={value}: the seed is no number"))
}

fn choices_of(value: &str) -> Vec<Expected> {
    parse(value).unwrap_or_else(|wrong| {
        panic!("{VARIABLE}={value}: {wrong}: it is the line that a failed exploration has printed")
    })
}

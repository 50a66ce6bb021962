//! **Shrinking**: the same failure with fewer choices.
//!
//! A random schedule deviates from the normal order at about every other choice, and few of these matter. So parts of the choices are set
//! to zero, taken out or lowered, as delta debugging does, and each such schedule is run: if it fails in the same way with less, it
//! is the next one to be shrunk. A choice for which there are not so many options any more is zero; what counts is what the run has
//! really taken.

use super::Search;
use crate::explore::one::Failure;
use crate::explore::schedule::{Clamped, Point};

/// So many runs are made at most.
const MOST_RUNS: u32 = 600;

/// And no other one after so many polls: of runs without end each takes as many as it may.
const MOST_POLLS: u64 = 2_000_000;

struct Shrinker<'a, 'b> {
    search: &'b Search<'a>,
    failure: &'b Failure,
    best: Vec<usize>,
    runs: u32,
    polls: u64,
}

/// The choices of a run that fails like this one, with as little as was found.
pub(super) fn shrunk(search: &Search<'_>, failure: &Failure, points: &[Point]) -> Vec<usize> {
    let mut shrinker = Shrinker { search, failure, best: taken(points), runs: 0, polls: 0 };
    while !shrinker.is_over() && shrinker.pass() {}
    shrinker.best
}

/// What was chosen, without the zeros at the end.
fn taken(points: &[Point]) -> Vec<usize> {
    let mut choices: Vec<usize> = points.iter().map(|point| point.chosen).collect();
    while choices.pop_if(|last| *last == 0).is_some() {}
    choices
}

/// The less, the better: deviations, then their sum, then the length.
fn size(choices: &[usize]) -> (usize, usize, usize) {
    let sum = choices.iter().fold(0_usize, |sum, choice| sum.saturating_add(*choice));
    (choices.iter().filter(|it| **it > 0).count(), sum, choices.len())
}

impl Shrinker<'_, '_> {
    fn is_over(&self) -> bool {
        self.runs >= MOST_RUNS || self.polls >= MOST_POLLS
    }

    /// True if it has become smaller.
    fn pass(&mut self) -> bool {
        let before = size(&self.best);
        self.zero_chunks();
        self.remove_chunks();
        self.lower();
        size(&self.best) < before
    }

    /// Sets deviations to zero: all, halves, quarters, and so on to each one.
    fn zero_chunks(&mut self) {
        let mut length = usize::MAX;
        while length > 0 && !self.is_over() {
            let mut at = 0;
            while !self.is_over() {
                let deviations = self.deviations();
                length = length.min(deviations.len());
                if length == 0 || at >= deviations.len() {
                    break;
                }
                let mut choices = self.best.clone();
                for place in deviations.iter().skip(at).take(length) {
                    choices[*place] = 0;
                }
                if !self.is_taken(choices) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    /// Takes choices out, so that those behind them come earlier.
    fn remove_chunks(&mut self) {
        let mut length = self.best.len() / 2;
        while length > 0 {
            let mut at = 0;
            while at + length <= self.best.len() && !self.is_over() {
                let mut choices = self.best.clone();
                choices.drain(at..at + length);
                if !self.is_taken(choices) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    fn lower(&mut self) {
        for place in 0..self.best.len() {
            let value = self.best.get(place).copied().unwrap_or(0);
            for lower in 1..value.min(8) {
                let mut choices = self.best.clone();
                if place < choices.len() {
                    choices[place] = lower;
                    if self.is_taken(choices) {
                        break;
                    }
                }
            }
        }
    }

    fn deviations(&self) -> Vec<usize> {
        (0..self.best.len()).filter(|place| self.best[*place] > 0).collect()
    }

    /// Runs these choices. True if that fails in the same way with less.
    fn is_taken(&mut self, choices: Vec<usize>) -> bool {
        if self.is_over() {
            return false;
        }
        self.runs += 1;
        let result = self.search.run(Box::new(Clamped(choices)));
        self.polls += result.polls;
        let fails = result.outcome.err().is_some_and(|failure| failure.is_like(self.failure));
        let choices = taken(&result.points);
        let is_better = fails && size(&choices) < size(&self.best);
        if is_better {
            self.best = choices;
        }
        is_better
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::choices::Kind;
    use crate::explore::one::{Fault, Limits, RunResult};
    use crate::explore::page::{Names, Pages};
    use crate::explore::search::{How, Order, Settings};

    /// How many runs are made to shrink a run whose every choice is needed, if each has so many polls.
    fn runs(polls: u64) -> u32 {
        let settings = Settings {
            how: How::All { limit: 1 },
            limits: Limits::default(),
            is_deterministic: false,
            must_be_complete: false,
            shows_progress: None,
            pages: Pages::None,
        };
        let runs = Cell::new(0);
        let once = |_: Order<'_>| {
            runs.set(runs.get() + 1);
            let outcome = Ok(String::new());
            RunResult { points: Vec::new(), polls, outcome, lines: Vec::new(), is_cut: false }
        };
        let names = Names { test: None, own: None };
        let search = Search::new(&settings, &once, &names);
        let failure = Failure::new(Fault::Endless, String::new());
        let point = Point { kind: Kind::User, options: 2, chosen: 1, candidates: Vec::new() };
        assert_eq!(shrunk(&search, &failure, &vec![point; 5_000]), vec![1; 5_000]);
        runs.get()
    }

    #[test]
    fn long_runs_are_shrunk_by_fewer_runs() {
        assert_eq!((runs(100), runs(100_000)), (MOST_RUNS, 20));
    }
}

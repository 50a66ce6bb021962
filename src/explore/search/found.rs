//! **What an exploration says**: a summary, or the failure that it has found.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::shrink::shrunk;
use super::{Order, SEED, Search, VARIABLE};
use crate::explore::one::{Failure, Fault, RunResult};
use crate::explore::schedule::{Clamped, Line, Point, printed};
use crate::recorder::Recorder;

/// So many of the last lines of a schedule are shown.
const LAST_LINES: usize = 12;

/// So many of the others that deviate.
const MOST_DEVIATIONS: usize = 30;

/// So many events a page has; and if the run has no end, so many. Of more it has the last ones.
const MOST_EVENTS: usize = 100_000;
const EVENTS_OF_AN_ENDLESS_RUN: usize = 2_000;

/// A schedule that is longer is not printed, if the seed says it too.
const LONGEST_SCHEDULE: usize = 2_000;

/// So much of a result is shown.
const MOST_OF_A_RESULT: usize = 120;

/// What an exploration has seen that has found no failure.
///
/// # In asyncio
/// There is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many runs were made; with [`seeds`](crate::explore::seeds) and [`pct`](crate::explore::pct) two may have the same order.
    pub orders: u64,
    /// The results, by their `Debug` text, each with the number of its orders.
    pub outcomes: BTreeMap<String, u64>,
    /// How many choices were made, in all runs.
    pub choice_points: u64,
    /// The most choices of one run.
    pub deepest: usize,
    /// These were all orders.
    pub is_complete: bool,
    /// Nothing was explored: this was the one run of `LOOPWHEEL_EXPLORE`.
    pub is_rerun: bool,
    /// How many runs were cut short because another run had shown how they go on. Orders left out without being begun are not counted.
    /// See [`only_shares_objects`](crate::explore::Exploration::only_shares_objects).
    pub pruned: u64,
}

impl Summary {
    pub(super) fn add(&mut self, result: &RunResult) {
        self.orders += 1;
        self.choice_points += result.points.len() as u64;
        self.deepest = self.deepest.max(result.points.len());
        if let Ok(outcome) = &result.outcome {
            *self.outcomes.entry(outcome.clone()).or_default() += 1;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = match (self.is_complete, self.is_rerun) {
            (true, _) => ", which are all",
            (_, true) => ", that of LOOPWHEEL_EXPLORE",
            _ => "",
        };
        let (orders, outcomes) = (counted(self.orders, "order"), self.outcomes.len() as u64);
        write!(f, "{orders}{all}; {}; ", counted(outcomes, "distinct result"))?;
        write!(f, "{}, at most {} in a run", counted(self.choice_points, "choice"), self.deepest)?;
        if self.pruned > 0 {
            write!(f, "; {} cut short", counted(self.pruned, "order"))?;
        }
        for (outcome, orders) in self.outcomes.iter().take(8).filter(|_| outcomes > 1) {
            let shown: String = outcome.chars().take(MOST_OF_A_RESULT).collect();
            let rest = if shown.len() < outcome.len() { "…" } else { "" };
            write!(f, "\n  {shown}{rest}: {}", counted(*orders, "order"))?;
        }
        if outcomes > 8 {
            write!(f, "\n  … and {} more results", outcomes - 8)?;
        }
        Ok(())
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A failure that an exploration has found, and how to see it again.
///
/// # In asyncio
/// There is none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// What went wrong.
    pub fault: Fault,
    /// What is said about it.
    pub message: String,
    /// The seed of the run; `None` if the exploration has none.
    pub seed: Option<u64>,
    /// The number of the run, from 1 on; of the last one, if these were to be all. Zero if the schedule was given by `LOOPWHEEL_EXPLORE`.
    pub order: u64,
    /// The choices of the run that has failed.
    pub choices: String,
    /// The fewest choices with which it was seen to fail in the same way. With these it is run again.
    pub shrunk: String,
    /// What these choices do, in words: a line for each poll, and for each choice.
    pub schedule: Vec<String>,
    /// The line that runs it again: with these choices; if they are too many for a line, and it has a seed, with that.
    pub rerun: String,
    /// The page in which this run can be stepped through, if it is wanted and could be written.
    pub page: Option<PathBuf>,
    /// Of which exploration it is.
    of: String,
    /// How many of its choices deviate from the normal order, before and after shrinking, and how many choices there were.
    deviations: [(usize, usize); 2],
    /// Some lines of the schedule, as they are printed.
    shown: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Panicked => "a panic",
            Fault::Deadlock => "a deadlock",
            Fault::TasksLeft => "tasks that are left",
            Fault::Reported => "a failure",
            Fault::Endless => "a run without end",
            Fault::OutcomeDiffers => "a result that depends on the order",
            Fault::NotRepeatable => "a program that does not repeat itself",
            Fault::Incomplete => "other orders",
        };
        let of = &self.of;
        match (self.order, self.seed) {
            _ if self.fault == Fault::Incomplete => write!(f, "not all orders{of} were run")?,
            (0, None) => write!(f, "the schedule of {VARIABLE} leads{of} to {what}")?,
            (order, None) => write!(f, "order {order}{of} leads to {what}")?,
            (order, Some(seed)) => write!(f, "order {order}{of}, of seed {seed}, leads to {what}")?,
        }
        write!(f, ":\n{}", indented(&self.message))?;
        if !self.shown.is_empty() {
            let [before, after] = self.deviations;
            write!(f, "\nits schedule: {}{}", counted(after.1 as u64, "choice"), unusual(after))?;
            if before != after {
                write!(f, " (shrunk from {} of {})", before.0, before.1)?;
            }
        }
        for line in &self.shown {
            write!(f, "\n  {line}")?;
        }
        if !self.rerun.is_empty() {
            // Cargo tells a program of which package it is, and not with which features it was built.
            let knows_all = self.rerun.contains(" --features ");
            let with = if knows_all { "" } else { ", with the features of this run" };
            write!(f, "\nagain{with}: {}", self.rerun)?;
        }
        if let Some(page) = &self.page {
            write!(f, "\nstep by step: {}", page.display())?;
        }
        Ok(())
    }
}

impl Error for Found {}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// How many choices are not what the loop does by itself, in words.
fn unusual((deviations, points): (usize, usize)) -> String {
    match (deviations, points) {
        (_, 0) => String::new(),
        (0, 1) => ", the usual one".to_owned(),
        (0, _) => ", all of them the usual ones".to_owned(),
        (1, 1) => ", not the usual one".to_owned(),
        (1, _) => ", 1 of them not the usual one".to_owned(),
        (some, _) => format!(", {some} of them not the usual ones"),
    }
}

fn deviations(points: &[Point]) -> (usize, usize) {
    (points.iter().filter(|point| point.chosen > 0).count(), points.len())
}

impl Search<'_> {
    /// No run has failed; but these were to be all orders, and are not.
    pub(super) fn incomplete(&self, limit: u64) -> Found {
        let summary = &self.summary;
        let message = format!(
            "{limit} runs are the limit, and there are more: give `all` a higher one, or make the test smaller\n{summary}"
        );
        let failure = Failure::new(Fault::Incomplete, message);
        self.without_schedule(failure, summary.orders, None, &[])
    }

    fn without_schedule(
        &self,
        failure: Failure,
        order: u64,
        seed: Option<u64>,
        points: &[Point],
    ) -> Found {
        let own = deviations(points);
        Found {
            fault: failure.fault,
            message: failure.message,
            seed,
            order,
            choices: printed(points),
            shrunk: printed(points),
            schedule: Vec::new(),
            rerun: String::new(),
            page: None,
            of: self.names.of_exploration(),
            deviations: [own, own],
            shown: Vec::new(),
        }
    }

    /// A run has failed: shrinks it, and runs it once more with a recorder.
    pub(super) fn found(
        &self,
        order: u64,
        seed: Option<u64>,
        failure: Failure,
        points: &[Point],
    ) -> Box<Found> {
        let choices = printed(points);
        let before = deviations(points);
        if failure.fault == Fault::NotRepeatable {
            return Box::new(self.without_schedule(failure, order, seed, points));
        }
        let shrunk = shrunk(self, &failure, points);
        let recorder = self.recorder(Some(failure.fault));
        let strategy = Box::new(Clamped(shrunk));
        let order_of_last = Order { strategy, in_words: true, recorder: recorder.as_ref() };
        let result = self.judged((self.once)(order_of_last));
        let message = match &result.outcome {
            Err(again) if again.is_like(&failure) => again.message.clone(),
            _ => format!(
                "{}\n(this run could not be repeated: with the same choices the program has done something else)",
                failure.message
            ),
        };
        let failure = Failure { message, ..failure };
        let mut found = self.found_again(&failure, &result, recorder.as_ref());
        (found.order, found.seed, found.choices) = (order, seed, choices);
        found.deviations[0] = before;
        if let Some(seed) = seed.filter(|_| found.shrunk.len() > LONGEST_SCHEDULE) {
            found.rerun = rerun(&format!("{SEED}{seed}"), self.names.test.as_deref());
        }
        found
    }

    /// The run of a schedule that was given has failed.
    pub(super) fn found_again(
        &self,
        failure: &Failure,
        result: &RunResult,
        recorder: Option<&Recorder>,
    ) -> Box<Found> {
        let mut found = self.without_schedule(failure.clone(), 0, None, &result.points);
        if failure.fault != Fault::NotRepeatable {
            found.rerun = rerun(&found.choices, self.names.test.as_deref());
        }
        found.page = recorder.and_then(|recorder| {
            recorder.add_note(&format_args!("the run fails:\n{}", failure.message));
            self.settings.pages.write(self.names, recorder)
        });
        found.schedule = result.lines.iter().map(|line| line.text.clone()).collect();
        found.shown = shown(&result.lines);
        Box::new(found)
    }

    /// Records the run, which is known to have this fault, if a page is wanted. Of a run without end the beginning is of no use, and
    /// to look for the lines takes long.
    pub(super) fn recorder(&self, known: Option<Fault>) -> Option<Recorder> {
        let (title, name) = ("an order that was found by exploration", self.names.title());
        let recorder = || match known {
            Some(Fault::Endless) => Recorder::last(EVENTS_OF_AN_ENDLESS_RUN).title(name, title),
            _ => Recorder::last(MOST_EVENTS).title(name, title).with_lines(),
        };
        self.settings.pages.are_wanted().then(recorder)
    }
}

/// The line that runs a schedule again.
fn rerun(choices: &str, test: Option<&str>) -> String {
    let package = match env::var("CARGO_PKG_NAME") {
        Ok(own) if own == env!("CARGO_PKG_NAME") => format!(" -p {own} --features explore"),
        Ok(package) => format!(" -p {package}"),
        Err(_) => String::new(), // it was not run by cargo
    };
    match test {
        Some(test) => format!("{VARIABLE}={choices} cargo test{package} {test} -- --exact"),
        None => format!("{VARIABLE}={choices} cargo run{package}"),
    }
}

/// The first lines that deviate, and the last ones of all, with their numbers.
fn shown(lines: &[Line]) -> Vec<String> {
    let from = lines.len().saturating_sub(LAST_LINES);
    let deviating = lines[..from].iter().enumerate().filter(|(_, line)| line.deviates);
    // From here on those that deviate are only counted.
    let cut = deviating.clone().nth(MOST_DEVIATIONS).map_or(from, |(at, _)| at);
    let more = deviating.count().saturating_sub(MOST_DEVIATIONS);
    let (mut shown, mut left_out) = (Vec::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        if at == cut && more > 0 {
            shown.push(format!("     … and {more} more lines with `>` (`found.schedule` has all)"));
            left_out = 0;
        }
        if at < from && (!line.deviates || at >= cut) {
            left_out += u64::from(at < cut);
            continue;
        }
        if left_out > 0 {
            shown.push(format!("     … {}", counted(left_out, "poll")));
            left_out = 0;
        }
        let mark = if line.deviates { '>' } else { ' ' };
        shown.push(format!("{mark}{:>4}. {}", at + 1, line.text));
    }
    shown
}

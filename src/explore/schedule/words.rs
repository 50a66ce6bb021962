//! **A schedule in words**: a line for each poll, and for each choice that is not what the loop does by itself.

use std::collections::BTreeMap;

use crate::choices::{Candidate, Kind};
use crate::trace;

/// A line of a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// It is not what the loop does by itself.
    pub(crate) deviates: bool,
}

/// What is written of a run.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) lines: Vec<Line>,
    /// How often each task was polled, by the word of its id.
    polls: BTreeMap<usize, u32>,
    /// The task before which the next one is polled, if that is not in its turn.
    instead_of: Option<String>,
}

impl Words {
    /// A decision was taken.
    pub(crate) fn decided(&mut self, kind: Kind, options: usize, chosen: usize, of: &[Candidate]) {
        if chosen == 0 {
            return;
        }
        let text = match kind {
            Kind::Ready => {
                self.instead_of = of.first().map(Candidate::to_string);
                return; // the step that follows is the line
            }
            Kind::Cancel | Kind::IdleCancel => {
                let Some(task) = of.get(chosen - 1) else { return };
                let moment = match self.polls.get(&task.id.word()) {
                    None => "it begins".to_owned(),
                    Some(polls) => format!("its {} poll", ordinal(polls + 1)),
                };
                let is_idle = kind == Kind::IdleCancel;
                let meanwhile = if is_idle { ", while nothing is ready" } else { "" };
                format!("a cancel of {task} before {moment}{meanwhile}")
            }
            Kind::EarlyTimer => {
                "time passes to the next deadline, although tasks are ready".to_owned()
            }
            Kind::Timers => match (of.first(), of.get(chosen)) {
                (Some(first), Some(task)) if of.len() == options => {
                    format!("the timer of {task} before that of {first}, which was set first")
                }
                _ => format!("timer {} of {options} that are due, before the first", chosen + 1),
            },
            Kind::User => format!("`choose({options})` is {chosen}"),
        };
        self.deviates(text);
    }

    /// A poll begins, or a task ends without one.
    pub(crate) fn steps(&mut self, task: &Candidate, is_poll: bool) {
        if is_poll {
            *self.polls.entry(task.id.word()).or_default() += 1;
        }
        let ends = if is_poll { "" } else { " ends without a poll" };
        match self.instead_of.take() {
            Some(first) => {
                self.deviates(format!("{task}{ends}, before {first}, which was woken first"));
            }
            None if is_poll => self.lines.push(Line { text: task.to_string(), deviates: false }),
            None => {}
        }
    }

    fn deviates(&mut self, text: String) {
        trace::note(format_args!("{}: {text}", self.lines.len() + 1)); // for the page
        self.lines.push(Line { text, deviates: true });
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

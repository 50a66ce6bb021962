//! **The chooser of a run**: asks a strategy, and keeps what was chosen.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use super::{Failure, Fault, RunResult};
use crate::choices::{Candidate, Chooser, Kind};
use crate::explore::schedule::{Asked, Point, Strategy, Words};
use crate::kernel::current::with_current_loop;

/// What may be injected into a run, and how long it may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) cancels: usize,
    /// The names of the tasks that are cancelled. None: all are.
    pub(crate) only: Vec<String>,
    /// Those of them that no task has had yet, in any run.
    pub(crate) unmet: Rc<RefCell<Vec<String>>>,
    pub(crate) early_timers: usize,
    pub(crate) max_polls: u64,
    /// Orders that differ in nothing that matters are left out.
    pub(crate) reduces: bool,
}

/// The chooser of one run.
pub(crate) struct RunChooser {
    strategy: RefCell<Box<dyn Strategy>>,
    points: RefCell<Vec<Point>>,
    words: Option<RefCell<Words>>,
    limits: Limits,
    polls: Cell<u64>,
    cancels: Cell<usize>,
    early_timers: Cell<usize>,
    /// The run is to end: why.
    trouble: RefCell<Option<Failure>>,
    is_over: Cell<bool>,
    is_cut: Cell<bool>,
}

impl RunChooser {
    pub(crate) fn new(strategy: Box<dyn Strategy>, limits: Limits, in_words: bool) -> RunChooser {
        RunChooser {
            strategy: RefCell::new(strategy),
            points: RefCell::default(),
            words: in_words.then(RefCell::default),
            limits,
            polls: Cell::new(0),
            cancels: Cell::new(0),
            early_timers: Cell::new(0),
            trouble: RefCell::new(None),
            is_over: Cell::new(false),
            is_cut: Cell::new(false),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Ends the run if its end was seen.
    fn cut_if_seen(&self) {
        if self.strategy.borrow().is_cut() {
            self.is_cut.set(true);
            self.is_over.set(true);
        }
    }

    fn give_up(&self, fault: Fault, message: String) {
        self.is_over.set(true);
        self.trouble.borrow_mut().get_or_insert(Failure::new(fault, message));
    }

    /// Why the run was given up, or is not the one that the strategy is for: if it has passed, it must have come to all choices. From
    /// here on nothing is chosen.
    pub(super) fn take_trouble(&self, has_passed: bool) -> Option<Failure> {
        if !self.is_over.replace(true)
            && has_passed
            && let Err(message) = self.strategy.borrow().ends(self.points.borrow().len())
        {
            self.give_up(Fault::NotRepeatable, message);
        }
        self.trouble.take()
    }

    pub(super) fn reduces(&self) -> bool {
        self.limits.reduces
    }

    /// What came of the run, which is over.
    pub(super) fn finish(&self, outcome: Result<String, Failure>) -> RunResult {
        let lines = self.words.as_ref().map(|words| mem::take(&mut words.borrow_mut().lines));
        let lines = lines.unwrap_or_default();
        let (polls, is_cut) = (self.polls.get(), self.is_cut.get());
        RunResult { points: self.points.take(), polls, outcome, lines, is_cut }
    }
}

impl Chooser for RunChooser {
    fn step_is_over(&self) {
        self.strategy.borrow_mut().step_is_over();
    }

    fn wants_short_turns(&self) -> bool {
        self.limits.reduces
    }

    fn choose(&self, kind: Kind, options: usize, candidates: &[Candidate]) -> usize {
        if self.is_over.get() || options < 2 {
            return 0;
        }
        let number = self.points.borrow().len();
        let asked = Asked { number, kind, options, candidates, polls: self.polls.get() };
        let picked = self.strategy.borrow_mut().pick(&asked);
        self.cut_if_seen();
        let chosen = match picked {
            Ok(chosen) => chosen.min(options - 1),
            Err(message) => {
                self.give_up(Fault::NotRepeatable, message);
                return 0;
            }
        };
        let is_compared = self.strategy.borrow().is_compared();
        let kept = if is_compared { candidates.to_vec() } else { Vec::new() };
        self.points.borrow_mut().push(Point { kind, options, chosen, candidates: kept });
        match kind {
            Kind::Cancel | Kind::IdleCancel if chosen > 0 => self.cancels.update(|it| it + 1),
            Kind::EarlyTimer if chosen > 0 => self.early_timers.update(|timers| timers + 1),
            _ => {}
        }
        if let Some(words) = &self.words {
            words.borrow_mut().decided(kind, options, chosen, candidates);
        }
        chosen
    }

    fn steps(&self, candidate: &Candidate, is_poll: bool) {
        if self.is_over.get() {
            return;
        }
        self.strategy.borrow_mut().steps(candidate, is_poll, self.polls.get());
        self.cut_if_seen();
        if let Some(words) = &self.words {
            words.borrow_mut().steps(candidate, is_poll);
        }
        if !is_poll {
            return;
        }
        self.polls.update(|polls| polls + 1);
        if self.polls.get() > self.limits.max_polls {
            let tree = with_current_loop(|engine| engine.stuck_tasks().1).unwrap_or_default();
            let text = format!(
                "the run has not ended after {} polls (if it is to take so long: `max_steps`){tree}",
                self.limits.max_polls
            );
            self.give_up(Fault::Endless, text);
        }
    }

    fn may_cancel(&self, candidate: &Candidate) -> bool {
        let only = &self.limits.only;
        let has = |name: &String| candidate.name.as_deref() == Some(name);
        let is_meant = only.iter().any(has);
        if is_meant {
            self.limits.unmet.borrow_mut().retain(|name| !has(name));
        }
        is_meant || only.is_empty()
    }

    fn may_cancel_any(&self) -> bool {
        self.cancels.get() < self.limits.cancels && !self.is_over.get()
    }

    fn may_pass_time(&self) -> bool {
        self.early_timers.get() < self.limits.early_timers && !self.is_over.get()
    }
}

//! **What is left of a budget** that several turns share.
//!
//! A turn measures time on the loop's clock, between two polls. That does not do for several turns: a host's clock may stand still
//! until the host moves it on, and a virtual clock until nothing is ready. So on such a loop real time counts too. Only this file
//! reads it, between two turns, and each turn has one poll.

use std::time::Duration;

use super::Budget;
use crate::base::instant::Instant;
use crate::engine::Engine;

pub(super) struct Left {
    budget: Budget,
    /// When it began on the loop's clock; `None` if the budget has no time.
    began: Option<Instant>,
    /// The same in real time; `None` also if the loop's clock is the operating system's, which a turn reads itself.
    really_began: Option<Instant>,
    /// How much has passed since, on the clock that is ahead.
    passed: Duration,
}

impl Left {
    pub(super) fn of(budget: Budget, engine: &Engine) -> Left {
        let began = budget.time.map(|_| engine.now());
        let is_real = engine.real_time().is_some();
        let really_began = began.filter(|_| !is_real).map(|_| engine.real_now());
        Left { budget, began, really_began, passed: Duration::ZERO }
    }

    /// What the next turn may do.
    pub(super) fn of_one_turn(&self) -> Budget {
        match self.budget.time {
            None => self.budget,
            Some(time) if self.really_began.is_none() => {
                Budget { time: Some(time.saturating_sub(self.passed)), ..self.budget }
            }
            Some(_) => Budget::polls(self.budget.polls.min(1)),
        }
    }

    /// Takes off what a turn has used.
    pub(super) fn take(&mut self, polls: u64, engine: &Engine) {
        let polls = usize::try_from(polls).unwrap_or(usize::MAX);
        self.budget.polls = self.budget.polls.saturating_sub(polls);
        if let Some(began) = self.began {
            let really = self.really_began.map(|began| engine.real_now() - began);
            self.passed = (engine.now() - began).max(really.unwrap_or_default());
        }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.budget.polls == 0 || self.budget.time.is_some_and(|time| self.passed >= time)
    }
}

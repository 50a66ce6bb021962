//! **A grace time**: the time limit in a protection. It is told as a grace, and it can cancel its body more than once.

use std::panic::Location;
use std::time::Duration;

use crate::reason::LimitKind;
use crate::timeout::{Limit, Phase, Until};

impl Limit {
    pub(super) fn of_grace(grace: Duration, created_at: &'static Location<'static>) -> Limit {
        let limit = Limit::new(Some(Until::After(grace)), created_at);
        limit.kind.set(LimitKind::Grace);
        limit
    }

    /// A cancel from outside is for the body, for its grace is over, or that of a protection around it: the next poll delivers it.
    /// False if the body has not been polled.
    pub(super) fn cancels_once_more(&self) -> bool {
        let Some(begun) = self.begun.get().filter(|_| self.phase.get() == Phase::Running) else {
            return false;
        };
        if begun.has_fired() && !self.expired.get() {
            return true; // the next poll delivers the limit's own cancel: the two are one
        }
        let task = begun.task.borrow().clone();
        let is_first = !self.expired.replace(true);
        if let Some(task) = task.filter(|_| is_first) {
            task.count_cancel_of_scope(&task.reason());
        }
        self.to_deliver.set(true);
        true
    }
}

//! **What a limit says**: as the cause of a cancel, and when it is misused. Both name the line that created it.

use super::limit::{Limit, Until};
use crate::kernel::record::RecordRef;
use crate::reason::{Cause, Length, LimitKind, Reason};

impl Limit {
    /// The reason of the limit's cancel in this task.
    pub(super) fn reason(&self, task: &RecordRef) -> Reason {
        let length = match (self.until, self.kind.get()) {
            (Some(Until::After(time)), LimitKind::AsGiven) => Length::For(time),
            (Some(Until::After(time)), LimitKind::Grace) => Length::Grace(time),
            _ => Length::Until(self.when().unwrap_or_default()),
        };
        Reason::own(Cause::LimitUp(task.who(), length), Some(self.created_at))
    }

    #[cold]
    pub(super) fn is_misused(&self, how: &str, what_to_do: &str) -> ! {
        let what = if self.kind.get() == LimitKind::Grace { "grace time" } else { "time limit" };
        panic!("a {what} (created at {}) was polled {how}: {what_to_do}", self.created_at)
    }
}

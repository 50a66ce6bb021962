//! **Timed polls**: in a turn with a budget of time, or while slow polls are watched.
//!
//! Both need the clock, which costs as much as several polls. So the turn has a plain loop of polls, and this one in its place only
//! when one of the two is asked for.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::Engine;

impl Engine {
    /// Polls until `time` has passed, and reports slow polls if they are watched. Returns the number of polls.
    #[inline(never)]
    pub(crate) fn poll_timed(
        self: &Rc<Self>,
        max_polls: usize,
        time: Option<Duration>,
        is_watched: bool,
    ) -> usize {
        let end = time.map(|time| self.now() + time);
        for polled in 1..=max_polls {
            if is_watched {
                self.poll_next::<true>();
                self.after_watched_poll();
            } else {
                self.poll_next::<false>();
            }
            if end.is_some_and(|end| self.now() >= end) {
                return polled;
            }
        }
        max_polls
    }
}

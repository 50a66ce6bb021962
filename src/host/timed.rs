//! **Watched polls**: in a turn with a budget of time, while slow polls are reported, while the loop is traced, or while it is explored.
//!
//! The first two need the clock, which costs as much as several polls; the third calls an observer, and the fourth asks which
//! task is next. So the turn has a plain loop of polls, and this one in its place only when one of the four is asked for.

use std::rc::Rc;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;

impl Engine {
    /// Polls until `time` has passed, and watches each poll if that is asked for. Returns the number of polls.
    #[inline(never)]
    pub(crate) fn poll_watched(
        self: &Rc<Self>,
        max_polls: usize,
        time: Option<Duration>,
        is_watched: bool,
    ) -> usize {
        #[cfg(feature = "explore")]
        let max_polls = self.explored_polls(max_polls);
        let end = time.map(|time| self.now() + time);
        if is_watched {
            self.start_tracing(); // if an observer was set in the last turn
            self.tell_turn_begins();
        }
        let polled = self.poll_until(end, max_polls, is_watched);
        if is_watched {
            self.turn_ends();
        }
        polled
    }

    fn poll_until(
        self: &Rc<Self>,
        end: Option<Instant>,
        max_polls: usize,
        is_watched: bool,
    ) -> usize {
        for polled in 1..=max_polls {
            if is_watched {
                #[cfg(feature = "explore")]
                if self.is_explored() {
                    self.explore_next_poll();
                }
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

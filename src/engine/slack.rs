//! **Slack**: when a table that has been large gives memory back.
//!
//! The wheel's entries and the task slots are named by their index, so what is in use cannot move: only the free end of such a
//! table can be cut off. The rules, for both:
//!
//! - A table of up to [`KEPT`] entries is left alone.
//! - A larger one is cut when at most a quarter of it is in use, to twice what is in use or to `KEPT`. Between two cuts, or a
//!   cut and the next growth, that many entries must come or go, so the cost of an entry stays constant even if the table
//!   grows and shrinks for ever.
//! - An entry in use near the end keeps what is before it. Such an attempt has cost a walk through the table for little, so the
//!   next one waits: for one time that the loop asks, then for two, four and so on, at most for as many looks of the loop as
//!   the table is long; but not if the number in use has halved, or the table has grown. Until then no free entry behind the
//!   wanted end is used while there are others, so the end becomes free as those go that were in the way.
//!
//! The loop asks at some of its looks at the clock and the inbox (`turn.rs`), and before it sleeps: never where an entry comes or
//! goes.

use super::turn::GIVE_BACK_EVERY;

/// How many entries a table keeps, whatever is in use.
pub(super) const KEPT: usize = 4096;

/// When one table is cut.
#[derive(Debug, Default)]
pub(super) struct Slack {
    /// Length and number in use after the last attempt, if something near the end was in the way.
    left: (usize, usize),
    /// How often the loop asks between that attempt and the next, and how often of these it has yet to.
    wait: usize,
    patience: usize,
}

impl Slack {
    /// To how many entries a table should be cut, if it should be now.
    pub(super) fn wanted(&mut self, len: usize, in_use: usize) -> Option<usize> {
        if len <= KEPT || in_use > len / 4 {
            return None;
        }
        let (len_then, in_use_then) = self.left;
        let has_halved = in_use < in_use_then && in_use <= in_use_then / 2;
        if self.patience > 0 && len == len_then && !has_halved {
            self.patience -= 1;
            return None;
        }
        Some((2 * in_use).max(KEPT))
    }

    /// It has been cut to `len`.
    pub(super) fn was_cut(&mut self, wanted: usize, len: usize, in_use: usize) {
        let has_grown = len > self.left.0;
        self.wait = match (len > wanted, has_grown) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => (2 * self.wait).min(len / GIVE_BACK_EVERY),
        };
        self.patience = self.wait;
        self.left = (len, in_use);
    }
}

/// Gives back memory of a list that is empty between two uses, and will hold at most `most` when it is next used.
pub(super) fn shrink<T>(list: &mut Vec<T>, most: usize) {
    if list.capacity() > KEPT && most <= list.capacity() / 4 {
        list.shrink_to((2 * most).max(KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_be_cut_is_not_walked_again_and_again() {
        let mut slack = Slack::default();
        let mut attempts = 0;
        for _ in 0..100_000 / GIVE_BACK_EVERY {
            if let Some(wanted) = slack.wanted(50_000, 10) {
                attempts += 1;
                slack.was_cut(wanted, 50_000, 10); // something at the very end is in use
            }
        }
        assert!(attempts <= 12, "{attempts} attempts");
        let asks = (0..2 * 50_000 / GIVE_BACK_EVERY).filter(|_| slack.wanted(50_000, 10).is_some());
        assert!(asks.count() > 0, "after as many looks as the table is long it is tried again");
        assert!(slack.wanted(50_000, 5).is_some(), "half of what was in use is gone");
    }

    #[test]
    fn a_table_that_is_used_or_small_is_left_alone() {
        let mut slack = Slack::default();
        assert_eq!(slack.wanted(KEPT, 0), None);
        assert_eq!(slack.wanted(100_000, 25_001), None);
        assert_eq!(slack.wanted(100_000, 25_000), Some(50_000));
        assert_eq!(slack.wanted(100_000, 0), Some(KEPT));
    }
}

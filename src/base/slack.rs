//! **Slack**: when a table that has been large frees memory.
//!
//! The entries of the timer wheel and the task slots are named by their index, so an entry in use cannot move, and only the free
//! end of the table can be cut off. The naive answer is to cut whenever the end is free; a table that grows and shrinks all the
//! time then allocates all the time. The rules, for both tables:
//!
//! - A table of up to [`KEPT`] entries is never cut.
//! - A larger one is cut if at most a quarter of it is in use: to twice the number in use, or to `KEPT`. Between two cuts, or a cut
//!   and the next growth, a number of entries in proportion to the length must come or go, so the cost for each entry stays
//!   constant.
//! - An entry in use near the end blocks the cut there. Such an attempt walks through the table for little gain, so the next one is
//!   delayed: the loop skips one question, then two, four and so on, at most for as many checks as the table is long. The delay
//!   ends early if the number in use has halved, or the length has changed. Meanwhile free entries beyond the wanted end are used
//!   only if there are no others, so the end becomes free when the entries in use there are removed.
//!
//! The loop asks at some of its checks (`kernel/turn.rs`), and before it parks: never when an entry is added or removed.

/// The loop asks whether a table should be cut once in this many checks, and before it parks.
pub(crate) const TRIM_EVERY: usize = 64;

/// How many entries a table always keeps.
pub(crate) const KEPT: usize = 4096;

/// Decides when one table is cut.
#[derive(Debug, Default)]
pub(crate) struct Slack {
    /// Length and number in use after the last attempt.
    after_last: (usize, usize),
    /// How many questions are skipped between that attempt and the next, and how many of these are left.
    delay: usize,
    skips_left: usize,
}

impl Slack {
    /// The length to which the table should be cut, if it should be cut now.
    pub(crate) fn wanted(&mut self, len: usize, in_use: usize) -> Option<usize> {
        if len <= KEPT || in_use > len / 4 {
            return None;
        }
        let (len_then, in_use_then) = self.after_last;
        let has_halved = in_use < in_use_then && in_use <= in_use_then / 2;
        if self.skips_left > 0 && len == len_then && !has_halved {
            self.skips_left -= 1;
            return None;
        }
        Some((2 * in_use).max(KEPT))
    }

    /// Notes an attempt to cut the table to `wanted`, which left it with `len` entries.
    pub(crate) fn was_cut(&mut self, wanted: usize, len: usize, in_use: usize) {
        let has_grown = len > self.after_last.0;
        self.delay = match (len > wanted, has_grown) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => (2 * self.delay).min(len / TRIM_EVERY),
        };
        self.skips_left = self.delay;
        self.after_last = (len, in_use);
    }
}

/// Adds an entry to a table. A large one does not double, but grows by an eighth: half of what doubling adds is never used.
pub(crate) fn push<T>(table: &mut Vec<T>, entry: T) {
    if table.len() == table.capacity() && table.len() >= KEPT {
        table.reserve_exact(table.len() / 8);
    }
    table.push(entry);
}

/// Frees memory of a list that is empty between two uses, and holds at most `most` values in its next use.
pub(crate) fn shrink<T>(list: &mut Vec<T>, most: usize) {
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
        for _ in 0..100_000 / TRIM_EVERY {
            if let Some(wanted) = slack.wanted(50_000, 10) {
                attempts += 1;
                slack.was_cut(wanted, 50_000, 10); // the last entry is in use
            }
        }
        assert!(attempts <= 12, "{attempts} attempts");
        let asks = (0..2 * 50_000 / TRIM_EVERY).filter(|_| slack.wanted(50_000, 10).is_some());
        assert!(asks.count() > 0, "it is tried again after as many checks as the table is long");
        assert!(slack.wanted(50_000, 5).is_some(), "half of the entries in use are gone");
    }

    /// Of a table of 50,000 entries in which this many are in use, the last one among them: it was tried for the second time.
    fn delayed(in_use: usize) -> Slack {
        let mut slack = Slack::default();
        for _ in 0..2 {
            while slack.wanted(50_000, in_use).is_none() {}
            slack.was_cut(KEPT, 50_000, in_use);
        }
        slack
    }

    #[test]
    fn a_delay_ends_when_half_is_gone_or_the_length_is_another() {
        assert_eq!(delayed(10).wanted(50_000, 9), None);
        assert_eq!(delayed(10).wanted(50_000, 5), Some(KEPT));
        assert_eq!(delayed(10).wanted(50_001, 10), Some(KEPT));
        assert_eq!(delayed(0).wanted(50_000, 0), None);
    }

    #[test]
    fn no_delay_is_longer_than_the_table() {
        let (mut slack, at_most) = (Slack::default(), 50_000 / TRIM_EVERY);
        for _ in 0..20 {
            assert!((0..=at_most).any(|_| slack.wanted(50_000, 10).is_some()));
            slack.was_cut(KEPT, 50_000, 10);
        }
    }

    #[test]
    fn a_small_table_doubles_and_a_large_one_grows_by_an_eighth() {
        for (before, after) in [(KEPT / 2, KEPT), (KEPT, KEPT / 8 * 9), (8 * KEPT, 9 * KEPT)] {
            let mut table = vec![0; before]; // it is full
            push(&mut table, 0);
            assert_eq!(table.capacity(), after);
        }
        let mut has_room = vec![0; KEPT + 1];
        has_room.pop();
        push(&mut has_room, 0);
        assert_eq!(has_room.capacity(), KEPT + 1);
    }

    #[test]
    fn a_list_that_needs_no_more_than_a_quarter_of_its_room_gives_back_half_of_it_or_more() {
        let capacity = 8 * KEPT;
        for (most, after) in [(0, KEPT), (2 * KEPT, 4 * KEPT), (2 * KEPT + 1, capacity)] {
            let mut list = Vec::<u8>::with_capacity(capacity);
            shrink(&mut list, most);
            assert_eq!(list.capacity(), after);
        }
        let mut small = Vec::<u8>::with_capacity(KEPT - 1);
        shrink(&mut small, 0);
        assert_eq!(small.capacity(), KEPT - 1);
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

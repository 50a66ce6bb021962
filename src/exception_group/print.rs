//! `Display` and `Debug` of a group.

use std::fmt;

use super::{ExceptionGroup, Raised};

/// How many levels of nested groups are printed. Each level is indented further, so the output grows with their square.
pub(super) const PRINTED_LEVELS: usize = 100;

/// Prints the message and the number of members; with `{:#}` all members, as a [`tree`](ExceptionGroup::tree).
impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.write_tree(f) } else { f.write_str(&self.heading()) }
    }
}

/// Prints what a derived `Debug` would, but at most 100 levels of nested groups, and how many more there are.
impl<E: fmt::Debug> fmt::Debug for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PrintedGroup { group: self, level: 1 }.fmt(f)
    }
}

/// A group at some level of the output. It recurses, because only the standard library's formatter can pass the format options on,
/// but no deeper than [`PRINTED_LEVELS`].
struct PrintedGroup<'a, E> {
    group: &'a ExceptionGroup<E>,
    level: usize,
}

/// The list of its members, or how many levels follow.
struct PrintedMembers<'a, E>(&'a PrintedGroup<'a, E>);

/// A nested group, printed as `Group(…)`.
struct PrintedMember<'a, E>(PrintedGroup<'a, E>);

impl<E: fmt::Debug> fmt::Debug for PrintedGroup<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExceptionGroup")
            .field("message", &self.group.message)
            .field("members", &PrintedMembers(self))
            .finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for PrintedMembers<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PrintedGroup { group, level } = *self.0;
        let mut list = f.debug_list();
        if level > PRINTED_LEVELS && !group.is_empty() {
            return list.entry(&format_args!("{}", group.levels())).finish();
        }
        for member in group.members() {
            match member {
                Raised::Group(group) => {
                    list.entry(&PrintedMember(PrintedGroup { group, level: level + 1 }))
                }
                leaf => list.entry(leaf),
            };
        }
        list.finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for PrintedMember<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.0).finish()
    }
}

/// The line for so many levels that are not printed.
pub(super) struct MoreLevels(pub(super) usize);

impl fmt::Display for MoreLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = if self.0 == 1 { "level" } else { "levels" };
        write!(f, "... {} more {levels}", self.0)
    }
}

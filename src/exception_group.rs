//! [`ExceptionGroup`]: the errors of several tasks as one error.
//!
//! Groups nest as deep as a program likes, so everything here that goes down the tree keeps a list of the groups that are
//! open, where recursion would overflow the stack. Printing goes down to [`PRINTED_LEVELS`] and says how many more there are.
//!
//! The errors are foreign code: their `Drop`, `Clone`, `PartialEq`, `Debug` and `Display` may panic. Each error is in some
//! [`Members`] whenever foreign code runs, also while a group is taken apart or put together, and those drop it.

use std::error::Error;
use std::fmt::{self, Write};
use std::{mem, slice, vec};

use thiserror::Error as ThisError;

use crate::engine::foreign::FirstPanic;
use crate::error::Panic;

/// So many levels of groups inside groups are printed: as the indentation grows with each, a tree of all levels would grow
/// with the square of their number.
const PRINTED_LEVELS: usize = 100;

/// Several errors that were raised together; a tree, for groups nest.
///
/// [`TaskGroup::scope`](crate::TaskGroup::scope) fails with it. What Python writes with `except*` is written with
/// [`split`](ExceptionGroup::split): the errors that match, and the rest, each a group of the same shape.
///
/// # Examples
/// ```
/// use loopwheel::ExceptionGroup;
///
/// let errors = ExceptionGroup::new("two of three failed", ["no route", "timed out"]);
/// let (timeouts, rest) = errors.split(|error| error.contains("timed out"));
/// assert_eq!(timeouts.unwrap().iter().count(), 1);
/// assert_eq!(rest.unwrap().to_string(), "two of three failed (1 error)");
/// ```
///
/// # In asyncio
/// `ExceptionGroup`.
pub struct ExceptionGroup<E> {
    message: String,
    members: Members<E>,
}

/// The members of a group. Dropping them drops each error, whatever the others do, and the errors of groups inside without
/// recursion.
struct Members<E>(Vec<Raised<E>>);

impl<E> Drop for Members<E> {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mut panics = FirstPanic::default();
        let mut open = vec![mem::take(&mut self.0).into_iter()];
        while let Some(mut members) = open.pop() {
            let Some(member) = members.next() else { continue };
            open_again(&mut open, members);
            match member {
                Raised::Error(error) => drop(panics.catch(|| drop(error))),
                Raised::Group(mut group) => open.push(mem::take(&mut group.members.0).into_iter()),
                Raised::Panic(panic) => drop(panic),
            }
        }
        panics.go_on();
    }
}

/// The rest of a group whose member is looked at now. A group whose last member that was is not kept, so that the list stays
/// short however deep a chain is.
fn open_again<I: ExactSizeIterator>(open: &mut Vec<I>, rest: I) {
    if rest.len() > 0 {
        open.push(rest);
    }
}

/// The errors and panics of a group and of those inside, from left to right.
struct Leaves<'a, E> {
    open: Vec<slice::Iter<'a, Raised<E>>>,
}

impl<'a, E> Iterator for Leaves<'a, E> {
    type Item = &'a Raised<E>;

    fn next(&mut self) -> Option<&'a Raised<E>> {
        while let Some(mut members) = self.open.pop() {
            let Some(member) = members.next() else { continue };
            open_again(&mut self.open, members);
            match member {
                Raised::Group(group) => self.open.push(group.members.0.iter()),
                leaf => return Some(leaf),
            }
        }
        None
    }
}

/// What one member of an [`ExceptionGroup`] is.
#[derive(Debug, Clone, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Raised<E> {
    /// An error.
    #[error("{0}")]
    Error(E),
    /// The errors of a group inside.
    #[error("{0}")]
    Group(ExceptionGroup<E>),
    /// A task panicked.
    #[error("{0}")]
    Panic(Panic),
}

impl<E> From<E> for Raised<E> {
    fn from(error: E) -> Raised<E> {
        Raised::Error(error)
    }
}

impl<E> From<ExceptionGroup<E>> for Raised<E> {
    fn from(group: ExceptionGroup<E>) -> Raised<E> {
        Raised::Group(group)
    }
}

impl<'a, E> IntoIterator for &'a ExceptionGroup<E> {
    type Item = &'a E;
    type IntoIter = Box<dyn Iterator<Item = &'a E> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> ExceptionGroup<E> {
    /// A group of these errors. For groups inside the group see [`from_members`](ExceptionGroup::from_members).
    pub fn new(
        message: impl Into<String>,
        errors: impl IntoIterator<Item = E>,
    ) -> ExceptionGroup<E> {
        ExceptionGroup::from_members(message, errors.into_iter().map(Raised::Error))
    }

    /// A group of members that are groups themselves, in part.
    pub fn from_members(
        message: impl Into<String>,
        members: impl IntoIterator<Item = Raised<E>>,
    ) -> ExceptionGroup<E> {
        let mut group = ExceptionGroup { message: message.into(), members: Members(Vec::new()) };
        group.members.0.extend(members);
        group
    }

    /// What was said of the group as a whole.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The members, groups inside being one each.
    pub fn members(&self) -> &[Raised<E>] {
        &self.members.0
    }

    /// The members.
    pub fn into_members(mut self) -> Vec<Raised<E>> {
        mem::take(&mut self.members.0)
    }

    /// Whether nobody raised anything: a group that [`TaskGroup::cancel`](crate::TaskGroup::cancel) ended quietly.
    pub fn is_empty(&self) -> bool {
        self.members.0.is_empty()
    }

    /// All errors, of the groups inside too, from left to right. Panics are none; see [`panics`](ExceptionGroup::panics).
    pub fn iter(&self) -> Box<dyn Iterator<Item = &E> + '_> {
        Box::new(self.leaves().filter_map(|leaf| match leaf {
            Raised::Error(error) => Some(error),
            Raised::Group(_) | Raised::Panic(_) => None,
        }))
    }

    /// All panics, of the groups inside too.
    pub fn panics(&self) -> Box<dyn Iterator<Item = &Panic> + '_> {
        Box::new(self.leaves().filter_map(|leaf| match leaf {
            Raised::Panic(panic) => Some(panic),
            Raised::Group(_) | Raised::Error(_) => None,
        }))
    }

    fn leaves(&self) -> Leaves<'_, E> {
        Leaves { open: vec![self.members.0.iter()] }
    }

    /// The errors that match, and the rest, each as a group of the same shape; `None` where there is none. Panics are of
    /// the rest.
    ///
    /// # In asyncio
    /// `group.split(condition)`, and `except*`.
    pub fn split(
        self,
        mut matches: impl FnMut(&E) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let halves = self.split_by(&mut matches);
        drop(matches); // should that panic, the halves are dropped: what is returned already would be lost
        halves
    }

    fn split_by(
        self,
        matches: &mut dyn FnMut(&E) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let (mut parents, mut this) = (Vec::new(), Halves::of(self));
        loop {
            // An error is looked at where it is, so that it is dropped with the others if that panics.
            let is_matching = match this.left.0.last() {
                Some(Raised::Error(error)) => matches(error),
                _ => false,
            };
            match this.left.0.pop() {
                Some(Raised::Group(group)) => {
                    parents.push(mem::replace(&mut this, Halves::of(group)));
                }
                Some(leaf) if is_matching => this.matching.0.push(leaf),
                Some(leaf) => this.rest.0.push(leaf),
                None => {
                    let (matching, rest) = this.groups();
                    let Some(parent) = parents.pop() else { return (matching, rest) };
                    this = parent;
                    this.matching.0.extend(matching.map(Raised::Group));
                    this.rest.0.extend(rest.map(Raised::Group));
                }
            }
        }
    }

    /// The errors that match, as a group of the same shape.
    ///
    /// # In asyncio
    /// `group.subgroup(condition)`.
    pub fn subgroup(self, matches: impl FnMut(&E) -> bool) -> Option<ExceptionGroup<E>> {
        let (matching, rest) = self.split(matches);
        drop(rest); // as in `split`
        matching
    }

    /// `Err` with this group if there is one: to raise on what [`split`](ExceptionGroup::split) left.
    ///
    /// # Errors
    /// The rest.
    pub fn raise(rest: Option<ExceptionGroup<E>>) -> Result<(), ExceptionGroup<E>> {
        rest.map_or(Ok(()), Err)
    }

    /// The group as a tree, one line a member, as Python prints it. Of groups inside groups 100 levels are printed, and a
    /// line that says how many more there are.
    pub fn tree(&self) -> String
    where
        E: fmt::Display,
    {
        let mut tree = String::new();
        self.write_tree(&mut tree).expect("no `Display` of an error fails");
        tree
    }

    fn write_tree(&self, out: &mut dyn Write) -> fmt::Result
    where
        E: fmt::Display,
    {
        out.write_str(&self.heading())?;
        let mut indent = String::new();
        let mut open = vec![self.members.0.iter()];
        while let Some(members) = open.last_mut() {
            let Some(member) = members.next() else {
                open.pop();
                let (deeper, _) = indent.char_indices().nth_back(2).unwrap_or_default();
                indent.truncate(deeper);
                continue;
            };
            let is_last = members.len() == 0;
            let branch = if is_last { "└─ " } else { "├─ " };
            write!(out, "\n{indent}{branch}")?;
            match member {
                Raised::Error(error) => write!(out, "{error}")?,
                Raised::Panic(panic) => write!(out, "{panic}")?,
                Raised::Group(group) => {
                    out.write_str(&group.heading())?;
                    let deeper = if is_last { "   " } else { "│  " };
                    if open.len() < PRINTED_LEVELS || group.is_empty() {
                        indent.push_str(deeper);
                        open.push(group.members.0.iter());
                    } else {
                        write!(out, "\n{indent}{deeper}└─ {}", group.levels())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How many levels of groups there are here and inside.
    fn levels(&self) -> MoreLevels {
        let (mut deepest, mut open) = (1, vec![(1, self.members.0.iter())]);
        while let Some((level, mut members)) = open.pop() {
            let Some(member) = members.next() else { continue };
            if members.len() > 0 {
                open.push((level, members));
            }
            if let Raised::Group(group) = member {
                deepest = deepest.max(level + 1);
                open.push((level + 1, group.members.0.iter()));
            }
        }
        MoreLevels(deepest)
    }

    fn heading(&self) -> String {
        let count = self.members.0.len();
        let errors = if count == 1 { "error" } else { "errors" };
        format!("{} ({count} {errors})", self.message)
    }
}

/// The message and the number of members; with `{:#}` all of them, as a [`tree`](ExceptionGroup::tree).
impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.write_tree(f) } else { f.write_str(&self.heading()) }
    }
}

/// As derived, but for groups inside groups: 100 levels are printed, and how many more there are.
impl<E: fmt::Debug> fmt::Debug for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PrintedGroup { group: self, level: 1 }.fmt(f)
    }
}

/// A group whose members are printed, or only counted. It calls itself, for only a formatter of the standard library can
/// hand the options of the format on; but no deeper than [`PRINTED_LEVELS`].
struct PrintedGroup<'a, E> {
    group: &'a ExceptionGroup<E>,
    level: usize,
}

/// The list of its members.
struct PrintedMembers<'a, E>(&'a PrintedGroup<'a, E>);

/// A group inside, as the member that it is.
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

/// What one printed level says of those that are not printed.
struct MoreLevels(usize);

impl fmt::Display for MoreLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = if self.0 == 1 { "level" } else { "levels" };
        write!(f, "... {} more {levels}", self.0)
    }
}

impl<E: Clone> Clone for ExceptionGroup<E> {
    fn clone(&self) -> ExceptionGroup<E> {
        struct Copying<'a, E> {
            left: slice::Iter<'a, Raised<E>>,
            copy: ExceptionGroup<E>,
        }
        fn begin<E>(group: &ExceptionGroup<E>) -> Copying<'_, E> {
            let members = Members(Vec::with_capacity(group.members.0.len()));
            let copy = ExceptionGroup { message: group.message.clone(), members };
            Copying { left: group.members.0.iter(), copy }
        }
        let (mut parents, mut this) = (Vec::new(), begin(self));
        loop {
            match this.left.next() {
                Some(Raised::Group(group)) => {
                    parents.push(mem::replace(&mut this, begin(group)));
                }
                Some(leaf) => this.copy.members.0.push(leaf.clone()),
                None => {
                    let Some(parent) = parents.pop() else { return this.copy };
                    let copy = mem::replace(&mut this, parent).copy;
                    this.copy.members.0.push(Raised::Group(copy));
                }
            }
        }
    }
}

impl<E: PartialEq> PartialEq for ExceptionGroup<E> {
    fn eq(&self, other: &ExceptionGroup<E>) -> bool {
        let alike = |one: &ExceptionGroup<E>, other: &ExceptionGroup<E>| {
            one.message == other.message && one.members.0.len() == other.members.0.len()
        };
        if !alike(self, other) {
            return false;
        }
        let mut open = vec![self.members.0.iter().zip(&other.members.0)];
        while let Some(mut members) = open.pop() {
            let Some(pair) = members.next() else { continue };
            open_again(&mut open, members);
            match pair {
                (Raised::Group(one), Raised::Group(other)) if alike(one, other) => {
                    open.push(one.members.0.iter().zip(&other.members.0));
                }
                (Raised::Group(_), Raised::Group(_)) => return false,
                (one, other) if one == other => {}
                _ => return false,
            }
        }
        true
    }
}

/// A group that is being split.
struct Halves<E> {
    message: String,
    /// In reverse.
    left: Members<E>,
    matching: Members<E>,
    rest: Members<E>,
}

impl<E> Halves<E> {
    fn of(group: ExceptionGroup<E>) -> Halves<E> {
        let ExceptionGroup { message, members: mut left } = group;
        left.0.reverse();
        Halves { message, left, matching: Members(Vec::new()), rest: Members(Vec::new()) }
    }

    fn groups(self) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let group = |members: Members<E>| {
            let message = self.message.clone();
            (!members.0.is_empty()).then_some(ExceptionGroup { message, members })
        };
        (group(self.matching), group(self.rest))
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ExceptionGroup<E> {}

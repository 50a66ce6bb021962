//! **Exception groups**: [`ExceptionGroup`], the errors of several tasks as one error.
//!
//! A group is a tree, because its members may be groups. The usual way through a tree is recursion, but a program may nest groups
//! so deep that recursion overflows the stack. So every walk here keeps a list of the groups that are open. Printing stops at
//! [`PRINTED_LEVELS`] and says how many levels follow.
//!
//! The errors are foreign code: their `Drop`, `Clone`, `PartialEq`, `Debug` and `Display` may panic. So whenever foreign code runs,
//! also while a group is taken apart or put together, each error is owned by some [`Members`], which drop all of theirs even so.
//!
//! - `print`: `Display` and `Debug`. `output`: what a child of a group and the body of a scope return.
//!
//! It stands on `base` and `error`.

mod output;
mod print;

use std::error::Error;
use std::fmt::{self, Write};
use std::mem;
use std::slice;
use std::vec;

use thiserror::Error as ThisError;

use crate::base::panic::FirstPanic;
use crate::error::Panic;
use print::{MoreLevels, PRINTED_LEVELS};

pub(crate) use output::ChildOf;
pub use output::{BodyOutput, ChildOutput, IntoRaised};

/// Several errors that were raised together. Groups nest, so it is a tree.
///
/// `{}` prints one line, as Python does, and `{:#}` each error below it. [`iter`](ExceptionGroup::iter) visits the errors, whatever
/// group they are in. As a `dyn Error`, its [`source`](Error::source) is the first error: so what prints the causes of an error names
/// one. Only `{:#}` names all.
///
/// [`TaskGroup::scope`](crate::TaskGroup::scope) fails with it. [`split`](ExceptionGroup::split) does what `except*` does in
/// Python: it separates the errors that match from the rest, each as a group of the same shape.
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

/// The members of a group. The destructor drops every error, even if others panic, and nested groups without recursion.
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

/// Pushes the members of a group that are still to be visited. An exhausted group is not kept, so that the list stays short in a
/// long chain of groups with one member each.
fn open_again<I: ExactSizeIterator>(open: &mut Vec<I>, rest: I) {
    if rest.len() > 0 {
        open.push(rest);
    }
}

/// Iterates over the errors and panics of a group and of its nested groups, from left to right.
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

/// One member of an [`ExceptionGroup`].
///
/// It prints what it holds. It is also the [`source`](Error::source) of its group: `downcast_ref::<Raised<E>>()` gives the error back.
#[derive(Debug, Clone, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Raised<E> {
    /// An error.
    #[error("{0}")]
    Error(E),
    /// A nested group.
    #[error(transparent)]
    Group(ExceptionGroup<E>),
    /// A task panicked.
    #[error("{0}")]
    Panic(Panic),
}

impl<'a, E> IntoIterator for &'a ExceptionGroup<E> {
    type Item = &'a E;
    type IntoIter = Box<dyn Iterator<Item = &'a E> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> ExceptionGroup<E> {
    /// Creates a group of these errors. For nested groups see [`from_members`](ExceptionGroup::from_members).
    pub fn new(
        message: impl Into<String>,
        errors: impl IntoIterator<Item = E>,
    ) -> ExceptionGroup<E> {
        ExceptionGroup::from_members(message, errors.into_iter().map(Raised::Error))
    }

    /// Creates a group of these members, some of which may be groups.
    pub fn from_members(
        message: impl Into<String>,
        members: impl IntoIterator<Item = Raised<E>>,
    ) -> ExceptionGroup<E> {
        let mut group = ExceptionGroup { message: message.into(), members: Members(Vec::new()) };
        group.members.0.extend(members);
        group
    }

    /// The message of the group as a whole.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The members. A nested group counts as one.
    pub fn members(&self) -> &[Raised<E>] {
        &self.members.0
    }

    /// Takes the members out of the group.
    pub fn into_members(mut self) -> Vec<Raised<E>> {
        mem::take(&mut self.members.0)
    }

    /// Whether the group has no members. A scope fails with such a group if [`TaskGroup::cancel`](crate::TaskGroup::cancel)
    /// interrupted its body.
    pub fn is_empty(&self) -> bool {
        self.members.0.is_empty()
    }

    /// All errors, those of nested groups included, from left to right. It skips panics; see [`panics`](ExceptionGroup::panics).
    #[doc(alias = "exceptions")]
    #[doc(alias = "errors")]
    pub fn iter(&self) -> Box<dyn Iterator<Item = &E> + '_> {
        Box::new(self.leaves().filter_map(|leaf| match leaf {
            Raised::Error(error) => Some(error),
            Raised::Group(_) | Raised::Panic(_) => None,
        }))
    }

    /// All panics, those of nested groups included.
    pub fn panics(&self) -> Box<dyn Iterator<Item = &Panic> + '_> {
        Box::new(self.leaves().filter_map(|leaf| match leaf {
            Raised::Panic(panic) => Some(panic),
            Raised::Group(_) | Raised::Error(_) => None,
        }))
    }

    fn leaves(&self) -> Leaves<'_, E> {
        Leaves { open: vec![self.members.0.iter()] }
    }

    /// Separates the errors that match from the rest, each as a group of the same shape, or `None` if there are none. Panics go to
    /// the rest.
    ///
    /// # In asyncio
    /// `group.split(condition)`, and `except*`.
    pub fn split(
        self,
        mut matches: impl FnMut(&E) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let halves = self.split_by(&mut matches);
        drop(matches); // here: if it panicked after the return, the halves would be leaked
        halves
    }

    fn split_by(
        self,
        matches: &mut dyn FnMut(&E) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let (mut parents, mut this) = (Vec::new(), Halves::of(self));
        loop {
            // Test the error while `left` owns it, so that it is dropped with the others if `matches` panics.
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
                // This group is split. Its halves become members of the parent's halves.
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
        drop(rest); // while `matching` is a local variable: see `split`
        matching
    }

    /// Raises the rest that [`split`](ExceptionGroup::split) returned, if there is one.
    ///
    /// # Errors
    /// The rest.
    pub fn raise(rest: Option<ExceptionGroup<E>>) -> Result<(), ExceptionGroup<E>> {
        rest.map_or(Ok(()), Err)
    }

    /// The group printed as a tree, one line for each member, as Python prints it. At most 100 levels of nested groups are printed,
    /// then a line that says how many more there are.
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
                // The group is printed: take its three characters off the indentation.
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

    /// How many levels of groups there are, this one included.
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
        match count {
            0 => self.message.clone(),
            1 => format!("{} (1 error)", self.message),
            _ => format!("{} ({count} errors)", self.message),
        }
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
    /// The members that are still to be tested, in reverse order.
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

    /// The two halves as groups; `None` for an empty one.
    fn groups(self) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let group = |members: Members<E>| {
            let message = self.message.clone();
            (!members.0.is_empty()).then_some(ExceptionGroup { message, members })
        };
        (group(self.matching), group(self.rest))
    }
}

impl<E: fmt::Debug + fmt::Display + 'static> Error for ExceptionGroup<E> {
    /// The first error or panic, whatever group it is in, as a [`Raised`].
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.leaves().next().map(|leaf| leaf as _)
    }
}

//! [`ExceptionGroup`]: the errors of several tasks as one error.

use std::error::Error;
use std::fmt;

use thiserror::Error as ThisError;

use crate::error::Panic;

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
#[derive(Debug, Clone, PartialEq)]
pub struct ExceptionGroup<E> {
    message: String,
    members: Vec<Raised<E>>,
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
        ExceptionGroup { message: message.into(), members: members.into_iter().collect() }
    }

    /// What was said of the group as a whole.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The members, groups inside being one each.
    pub fn members(&self) -> &[Raised<E>] {
        &self.members
    }

    /// The members.
    pub fn into_members(self) -> Vec<Raised<E>> {
        self.members
    }

    /// Whether nobody raised anything: a group that [`TaskGroup::cancel`](crate::TaskGroup::cancel) ended quietly.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All errors, of the groups inside too, from left to right. Panics are none; see [`panics`](ExceptionGroup::panics).
    pub fn iter(&self) -> Box<dyn Iterator<Item = &E> + '_> {
        Box::new(self.members.iter().flat_map(|member| -> Box<dyn Iterator<Item = &E>> {
            match member {
                Raised::Error(error) => Box::new(std::iter::once(error)),
                Raised::Group(group) => group.iter(),
                Raised::Panic(_) => Box::new(std::iter::empty()),
            }
        }))
    }

    /// All panics, of the groups inside too.
    pub fn panics(&self) -> Box<dyn Iterator<Item = &Panic> + '_> {
        Box::new(self.members.iter().flat_map(|member| -> Box<dyn Iterator<Item = &Panic>> {
            match member {
                Raised::Error(_) => Box::new(std::iter::empty()),
                Raised::Group(group) => group.panics(),
                Raised::Panic(panic) => Box::new(std::iter::once(panic)),
            }
        }))
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
        self.split_by(&mut matches)
    }

    fn split_by(
        self,
        matches: &mut dyn FnMut(&E) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let (mut matching, mut rest) = (Vec::new(), Vec::new());
        for member in self.members {
            match member {
                Raised::Error(error) if matches(&error) => matching.push(Raised::Error(error)),
                Raised::Group(group) => {
                    let (inside, outside) = group.split_by(matches);
                    matching.extend(inside.map(Raised::Group));
                    rest.extend(outside.map(Raised::Group));
                }
                other => rest.push(other),
            }
        }
        let group = |members: Vec<_>| {
            let message = self.message.clone();
            (!members.is_empty()).then_some(ExceptionGroup { message, members })
        };
        (group(matching), group(rest))
    }

    /// The errors that match, as a group of the same shape.
    ///
    /// # In asyncio
    /// `group.subgroup(condition)`.
    pub fn subgroup(self, matches: impl FnMut(&E) -> bool) -> Option<ExceptionGroup<E>> {
        self.split(matches).0
    }

    /// `Err` with this group if there is one: to raise on what [`split`](ExceptionGroup::split) left.
    ///
    /// # Errors
    /// The rest.
    pub fn raise(rest: Option<ExceptionGroup<E>>) -> Result<(), ExceptionGroup<E>> {
        rest.map_or(Ok(()), Err)
    }

    /// The group as a tree, one line a member, as Python prints it.
    pub fn tree(&self) -> String
    where
        E: fmt::Display,
    {
        let mut lines = vec![self.heading()];
        self.branches("", &mut lines);
        lines.join("\n")
    }

    fn branches(&self, indent: &str, lines: &mut Vec<String>)
    where
        E: fmt::Display,
    {
        for (number, member) in self.members.iter().enumerate() {
            let is_last = number + 1 == self.members.len();
            let branch = if is_last { "└─ " } else { "├─ " };
            match member {
                Raised::Error(error) => lines.push(format!("{indent}{branch}{error}")),
                Raised::Panic(panic) => lines.push(format!("{indent}{branch}{panic}")),
                Raised::Group(group) => {
                    lines.push(format!("{indent}{branch}{}", group.heading()));
                    let deeper = if is_last { "   " } else { "│  " };
                    group.branches(&format!("{indent}{deeper}"), lines);
                }
            }
        }
    }

    fn heading(&self) -> String {
        let count = self.members.len();
        let errors = if count == 1 { "error" } else { "errors" };
        format!("{} ({count} {errors})", self.message)
    }
}

/// The message and the number of members; with `{:#}` all of them, as a [`tree`](ExceptionGroup::tree).
impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if f.alternate() { self.tree() } else { self.heading() })
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ExceptionGroup<E> {}

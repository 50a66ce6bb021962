//! **What a child of a group, and the body of its scope, return**: a `Result`, or nothing.
//!
//! The plain way is to ask for a `Result`. Then a child that cannot fail has to end with `Ok::<(), E>(())`, which says nothing but
//! the type of an error that never comes. So `()` counts as well.

use std::fmt;

use super::{ExceptionGroup, Raised};
use crate::base::kind::Kind;

/// What a child of a [`TaskGroup`](crate::TaskGroup) returns: a `Result` whose error is the group's, or `()`. Sealed.
#[diagnostic::on_unimplemented(
    message = "a child of a task group returns a `Result` with the group's error, or `()`; this one returns `{Self}`",
    label = "this child returns `{Self}`",
    note = "a group's children and its body agree on one error, here `{E}`: write `TaskGroup::<Box<dyn std::error::Error>>::scope` and `async {{ Ok(child().await?) }}`, or convert with `map_err`, or make the group's error an enum",
    note = "a child whose value is no `Result` returns `Ok(value)`; if nothing in the group can fail, name its error: `TaskGroup::<std::convert::Infallible>::scope`"
)]
pub trait ChildOutput<E>: sealed::Child<E> {
    /// The value of the child's task.
    type Value;
    /// The value, or the error that the group takes.
    ///
    /// # Errors
    /// The error that it holds. `()` holds none.
    fn into_result(self) -> Result<Self::Value, E>;
}

/// What the body of a [`scope`](crate::TaskGroup::scope) returns: a `Result` whose error the group can raise, or `()`. Sealed.
#[diagnostic::on_unimplemented(
    message = "the body of a scope returns a `Result` with the group's error, or `()`; this one returns `{Self}`",
    label = "this body returns `{Self}`",
    note = "a body whose value is no `Result` returns `Ok::<_, MyError>(value)`; one that uses `?` and never ends says what it returns, `async |group| -> Result<(), MyError> {{ … }}`; if nothing in the group can fail, name its error: `TaskGroup::<std::convert::Infallible>::scope`"
)]
pub trait BodyOutput<E>: sealed::Body<E> {
    /// The value of the scope.
    type Value;
    /// The value, or the error that the group raises.
    ///
    /// # Errors
    /// The error that it holds. `()` holds none.
    fn into_result(self) -> Result<Self::Value, Raised<E>>;
}

/// What the body of a scope may fail with: the group's error, a group of those, or a member of one. Implement it for an error that
/// becomes the group's.
#[diagnostic::on_unimplemented(
    message = "the error of this task group is `{E}`, and its body fails with `{Self}`",
    label = "`{Self}` is not the group's error",
    note = "a group's children and its body agree on one error: convert with `map_err`, or let all of them fail with an enum, or with `Box<dyn std::error::Error>`"
)]
pub trait IntoRaised<E> {
    /// The member of the group that it becomes.
    fn into_raised(self) -> Raised<E>;
}

impl<E> IntoRaised<E> for E {
    fn into_raised(self) -> Raised<E> {
        Raised::Error(self)
    }
}

impl<E> IntoRaised<E> for ExceptionGroup<E> {
    fn into_raised(self) -> Raised<E> {
        Raised::Group(self)
    }
}

impl<E> IntoRaised<E> for Raised<E> {
    fn into_raised(self) -> Raised<E> {
        self
    }
}

impl<T, E> ChildOutput<E> for Result<T, E> {
    type Value = T;
    fn into_result(self) -> Result<T, E> {
        self
    }
}

impl<E> ChildOutput<E> for () {
    type Value = ();
    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<R, X: IntoRaised<E>, E> BodyOutput<E> for Result<R, X> {
    type Value = R;
    fn into_result(self) -> Result<R, Raised<E>> {
        self.map_err(X::into_raised)
    }
}

impl<E> BodyOutput<E> for () {
    type Value = ();
    fn into_result(self) -> Result<(), Raised<E>> {
        Ok(())
    }
}

mod sealed {
    pub trait Child<E> {}
    impl<T, E> Child<E> for Result<T, E> {}
    impl<E> Child<E> for () {}

    pub trait Body<E> {}
    impl<R, X: super::IntoRaised<E>, E> Body<E> for Result<R, X> {}
    impl<E> Body<E> for () {}
}

/// The kind of a group's child: the group decides what is an error.
pub(crate) struct ChildOf<E>(std::marker::PhantomData<E>);

impl<E> ChildOf<E> {
    pub(crate) const KIND: ChildOf<E> = ChildOf(std::marker::PhantomData);
}

impl<O: ChildOutput<E>, E: fmt::Debug + 'static> Kind<O> for ChildOf<E> {
    type Value = O::Value;
    type Error = E;
    fn outcome(output: O) -> Result<O::Value, E> {
        output.into_result()
    }
}

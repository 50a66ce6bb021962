//! **What the body of a time limit is**: an async closure that takes a [`Deadline`].
//!
//! The bound `AsyncFnOnce(Deadline) -> T` is what is needed, and what gives the closure's parameter its type. But of
//! `timeout(limit, future)`, which is what tokio's users write, the compiler says no more than that a future is no
//! `AsyncFnOnce`. This second bound is there for its message.

use super::Deadline;

/// The body of [`timeout`](crate::timeout()): an async closure that takes a [`Deadline`]. `By` is inferred. Sealed.
#[diagnostic::on_unimplemented(
    message = "the body of a time limit is an async closure that takes a `Deadline`, and `{Self}` is none",
    label = "this is no `async |_| …`",
    note = "for a future there is `wait_for(future, limit)`; or write `timeout(limit, async |_| future.await)`"
)]
pub trait LimitBody<By>: sealed::Sealed<By> {}

impl<B: AsyncFnOnce(Deadline) -> T, T> LimitBody<fn() -> T> for B {}
// There is no such body. With one implementation alone the compiler would say what that lacks, and not the words above.
impl<B: sealed::NoBody> LimitBody<sealed::Nothing> for B {}

mod sealed {
    #![allow(unreachable_pub)] // sealed: it appears in bounds, and cannot be named

    #[derive(Debug)]
    pub struct Nothing;
    pub trait NoBody {}

    pub trait Sealed<By> {}
    impl<B: AsyncFnOnce(super::Deadline) -> T, T> Sealed<fn() -> T> for B {}
    impl<B: NoBody> Sealed<Nothing> for B {}
}

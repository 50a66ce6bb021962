//! **What the body of a time limit is**: an async closure that takes a [`Deadline`].
//!
//! `AsyncFnOnce` would do. This second bound is there for its message, for those who write `timeout(limit, future)` as in tokio.

use super::Deadline;

/// The body of [`timeout`](crate::timeout()): an async closure that takes a [`Deadline`]. `By` is inferred.
#[diagnostic::on_unimplemented(
    message = "the body of a time limit is an async closure that takes a `Deadline`, and `{Self}` is none",
    label = "this is no `async |_| …`",
    note = "for a future there is `wait_for(future, limit)`; or write `timeout(limit, async |_| future.await)`"
)]
pub trait LimitBody<By> {}

impl<B: AsyncFnOnce(Deadline) -> T, T> LimitBody<fn() -> T> for B {}
// Of nothing. With one implementation alone the compiler would say what that lacks, and not the words above.
impl<B: no::Body> LimitBody<no::Kind> for B {}

mod no {
    #![allow(unreachable_pub, missing_debug_implementations)] // it appears in bounds, and cannot be named
    pub trait Body {}
    pub enum Kind {}
}

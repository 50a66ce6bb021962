//! **What a clean-up is**: an async closure, or a future.
//!
//! `impl AsyncFnOnce()` would do. But then `finally(body, async { … })` does not compile, and the compiler does not say that two
//! strokes are missing. A future that was not polled has done nothing yet, so it is as good.

use std::future::Future;

/// What [`finally`](crate::finally) takes as its clean-up: an async closure without parameters, or a future, that returns `()`. `By`
/// is [`Closure`] or [`LazyFuture`], and is inferred. Sealed.
#[diagnostic::on_unimplemented(
    message = "a clean-up is an async closure or a future that returns `()`, and `{Self}` is neither",
    label = "this is no clean-up",
    note = "write `async || {{ … }}`; what it returns is lost, so end it with `;`"
)]
pub trait Cleanup<By>: sealed::Sealed<By> {
    /// The future that cleans up.
    fn start(self) -> impl Future<Output = ()>;
}

/// A [`Cleanup`] that is an async closure.
#[derive(Debug)]
pub struct Closure;

/// A [`Cleanup`] that is a future.
#[derive(Debug)]
pub struct LazyFuture;

impl<F: AsyncFnOnce()> Cleanup<Closure> for F {
    fn start(self) -> impl Future<Output = ()> {
        self()
    }
}

impl<F: Future<Output = ()>> Cleanup<LazyFuture> for F {
    fn start(self) -> impl Future<Output = ()> {
        self
    }
}

mod sealed {
    #![allow(unreachable_pub)] // sealed: it appears in bounds, and cannot be named

    pub trait Sealed<By> {}
    impl<F: AsyncFnOnce()> Sealed<super::Closure> for F {}
    impl<F: Future<Output = ()>> Sealed<super::LazyFuture> for F {}
}

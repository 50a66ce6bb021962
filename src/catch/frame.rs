//! **A frame**: a future of the user's, held in place beside some state, and dropped in place when it must go.
//!
//! To cancel a future is to drop it from outside, so a future that catches a cancel must hold the one that it may have to drop. A
//! box would do for that, at the price of an allocation for each `catch_cancel` and each time limit. [`Held`] keeps the future
//! inside itself, pinned, and does nothing else: what is done with it is up to the [`Frame`].
//!
//! The invariant, *Pinned in place*: the future of a pinned [`Held`] is reached through `Pin` alone, is never moved out, and is
//! dropped where it is; a `Held` has no destructor of its own.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future and the state of the frame around it.
pub(crate) struct Held<F, S> {
    future: Option<F>,
    state: S,
}

/// The state around a future, which is polled in the future's place.
pub(crate) trait Frame<F: Future> {
    type Output;

    /// `held` is `Some` until the frame sets it to `None`.
    fn poll(&mut self, held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

impl<F: Future, S: Frame<F>> Held<F, S> {
    pub(crate) fn new(future: F, state: S) -> Held<F, S> {
        Held { future: Some(future), state }
    }
}

impl<F: Future, S: Frame<F>> Future for Held<F, S> {
    type Output = S::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        // SAFETY: *Pinned in place*: nothing is moved out of `this`: the future is pinned again at once, the state never is.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: *Pinned in place*: `future` is a field of a pinned value.
        let held = unsafe { Pin::new_unchecked(&mut this.future) };
        this.state.poll(held, cx)
    }
}

impl<F, S> fmt::Debug for Held<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("is_over", &self.future.is_none()).finish_non_exhaustive()
    }
}

//! **A frame**: a future of the user's, held in place beside some state, and dropped in place when it must go.
//!
//! Cancelling is dropping a future from outside, so what catches a cancel must hold the future that it may have to drop.
//! What is done with the two is the business of a [`Frame`]; [`Held`] only keeps the future pinned.
//!
//! The invariant, *Pinned in place*: the future of a pinned [`Held`] is reached through `Pin` alone, is never moved out, and is
//! dropped where it is; a `Held` has no destructor of its own.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future and the state of the frame around it.
pub(crate) struct Held<F, S> {
    future: Option<F>,
    state: S,
}

/// What is around a future and is polled in its place.
pub(crate) trait Frame<F: Future> {
    type Output;

    /// `held` is `Some` until the frame sets it to `None`, or is over.
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

//! The frame around a scope's body, and around its wait for the children: what the group cancels when a child fails.
//!
//! As a time limit, a group cancels what it holds and nothing beside it, wherever that is polled.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::state::State;
use crate::cancel::Ending;
use crate::engine::current;
use crate::engine::foreign;
use crate::engine::frame::Frame;
use crate::engine::leaf;
use crate::engine::record::RecordRef;
use crate::engine::scope::{How, Scope, Seen};
use crate::error::Cancelled;

pub(super) struct Aborts<E> {
    state: Rc<State<E>>,
    scope: Scope,
}

impl<E> Aborts<E> {
    pub(super) fn new(state: &Rc<State<E>>) -> Aborts<E> {
        Aborts { state: state.clone(), scope: Scope::default() }
    }
}

impl<E: 'static, F: Future> Frame<F> for Aborts<E> {
    type Output = Result<F::Output, Ending>;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &*self.state;
        let engine = current::running().expect("a scope is polled in a task");
        state.comes_to_this_task();
        loop {
            let mut future = held.as_mut().as_pin_mut().expect("a scope was polled after its end");
            let is_new = engine.may_deliver() && state.body_to_cancel.take();
            let how = is_new.then_some(How::Several);
            let waker = cx.waker();
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let mut poll = || self.scope.poll(&engine, how, waker, || future.as_mut().poll(cx));
                if state.asks() { engine.under_one_that_asks(poll) } else { poll() }
            }));
            match polled {
                Err(payload) => {
                    foreign::quietly(|| held.set(None));
                    return Poll::Ready(Err(Ending::Panicked(payload)));
                }
                Ok(Seen::Ready(output)) => {
                    let kept = foreign::keep_during(output, || held.set(None));
                    return Poll::Ready(kept.map_err(Ending::Panicked));
                }
                Ok(Seen::CameOut) => {
                    engine.catches();
                    let dropped = catch_unwind(AssertUnwindSafe(|| held.set(None)));
                    return Poll::Ready(Err(match dropped {
                        Ok(()) => Ending::Cancelled(Cancelled { reason: leaf::reason() }),
                        Err(payload) => Ending::Panicked(payload),
                    }));
                }
                Ok(Seen::Pending) => {}
            }
            state.see(cx);
            if !state.body_to_cancel.get() {
                return Poll::Pending;
            }
            // The body has cancelled its own group. As in asyncio that goes at once to a task that it awaits, and otherwise comes
            // with the next turn.
            let awaits_task = leaf::with_current(RecordRef::awaits_a_task);
            if awaits_task != Some(true) || !engine.may_deliver() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// The frame around a child that has its turn under a limit: if its future's destructor panics, its output is not leaked.
pub(super) struct InTurn;

impl<F: Future> Frame<F> for InTurn {
    type Output = F::Output;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = held.as_mut().as_pin_mut().expect("a child was polled after its end");
        let output = ready!(future.poll(cx));
        match foreign::keep_during(output, || held.set(None)) {
            Ok(output) => Poll::Ready(output),
            Err(payload) => resume_unwind(payload),
        }
    }
}

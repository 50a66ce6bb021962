//! The future around a scope's body, and around the wait for its children.
//!
//! To stop the body, a group could cancel its task. That would also interrupt what the task awaits beside the scope. So the group,
//! as a time limit does, delivers its cancel in the poll of a frame, to what the frame holds.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::state::{ParentCancel, State};
use crate::base::panic::{self, Payload};
use crate::catch::{Ending, Frame};
use crate::delivery::checkpoint;
use crate::error::Cancelled;
use crate::kernel::current;
use crate::kernel::record::RecordRef;
use crate::scope::{How, Scope, Seen};

/// Drops the future of a frame. A panic of its destructor takes the place of `output`, which is not leaked.
fn drop_held<F, R>(mut held: Pin<&mut Option<F>>, output: R) -> Result<R, Payload> {
    panic::keep_during(output, || held.set(None))
}

/// The frame around the body, or around the wait for the children: what the group's cancel interrupts.
pub(super) struct BodyFrame<E> {
    state: Rc<State<E>>,
    scope: Scope,
}

impl<E> BodyFrame<E> {
    pub(super) fn new(state: &Rc<State<E>>) -> BodyFrame<E> {
        BodyFrame { state: state.clone(), scope: Scope::default() }
    }
}

impl<E: 'static, F: Future> Frame<F> for BodyFrame<E> {
    type Output = Result<F::Output, Ending>;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &*self.state;
        let engine = current::running().expect("a scope is polled in a task");
        let is_undelivered = || state.parent_cancel.get() == ParentCancel::Undelivered;
        state.move_to_current_task();
        loop {
            // Poll once; if the group's cancel is due, deliver it in that poll.
            let mut future = held.as_mut().as_pin_mut().expect("a scope was polled after its end");
            let is_due = engine.may_deliver() && is_undelivered();
            if is_due {
                state.parent_cancel.set(ParentCancel::Delivered);
            }
            let how = is_due.then_some(How::Several);
            let waker = cx.waker();
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let mut poll = || self.scope.poll(&engine, how, waker, || future.as_mut().poll(cx));
                if state.counts_in_parent() { engine.under_one_that_asks(poll) } else { poll() }
            }));
            match polled {
                Err(payload) => {
                    panic::quietly(|| held.set(None));
                    return Poll::Ready(Err(Ending::Panicked(payload)));
                }
                Ok(Seen::Ready(output)) => {
                    return Poll::Ready(drop_held(held, output).map_err(Ending::Panicked));
                }
                Ok(Seen::CameOut) => {
                    engine.catches("a group");
                    return Poll::Ready(Err(match drop_held(held, ()) {
                        Ok(()) => Ending::Cancelled(Cancelled { reason: checkpoint::reason() }),
                        Err(payload) => Ending::Panicked(payload),
                    }));
                }
                Ok(Seen::Pending) => {}
            }
            state.keep_waker(cx);
            if !is_undelivered() {
                return Poll::Pending;
            }
            // The body has cancelled its own group in this poll. As in asyncio, a task that the body awaits is to get the cancel at
            // once: poll again. Anything else gets it in the next turn.
            let awaits_task = current::with_task(RecordRef::awaits_a_task);
            if awaits_task != Some(true) || !engine.may_deliver() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

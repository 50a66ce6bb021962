//! **The frame of a protection**: what it holds back, and for how long.
//!
//! To the code around it the frame is a checkpoint that holds its branch, as a join does whose task is still cleaning up. To the
//! future in it nothing beyond the frame exists.

use std::cell::RefCell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::inside::Inside;
use crate::catch::Frame;
use crate::delivery::{Told, Visit};
use crate::engine::Engine;
use crate::error::{Cancelled, TimedOut};
use crate::kept_waker::KeptWaker;
use crate::kernel::current;
use crate::kernel::record::RecordRef;
use crate::reason::Reason;
use crate::timeout::{Limit, Limited, Phase};

/// The state of a protection around its future.
pub(super) struct Protection {
    grace: Limited<Limit, false>,
    /// The delivery that is held back, if one is.
    told: Told,
    /// The task that polled it last.
    task: Option<RecordRef>,
    /// How many requests of no limit and no group the future knows: those on entry, less those that were taken back since.
    requests: u32,
    /// The same for limits and groups around it.
    requests_of_scopes: u32,
    /// The reason of the last cancel that was held back.
    held_back: Option<Reason>,
    /// The foreign waker of the poll in which the frame began to hold. A scope sees by it that the branch is alive.
    waker: RefCell<Option<KeptWaker>>,
    /// A cancel has come after the grace, and is to cancel the future once more.
    is_due: bool,
}

impl Protection {
    pub(super) fn new(grace: Duration, created_at: &'static Location<'static>) -> Protection {
        Protection {
            grace: Limited(Limit::of_grace(grace, created_at)),
            told: Told::default(),
            task: None,
            requests: 0,
            requests_of_scopes: 0,
            held_back: None,
            waker: RefCell::default(),
            is_due: false,
        }
    }

    /// In another task than before, cancels of the one before are no concern of this one.
    fn move_to(&mut self, engine: &Engine, task: &RecordRef) {
        self.forget();
        self.requests = requests_around(engine, task);
        self.requests_of_scopes = 0;
        let before = self.task.replace(task.clone());
        drop(before); // last: it may run anything
    }

    /// A delivery has reached the frame.
    fn arrives(&mut self, engine: &Engine, task: &RecordRef) {
        let waker = self.waker.take(); // so that it is kept anew: see the field
        drop(waker); // after the borrow: it may run anything
        if self.held_back.replace(task.reason()).is_none() {
            task.cold().cancel.holding_back.update(|holding| holding + 1);
        }
        self.is_due = self.is_over(engine);
        if self.is_due {
            // Or a limit inside that is up would take this cancel for its own. The grace is to let it pass all the same.
            self.requests = requests_around(engine, task);
            self.requests_of_scopes = engine.deliveries.asking_around.get();
            self.grace.0.requests_before.set(self.requests + self.requests_of_scopes);
        }
        if self.is_due { engine.tell_delivery() } else { engine.tell_held_back() }
    }

    /// Whether the grace is over, or that of a protection around this one.
    fn is_over(&self, engine: &Engine) -> bool {
        self.grace.0.is_up() || engine.deliveries.is_grace_over.get()
    }

    fn inside<'a>(&self, engine: &'a Engine) -> Inside<'a> {
        Inside::of(engine, self.requests, self.requests_of_scopes, self.is_over(engine))
    }

    /// Nothing is held back any more. Returns the reason of what was.
    fn forget(&mut self) -> Option<Reason> {
        self.told.forget();
        let held_back = self.held_back.take();
        if let Some(task) = self.task.as_ref().filter(|_| held_back.is_some()) {
            task.cold().cancel.holding_back.update(|holding| holding - 1);
        }
        let waker = self.waker.take();
        drop(waker); // last: it may run anything
        held_back
    }
}

/// How many requests of no limit and no group the task has, as far as a protection around this one lets them be known.
fn requests_around(engine: &Engine, task: &RecordRef) -> u32 {
    let known = engine.deliveries.requests_known.get().unwrap_or(u32::MAX);
    task.requests_of_no_scope().min(known)
}

impl Drop for Protection {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<F: Future> Frame<F> for Protection {
    /// How the future ended; and the cancel that was held back, which is to go on.
    type Output = (Result<F::Output, TimedOut>, Option<Cancelled>);

    fn poll(&mut self, held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Outside a task the grace says what is wrong; without a loop there is no cancel.
        let (Some(engine), Some(task)) = (current::running(), current::task()) else {
            return self.grace.poll(held, cx).map(|ended| (ended, None));
        };
        if self.task.as_ref() != Some(&task) {
            self.move_to(&engine, &task);
        }
        // What arrives from outside ends here.
        let visit = if engine.is_quiet() { Visit::Go } else { engine.visit_untold(&self.told, cx) };
        let is_held = match visit {
            Visit::Wait => return Poll::Pending,
            Visit::Interrupted(_) => true,
            Visit::Go => {
                self.forget(); // what has delivered it is gone
                false
            }
        };
        if is_held && !self.told.holds() {
            self.arrives(&engine, &task);
        }
        if self.is_due && self.grace.0.cancels_once_more() {
            self.is_due = false;
        }
        // The future is polled as if nothing had arrived.
        let waiting_before = engine.deliveries.waiting.get();
        let inside = self.inside(&engine);
        let polled = self.grace.poll(held, cx);
        let came_out = inside.leave();
        self.requests = self.requests.min(task.requests_of_no_scope());
        if let Poll::Ready(ended) = polled {
            let held_back = self.forget().filter(|_| is_held && task.cancel_requests() > 0);
            let cancelled = held_back.map(|reason| Cancelled { reason });
            if cancelled.is_some() {
                engine.tell_delivery();
            }
            return Poll::Ready((ended, cancelled));
        }
        let waiting = engine.deliveries.waiting.get() - waiting_before;
        if waiting == 0 && came_out > 0 {
            return Poll::Pending; // a cancel that was raised inside has come out, and nothing inside is alive
        }
        if is_held {
            engine.holds(&self.told);
            KeptWaker::replace_foreign_in(&self.waker, cx.waker());
        }
        engine.waits(); // with a join inside the task awaits several, and no cancel passes the frame by
        if self.is_due && self.grace.0.phase.get() == Phase::Running {
            cx.waker().wake_by_ref(); // it came in the first poll
        }
        Poll::Pending
    }
}

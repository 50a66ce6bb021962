//! Statements that wrap others: they catch a cancel, clean up, or limit the time.

use std::rc::Rc;
use std::thread;

use loopwheel::{
    Instant, catch_cancel, finally, finally_within, now, protect, timeout, timeout_at, wait_for,
};

use crate::interpret::{Boxed, Place, ms, run as run_body};
use crate::program::FrameOp;
use crate::tasks::Lent;
use crate::world::World;

/// A panic that waits for a clean-up may be lost with it.
struct ExcuseIfPanicking(Rc<World>);

impl Drop for ExcuseIfPanicking {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ledger.excuse_silence();
        }
    }
}

pub(crate) fn run<'a>(place: &'a Place, op: &'a FrameOp) -> Boxed<'a> {
    let label = place.label;
    Box::pin(async move {
        match op {
            FrameOp::Catch { body, reraise } => {
                if let Err(cancelled) = catch_cancel(run_body(place, body)).await {
                    let reason = cancelled.reason().map_or(0, str::len);
                    World::here().log(label, "catches a cancel", reason as u64);
                    if *reraise {
                        cancelled.reraise().await;
                    }
                }
            }
            FrameOp::Finally { body, cleanup } => {
                let body = async {
                    let _excuse = ExcuseIfPanicking(World::here());
                    run_body(place, body).await;
                };
                finally(body, async || {
                    World::here().log(label, "cleans up", 0);
                    run_body(place, cleanup).await;
                })
                .await;
            }
            FrameOp::FinallyWithin { grace, body, cleanup } => {
                let body = async {
                    let _excuse = ExcuseIfPanicking(World::here());
                    run_body(place, body).await;
                };
                finally_within(body, ms(*grace), async || {
                    World::here().log(label, "cleans up in a grace time", 0);
                    run_body(place, cleanup).await;
                })
                .await;
            }
            FrameOp::Protect { grace, body } => {
                let ended = protect(run_body(place, body), ms(*grace)).await;
                World::here().log(label, "was protected", u64::from(ended.is_ok()));
            }
            FrameOp::WaitFor { limit, body } => {
                let ended = wait_for(run_body(place, body), limit.map(ms)).await;
                World::here().log(label, "was in time", ended.is_ok().into());
            }
            FrameOp::WaitForHandle { limit, slot } => {
                let handle = World::here().take_handle(label, *slot);
                if let Some(handle) = handle {
                    let edge = World::here().graph.awaits(place.task, handle.label);
                    let mut lent = Lent::new(*slot, handle);
                    if edge.is_none() {
                        return;
                    }
                    let ended = wait_for(lent.handle().ended(label), limit.map(ms)).await;
                    World::here().log(label, "was in time", ended.is_ok().into());
                }
            }
            FrameOp::Timeout { limit, at, moved_to, body } => {
                let within = async |deadline: loopwheel::Deadline| {
                    if let Some(moved_to) = moved_to {
                        let moved = deadline.reschedule(now() + ms(*moved_to));
                        World::here().log(label, "moves its limit", moved.is_ok().into());
                    }
                    run_body(place, body).await;
                    let when = deadline.when().map_or(0, Instant::as_nanos);
                    World::here().log(label, "has until", when);
                    World::here().log(label, "has expired", deadline.expired().into());
                };
                let ended = if *at {
                    let when = limit.map(|limit| Instant::START + ms(limit));
                    timeout_at(when, within).await
                } else {
                    timeout(limit.map(ms), within).await
                };
                World::here().log(label, "was in time", ended.is_ok().into());
            }
        }
    })
}

//! Statements with other crates' combinators, and polling by hand.

use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::future::{abortable, join_all, select};
use futures::stream::{FuturesOrdered, FuturesUnordered};
use loopwheel::{call_later, yield_now};

use crate::interpret::{Boxed, Place, ms, run as run_body};
use crate::parcel::Parcel;
use crate::program::{Body, ForeignOp, Then, WakerSpec};
use crate::wakers::hostile;
use crate::world::World;

pub(crate) fn run<'a>(place: &'a Place, op: &'a ForeignOp) -> Boxed<'a> {
    Box::pin(async move {
        let body = |body: &Body| Member(Some(run_body(place, body)));
        match op {
            ForeignOp::Join(one, two) => {
                futures::join!(body(one), body(two));
            }
            ForeignOp::JoinAll(bodies) => drop(join_all(bodies.iter().map(body)).await),
            ForeignOp::JoinMany(times, one) => {
                drop(join_all((0..*times).map(|_| body(one))).await);
            }
            ForeignOp::Select(one, two) => drop(select(body(one), body(two)).await),
            ForeignOp::Unordered { bodies, at_most } => {
                let mut set: FuturesUnordered<_> = bodies.iter().map(body).collect();
                for _ in 0..*at_most {
                    if set.next().await.is_none() {
                        break;
                    }
                }
            }
            ForeignOp::Ordered { bodies, at_most } => {
                let mut set: FuturesOrdered<_> = bodies.iter().map(body).collect();
                for _ in 0..*at_most {
                    if set.next().await.is_none() {
                        break;
                    }
                }
            }
            ForeignOp::Abortable { body: one, after } => {
                let (future, handle) = abortable(body(one));
                drop(call_later(ms(*after), move || handle.abort()));
                let ended = future.await;
                World::here().log(place.label, "was not aborted", ended.is_ok().into());
            }
            ForeignOp::ByHand { body, waker, polls, then } => {
                by_hand(place, body, *waker, *polls, *then).await;
            }
        }
    })
}

/// Runs a future in a foreign set. Some sets leak the other futures if a destructor panics; this does not look for that.
struct Member(Option<Boxed<'static>>);

impl Future for Member {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(body) => body.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let body = self.0.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
            drop(payload);
        }
    }
}

/// Polls a few times with a waker of the fuzzer's own, and then leaves it.
async fn by_hand(place: &Place, body: &Body, spec: WakerSpec, polls: u8, then: Then) {
    let world = World::here();
    let label = world.ledger.label(place.label);
    world.waits.lines_may_stand.set(true);
    drop(world);
    let inner = Place { label, task: place.task, group: place.group.clone(), is_watched: false };
    let mut future = run_body(&inner, body);
    for _ in 0..polls {
        let polled = poll_fn(|cx| {
            let poll = || {
                let waker = hostile(&World::here(), label, spec, cx.waker());
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                (polled, waker)
            };
            Poll::Ready(catch_unwind(AssertUnwindSafe(poll)))
        });
        match polled.await {
            Ok((Poll::Pending, waker)) => drop(waker),
            Ok((Poll::Ready(()), waker)) => {
                drop(future);
                drop(waker);
                return;
            }
            Err(payload) => {
                let world = World::here();
                Parcel::see_thrown(&*payload, &world);
                see_text(&world, &*payload);
                world.log(place.label, "caught a panic by hand", 0);
                drop(future);
                return;
            }
        }
        yield_now().await;
    }
    match then {
        Then::Drop => drop(future),
        Then::Forget => {
            let world = World::here();
            world.ledger.forget(label);
            // It may own groups, and they keep the task that opened them, with its outcome.
            world.ledger.forget(place.task);
            if let Some((owner, _)) = &place.group {
                world.ledger.forget(*owner);
            }
            mem::forget(future);
        }
        Then::Await => future.await,
    }
}

fn see_text(world: &World, payload: &dyn std::any::Any) {
    let text = payload.downcast_ref::<String>();
    if let Some(serial) = text.and_then(|text| crate::handle::serial_of_text(text)) {
        world.ledger.seen(serial);
    }
}

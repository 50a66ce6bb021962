//! The interpreter turns statements into futures, by recursion. This file has whole tasks and the statements without a kind
//! of their own. Each other kind has its own file.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use loopwheel::{
    Instant, TaskBuilder, TaskGroup, call_at, call_later, call_soon, interval, now,
    set_exception_handler, sleep, sleep_until, yield_now,
};

use crate::handle::{Handle, Held, text_thrown};
use crate::ledger::{HOST, Role};
use crate::parcel::Parcel;
use crate::program::{Body, End, Make, Millis, Op, Reflex, TaskSpec, Thrown};
use crate::world::{LOCALS, World};
use crate::{deep, foreign, frames, many, reflex, report, sync, tasks, threads};

pub(crate) type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The surroundings of a statement.
#[derive(Clone)]
pub(crate) struct Place {
    /// Its number in the ledger: the task, or a body that may be forgotten by itself.
    pub(crate) label: u32,
    pub(crate) task: u32,
    /// The group around it, and the task that owns the group.
    pub(crate) group: Option<(u32, TaskGroup<Parcel>)>,
    /// Wakers work here, so no wait may last longer than what it waits for.
    pub(crate) is_watched: bool,
}

pub(crate) fn ms(millis: Millis) -> Duration {
    Duration::from_millis(millis.into())
}

/// Runs statements, one after another.
pub(crate) fn run(place: &Place, body: &Body) -> Boxed<'static> {
    let (place, body) = (place.clone(), body.clone());
    Box::pin(async move {
        for op in body.ops() {
            step(&place, op).await;
        }
    })
}

fn step<'a>(place: &'a Place, op: &'a Op) -> Boxed<'a> {
    let world = World::here();
    world.operations.set(world.operations.get() + 1);
    match op {
        Op::Task(op) => tasks::run(place, op),
        Op::Frame(op) => frames::run(place, op),
        Op::Many(op) => many::run(place, op),
        Op::Sync(op) => sync::run(place, op),
        Op::Foreign(op) => foreign::run(place, op),
        Op::Thread(op) => threads::run(place, op),
        Op::Yield | Op::Sleep(_) | Op::SleepUntil(_) | Op::Interval { .. } | Op::KeepWaker(_) => {
            wait(place, op)
        }
        _ => Box::pin(async move { at_once(&World::here(), place, op) }),
    }
}

fn wait<'a>(place: &'a Place, op: &'a Op) -> Boxed<'a> {
    let label = place.label;
    let until = move |when: Instant| {
        World::here().waits(place.is_watched, || crate::waits::What::Time(when))
    };
    Box::pin(async move {
        match *op {
            Op::Yield => yield_now().await,
            Op::Sleep(millis) => {
                let _waiting = until(now() + ms(millis));
                sleep(ms(millis)).await;
            }
            Op::SleepUntil(millis) => {
                let _waiting = until(Instant::START + ms(millis));
                sleep_until(Instant::START + ms(millis)).await;
            }
            Op::Interval { period, ticks } => {
                let mut interval = interval(ms(period));
                for _ in 0..ticks {
                    interval.tick().await;
                }
            }
            Op::KeepWaker(slot) => {
                // The waker is the task's own, or that of the foreign set in between.
                let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                let before = World::here().wakers.put(slot, waker);
                drop(before);
            }
            _ => {}
        }
        World::here().log(label, "waited", 0);
    })
}

fn at_once(world: &Rc<World>, place: &Place, op: &Op) {
    let label = place.label;
    match op {
        Op::Act(reflex) => reflex::fire(*reflex),
        Op::Panic(thrown) => throw(world, label, *thrown),
        Op::SetLocal(slot, make) => {
            let before = LOCALS[usize::from(*slot) % 2].set(Parcel::new(world, label, *make));
            drop(before);
        }
        Op::GetLocal(slot) => {
            let value = LOCALS[usize::from(*slot) % 2].with(|value| value.map(Parcel::serial));
            world.log(label, "has the local", value.map_or(0, u64::from));
        }
        Op::CallSoon(slot, reflex) => {
            let handle = call_soon(callback(world, label, *reflex));
            drop(world.callbacks.put(*slot, handle));
        }
        Op::CallLater(slot, millis, reflex) => {
            let handle = call_later(ms(*millis), callback(world, label, *reflex));
            drop(world.callbacks.put(*slot, handle));
        }
        Op::CallAt(slot, millis, reflex) => {
            let when = Instant::START + ms(*millis);
            let handle = call_at(when, callback(world, label, *reflex));
            drop(world.callbacks.put(*slot, handle));
        }
        Op::SetHandler(reflex) => set_exception_handler(report::handler(world, *reflex, false)),
        Op::Deep { depth, of } => deep::begin(world, *depth, *of),
        _ => {}
    }
}

/// Makes a callback that does this, and owns something.
pub(crate) fn callback(world: &World, label: u32, does: Reflex) -> impl FnOnce() + 'static {
    let owned = Parcel::owned(world, label, Reflex::Nothing);
    move || {
        if let Some(world) = World::current() {
            world.log(label, "is called back", owned.serial().into());
        }
        reflex::fire(does);
        drop(owned);
    }
}

/// Panics on purpose. It calls no panic hook: the hook is for panics that should not happen.
pub(crate) fn throw(world: &World, label: u32, thrown: Thrown) {
    match thrown {
        Thrown::Text => {
            let serial = world.ledger.made(label, Role::Thrown);
            world.ledger.dropped(serial); // a text has no destructor
            resume_unwind(Box::new(text_thrown(serial)));
        }
        Thrown::Parcel(make) => {
            resume_unwind(Box::new(Parcel::of_role(&world.ledger, label, make, Role::Thrown)))
        }
    }
}

/// Makes the result that a task or scope ends with.
pub(crate) fn finish(world: &World, label: u32, end: End) -> Result<Parcel, Parcel> {
    match end {
        End::Value(make) => Ok(Parcel::new(world, label, make)),
        End::Error(make) => Err(Parcel::new(world, label, make)),
        End::Panic(thrown) => {
            throw(world, label, thrown);
            unreachable!("it throws")
        }
    }
}

/// A task's future. It owns something that is dropped with it, after its end.
pub(crate) struct TaskFuture {
    body: Boxed<'static>,
    label: u32,
    end: End,
    _owned: Parcel,
}

impl TaskFuture {
    pub(crate) fn new(parent: &Place, spec: &TaskSpec) -> TaskFuture {
        let world = World::here();
        let label = world.ledger.label(parent.label);
        let place = Place { label, task: label, group: parent.group.clone(), is_watched: true };
        let owned = Parcel::owned(&world, label, spec.owns);
        TaskFuture { body: run(&place, &spec.body), label, end: spec.end, _owned: owned }
    }

    pub(crate) fn of_host(body: &Body) -> TaskFuture {
        let place = Place { label: HOST, task: HOST, group: None, is_watched: true };
        let end = End::Value(Make::default());
        let (fallible, named, owns, body) = (false, false, Reflex::Nothing, body.clone());
        TaskFuture::new(&place, &TaskSpec { fallible, named, owns, body, end })
    }

    pub(crate) fn label(&self) -> u32 {
        self.label
    }
}

impl Future for TaskFuture {
    type Output = Result<Parcel, Parcel>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let world = World::here();
        world.count_poll();
        if self.body.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        world.log(self.label, "ends", 0);
        Poll::Ready(finish(&world, self.label, self.end))
    }
}

/// The same future, where a `Result` is a value like any other.
pub(crate) struct PlainFuture(pub(crate) TaskFuture);

impl Future for PlainFuture {
    type Output = Parcel;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Parcel> {
        Pin::new(&mut self.0).poll(cx).map(|end| end.unwrap_or_else(|error| error))
    }
}

/// Spawns a task on the running loop.
pub(crate) fn spawn(place: &Place, spec: &TaskSpec) -> Handle {
    let future = TaskFuture::new(place, spec);
    let label = future.label();
    let mut builder = TaskBuilder::new();
    if spec.named {
        builder = builder.name(format!("named {label}"));
    }
    let held = if spec.fallible {
        Held::Fallible(builder.try_create_task(future))
    } else {
        Held::Plain(builder.create_task(PlainFuture(future)))
    };
    Handle { label, held }
}

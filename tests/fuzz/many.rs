//! Statements about many tasks at once: they gather tasks, wait for them, and run groups.

use std::any::Any;
use std::fmt;

use loopwheel::{
    ExceptionGroup, Raised, ReturnWhen, TaskError, TaskGroup, TaskGroupBuilder, TaskRef,
    as_completed, gather, try_gather, wait,
};

use crate::handle::{Fallible, Handle, Held, see, see_panic};
use crate::interpret::{Boxed, Place, PlainFuture, TaskFuture, finish, ms, run as run_body};
use crate::parcel::Parcel;
use crate::program::{Body, End, ManyOp, Millis, Slot, TaskSpec, Until};
use crate::waits::What;
use crate::world::World;

pub(crate) fn run<'a>(place: &'a Place, op: &'a ManyOp) -> Boxed<'a> {
    match op {
        ManyOp::Gather { fallible: true, exceptions, tuple, children } => {
            Box::pin(gather_fallible(place, *exceptions, *tuple, children))
        }
        ManyOp::Gather { fallible: false, exceptions, tuple, children } => {
            Box::pin(gather_plain(place, *exceptions, *tuple, children))
        }
        ManyOp::GatherHandles { exceptions, slots } => {
            Box::pin(gather_handles(place, *exceptions, slots))
        }
        ManyOp::Group { limit, body, end } => Box::pin(async move {
            let ended = scope(place.clone(), *limit, body, *end).await;
            see_end_of_group(place.label, ended);
        }),
        ManyOp::GroupSpawn { .. } | ManyOp::Subgroup { .. } | ManyOp::GroupCancel => {
            Box::pin(async move { in_group(place, op) })
        }
        ManyOp::Wait { slots, until, limit, by_ref } => {
            Box::pin(wait_for_some(place, slots, *until, *limit, *by_ref))
        }
        ManyOp::AsCompleted { slots, limit, at_most } => {
            Box::pin(completed(place, slots, *limit, *at_most))
        }
    }
}

/// Sees the values of these tasks. Each must be the task's own.
fn see_all<E: Any + fmt::Debug>(
    watcher: u32,
    labels: &[u32],
    outcomes: impl IntoIterator<Item = Result<Parcel, TaskError<E>>>,
) {
    for (label, outcome) in labels.iter().zip(outcomes) {
        see(watcher, *label, false, outcome);
    }
}

async fn gather_plain(place: &Place, exceptions: bool, tuple: bool, children: &[TaskSpec]) {
    let world = World::here();
    world.ledger.excuse_silence(); // the failures after the first are known to have been left
    let futures: Vec<_> = children.iter().map(|child| TaskFuture::new(place, child)).collect();
    let labels: Vec<_> = futures.iter().map(TaskFuture::label).collect();
    for label in &labels {
        world.graph.has_child(place.task, *label, false);
    }
    world.log(place.label, "gathers", labels.len() as u64);
    drop(world);
    let mut futures = futures.into_iter().map(PlainFuture);
    let watcher = place.label;
    let ok = |values: Vec<Parcel>| values.into_iter().map(Ok::<_, TaskError>);
    if !tuple || labels.len() < 2 {
        let gathered = gather(futures);
        if exceptions {
            see_all(watcher, &labels, gathered.return_exceptions().await);
        } else {
            see_all(watcher, &labels, ok(gathered.await));
        }
    } else if let (Some(one), Some(two)) = (futures.next(), futures.next()) {
        let gathered = gather((one, two));
        if exceptions {
            let (one, two) = gathered.return_exceptions().await;
            see_all(watcher, &labels, [one, two]);
        } else {
            let (one, two) = gathered.await;
            see_all(watcher, &labels, ok(vec![one, two]));
        }
    }
}

async fn gather_fallible(place: &Place, exceptions: bool, tuple: bool, children: &[TaskSpec]) {
    let world = World::here();
    world.ledger.excuse_silence();
    let futures: Vec<_> = children.iter().map(|child| TaskFuture::new(place, child)).collect();
    let labels: Vec<_> = futures.iter().map(TaskFuture::label).collect();
    for label in &labels {
        world.graph.has_child(place.task, *label, false);
    }
    world.log(place.label, "tries to gather", labels.len() as u64);
    drop(world);
    let mut futures = futures.into_iter();
    let watcher = place.label;
    let ok = |values: Result<Vec<Parcel>, Parcel>| match values {
        Ok(values) => see_all(watcher, &labels, values.into_iter().map(Ok::<_, TaskError>)),
        Err(error) => {
            World::here().log(watcher, "gathered the error of", error.label().into());
        }
    };
    if !tuple || labels.len() < 2 {
        let gathered = try_gather(futures);
        if exceptions {
            see_all(watcher, &labels, gathered.return_exceptions().await);
        } else {
            ok(gathered.await);
        }
    } else if let (Some(one), Some(two)) = (futures.next(), futures.next()) {
        let gathered = try_gather((one, two));
        if exceptions {
            let (one, two) = gathered.return_exceptions().await;
            see_all(watcher, &labels, [one, two]);
        } else {
            ok(gathered.await.map(|(one, two)| vec![one, two]));
        }
    }
}

/// Takes the handles of these slots that are of the usual kind.
fn take_fallible(world: &World, holder: u32, slots: &[Slot]) -> Vec<(Slot, u32, Fallible)> {
    let mut taken = Vec::new();
    for &slot in slots {
        match world.take_handle(holder, slot) {
            Some(Handle { label, held: Held::Fallible(task) }) => taken.push((slot, label, task)),
            Some(other) => drop(world.handles.put_back(slot, other)),
            None => {}
        }
    }
    taken
}

fn put_back(world: &World, slot: Slot, label: u32, task: Fallible) {
    drop(world.handles.put_back(slot, Handle { label, held: Held::Fallible(task) }));
}

async fn gather_handles(place: &Place, exceptions: bool, slots: &[Slot]) {
    let world = World::here();
    world.ledger.excuse_silence();
    let taken = take_fallible(&world, place.label, slots);
    let (mut labels, mut tasks, mut edges) = (vec![], vec![], vec![]);
    for (slot, label, task) in taken {
        if let Some(edge) = world.graph.awaits(place.task, label) {
            labels.push(label);
            tasks.push(task);
            edges.push(edge);
        } else {
            put_back(&world, slot, label, task);
        }
    }
    drop(world);
    if exceptions {
        // The value here is what awaiting a handle returns.
        let outcomes = gather(tasks).return_exceptions().await;
        let outcomes = outcomes.into_iter().filter_map(Result::ok);
        see_all(place.label, &labels, outcomes);
    } else {
        see_all(place.label, &labels, gather(tasks).await);
    }
}

async fn scope(
    place: Place,
    limit: Option<u8>,
    body: &Body,
    end: End,
) -> Result<Parcel, ExceptionGroup<Parcel>> {
    World::here().ledger.excuse_silence(); // a panic of the body is stronger than what the children threw
    let mut builder = TaskGroupBuilder::new();
    if let Some(limit) = limit {
        builder = builder.limit(limit.into());
    }
    builder
        .scope(async |group: &TaskGroup<Parcel>| {
            let inner = Place { group: Some((place.task, group.clone())), ..place.clone() };
            run_body(&inner, body).await;
            finish(&World::here(), place.label, end)
        })
        .await
}

fn see_end_of_group(watcher: u32, ended: Result<Parcel, ExceptionGroup<Parcel>>) {
    let world = World::here();
    match ended {
        Ok(value) => world.log(watcher, "had a group of value", value.label().into()),
        Err(errors) => {
            world.log(watcher, "had a group of errors", errors.iter().count() as u64);
            see_members(&world, errors);
        }
    }
}

fn see_members(world: &World, errors: ExceptionGroup<Parcel>) {
    for member in errors.into_members() {
        match member {
            Raised::Panic(panic) => see_panic(world, &panic),
            Raised::Group(group) => see_members(world, group),
            _ => {}
        }
    }
}

fn in_group(place: &Place, op: &ManyOp) {
    let Some((owner, group)) = &place.group else { return };
    let world = World::here();
    match op {
        ManyOp::GroupSpawn { slot, task } => {
            let future = TaskFuture::new(place, task);
            let label = future.label();
            world.graph.has_child(*owner, label, true);
            let child = if task.named {
                group.create_named_if_open("child", future)
            } else {
                group.create_task_if_open(future)
            };
            world.log(place.label, "spawns into its group", u64::from(label));
            if let Ok(task) = child {
                let handle = Handle { label, held: Held::Fallible(task) };
                let before = match slot {
                    Some(slot) => world.handles.put(*slot, handle),
                    None => Some(handle),
                };
                drop(before);
            }
        }
        // A closed group panics here, which is documented; a group with a child at work is open.
        ManyOp::Subgroup { body, end } if group.running() > 0 => {
            let label = world.ledger.label(place.label);
            world.graph.has_child(*owner, label, true);
            let place = Place { label, task: label, group: None, is_watched: true };
            let (body, end) = (body.clone(), *end);
            let inner = async move { scope(place, None, &body, end).await };
            drop(group.create_subgroup(inner));
        }
        ManyOp::GroupCancel => group.cancel(),
        _ => {}
    }
}

async fn wait_for_some(
    place: &Place,
    slots: &[Slot],
    until: Until,
    limit: Option<Millis>,
    by_ref: bool,
) {
    let world = World::here();
    let mut taken = take_fallible(&world, place.label, slots);
    let references: Vec<TaskRef> = taken.iter().map(|(_, _, task)| task.to_ref()).collect();
    let _waiting = world
        .waits(place.is_watched && limit.is_none() && !references.is_empty(), || {
            What::Some(references, until)
        });
    drop(world);
    let when = match until {
        Until::FirstCompleted => ReturnWhen::FirstCompleted,
        Until::FirstException => ReturnWhen::FirstException,
        Until::AllCompleted => ReturnWhen::AllCompleted,
    };
    let len = taken.len();
    let (done, pending) = if by_ref {
        let tasks = taken.iter_mut().map(|(_, _, task)| task);
        let (done, pending) = wait(tasks, when).timeout(limit.map(ms)).await;
        (done.len(), pending.len())
    } else {
        let known: Vec<_> =
            taken.iter().map(|(slot, label, task)| (*slot, *label, task.to_ref())).collect();
        let tasks = taken.drain(..).map(|(_, _, task)| task);
        let (done, pending) = wait(tasks, when).timeout(limit.map(ms)).await;
        let counts = (done.len(), pending.len());
        for task in done.into_iter().chain(pending) {
            if let Some((slot, label, _)) = known.iter().find(|known| known.2 == task.to_ref()) {
                taken.push((*slot, *label, task));
            }
        }
        counts
    };
    let world = World::here();
    world.log(place.label, "has waited for", done as u64);
    let is_due = match until {
        Until::AllCompleted => pending == 0,
        Until::FirstCompleted | Until::FirstException => done > 0 || len == 0,
    };
    if done + pending != len || limit.is_none() && !is_due {
        world.ledger.fault("a wrong wait", format!("{until:?}: {done} of {len}, {pending} left"));
    }
    for (slot, label, task) in taken {
        put_back(&world, slot, label, task);
    }
}

async fn completed(place: &Place, slots: &[Slot], limit: Option<Millis>, at_most: u8) {
    let taken = take_fallible(&World::here(), place.label, slots);
    let known: Vec<_> =
        taken.iter().map(|(slot, label, task)| (*slot, *label, task.to_ref())).collect();
    let label_of = |task: &Fallible| {
        known.iter().find(|known| known.2 == task.to_ref()).map(|known| (known.0, known.1))
    };
    let tasks = taken.into_iter().map(|(_, _, task)| task);
    if let Some(limit) = limit {
        let mut completed = as_completed(tasks).timeout(ms(limit));
        for _ in 0..at_most {
            match completed.next().await {
                Ok(Some(task)) => see_completed(place, label_of(&task), task),
                Ok(None) => break,
                Err(_) => {
                    World::here().log(place.label, "has waited too long", 0);
                    break;
                }
            }
        }
        for task in completed.pending() {
            if let Some((slot, label)) = label_of(&task) {
                put_back(&World::here(), slot, label, task);
            }
        }
    } else {
        let mut completed = as_completed(tasks);
        for _ in 0..at_most {
            let Some(task) = completed.next().await else { break };
            see_completed(place, label_of(&task), task);
        }
    }
}

fn see_completed(place: &Place, known: Option<(Slot, u32)>, task: Fallible) {
    let world = World::here();
    if !task.is_done() {
        world.ledger.fault("a wrong wait", "a completed task is not over");
    }
    let Some((_, label)) = known else {
        return world.ledger.fault("a wrong wait", "a completed task was not given");
    };
    // Its outcome may have been taken before, through a borrowed handle.
    let mut task = task;
    if let Ok(outcome) = task.result() {
        see(place.label, label, false, outcome);
    }
}

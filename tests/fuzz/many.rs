//! Statements about many tasks at once: they gather tasks, wait for them, and run groups.

use std::any::Any;
use std::fmt;

use loopwheel::{
    ExceptionGroup, Raised, ReturnWhen, TaskError, TaskGroup, TaskGroupBuilder, TaskRef, TaskSet,
    as_completed, first_ok, gather, race, try_gather, wait,
};

use crate::handle::{Fallible, Handle, Held, see, see_panic};
use crate::interpret::{Boxed, Place, PlainFuture, TaskFuture, finish, ms, run as run_body};
use crate::parcel::Parcel;
use crate::program::{Body, End, ManyOp, Millis, Slot, TaskSpec, Until};
use crate::waits::What;
use crate::world::World;
use begun::Running;

/// The sets and races that wait for what they have begun.
mod begun {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};

    use crate::world::World;

    /// How many futures have begun and are not gone, and how many may be.
    #[derive(Clone)]
    pub(super) struct Running {
        now: Rc<Cell<usize>>,
        at_most: usize,
    }

    impl Running {
        pub(super) fn at_most(at_most: usize) -> Running {
            Running { now: Rc::default(), at_most }
        }

        pub(super) fn counts<F: Future + Unpin>(&self, future: F) -> Counted<F> {
            Counted { future: Some(future), running: self.clone(), has_begun: false }
        }

        /// The set or race is over, and has waited for all.
        pub(super) fn must_be_over(&self, what: &str) {
            if self.now.get() > 0 {
                let fault = format!("{} of {what} run on", self.now.get());
                World::here().ledger.fault("it was not waited for", fault);
            }
        }
    }

    pub(super) struct Counted<F> {
        future: Option<F>,
        running: Running,
        has_begun: bool,
    }

    impl<F: Future + Unpin> Future for Counted<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            if !self.has_begun {
                self.has_begun = true;
                self.running.now.update(|now| now + 1);
                let (now, at_most) = (self.running.now.get(), self.running.at_most);
                if now > at_most {
                    let fault = format!("{now} run at once, of a set with a limit of {at_most}");
                    World::here().ledger.fault("a limit was passed", fault);
                }
            }
            let future = self.future.as_mut().expect("it is there until it is dropped");
            Pin::new(future).poll(cx)
        }
    }

    impl<F> Drop for Counted<F> {
        fn drop(&mut self) {
            if self.has_begun {
                self.running.now.update(|now| now - 1);
            }
            self.future.take(); // last: it may panic
        }
    }
}

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
        ManyOp::Race { children, .. } if children.is_empty() => Box::pin(async {}),
        ManyOp::Race { fallible, waits, children } => {
            Box::pin(races(place, *fallible, *waits, children))
        }
        ManyOp::TaskSet { limit, children, at_most, shutdown } => {
            Box::pin(set_of(place, *limit, children, *at_most, *shutdown))
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

/// Makes the futures of tasks for which this one waits, even if it is cancelled.
fn futures_of(place: &Place, children: &[TaskSpec]) -> Vec<TaskFuture> {
    let world = World::here();
    world.ledger.excuse_silence(); // what a loser ends with is dropped
    let futures: Vec<_> = children.iter().map(|child| TaskFuture::new(place, child)).collect();
    for future in &futures {
        world.graph.has_child(place.task, future.label(), true);
    }
    futures
}

/// The output is one of a racer's, and when it has come the losers have ended.
async fn races(place: &Place, fallible: bool, waits: bool, children: &[TaskSpec]) {
    let futures = futures_of(place, children);
    let labels: Vec<_> = futures.iter().map(TaskFuture::label).collect();
    let running = Running::at_most(usize::MAX);
    World::here().log(place.label, "begins a race of", labels.len() as u64);
    let won = if fallible {
        let race = first_ok(futures.into_iter().map(|future| running.counts(future)));
        match if waits { race.await } else { race.without_waiting().await } {
            Ok(value) => Some(value),
            Err(errors) => {
                see_members(&World::here(), errors);
                None
            }
        }
    } else {
        let futures = futures.into_iter().map(PlainFuture);
        let race = race(futures.map(|future| running.counts(future)));
        Some(if waits { race.await } else { race.without_waiting().await })
    };
    if waits {
        running.must_be_over("a race");
    }
    if let Some(won) = won {
        let world = World::here();
        world.log(place.label, "has a race won by", won.label().into());
        if !labels.contains(&won.label()) {
            world.ledger.fault("a wrong value", format!("{} has won", won.label()));
        }
    }
}

/// Each key comes once, with the outcome of its task; no more run at once than the limit says; a set that is shut down leaves nothing.
async fn set_of(
    place: &Place,
    limit: Option<u8>,
    children: &[TaskSpec],
    at_most: u8,
    shutdown: bool,
) {
    let futures = futures_of(place, children);
    let running = Running::at_most(limit.map_or(usize::MAX, usize::from));
    let mut set = limit.map_or_else(TaskSet::new, |limit| TaskSet::with_limit(limit.into()));
    let mut labels = Vec::new();
    for future in futures {
        let label = future.label();
        labels.push(label);
        set.try_create_task(label, running.counts(future));
    }
    World::here().log(place.label, "has a set of", labels.len() as u64);
    for _ in 0..at_most {
        let Some((label, outcome)) = set.next().await else { break };
        if let Some(index) = labels.iter().position(|it| *it == label) {
            labels.swap_remove(index);
        } else {
            World::here().ledger.fault("a wrong key", format!("{label} came twice, or never went"));
        }
        see(place.label, label, false, outcome);
    }
    if set.len() != labels.len() {
        let fault = format!("{} of {} are left in a set", set.len(), labels.len());
        World::here().ledger.fault("a result lost", fault);
    }
    if shutdown {
        set.shutdown().await;
        running.must_be_over("a set");
    }
}

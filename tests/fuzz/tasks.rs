//! Statements about tasks: they make, await and cancel tasks, and use handles.

use std::mem;

use loopwheel::{TaskRef, all_tasks, current_task, shield};

use crate::handle::{Handle, Held, each, see};
use crate::interpret::{Boxed, Place, callback, spawn};
use crate::program::{How, Slot, Target, TaskOp};
use crate::waits::What;
use crate::world::{World, digest};

pub(crate) fn run<'a>(place: &'a Place, op: &'a TaskOp) -> Boxed<'a> {
    match op {
        TaskOp::Await { slot, how } => Box::pin(wait(place, *slot, *how)),
        _ => Box::pin(async move { at_once(&World::here(), place, op) }),
    }
}

fn at_once(world: &World, place: &Place, op: &TaskOp) {
    let label = place.label;
    match op {
        TaskOp::Spawn { slot, task } => {
            let handle = spawn(place, task);
            world.log(label, "spawns", handle.label.into());
            drop(world.handles.put(*slot, handle));
        }
        TaskOp::Await { .. } => {}
        TaskOp::Drop(slot) => drop(world.handles.take(*slot)),
        TaskOp::Forget(slot) => {
            if let Some(handle) = world.handles.take(*slot) {
                world.ledger.forget(handle.label);
                mem::forget(handle);
            }
        }
        TaskOp::Share(slot) => {
            if let Some(handle) = world.handles.take(*slot) {
                drop(world.handles.put_back(*slot, handle.shared()));
            }
        }
        TaskOp::CloneTo { from, to } => {
            let clone = world.handles.look(*from, Handle::try_clone).flatten();
            if let Some(clone) = clone {
                drop(world.handles.put(*to, clone));
            }
        }
        TaskOp::MoveTo { from, to } => {
            if let Some(handle) = world.handles.take(*from) {
                drop(world.handles.put(*to, handle));
            }
        }
        TaskOp::Result(slot) => {
            if let Some(handle) = world.handles.take(*slot) {
                let lent = Lent::new(*slot, handle);
                lent.result(label);
            }
        }
        TaskOp::Look(slot) => {
            let text = world.handles.look(*slot, Handle::look);
            world.log(label, "sees", text.map_or(0, |text| digest(&text)));
        }
        TaskOp::Rename(slot) => {
            if let Some(task) = world.handles.look(*slot, Handle::to_ref) {
                task.set_name("renamed");
            }
        }
        TaskOp::DoneCallback(slot, reflex) => {
            if let Some(task) = world.handles.look(*slot, Handle::to_ref) {
                let callback = callback(world, label, *reflex);
                task.add_done_callback(move |_| callback());
            }
        }
        TaskOp::Cancel { whom, reason, times } => {
            if let Some(task) = target(world, *whom) {
                for _ in 0..*times {
                    world.excuse_if_over(&task);
                    let counted = if *reason {
                        task.cancel_with_reason("for a reason")
                    } else {
                        task.cancel()
                    };
                    world.log(label, "cancels", counted.into());
                }
            }
        }
        TaskOp::Uncancel(whom) => {
            if let Some(task) = target(world, *whom) {
                world.log(label, "uncancels", task.uncancel() as u64);
            }
        }
    }
}

fn target(world: &World, whom: Target) -> Option<TaskRef> {
    match whom {
        Target::Myself => Some(current_task()),
        Target::Handle(slot) => world.handles.look(slot, Handle::to_ref),
        Target::Any(number) => {
            let mut tasks = all_tasks();
            let number = usize::from(number) % tasks.len().max(1);
            (number < tasks.len()).then(|| tasks.swap_remove(number))
        }
    }
}

/// A handle that goes back to its slot, however its use ends.
pub(crate) struct Lent {
    slot: Slot,
    handle: Option<Handle>,
}

impl Lent {
    pub(crate) fn new(slot: Slot, handle: Handle) -> Lent {
        Lent { slot, handle: Some(handle) }
    }

    pub(crate) fn handle(&mut self) -> &mut Handle {
        self.handle.as_mut().expect("it is there until it is dropped")
    }

    fn result(mut self, watcher: u32) {
        let handle = self.handle();
        let (label, is_shared) = (handle.label, handle.is_shared());
        each!(&mut handle.held, task => {
            if let Ok(outcome) = task.result() {
                see(watcher, label, is_shared, outcome);
            }
        });
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(handle), Some(world)) = (self.handle.take(), World::current()) {
            drop(world.handles.put_back(self.slot, handle));
        }
    }
}

async fn wait(place: &Place, slot: Slot, how: How) {
    let (watcher, world) = (place.label, World::here());
    let Some(handle) = world.take_handle(watcher, slot) else { return };
    let Some(_edge) = world.graph.awaits(place.task, handle.label) else {
        return drop(world.handles.put_back(slot, handle));
    };
    world.log(watcher, "awaits", handle.label.into());
    let _waiting = world.waits(place.is_watched, || What::Join(handle.to_ref()));
    drop(world);
    match how {
        How::ByValue => {
            let mut handle = handle;
            handle.ended(watcher).await;
        }
        How::ByRef => Lent::new(slot, handle).handle().ended(watcher).await,
        How::Shielded => {
            let (label, is_shared) = (handle.label, handle.is_shared());
            each!(handle.held, task => see(watcher, label, is_shared, shield(task).await));
        }
        How::ShieldedRef => {
            let (label, is_shared) = (handle.label, handle.is_shared());
            let mut lent = Lent::new(slot, handle);
            let held = &mut lent.handle().held;
            each!(held, task => see(watcher, label, is_shared, shield(task).await));
        }
    }
}

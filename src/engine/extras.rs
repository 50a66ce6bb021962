//! What few tasks need, kept out of the header that all have.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use super::crowd::Takers;
use super::record::RecordRef;
use super::waitlist::WaitList;
use super::watchers::Watcher;
use crate::error::{Panic, Reason};

/// Task-locals, by the address of what names them. Copied when one is set, shared until then.
pub(crate) type Locals = Rc<BTreeMap<usize, Rc<dyn Any>>>;

/// The rarely needed part of a task's header; made on first use.
#[derive(Default)]
pub(crate) struct Extras {
    /// A name that somebody gave it.
    pub(crate) name: Option<Rc<str>>,
    /// Why it was cancelled, if somebody said.
    pub(crate) reason: Option<Reason>,
    /// The pending cancel was asked for by time limits alone.
    pub(crate) cancelled_by_limits: bool,
    /// How many of its cancel requests are of time limits that have not taken them back.
    pub(crate) limit_requests: u16,
    /// Somebody who shielded it was cancelled: if it fails, that is reported even if others take the error.
    pub(crate) is_orphan_of_shield: bool,
    /// Its task-locals.
    pub(crate) locals: Option<Locals>,
    /// What it panicked with.
    pub(crate) panic: Option<Panic>,
    /// Who waits for its end, but for the first, who is in the header.
    pub(crate) joiners: WaitList<Joiner>,
    /// What it awaits besides the one in the header: the branches of a foreign `join!`.
    pub(crate) also_awaiting: Vec<RecordRef>,
    /// The crowd that it awaits.
    pub(crate) awaiting_crowd: Option<Rc<dyn Takers>>,
}

impl Extras {
    pub(super) fn awaits_something(&self) -> bool {
        !self.also_awaiting.is_empty() || self.awaiting_crowd.is_some()
    }
}

/// Somebody who wants to know when a task is over.
pub(crate) enum Joiner {
    Waker(Waker),
    /// Called in a later turn.
    Callback(Box<dyn FnOnce(RecordRef)>),
    /// Told at once, with the number that it gave the task.
    Watcher(Rc<dyn Watcher>, usize),
}

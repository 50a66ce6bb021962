//! **The cold part of a task's header**: what few tasks need.
//!
//! It is made on first use and stays until the record is freed, and each of its fields is a cell of its own. So it is never
//! taken out to be looked at: code that runs in between finds it as it left it. No foreign code runs inside one of the borrows.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::crowd::Takers;
use super::foreign::{self, ForeignWakers, KeptWaker};
use super::record::RecordRef;
use super::scope::Scope;
use super::waitlist::WaitList;
use super::watchers::Watcher;
use crate::error::Panic;

/// Task-locals, by the address of what names them. Copied when one is set, shared until then.
pub(crate) type Locals = Rc<BTreeMap<usize, Rc<dyn Any>>>;

/// What few tasks need.
#[derive(Default)]
pub(crate) struct Cold {
    /// The name that it was given.
    pub(crate) name: RefCell<Option<Rc<str>>>,
    /// How many cancels were asked for, if there are too many for the header.
    pub(super) many_cancel_requests: Cell<u32>,
    /// How many of its cancel requests are of time limits and groups that have not taken them back.
    pub(crate) scope_requests: Cell<u32>,
    /// A task that shielded this one was cancelled: if this one fails, that is reported even if another takes the error.
    pub(crate) is_orphan_of_shield: Cell<bool>,
    /// Its task-locals.
    pub(crate) locals: RefCell<Option<Locals>>,
    /// It is a main task: its loop keeps its task-locals for the next one.
    pub(crate) is_main: Cell<bool>,
    /// What it panicked with.
    pub(crate) panic: RefCell<Option<Panic>>,
    /// All joiners except the first, which is in the header.
    pub(crate) joiners: RefCell<WaitList<Joiner>>,
    /// The tasks that it awaits besides the one in the header: the branches of a foreign `join!`.
    pub(crate) also_awaiting: RefCell<AlsoAwaiting>,
    /// The foreign wakers that its checkpoints keep.
    pub(crate) foreign_wakers: RefCell<ForeignWakers>,
    /// The task as what catches last.
    pub(crate) scope: Scope,
    /// The crowd that it awaits, and further ones: the branches of a foreign `join!`.
    pub(crate) awaiting_crowd: RefCell<Option<Rc<dyn Takers>>>,
    pub(crate) also_awaiting_crowds: RefCell<Vec<Rc<dyn Takers>>>,
}

impl Cold {
    pub(super) fn awaits_something(&self) -> bool {
        !self.also_awaiting.borrow().is_empty() || self.awaiting_crowd.borrow().is_some()
    }

    pub(crate) fn locals(&self) -> Option<Locals> {
        self.locals.borrow().clone()
    }

    /// Drops everything that may run foreign code. The record is whole, and may be used by that code.
    pub(super) fn empty(&self) {
        let locals = self.locals.take();
        foreign::drop_reported(locals);
        drop(self.joiners.take());
        drop(self.also_awaiting.take());
        drop((self.awaiting_crowd.take(), self.also_awaiting_crowds.take()));
        drop(self.panic.take());
        self.scope.is_over();
    }
}

/// What is told when a task is over.
pub(crate) enum Joiner {
    Waker(KeptWaker),
    /// Called in a later turn, with the task-locals of the task that has added it.
    Callback(Box<dyn FnOnce(RecordRef)>, Option<Locals>),
    /// Told at once, with the number that it gave the task.
    Watcher(Rc<dyn Watcher>, usize),
}

/// A set of tasks that keeps their order. Adding and removing are O(1), and drop no task: only dropping the whole set does.
#[derive(Default)]
pub(crate) struct AlsoAwaiting {
    /// By its address, the place of a task in `in_order`.
    places: HashMap<usize, usize>,
    /// One to which no place leads has been removed.
    in_order: Vec<RecordRef>,
}

impl AlsoAwaiting {
    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn add(&mut self, record: &RecordRef) {
        if let Entry::Vacant(place) = self.places.entry(record.address()) {
            place.insert(self.in_order.len());
            self.in_order.push(record.clone());
        }
    }

    pub(super) fn remove(&mut self, record: &RecordRef) {
        self.places.remove(&record.address());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RecordRef> {
        let places = self.in_order.iter().enumerate();
        let is_there = |(place, record): &(usize, &RecordRef)| {
            self.places.get(&record.address()) == Some(place)
        };
        places.filter(is_there).map(|(_, record)| record)
    }
}

//! What few tasks need, kept out of the header that all have.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::record::RecordRef;
use super::waitlist::WaitList;
use crate::error::Panic;
use crate::task::TaskRef;

/// The rarely needed part of a task's header; made on first use.
#[derive(Default)]
pub(crate) struct Extras {
    /// A name that somebody gave it.
    pub(crate) name: Option<Rc<str>>,
    /// Why it was cancelled, if somebody said.
    pub(crate) reason: Option<Arc<str>>,
    /// What it panicked with.
    pub(crate) panic: Option<Panic>,
    /// Who waits for its end, but for the first, who is in the header.
    pub(crate) joiners: WaitList<Joiner>,
    /// What it awaits besides the one in the header: the branches of a foreign `join!`.
    pub(crate) also_awaiting: Vec<RecordRef>,
}

/// Somebody who wants to know when a task is over.
pub(crate) enum Joiner {
    Waker(Waker),
    Callback(Box<dyn FnOnce(TaskRef)>),
}

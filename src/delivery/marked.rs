//! The foreign wakers of what was marked.

use std::ptr;
use std::task::{RawWakerVTable, Waker};

use super::Deliveries;
use crate::base::id::TaskId;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;

impl Engine {
    /// Notes the waker of a checkpoint that was marked, if it is a set's: it is woken before the second poll, or the set would not
    /// poll the checkpoint again. Not now, because a set whose futures wake themselves stops early.
    pub(crate) fn note_marked_waker(&self, waker: &Waker) {
        if TaskId::of(waker).is_none() {
            let waker = KeptWaker::of_foreign(waker);
            self.deliveries.marked_wakers.borrow_mut().push(waker);
        }
    }

    /// The same for what has no [`Told`](super::told::Told): noted once, or the polls of the next cancel would be several times as many.
    pub(super) fn note_waker_of_ended(&self, waker: &Waker) {
        let d = &self.deliveries;
        if !d.wakers_of_ended.borrow().contains(&key_of(waker)) {
            self.note_marked_waker(waker);
            if let Some(KeptWaker::Foreign(kept)) = d.marked_wakers.borrow().last() {
                d.wakers_of_ended.borrow_mut().insert(key_of(kept.waker())); // it is kept, so its key stays its own
            }
        }
    }
}

impl Deliveries {
    pub(crate) fn take_marked_wakers(&self) -> Vec<KeptWaker> {
        self.wakers_of_ended.borrow_mut().clear();
        self.marked_wakers.take()
    }
}

/// Two wakers with the same key wake the same.
pub(super) type WakerKey = (*const (), *const RawWakerVTable);

fn key_of(waker: &Waker) -> WakerKey {
    (waker.data(), ptr::from_ref(waker.vtable()))
}

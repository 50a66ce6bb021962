//! **Why somebody was cancelled**, in one word.
//!
//! What a cancel says for itself is a string, counted and shared. The crate's own cancels (a time limit is up, a sibling has
//! failed) are by far the most frequent, and hardly anybody asks them. So such a reason is two small numbers, which and of whom;
//! they become a string when it is read for the first time, and stay one.
//!
//! ```text
//!   0                              nothing was said
//!   …0  a pointer                  a string, of which this is one count
//!   [ number (32) | which (8) ] 1  one of the crate's own
//! ```
//!
//! (On 32-bit targets the number has 23 bits, and the last ones are told.)
//!
//! The invariant, *Tagged*: an even word that is not zero is the pointer of an `Arc` of which this reason is one count. A word
//! changes only from odd to such a pointer, and in [`Drop`].
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::fmt;
use std::ptr;

use super::sync::{Arc, AtomicPtr, Ordering};

/// The crate's own cancels. `number` is that of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Own {
    /// A child of the same group failed: that one.
    SiblingFailed,
    /// The body of the group failed, or was cancelled, in that task.
    BodyEnded,
    /// Its group was cancelled; its scope is in that task.
    GroupCancelled,
    /// The scope of its group was dropped, hard.
    GroupDropped,
    /// A time limit is up, in that task.
    LimitUp,
    /// What gathers it was dropped.
    GatherDropped,
    /// The run of the loop is over.
    RunOver,
    /// The loop was dropped.
    LoopDropped,
}

impl Own {
    const ALL: [Own; 8] = [
        Own::SiblingFailed,
        Own::BodyEnded,
        Own::GroupCancelled,
        Own::GroupDropped,
        Own::LimitUp,
        Own::GatherDropped,
        Own::RunOver,
        Own::LoopDropped,
    ];

    fn text(self, number: usize) -> String {
        match self {
            Own::SiblingFailed => format!("Task-{number} of the same group failed"),
            Own::BodyEnded => {
                format!("the body of its group, in Task-{number}, did not end with a value")
            }
            Own::GroupCancelled => format!("its group, in Task-{number}, was cancelled"),
            Own::GroupDropped => format!("the scope of its group, in Task-{number}, was dropped"),
            Own::LimitUp => format!("a time limit is up, in Task-{number}"),
            Own::GatherDropped => "the gathering that it belongs to was dropped".to_owned(),
            Own::RunOver => "the run of its loop is over".to_owned(),
            Own::LoopDropped => "its loop was dropped".to_owned(),
        }
    }
}

const OWN: usize = 1;
const WHICH_SHIFT: u32 = 1;
const NUMBER_SHIFT: u32 = 9;

/// Why somebody was cancelled, if that is known.
pub(crate) struct Reason(AtomicPtr<String>);

impl Reason {
    /// Nothing was said.
    pub(crate) fn none() -> Reason {
        Reason(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn said(text: String) -> Reason {
        Reason(AtomicPtr::new(Arc::into_raw(Arc::new(text)).cast_mut()))
    }

    /// One of the crate's own. Allocates nothing.
    pub(crate) fn own(which: Own, number: u32) -> Reason {
        let word = (number as usize) << NUMBER_SHIFT | (which as usize) << WHICH_SHIFT | OWN;
        Reason(AtomicPtr::new(ptr::without_provenance_mut(word)))
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// The text, if anything was said.
    pub(crate) fn text(&self) -> Option<&str> {
        let mut string = self.0.load(Ordering::Acquire);
        if string.is_null() {
            return None;
        }
        if string.addr() & OWN != 0 {
            string = self.becomes_text(string);
        }
        // SAFETY: *Tagged*: it is the pointer of an `Arc`, and stays this reason's until it is dropped.
        Some(unsafe { &*string })
    }

    #[cold]
    fn becomes_text(&self, own: *mut String) -> *mut String {
        let which = Own::ALL[own.addr() >> WHICH_SHIFT & 0xFF];
        let text = Arc::new(which.text(own.addr() >> NUMBER_SHIFT));
        let ours = Arc::into_raw(text).cast_mut();
        match self.0.compare_exchange(own, ours, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => ours,
            Err(theirs) => {
                // SAFETY: *Tagged*: another thread was faster. This is the only count of what was made here.
                drop(unsafe { Arc::from_raw(ours) });
                theirs
            }
        }
    }

    /// The pointer, if it is one.
    fn string(&self) -> Option<*mut String> {
        let string = self.0.load(Ordering::Acquire);
        (!string.is_null() && string.addr() & OWN == 0).then_some(string)
    }
}

impl Clone for Reason {
    fn clone(&self) -> Reason {
        let word = self.0.load(Ordering::Acquire);
        if !word.is_null() && word.addr() & OWN == 0 {
            // SAFETY: *Tagged*: it is the pointer of an `Arc` of which `self` is a count; the clone is one more.
            unsafe { Arc::increment_strong_count(word.cast_const()) };
        }
        Reason(AtomicPtr::new(word))
    }
}

impl Drop for Reason {
    #[inline]
    fn drop(&mut self) {
        if let Some(string) = self.string() {
            // SAFETY: *Tagged*: this is the count that goes.
            drop(unsafe { Arc::from_raw(string.cast_const()) });
        }
    }
}

impl Default for Reason {
    fn default() -> Reason {
        Reason::none()
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Reason) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Reason {}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

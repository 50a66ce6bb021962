//! **The reason of a cancel**: why a task was cancelled, in one word.
//!
//! A reason is text, so the naive answer is an `Option<Arc<str>>`: two words in every record and every
//! `TaskError`, and a string that is formatted and allocated at each cancel. But most cancels are the crate's own (a time limit
//! is up, a sibling has failed), and their reasons are hardly ever read. So such a reason is two small numbers: which one it is,
//! and the serial of the task that it is about. The first read formats the text, and from then on the word is a pointer to it.
//! A text that the user gives is allocated at once.
//!
//! ```text
//!   0                            no reason
//!   a pointer, which is even     an `Arc<String>`; this word is one of its counts
//!   [ serial (32) | Own (8) ] 1  one of the crate's own, not read yet
//! ```
//!
//! (On 32-bit targets 23 bits are left for the serial: its lowest ones.)
//!
//! The invariant, *Tagged*: an even word that is not zero is the pointer of an `Arc<String>`, and the reason owns one count of it.
//! Such a pointer is even because it points to the string itself, and a string is aligned like a word. A word changes in one way
//! only: once, from odd to such a pointer. `Drop` gives up the count and changes nothing: it has the last access to the word.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::fmt;
use std::ptr;

use crate::base::sync::{Arc, AtomicPtr, Ordering};

/// The reasons of the crate's own cancels. A reason is about a task, named by its serial; the last three are about none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Own {
    /// That task, a child of the same group, failed.
    SiblingFailed,
    /// The body of the group, in that task, failed or was cancelled.
    BodyEnded,
    /// The group, whose scope is in that task, was cancelled.
    GroupCancelled,
    /// The scope of the group, in that task, was dropped.
    GroupDropped,
    /// A time limit in that task is up.
    LimitUp,
    /// The future that gathers the task was dropped.
    GatherDropped,
    /// The run of the loop has ended.
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

    fn text(self, serial: usize) -> String {
        match self {
            Own::SiblingFailed => format!("Task-{serial} of the same group failed"),
            Own::BodyEnded => {
                format!("the body of its group, in Task-{serial}, did not end with a value")
            }
            Own::GroupCancelled => format!("its group, in Task-{serial}, was cancelled"),
            Own::GroupDropped => format!("the scope of its group, in Task-{serial}, was dropped"),
            Own::LimitUp => format!("a time limit is up, in Task-{serial}"),
            Own::GatherDropped => "the gathering that it belongs to was dropped".to_owned(),
            Own::RunOver => "the run of its loop is over".to_owned(),
            Own::LoopDropped => "its loop was dropped".to_owned(),
        }
    }
}

/// The tag of one of the crate's own: a bit that is never set in a pointer.
const OWN: usize = 1;

const _: () = assert!(align_of::<String>() > OWN);

const INDEX_SHIFT: u32 = 1;

const SERIAL_SHIFT: u32 = 9;

/// Why a task was cancelled, if a reason is known.
pub(crate) struct Reason(AtomicPtr<String>);

impl Reason {
    /// No reason.
    pub(crate) fn none() -> Reason {
        Reason(AtomicPtr::new(ptr::null_mut()))
    }

    /// A text that the user gave.
    pub(crate) fn said(text: String) -> Reason {
        Reason(AtomicPtr::new(Arc::into_raw(Arc::new(text)).cast_mut()))
    }

    /// One of the crate's own. Allocates nothing.
    pub(crate) fn own(own: Own, serial: u32) -> Reason {
        let word = (serial as usize) << SERIAL_SHIFT | (own as usize) << INDEX_SHIFT | OWN;
        Reason(AtomicPtr::new(ptr::without_provenance_mut(word)))
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// The text, if there is a reason.
    pub(crate) fn text(&self) -> Option<&str> {
        let mut word = self.0.load(Ordering::Acquire);
        if word.is_null() {
            return None;
        }
        if word.addr() & OWN != 0 {
            word = self.become_text(word);
        }
        // SAFETY: *Tagged*: it is the pointer of an `Arc`. The count lasts as long as this reason, and so does the borrow.
        Some(unsafe { &*word })
    }

    /// Formats the text of one of the crate's own, and stores the pointer to it in the word.
    #[cold]
    fn become_text(&self, word: *mut String) -> *mut String {
        let own = Own::ALL[word.addr() >> INDEX_SHIFT & 0xFF];
        let text = Arc::new(own.text(word.addr() >> SERIAL_SHIFT));
        let ours = Arc::into_raw(text).cast_mut();
        // Two threads may read the reason for the first time at once. Both format the text, and one pointer wins.
        match self.0.compare_exchange(word, ours, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => ours,
            Err(theirs) => {
                // SAFETY: *Tagged*: the word did not become `ours`, so this is the only count of it.
                drop(unsafe { Arc::from_raw(ours) });
                theirs
            }
        }
    }
}

/// Whether a word is the pointer of an `Arc`.
fn is_pointer(word: *mut String) -> bool {
    !word.is_null() && word.addr() & OWN == 0
}

impl Clone for Reason {
    fn clone(&self) -> Reason {
        // Loaded once. Another thread may make the word a pointer at any time: if the check saw the odd word, and a second load
        // copied the pointer, the clone would own no count of it.
        let word = self.0.load(Ordering::Acquire);
        if is_pointer(word) {
            // SAFETY: *Tagged*: it is the pointer of an `Arc`, and `self` owns a count of it. This adds the count of the clone.
            unsafe { Arc::increment_strong_count(word.cast_const()) };
        }
        Reason(AtomicPtr::new(word))
    }
}

impl Drop for Reason {
    #[inline]
    fn drop(&mut self) {
        let word = self.0.load(Ordering::Acquire);
        if is_pointer(word) {
            // SAFETY: *Tagged*: it is the pointer of an `Arc`, and this gives up the count that the reason owns. No access follows.
            drop(unsafe { Arc::from_raw(word.cast_const()) });
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

//! **The reason of a cancel**: why and where a task was cancelled, in one word.
//!
//! An answer in full is a cause, a text and a line of the source: five words and more, in every record and every `TaskError`, and
//! formatted at each cancel. But most cancels are a plain `task.cancel()`, of which only the line is to be known, and most reasons
//! are never read. So a plain cancel is the address of its line, which is part of the program and needs no memory. All else is a
//! [`Why`] behind a count (`cause.rs`), whose text is formatted when it is first read.
//!
//! ```text
//!   0                       no reason
//!   an even address         a plain cancel: a `&'static Location`
//!   an address, plus one    an `Arc<Why>`; this word is one of its counts
//! ```
//!
//! The invariant, *Tagged*: an odd word is the pointer of an `Arc<Why>` plus one, and the reason owns one count of it. An even word
//! that is not zero is a `&'static Location`. Both addresses are even because both types are aligned like a word. A word never
//! changes, so only an odd one needs the destructor. Both are aligned to four bytes at least: the bit above the tag is free.
//!
//! It rests on no file without `unsafe`.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the word |
//! | `cause` | what can cancel a task, and how that is told |
//!
//! It stands on `base`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

mod cause;

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

pub use cause::CancelledBy;
use cause::Why;
pub(crate) use cause::{Cause, Length, LimitKind, Who};

/// The tag of a counted reason: a bit that is never set in an address.
pub(crate) const COUNTED: usize = 1;

/// The low bits that no word of a reason has set: another file may tell its own words by them.
pub(crate) const FREE_BITS: usize = 2;

const _: () = assert!(align_of::<Why>() > COUNTED | FREE_BITS);
const _: () = assert!(align_of::<Location<'static>>() > COUNTED | FREE_BITS);

/// Why a task was cancelled, if a reason is known.
pub(crate) struct Reason(*const ());

// SAFETY: *Tagged*: the word is an `Arc<Why>` or a `&'static Location`, and both can be sent.
unsafe impl Send for Reason {}
// SAFETY: *Tagged*: as above, both can be shared.
unsafe impl Sync for Reason {}

const fn is_both<T: Send + Sync>() {}
const _: () = is_both::<(Arc<Why>, &'static Location<'static>)>();

/// A reason, read.
enum Read<'a> {
    None,
    Plain(&'static Location<'static>),
    Full(&'a Arc<Why>),
}

impl Reason {
    /// No reason.
    pub(crate) fn none() -> Reason {
        Reason(ptr::null())
    }

    /// A plain cancel, requested at this line. Allocates nothing.
    #[inline]
    pub(crate) fn at(location: &'static Location<'static>) -> Reason {
        Reason(ptr::from_ref(location).cast())
    }

    /// A text that the user gave at this line.
    pub(crate) fn said(text: String, at: &'static Location<'static>) -> Reason {
        Reason::of(Why::new(Cause::Said(text), Some(at)))
    }

    /// One of the crate's own.
    #[cold]
    pub(crate) fn own(cause: Cause, at: Option<&'static Location<'static>>) -> Reason {
        Reason::of(Why::new(cause, at))
    }

    /// The word, and with it the count if there is one. [`of_word`](Reason::of_word) takes it back.
    #[inline]
    pub(crate) fn into_word(self) -> *const () {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// *Tagged*: the word must come from [`into_word`](Reason::into_word), and only one of the reasons made of it is dropped.
    #[inline]
    pub(crate) unsafe fn of_word(word: *const ()) -> Reason {
        Reason(word)
    }

    fn of(why: Why) -> Reason {
        Reason(Arc::into_raw(Arc::new(why)).cast::<()>().map_addr(|address| address | COUNTED))
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_null()
    }

    /// Whether it has to be dropped. A reason that has not may be forgotten.
    #[inline]
    pub(crate) fn is_counted(&self) -> bool {
        self.0.addr() & COUNTED != 0
    }

    /// The pointer of a counted reason.
    fn why(&self) -> *const Why {
        self.0.map_addr(|address| address & !COUNTED).cast()
    }

    fn read<R>(&self, read: impl FnOnce(Read<'_>) -> R) -> R {
        if self.is_none() {
            return read(Read::None);
        }
        if self.is_counted() {
            // SAFETY: *Tagged*: it is the pointer of an `Arc`. The count is the reason's, and not given up here.
            let why = ManuallyDrop::new(unsafe { Arc::from_raw(self.why()) });
            return read(Read::Full(&why));
        }
        // SAFETY: *Tagged*: an even word that is not zero is a `&'static Location`.
        read(Read::Plain(unsafe { &*self.0.cast() }))
    }

    /// The text, if there is one: a plain cancel has none.
    pub(crate) fn text(&self) -> Option<&str> {
        if !self.is_counted() {
            return None;
        }
        // SAFETY: *Tagged*: it is the pointer of an `Arc`. The count lasts as long as this reason, and so does the borrow.
        unsafe { &*self.why() }.text()
    }

    /// Where the cancel was requested, or where that is which requested it; see [`CancelledBy::at`].
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.read(|read| match read {
            Read::None => None,
            Read::Plain(at) => Some(at),
            Read::Full(why) => why.at(),
        })
    }

    /// The text, if the user gave one.
    pub(crate) fn said_text(&self) -> Option<&str> {
        if !self.is_counted() {
            return None;
        }
        // SAFETY: *Tagged*: as in `text`.
        unsafe { &*self.why() }.said()
    }

    /// The same cause without a text.
    pub(crate) fn hushed(&self) -> Reason {
        self.read(|read| match read {
            Read::None => Reason::none(),
            Read::Plain(at) => Reason::at(at),
            Read::Full(why) => Reason::of(why.hushed()),
        })
    }

    /// Writes cause and place.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|read| match read {
            Read::None => Ok(()),
            Read::Plain(at) => write!(f, "cancelled at {at}"),
            Read::Full(why) => why.describe(f),
        })
    }
}

impl Clone for Reason {
    #[inline]
    fn clone(&self) -> Reason {
        if self.is_counted() {
            // SAFETY: *Tagged*: it is the pointer of an `Arc`, and `self` owns a count of it. This adds the count of the clone.
            unsafe { Arc::increment_strong_count(self.why()) };
        }
        Reason(self.0)
    }
}

impl Drop for Reason {
    #[inline]
    fn drop(&mut self) {
        if self.is_counted() {
            // SAFETY: *Tagged*: it is the pointer of an `Arc`, and this gives up the count that the reason owns. No access follows.
            drop(unsafe { Arc::from_raw(self.why()) });
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

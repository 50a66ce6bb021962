//! **Panics of explored runs**: seen, and not printed.
//!
//! A panic hook is the process's, and tests run in parallel. So it is set once, and stays; on a thread that explores it notes the
//! message and the place, and on any other it calls the hook before it, which is that of the program or of the test harness.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::thread;

use crate::base::panic::text_of;

thread_local! {
    /// The panics of the run that is explored on this thread.
    static SEEN: RefCell<Option<Vec<Seen>>> = const { RefCell::new(None) };
}

/// A panic.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(super) message: String,
    pub(super) place: String,
}

impl Seen {
    /// Where a failure's message speaks of it: there its text is whole lines, the first of which may begin behind other words, as in
    /// "task 'a' panicked: …". A text of one word may be a part of anything.
    pub(super) fn place_in(&self, message: &str) -> Option<usize> {
        let text = self.message.trim_end_matches('\n');
        let is_whole = |at: &usize| {
            let (before, after) = (&message[..*at], &message[at + text.len()..]);
            (before.is_empty() || before.ends_with('\n') || before.ends_with(": "))
                && (after.is_empty() || after.starts_with('\n'))
        };
        message.match_indices(text).map(|(at, _)| at).find(is_whole).filter(|_| !text.is_empty())
    }
}

/// How many are kept of a run.
const MOST: usize = 64;

/// Until it is dropped, panics of this thread are noted and not printed.
pub(super) fn silent() -> Silent {
    static HOOK: Once = Once::new();
    if !thread::panicking() {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !is_noted(info) {
                    before(info);
                }
            }));
        });
    }
    SEEN.set(Some(Vec::new()));
    Silent(())
}

/// Whether a run is being explored on this thread.
pub(crate) fn is_exploring() -> bool {
    SEEN.with_borrow(Option::is_some)
}

pub(super) struct Silent(());

impl Drop for Silent {
    fn drop(&mut self) {
        SEEN.set(None);
    }
}

/// Those of the run so far.
pub(super) fn of_run() -> Vec<Seen> {
    SEEN.with_borrow(Clone::clone).unwrap_or_default()
}

fn is_noted(info: &PanicHookInfo<'_>) -> bool {
    let note = |seen: &RefCell<Option<Vec<Seen>>>| {
        let mut seen = seen.borrow_mut();
        let Some(seen) = &mut *seen else { return false };
        if seen.len() < MOST {
            let message = text_of(info.payload()).to_owned();
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            seen.push(Seen { message, place });
        }
        true
    };
    SEEN.try_with(note).unwrap_or(false)
}

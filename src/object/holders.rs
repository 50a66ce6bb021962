//! **Holders**: the tasks that hold a watched object.
//!
//! A permit that is dropped says by a token which hold is over. A release by hand has no token: it is one of the running task's, or
//! else the oldest. A search for that among all holders would make the release of many forgotten permits quadratic, so the tokens
//! of each task are kept too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::HeldBy;
use crate::kernel::current;

/// A holder of a watched object.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) by: HeldBy,
    /// The name that the task had, for when it has ended.
    pub(crate) name: Option<Rc<str>>,
}

#[derive(Default)]
pub(super) struct Holders {
    /// By the token of each hold, so the oldest is first.
    by_token: BTreeMap<u32, Holder>,
    of_task: HashMap<HeldBy, BTreeSet<u32>>,
    last_token: u32,
    /// The serial of the loop that watched when the last hold was noted.
    pub(super) watched_by: u32,
}

impl Holders {
    /// The running task holds it. Returns the token of the hold, which is not zero.
    pub(super) fn add(&mut self, holder: Holder) -> u32 {
        self.last_token = self.last_token.wrapping_add(1).max(1);
        self.of_task.entry(holder.by).or_default().insert(self.last_token);
        self.by_token.insert(self.last_token, holder);
        self.last_token
    }

    /// The hold with this token is over; with zero, one of this task's, or else the oldest.
    pub(super) fn remove(&mut self, token: u32, by: HeldBy) {
        let own = || self.of_task.get(&by).and_then(|tokens| tokens.first());
        let by_hand = || own().or_else(|| self.by_token.keys().next()).copied();
        let token = if token == 0 { by_hand() } else { Some(token) };
        let Some((token, holder)) = token.and_then(|token| self.by_token.remove_entry(&token))
        else {
            return;
        };
        if let Some(tokens) = self.of_task.get_mut(&holder.by) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.of_task.remove(&holder.by);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }

    /// The oldest first.
    pub(super) fn all(&self) -> Vec<Holder> {
        self.by_token.values().cloned().collect()
    }
}

impl Holder {
    pub(super) fn running_task() -> Holder {
        let name = current::task().map(|task| task.name().into());
        Holder { by: HeldBy::running_task(), name }
    }
}

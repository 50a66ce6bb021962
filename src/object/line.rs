//! **A line**: the waiters of an object, in memory that a dump can reach.
//!
//! A dump must not be able to reach an object after it is gone, or while an operation changes it. So the list of the thread refers
//! to a line weakly, and no borrow of a line is held while foreign code runs. A line leaves the list when its object is dropped.
//!
//! The list belongs to the thread and not to a loop: objects never leave their thread, but a program may use one in several loops,
//! one after the other, or outside of all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::{GROUP, HeldBy, Holder, State, What};
use crate::base::slab::Slab;
use crate::kept_waker::KeptWaker;
use crate::kernel::current::with_current_loop;
use crate::trace::What as Told;
use crate::wait_list::WaitList;

thread_local! {
    /// All lines of this thread.
    static LINES: RefCell<Slab<Weak<Line>>> = const { RefCell::new(Slab::new()) };
}

/// The waiters of an object, and what is known of the object. An object with several lines has one for each thing to wait for.
pub(crate) struct Line {
    pub(crate) waiters: RefCell<WaitList<KeptWaker>>,
    pub(crate) what: &'static What,
    /// Its key in the list of the thread; `None` when the thread ends.
    key: Option<u32>,
    /// The key of the first line of its object, if that is another.
    first: Option<u32>,
    /// The object's number on the loop that used it first. Zero if none has.
    number: Cell<u32>,
    name: RefCell<Option<Rc<str>>>,
    state: Cell<State>,
    /// Of a lock.
    held_by: Cell<HeldBy>,
    /// While the object is watched: by the token of each hold, so the oldest is first.
    holders: RefCell<BTreeMap<u32, Holder>>,
    last_token: Cell<u32>,
    /// The run in which an observer was told of the object. The lines of an object share it.
    pub(crate) told_in: Rc<Cell<u64>>,
}

impl Line {
    /// A line of a new object, or one more of the object whose first line is `first`.
    #[cold]
    pub(crate) fn new(what: &'static What, first: Option<&Line>) -> Rc<Line> {
        // The list first gives the key, and then gets the line.
        let key = LINES.try_with(|lines| lines.borrow_mut().insert(Weak::new())).ok();
        let line = Rc::new(Line {
            waiters: RefCell::default(),
            what,
            key,
            first: first.and_then(|first| first.key),
            number: Cell::new(first.map_or(0, |first| first.number.get())),
            name: RefCell::new(first.and_then(Line::name)),
            state: Cell::new(first.map_or(State::Unknown, Line::state)),
            held_by: Cell::new(HeldBy::NOTHING),
            holders: RefCell::default(),
            last_token: Cell::new(0),
            told_in: first.map_or_else(Rc::default, |first| first.told_in.clone()),
        });
        if let Some(key) = key {
            let _ = LINES.try_with(|lines| lines.borrow_mut().set(key, Rc::downgrade(&line)));
        }
        line.number_if_none();
        line
    }

    /// Gives the object a number, if it has none and a loop is running.
    pub(crate) fn number_if_none(&self) {
        if self.number.get() == 0 && self.what.kind != GROUP {
            let number = with_current_loop(|engine| engine.objects.next_number());
            self.number.set(number.unwrap_or(0));
        }
    }

    /// The same for all lines of an object.
    pub(crate) fn object(&self) -> Option<u32> {
        self.first.or(self.key)
    }

    pub(crate) fn key(&self) -> Option<u32> {
        self.key
    }

    pub(crate) fn number(&self) -> u32 {
        self.number.get()
    }

    pub(crate) fn name(&self) -> Option<Rc<str>> {
        self.name.borrow().clone()
    }

    pub(crate) fn set_name(&self, name: impl Into<String>) {
        let name = name.into().into(); // first: a caller's `into` may run anything
        self.name.replace(Some(name));
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Notes the object's state.
    #[inline]
    pub(crate) fn note(&self, state: State) {
        self.state.set(state);
    }

    /// The holder of a lock, as it was noted last.
    pub(crate) fn held_by(&self) -> HeldBy {
        self.held_by.get()
    }

    #[inline]
    pub(crate) fn note_held_by(&self, holder: HeldBy) {
        self.held_by.set(holder);
    }

    /// The waiters that have not been called, first to last.
    pub(crate) fn in_line(&self) -> Vec<KeptWaker> {
        self.waiters.borrow().iter().cloned().collect()
    }

    /// The holders of a watched object, the oldest first.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        self.holders.borrow().values().cloned().collect()
    }

    /// The running task holds the watched object. Returns a token for [`released`](Line::released).
    pub(crate) fn held(&self) -> u32 {
        let token = self.last_token.get().wrapping_add(1).max(1);
        self.last_token.set(token);
        self.holders.borrow_mut().insert(token, Holder::running_task());
        self.tell(|object| Told::Held { object, free: self.free() });
        token
    }

    /// The hold with this token is over. With zero it is one of the running task's, or else the oldest: which one was released by
    /// hand is not known.
    pub(crate) fn released(&self, token: u32) {
        let mut holders = self.holders.borrow_mut();
        let running = HeldBy::running_task();
        let own = || holders.iter().find(|(_, holder)| holder.by == running);
        let by_hand = || own().or_else(|| holders.iter().next()).map(|(token, _)| *token);
        let token = if token == 0 { by_hand() } else { Some(token) };
        if let Some(token) = token {
            holders.remove(&token);
        }
    }

    /// The object is not watched any more.
    pub(crate) fn forget_holders(&self) {
        let holders = self.holders.take();
        drop(holders);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let _ = LINES.try_with(|lines| lines.borrow_mut().remove(key));
        }
    }
}

/// All lines of this thread, in no order.
pub(crate) fn lines_of_thread() -> Vec<Rc<Line>> {
    let alive = |lines: &RefCell<Slab<Weak<Line>>>| {
        lines.borrow().iter().filter_map(Weak::upgrade).collect()
    };
    LINES.try_with(alive).unwrap_or_default()
}

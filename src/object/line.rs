//! **A line**: the waiters of an object, in memory that a dump can reach.
//!
//! A dump must not be able to reach an object after it is gone, or while an operation changes it. So the list of the thread refers
//! to a line weakly, and no borrow of a line is held while foreign code runs. A line leaves the list when its object is dropped.
//!
//! The list belongs to the thread and not to a loop: objects never leave their thread, but a program may use one in several loops,
//! one after the other, or outside of all.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::{Rc, Weak};

use super::holders::Holders;
use super::identity::Identity;
use super::{Born, GROUP, HeldBy, Holder, State, What};
use crate::base::slab::Slab;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use crate::kernel::current::{self, with_current_loop};
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
    /// What the object is called. The lines of an object share it.
    identity: Rc<Identity>,
    name: RefCell<Option<Rc<str>>>,
    state: Cell<State>,
    /// Of a lock.
    held_by: Cell<HeldBy>,
    /// While the object is watched.
    holders: RefCell<Holders>,
}

impl Line {
    /// The first line of an object, or one more of the object whose first line is `first`.
    #[cold]
    pub(crate) fn new(what: &'static What, born: Option<Born>, first: Option<&Line>) -> Rc<Line> {
        // The list first gives the key, and then gets the line.
        let key = LINES.try_with(|lines| lines.borrow_mut().insert(Weak::new())).ok();
        let line = Rc::new(Line {
            waiters: RefCell::default(),
            what,
            key,
            first: first.and_then(|first| first.key),
            identity: match first {
                Some(first) => first.identity.clone(),
                None => Rc::new(Identity::of(born)),
            },
            name: RefCell::new(first.and_then(Line::name)),
            state: Cell::new(first.map_or(State::Unknown, Line::state)),
            held_by: Cell::new(HeldBy::NOTHING),
            holders: RefCell::default(),
        });
        if let Some(key) = key {
            let _ = LINES.try_with(|lines| lines.borrow_mut().set(key, Rc::downgrade(&line)));
        }
        with_current_loop(|engine| line.number_by(engine)); // it is to speak of the object soon
        line
    }

    /// The object's number on this loop, which gives it one if it has none. Zero for what has no number.
    pub(super) fn number_by(&self, engine: &Engine) -> u32 {
        if self.what.kind == GROUP { 0 } else { self.identity.number_by(engine) }
    }

    /// The object's number on this loop. Zero if it has none.
    pub(crate) fn number_on(&self, engine: &Engine) -> u32 {
        self.identity.number_on(engine)
    }

    /// Where the object was created.
    pub(crate) fn created_at(&self) -> Option<&'static Location<'static>> {
        Some(self.identity.born?.at)
    }

    /// Notes that an observer of this run is told of the object. False if it was told before.
    pub(super) fn is_news_in(&self, engine: &Engine, run: u64) -> bool {
        self.identity.is_news_in(engine, run)
    }

    /// The same for all lines of an object.
    pub(crate) fn object(&self) -> Option<u32> {
        self.first.or(self.key)
    }

    pub(crate) fn key(&self) -> Option<u32> {
        self.key
    }

    pub(crate) fn name(&self) -> Option<Rc<str>> {
        self.name.borrow().clone()
    }

    pub(crate) fn set_name(&self, name: impl Into<String>) {
        let name = name.into().into(); // first: a caller's `into` may run anything
        self.name.replace(Some(name));
        self.identity.is_renamed();
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
        self.holders.borrow().all()
    }

    /// Whether holders are known, from a loop that may watch still. `asking`: the loop that asks, which does not watch.
    pub(crate) fn keeps_holders(&self, asking: Option<&Engine>) -> bool {
        let mut holders = self.holders.borrow_mut();
        if asking.is_some_and(|engine| engine.objects.serial == holders.watched_by) {
            *holders = Holders::default(); // it did, and has ended that
        }
        !holders.is_empty()
    }

    /// The running task holds the watched object. Returns a token for [`released`](Line::released).
    pub(crate) fn held(&self) -> u32 {
        let holder = Holder::running_task();
        let watching = current::running().filter(|engine| engine.objects.watches.get());
        let mut holders = self.holders.borrow_mut();
        if let Some(engine) = watching {
            self.number_by(&engine); // a dump is to speak of it
            holders.watched_by = engine.objects.serial;
        }
        let token = holders.add(holder);
        drop(holders);
        self.tell(|object| Told::Held { object, free: self.free() });
        token
    }

    /// The hold with this token is over. With zero it is one of the running task's, or else the oldest: which one was released by
    /// hand is not known.
    pub(crate) fn released(&self, token: u32) {
        let by = HeldBy::running_task();
        self.holders.borrow_mut().remove(token, by);
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

//! What the tasks of one program share, and what is noted while it runs. Each thread has one world at a time, and hostile
//! code finds it there.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread;

use loopwheel::sync::{Barrier, BoundedSemaphore, Condition, Event, Lock, Promise, Semaphore};
use loopwheel::{CallbackHandle, TaskLocal, try_now};

use crate::graph::Graph;
use crate::handle::Handle;
use crate::holding::Held;
use crate::ledger::Ledger;
use crate::parcel::Parcel;
use crate::program::Slot;
use crate::queue::AnyQueue;
use crate::waits::{Waiting, Waits, What};

pub(crate) static LOCALS: [TaskLocal<Parcel>; 2] = [TaskLocal::new(), TaskLocal::new()];

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// One event of a run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) nanos: u64,
    pub(crate) label: u32,
    pub(crate) what: &'static str,
    pub(crate) number: u64,
}

pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) waits: Waits,
    pub(crate) graph: Graph,
    pub(crate) held: Held,
    pub(crate) handles: Shelf<Handle>,
    pub(crate) wakers: Shelf<Waker>,
    pub(crate) callbacks: Shelf<CallbackHandle>,
    pub(crate) threads: RefCell<Vec<thread::JoinHandle<()>>>,
    pub(crate) locks: [Rc<Lock>; 2],
    pub(crate) semaphores: [Rc<Semaphore>; 2],
    pub(crate) bounded: [Rc<BoundedSemaphore>; 2],
    pub(crate) events: [Rc<Event>; 2],
    pub(crate) conditions: [Rc<Condition>; 2],
    pub(crate) barriers: [Rc<Barrier>; 2],
    pub(crate) queues: [Rc<AnyQueue>; 3],
    promises: [RefCell<Promise<Parcel>>; 2],
    /// The permits that the semaphores should have in the end, beyond those that they began with.
    pub(crate) permits_made: [Cell<i64>; 2],
    pub(crate) bounded_forgotten: [Cell<i64>; 2],
    pub(crate) lock_kept: [Cell<bool>; 2],
    log: RefCell<Vec<Line>>,
    is_verbose: bool,
    pub(crate) operations: Cell<u64>,
    polls: Cell<u64>,
    pub(crate) reflexes_left: Cell<u32>,
    pub(crate) reflex_depth: Cell<u32>,
    /// The loop is being dropped.
    pub(crate) is_closing: Cell<bool>,
    pub(crate) threads_are_used: Cell<bool>,
    pub(crate) spawned_again: Cell<u32>,
    /// The loop has said that it forgets what is left.
    pub(crate) has_given_up: Cell<bool>,
    /// The tasks that were spawned again.
    pub(crate) again: RefCell<Vec<u32>>,
    pub(crate) rescues: Cell<u32>,
    pub(crate) janitor_is_on: Cell<bool>,
    /// The host moves the clock as it likes, so passing time does not mean that nothing was ready.
    pub(crate) time_is_moved: Cell<bool>,
}

/// No program that ends needs more polls.
const POLLS: u64 = 20_000;
pub(crate) const PERMITS: u8 = 2;
const LOG_LINES: usize = 20_000;

impl World {
    pub(crate) fn new(is_verbose: bool) -> Rc<World> {
        Rc::new(World {
            ledger: Arc::new(Ledger::new()),
            waits: Waits::default(),
            graph: Graph::default(),
            held: Held::default(),
            handles: Shelf::new(6),
            wakers: Shelf::new(3),
            callbacks: Shelf::new(3),
            threads: RefCell::default(),
            locks: Default::default(),
            semaphores: [Rc::new(Semaphore::new(1)), Rc::new(Semaphore::new(PERMITS.into()))],
            bounded: [
                Rc::new(BoundedSemaphore::new(1)),
                Rc::new(BoundedSemaphore::new(PERMITS.into())),
            ],
            events: Default::default(),
            conditions: Default::default(),
            barriers: [Rc::new(Barrier::new(2)), Rc::new(Barrier::new(3))],
            queues: AnyQueue::all().map(Rc::new),
            promises: Default::default(),
            permits_made: Default::default(),
            bounded_forgotten: Default::default(),
            lock_kept: Default::default(),
            log: RefCell::default(),
            is_verbose,
            operations: Cell::new(0),
            polls: Cell::new(0),
            reflexes_left: Cell::new(300),
            reflex_depth: Cell::new(0),
            is_closing: Cell::new(false),
            threads_are_used: Cell::new(false),
            spawned_again: Cell::new(0),
            has_given_up: Cell::new(false),
            again: RefCell::default(),
            rescues: Cell::new(0),
            janitor_is_on: Cell::new(false),
            time_is_moved: Cell::new(false),
        })
    }

    pub(crate) fn current() -> Option<Rc<World>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Returns the world of this thread. It exists within every operation of a program.
    pub(crate) fn here() -> Rc<World> {
        World::current().expect("a program runs on a thread that has a world")
    }

    pub(crate) fn set_current(world: Option<Rc<World>>) {
        let before = CURRENT.with(|current| current.replace(world));
        drop(before);
    }

    pub(crate) fn log(&self, label: u32, what: &'static str, number: u64) {
        let nanos = try_now().map_or(0, loopwheel::Instant::as_nanos);
        let line = Line { nanos, label, what, number };
        if self.is_verbose {
            println!("{line}");
        }
        let mut log = self.log.borrow_mut();
        if log.len() < LOG_LINES {
            log.push(line);
        }
    }

    pub(crate) fn take_log(&self) -> Vec<Line> {
        self.log.take()
    }

    /// Notes that a poll of one of the program's tasks begins. The tasks are finite, so polling ends.
    pub(crate) fn count_poll(&self) {
        self.polls.set(self.polls.get() + 1);
        if self.polls.get() > POLLS {
            self.ledger.fault("endless", format!("more than {} polls", self.polls.get()));
            self.die();
        }
    }

    /// Ends the process. There is no other way out of a loop that does not end.
    pub(crate) fn die(&self) -> ! {
        if let Some(fault) = self.ledger.first_fault() {
            println!("!{}|{}", fault.kind, fault.detail);
        }
        let _ = io::stdout().flush();
        std::process::abort()
    }

    /// Notes that the body `holder` takes a handle.
    pub(crate) fn take_handle(&self, holder: u32, slot: Slot) -> Option<Handle> {
        let handle = self.handles.take(slot)?;
        self.ledger.held(handle.label, holder);
        Some(handle)
    }

    pub(crate) fn promise(&self, n: usize) -> Promise<Parcel> {
        self.promises[n].borrow().clone()
    }

    /// Takes the promise away, with its value.
    pub(crate) fn take_promise(&self, n: usize) -> Promise<Parcel> {
        self.promises[n].take()
    }

    pub(crate) fn waits(&self, is_watched: bool, what: impl FnOnce() -> What) -> Waiting {
        if is_watched { self.waits.begin(what()) } else { Waits::unwatched() }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = std::time::Duration::from_nanos(self.nanos);
        write!(f, "{millis:>12?}  task {:<3} {} {}", self.label, self.what, self.number)
    }
}

/// Turns a text into a number, for the log.
pub(crate) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Places that each hold one thing or nothing. The caller drops what is taken out, after the borrow.
pub(crate) struct Shelf<T> {
    places: RefCell<Vec<Option<T>>>,
}

impl<T> Shelf<T> {
    fn new(places: usize) -> Shelf<T> {
        Shelf { places: RefCell::new((0..places).map(|_| None).collect()) }
    }

    fn place(&self, slot: Slot) -> usize {
        usize::from(slot) % self.places.borrow().len()
    }

    pub(crate) fn take(&self, slot: Slot) -> Option<T> {
        let place = self.place(slot);
        self.places.borrow_mut()[place].take()
    }

    #[must_use = "what was there before is dropped outside"]
    pub(crate) fn put(&self, slot: Slot, thing: T) -> Option<T> {
        let place = self.place(slot);
        self.places.borrow_mut()[place].replace(thing)
    }

    /// Puts it back if the place is still empty.
    #[must_use = "what has no place is dropped outside"]
    pub(crate) fn put_back(&self, slot: Slot, thing: T) -> Option<T> {
        let place = self.place(slot);
        let mut places = self.places.borrow_mut();
        if places[place].is_some() {
            return Some(thing);
        }
        places[place] = Some(thing);
        None
    }

    /// Looks at the content. No foreign code may run in `look`.
    pub(crate) fn look<R>(&self, slot: Slot, look: impl FnOnce(&T) -> R) -> Option<R> {
        let place = self.place(slot);
        self.places.borrow()[place].as_ref().map(look)
    }

    /// Drops everything, one after another. Foreign wakers may panic, which is no fault where the host itself drops them.
    pub(crate) fn clear(&self) {
        let len = self.places.borrow().len();
        for slot in 0..len {
            let thing = self.take(slot as Slot);
            drop(catch_unwind(AssertUnwindSafe(|| drop(thing))));
        }
    }
}

//! What foreign code may do, and the ledger of the values whose destructors count.

use std::any::Any;
use std::fmt::Write;
use std::future::Future;
use std::hint::black_box;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use loopwheel::{
    Budget, EventLoop, RunError, TaskBuilder, VirtualClock, all_tasks, call_later, sleep,
    try_current_task, try_now, yield_now,
};

use crate::stage::{World, ms};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    Nothing,
    Panics,
    ThrowsABomb,
    DropsHandles,
    Cancels,
    Spawns,
    Wakes,
    Timers,
    Looks,
    Turns,
    DropsALoop,
    Forgets,
    Reenters,
}

pub(crate) const DEEDS: [Deed; 13] = [
    Deed::Nothing,
    Deed::Panics,
    Deed::ThrowsABomb,
    Deed::DropsHandles,
    Deed::Cancels,
    Deed::Spawns,
    Deed::Wakes,
    Deed::Timers,
    Deed::Looks,
    Deed::Turns,
    Deed::DropsALoop,
    Deed::Forgets,
    Deed::Reenters,
];

impl Deed {
    /// A refused turn is a panic, too.
    pub(crate) fn throws(self) -> bool {
        matches!(self, Deed::Panics | Deed::ThrowsABomb | Deed::Turns)
    }
}

/// A payload whose destructor panics. That panic belongs to no task, and goes nowhere.
struct Bomb {
    _token: Token,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any("the destructor of a payload");
    }
}

/// The message that refuses a turn inside a turn.
const REFUSED: &str = "a loop cannot be turned while one is running on this thread";

/// The foreign code of a cell. It does its deed once, the first time that it is called while it is armed.
#[derive(Clone)]
pub(crate) struct Code(Arc<Shared>);

struct Shared {
    deed: Deed,
    armed: AtomicBool,
    ran: AtomicUsize,
    thrown: AtomicUsize,
    loop_may_leak: AtomicBool,
    ledger: Mutex<Vec<Entry>>,
    wakers: Mutex<Vec<Waker>>,
}

struct Entry {
    name: String,
    may_leak: bool,
    dropped: usize,
}

impl Code {
    pub(crate) fn new(deed: Deed) -> Code {
        Code(Arc::new(Shared {
            deed,
            armed: AtomicBool::new(true),
            ran: AtomicUsize::new(0),
            thrown: AtomicUsize::new(0),
            loop_may_leak: AtomicBool::new(false),
            ledger: Mutex::default(),
            wakers: Mutex::default(),
        }))
    }

    pub(crate) fn deed(&self) -> Deed {
        self.0.deed
    }

    pub(crate) fn ran(&self) -> usize {
        self.0.ran.load(SeqCst)
    }

    pub(crate) fn thrown(&self) -> usize {
        self.0.thrown.load(SeqCst)
    }

    pub(crate) fn arm(&self) {
        self.0.armed.store(true, SeqCst);
    }

    pub(crate) fn disarm(&self) {
        self.0.armed.store(false, SeqCst);
    }

    /// Returns the text that marks a panic of this deed.
    pub(crate) fn mark(&self) -> &'static str {
        match self.deed() {
            Deed::Turns => REFUSED,
            Deed::ThrowsABomb => "something that is not text",
            _ => "the deed of this cell",
        }
    }

    pub(crate) fn keep_waker(&self, waker: &Waker) {
        self.0.wakers.lock().unwrap().push(waker.clone());
    }

    pub(crate) fn wake_all(&self) {
        let wakers = self.0.wakers.lock().unwrap().clone();
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn drop_wakers(&self) {
        self.0.wakers.lock().unwrap().clear();
    }

    pub(crate) fn run(&self) {
        if self.0.armed.swap(false, SeqCst) {
            self.0.ran.fetch_add(1, SeqCst);
            self.do_it();
        }
    }

    fn do_it(&self) {
        let world = World::here();
        match self.deed() {
            Deed::Nothing => {}
            Deed::Panics => {
                self.0.thrown.fetch_add(1, SeqCst);
                panic_any(self.mark().to_owned());
            }
            Deed::ThrowsABomb => {
                self.0.thrown.fetch_add(1, SeqCst);
                panic_any(Bomb { _token: self.token("the payload of a panic") });
            }
            Deed::Wakes => {
                self.wake_all();
                if let Some(world) = world {
                    world.open.set();
                }
            }
            Deed::Spawns => self.spawn(),
            Deed::Timers => {
                if try_now().is_ok() {
                    let mut armed = Box::pin(sleep(ms(15)));
                    let _ = armed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    let callback = call_later(ms(10), || ());
                    callback.cancel();
                    let token = self.token("a callback of the deed");
                    call_later(ms(10), move || drop(token));
                    if let Some(world) = world {
                        let disarmed = world.timers.take();
                        drop(disarmed);
                        world.timers.borrow_mut().push(Box::new(armed));
                    }
                }
            }
            Deed::Turns => self.turn(),
            Deed::DropsALoop => {
                let other = world.and_then(|world| world.other.take());
                drop(other.unwrap_or_else(|| {
                    let other = EventLoop::builder().clock(VirtualClock::impatient()).build();
                    let token = self.token("a task of a loop of the deed");
                    drop(other.create_task(async move { drop(token) }));
                    other
                }));
            }
            Deed::DropsHandles | Deed::Cancels | Deed::Looks | Deed::Forgets | Deed::Reenters => {
                if let Some(world) = world {
                    self.do_to(&world);
                }
            }
        }
    }

    fn do_to(&self, world: &World) {
        match self.deed() {
            Deed::DropsHandles => drop(world.lasts.take()),
            Deed::Cancels => {
                let tasks = world.refs.borrow().clone();
                for task in tasks {
                    task.cancel();
                }
                if let Ok(task) = try_current_task()
                    && task.name() != "main"
                {
                    task.cancel();
                }
            }
            Deed::Looks => {
                let looks = world.looks.take();
                let mut text = String::new();
                for look in &looks {
                    text += &look();
                }
                world.looks.borrow_mut().extend(looks);
                if let Ok(now) = try_now() {
                    write!(text, "{now:?} {:?}", all_tasks()).unwrap();
                }
                black_box(text);
            }
            Deed::Forgets => mem::forget(world.forgets.take()),
            _ => {
                let calls = world.again.take();
                for call in &calls {
                    call();
                }
                world.again.borrow_mut().extend(calls);
            }
        }
    }

    fn spawn(&self) {
        for _ in 0..2 {
            let token = self.token("a task of the deed");
            let task = TaskBuilder::new().create_task_if_running(async move {
                yield_now().await;
                drop(token);
            });
            drop(task);
        }
    }

    /// Turning any loop is refused while one runs on this thread.
    fn turn(&self) {
        let mut inner = EventLoop::builder().clock(VirtualClock::impatient()).build();
        if try_now().is_ok() {
            assert_eq!(inner.try_run(async {}), Err(RunError::AlreadyRunning));
            self.0.thrown.fetch_add(1, SeqCst);
        }
        inner.turn(Budget::unlimited());
        inner.run_for(Budget::unlimited());
    }

    /// Makes a value whose destructor counts.
    pub(crate) fn token(&self, name: &str) -> Token {
        self.enter(name, self.0.loop_may_leak.load(SeqCst) && self.deed() == Deed::Forgets)
    }

    /// A forgotten value keeps its loop, and what that holds. From here on that may leak.
    pub(crate) fn loop_may_leak(&self) {
        self.0.loop_may_leak.store(true, SeqCst);
    }

    /// Makes a value that the deed may forget.
    pub(crate) fn leakable(&self, name: &str) -> Token {
        self.enter(name, self.deed() == Deed::Forgets)
    }

    fn enter(&self, name: &str, may_leak: bool) -> Token {
        let mut ledger = self.0.ledger.lock().unwrap();
        ledger.push(Entry { name: name.to_owned(), may_leak, dropped: 0 });
        Token { code: self.clone(), number: ledger.len() - 1, text: name.to_owned() }
    }

    /// Returns the values whose destructors did not run exactly once.
    pub(crate) fn losses(&self) -> Vec<String> {
        let ledger = self.0.ledger.lock().unwrap();
        let wrong = |entry: &&Entry| !(entry.dropped == 1 || entry.may_leak && entry.dropped == 0);
        ledger
            .iter()
            .filter(wrong)
            .map(|entry| format!("{}: dropped {} times", entry.name, entry.dropped))
            .collect()
    }
}

/// A value whose destructor counts. Its text is on the heap, so that a sanitizer sees a use after the drop.
pub(crate) struct Token {
    code: Code,
    number: usize,
    pub(crate) text: String,
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut ledger = self.code.0.ledger.lock().unwrap();
        let entry = &mut ledger[self.number];
        entry.dropped += 1;
        if entry.name != self.text {
            entry.dropped += 100; // it was freed or overwritten
        }
    }
}

pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("something that is not text")
}

/// Drops a payload, whatever its destructor does.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        drop(again);
    }
}

//! **Waiters**: the word that an operation tests, and how waiters are called.
//!
//! Most operations of a primitive find it free and no task waiting. To learn that from the line costs a borrow, and there may be no
//! line yet. So two counts and the bit of a watched object are packed into one word, which is tested with one load:
//!
//! ```text
//!   63        62                    32 31                     0
//!  ┌─────────┬────────────────────────┬────────────────────────┐
//!  │ watched │ waiters in line        │ waiters that are called│
//!  └─────────┴────────────────────────┴────────────────────────┘
//!     zero:            no task waits, and the object is not watched
//!     below 1 << 32:   nothing to call, and the object is not watched
//! ```

use std::fmt;
use std::mem;
use std::rc::Rc;
use std::task::Waker;

use crate::cells::{Cell, OnceCell};
use crate::delivery::{any_is_interrupted, is_interrupted};
use crate::kept_waker::KeptWaker;
use crate::kernel::current::{self, with_current_loop};
use crate::object::{Born, Line, What};
use crate::wait_list::{Left, WaitKey, WaitList};

const CALLED: u64 = 1;
const IN_LINE: u64 = 1 << 32;
const WATCHED: u64 = 1 << 63;

/// The waiters of one line of a primitive.
pub(crate) struct Waiters {
    word: Cell<u64>,
    /// `None` for all lines of an object but the first, and for what has no number.
    born: Option<Born>,
    /// Created when the first waiter comes, or the object is named or watched.
    line: OnceCell<Rc<Line>>,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters { word: Cell::new(WATCHED), born: None, line: OnceCell::new() }
    }
}

impl Waiters {
    /// Those of the first line of an object, which the caller creates.
    #[inline]
    #[track_caller]
    pub(crate) fn of_new_object() -> Waiters {
        Waiters { born: Some(Born::now()), ..Waiters::default() }
    }
}

/// What the word says.
impl Waiters {
    /// Whether no task waits or is called, and the object is not watched. One load, one test.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.word.get() == 0
    }

    /// Whether a waiter is in the line, or the object is watched. One load, one test.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.word.get() >= IN_LINE
    }

    /// The number of waiters that have not been called.
    #[inline]
    pub(crate) fn in_line(&self) -> usize {
        ((self.word.get() & !WATCHED) / IN_LINE) as usize
    }

    /// Whether no waiter is in the line, and every called one has gone on.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.word.get() & !WATCHED == 0
    }

    /// Whether a called waiter has not gone on yet.
    pub(crate) fn one_is_called(&self) -> bool {
        !self.word.get().is_multiple_of(IN_LINE)
    }

    /// Whether the object is watched, or will know that at its next operation.
    #[inline]
    pub(crate) fn may_be_watched(&self) -> bool {
        self.word.get() & WATCHED != 0
    }

    #[inline]
    fn add(&self, counts: u64) {
        self.word.set(self.word.get().wrapping_add(counts));
    }
}

/// The line, and what is told to it.
impl Waiters {
    /// The line, if there is one.
    pub(crate) fn line(&self) -> Option<&Line> {
        self.line.get().map(|line| &**line)
    }

    /// The line, created if there is none yet.
    #[inline]
    pub(crate) fn line_or_new(&self, what: &'static What) -> &Line {
        self.line.get_or_init(|| self.new_line(what, None))
    }

    /// The same for one more line of the object whose first line is `first`.
    #[inline]
    pub(crate) fn line_beside<'a>(
        &self,
        first: impl FnOnce() -> &'a Line,
        what: &'static What,
    ) -> &Line {
        self.line.get_or_init(|| self.new_line(what, Some(first())))
    }

    /// The name that the object was given.
    pub(crate) fn name(&self) -> Option<String> {
        Some(self.line()?.name()?.as_ref().to_owned())
    }

    #[cold]
    #[inline(never)]
    fn new_line(&self, what: &'static What, first: Option<&Line>) -> Rc<Line> {
        if with_current_loop(|engine| engine.objects.watches.get()) == Some(true) {
            self.watch(); // the loop began to watch after the object's first operation
        }
        Line::new(what, self.born, first)
    }

    /// The operations of the object take the path that they take when tasks wait.
    pub(crate) fn watch(&self) {
        self.word.set(self.word.get() | WATCHED);
    }

    /// Whether the object is watched. At its first operation on a loop it learns that from the loop.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.may_be_watched() && self.ask_the_loop()
    }

    /// What was noted of holders while a loop watched stays true: so their releases are noted on a loop that does not watch, and
    /// outside of all loops, too.
    #[cold]
    #[inline(never)]
    fn ask_the_loop(&self) -> bool {
        let engine = current::running();
        if engine.as_ref().is_some_and(|engine| engine.objects.watches.get()) {
            return true;
        }
        let is_held = self.line().is_some_and(|line| line.keeps_holders(engine.as_deref()));
        if !is_held && engine.is_some() {
            self.word.set(self.word.get() & !WATCHED);
        }
        is_held
    }
}

/// Joining and leaving.
impl Waiters {
    /// A waiter joins `line`, which is the line of these waiters.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn join(&self, line: &Line, waker: KeptWaker) -> WaitKey {
        let key = line.waiters.borrow_mut().join(waker);
        self.add(IN_LINE);
        key
    }

    /// A waiter leaves, called or not.
    pub(crate) fn leave(&self, key: WaitKey) -> Option<Left<KeptWaker>> {
        let left = self.line()?.waiters.borrow_mut().leave(key);
        match left {
            Some(Left::Called) => self.add(CALLED.wrapping_neg()),
            Some(Left::InLine(_)) => self.add(IN_LINE.wrapping_neg()),
            None => {}
        }
        left
    }

    /// A waiter leaves if it has been called. False if it has not: then it stays in the line.
    #[inline]
    pub(crate) fn leave_if_called(&self, key: WaitKey) -> bool {
        let Some(line) = self.line() else { return false };
        let leaves = line.waiters.borrow_mut().leave_if_called(key);
        if leaves {
            self.add(CALLED.wrapping_neg());
        }
        leaves
    }

    /// Whether the waiter is in the line, with a waker that wakes what `waker` wakes.
    pub(crate) fn has_waker(&self, key: WaitKey, waker: &Waker) -> bool {
        let Some(line) = self.line() else { return false };
        line.waiters.borrow_mut().get_mut(key).is_some_and(|kept| kept.will_wake(waker))
    }

    /// Replaces the waker of a waiter. If it has been called it leaves instead, and this is false.
    pub(crate) fn replace_waker(&self, key: WaitKey, waker: KeptWaker) -> bool {
        let Some(line) = self.line() else { return false };
        let mut waiters = line.waiters.borrow_mut();
        let Some(kept) = waiters.get_mut(key) else {
            drop(waiters);
            self.leave(key);
            return false;
        };
        let old = mem::replace(kept, waker);
        drop(waiters);
        drop(old); // after the borrow: a foreign waker may run any code
        true
    }
}

/// Calling.
impl Waiters {
    /// Calls the first waiter. False if no waiter is in the line.
    #[inline]
    pub(crate) fn call_first(&self) -> bool {
        self.is_busy() && self.call_first_in_line()
    }

    fn call_first_in_line(&self) -> bool {
        self.call_with(WaitList::call)
    }

    #[inline]
    fn call_with(&self, call: impl FnOnce(&mut WaitList<KeptWaker>) -> Option<KeptWaker>) -> bool {
        let Some(line) = self.line() else { return false };
        let waker = call(&mut line.waiters.borrow_mut());
        let Some(waker) = waker else { return false };
        self.add(CALLED.wrapping_sub(IN_LINE));
        waker.wake(); // after the borrow: a foreign waker may run any code
        true
    }

    /// Calls the first waiter, unless it is cancelled: then it hands on when it runs. False if no waiter was called.
    #[inline]
    pub(crate) fn call_first_if_uncancelled(&self) -> bool {
        self.is_busy()
            && !(any_is_interrupted() && self.first_is_cancelled())
            && self.call_first_in_line()
    }

    #[cold]
    fn first_is_cancelled(&self) -> bool {
        let is_first_cancelled =
            |line: &Line| line.waiters.borrow().iter().next().is_some_and(is_cancelled);
        self.line().is_some_and(is_first_cancelled)
    }

    /// Calls the first waiter that is not cancelled. False if there is none.
    #[inline]
    pub(crate) fn call_first_uncancelled(&self) -> bool {
        if any_is_interrupted() { self.call_one_behind_cancelled() } else { self.call_first() }
    }

    /// Calls the first waiter that is not cancelled; if all are, the first, which hands on when it runs. False if there is none.
    #[inline]
    pub(crate) fn call_one(&self) -> bool {
        self.is_busy()
            && (any_is_interrupted() && self.call_one_behind_cancelled()
                || self.call_first_in_line())
    }

    #[cold]
    fn call_one_behind_cancelled(&self) -> bool {
        self.call_with(|waiters| waiters.call_where(|waker| !is_cancelled(waker)))
    }

    /// The first waiter that is not cancelled.
    #[cold]
    pub(crate) fn first_uncancelled(&self) -> Option<WaitKey> {
        self.line()?.waiters.borrow().first_where(|waker| !is_cancelled(waker))
    }

    /// Calls this waiter. False if it is not in the line.
    #[cold]
    pub(crate) fn call_this(&self, key: WaitKey) -> bool {
        self.call_with(|waiters| waiters.call_this(key))
    }

    /// Whether all waiters are cancelled and have not run since. False if one has been called.
    #[cold]
    pub(crate) fn all_are_cancelled(&self) -> bool {
        let are = |line: &Line| line.waiters.borrow().iter().all(is_cancelled);
        !self.one_is_called() && self.line().is_none_or(are)
    }

    /// Calls every waiter that is in the line now.
    pub(crate) fn call_all(&self) {
        for _ in 0..self.in_line() {
            self.call_first();
        }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.in_line())
    }
}

/// Whether a cancel has interrupted the waiter's task, and the task has not run since.
fn is_cancelled(waker: &KeptWaker) -> bool {
    waker.id().is_some_and(is_interrupted)
}

//! **A channel from threads to the loop**: [`thread_channel`].
//!
//! Threads could send each item as a call (`Handle::call_soon`) that puts it into a queue of the loop. Then a queue, which cannot be
//! sent, has to be found again in a `thread_local!`; each item costs an allocation and a callback; and a thread that is faster than
//! the loop fills the memory. Here the items are in memory that both sides share, under a lock that is held for a few instructions,
//! and a sender that finds it full waits.
//!
//! The tasks wait in a line like those of every other primitive (`waiting/`), on the loop's thread. So a cancel, a foreign waker and
//! a dump are dealt with there, and nothing foreign is called by a sender. A sender that brings what a task waits for *pokes* the
//! channel: it sends its key to the runner of calls (`thread/`), which lets the channel look and call its waiters.
//!
//! A sender holds a `Handle`. So while there is one the loop counts as one that may be woken, and when the last one is dropped, a
//! deadlock is noticed as ever.
//!
//! | file | idea |
//! |---|---|
//! | `shared` | what both ends share: the items, the senders that wait for room |
//! | `sender` | the end for threads, and for tasks of other loops |
//! | `mod` (this file), `errors` | the end on the loop; the errors of both |
//!
//! It stands on `base`, `cells`, the kernel, `kept_waker`, `delivery`, `object`, `trace`, `waiting`, `task`, `sleep` and `thread`.

mod errors;
mod sender;
mod shared;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::base::panic::FirstPanic;
use crate::engine::Engine;
use crate::object::{Line, State, What, because_of};
use crate::sleep::{YieldNow, yield_now};
use crate::task::running_loop;
use crate::thread::{CallQueue, ChannelEnd, Handle};
use crate::trace::What::{Got, Put};
use crate::waiting::{Owner, Wait, Waiters};
use shared::{IsAwaited, Nothing, Shared};

pub use errors::{RecvNowaitError, SendError, SendNowaitError};
pub use sender::ThreadSender;

/// So many items are taken before other tasks have their turn.
const MOST_AT_ONCE: u32 = 64;

/// A channel from other threads to the running loop, for at most `capacity` items: a sender for threads, and a receiver that stays
/// on the loop.
///
/// The sender can be cloned and sent to any thread. The items of one thread arrive in the order in which it sent them. A thread
/// that sends to a full channel is blocked until there is room, so threads cannot run ahead of the loop; a task of a loop in another
/// thread awaits [`send_async`](ThreadSender::send_async). The first to wait is the first to send. When all senders are dropped and the channel is empty, [`recv`](LoopReceiver::recv) returns `None`.
///
/// While a sender is alive, the loop counts as one that may be woken: tasks that wait are no deadlock. So do not keep a sender on
/// the loop, or `recv` waits for ever. A virtual clock waits for threads before it jumps, but
/// [not for long](crate::run_virtual#sockets-and-other-threads). While closures of [`to_thread`](crate::to_thread()) are at work it stands still; so if one of them is blocked by a full
/// channel, do not `sleep` before the next `recv`.
///
/// Between tasks of one loop, use a [`Queue`](crate::sync::Queue).
///
/// # Panics
/// Without a running loop ([`EventLoop::thread_channel`](crate::EventLoop::thread_channel) needs none), and if the capacity is zero.
///
/// # Examples
/// ```
/// use std::thread;
/// use loopwheel::{run, thread_channel};
///
/// let sum = run(async {
///     let (sender, receiver) = thread_channel(16);
///     for start in [0, 100] {
///         let sender = sender.clone();
///         thread::spawn(move || (start..start + 100).try_for_each(|number| sender.send(number)));
///     }
///     drop(sender); // the threads have theirs
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum
/// });
/// assert_eq!(sum, (0..200).sum::<i32>());
/// ```
///
/// # In asyncio
/// `loop.call_soon_threadsafe(queue.put_nowait, item)`, which has no limit; with one,
/// `asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()`.
#[doc(alias("channel", "mpsc", "sync_channel", "call_soon_threadsafe", "backpressure"))]
#[track_caller]
pub fn thread_channel<T: Send + 'static>(capacity: usize) -> (ThreadSender<T>, LoopReceiver<T>) {
    channel_to(&running_loop(), capacity)
}

#[track_caller]
pub(crate) fn channel_to<T: Send + 'static>(
    engine: &Rc<Engine>,
    capacity: usize,
) -> (ThreadSender<T>, LoopReceiver<T>) {
    assert!(
        capacity > 0,
        "a channel from threads needs room for at least one item: `thread_channel(1)`, or `usize::MAX` for no limit"
    );
    let shared = Arc::new(Shared::new(capacity));
    let handle = Handle::to(engine);
    let waiters = Waiters::of_new_object();
    let end = Rc::new_cyclic(|this: &Weak<End<T>>| End {
        shared: shared.clone(),
        waiters,
        key: engine.threads.add_channel(this.clone()),
        engine: Rc::downgrade(engine),
        call_queue: handle.call_queue.clone(),
        taken_at_once: Cell::new(0),
    });
    if engine.is_closed() {
        shared.close(); // it is being dropped
    }
    let receiver = LoopReceiver { end, between_polls: Cell::default() };
    (ThreadSender { shared, key: receiver.end.key, handle }, receiver)
}

/// The end of a [`thread_channel`] on the loop. Several tasks may share it, in an [`Rc`]: each item goes to one of them.
///
/// Dropping it drops the items that are left. Senders get an error, blocked ones too.
pub struct LoopReceiver<T: Send + 'static> {
    end: Rc<End<T>>,
    /// What [`poll_recv`](LoopReceiver::poll_recv) waits for.
    between_polls: Cell<Option<Awaits<T>>>,
}

enum Awaits<T: Send + 'static> {
    Item(Wait<Rc<End<T>>>),
    Turn(YieldNow),
}

/// What the loop knows of a channel.
struct End<T> {
    shared: Arc<Shared<T>>,
    waiters: Waiters,
    key: u32,
    engine: Weak<Engine>,
    call_queue: Arc<CallQueue>,
    /// Since a task last waited, or yielded.
    taken_at_once: Cell<u32>,
}

impl<T: Send + 'static> LoopReceiver<T> {
    /// Gives the channel a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> LoopReceiver<T> {
        self.end.noted_line().set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.end.waiters.name()
    }

    /// Receives the next item, waiting for one while the channel is empty. `None` when it is empty and no item will come: all
    /// senders were dropped, or the loop was. After 64 items in a row that were there it yields to other tasks.
    ///
    /// With the feature `futures` a receiver is a `Stream`, too.
    ///
    /// # Cancellation
    /// No item is lost: one that had arrived stays, or goes to the next task that waits.
    ///
    /// # In asyncio
    /// `await queue.get()`.
    pub async fn recv(&self) -> Option<T> {
        if self.end.is_turn_over() {
            yield_now().await;
        }
        loop {
            if let Poll::Ready(item) = self.take_counted() {
                return item;
            }
            drop(self.between_polls.take()); // a stream that is awaited no more would be called first
            Wait::new(&*self.end).await;
        }
    }

    /// The same for a future or a stream that is written by hand: returns what [`recv`](LoopReceiver::recv) would, or has the task
    /// of `cx` woken when it is worth another look. (With the feature `futures` a receiver is a `Stream`.)
    ///
    /// # Cancellation
    /// No item is lost. A cancel of the task that polls comes out of this, as out of every await.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::future::poll_fn;
    /// use loopwheel::thread_channel;
    ///
    /// let (sender, mut receiver) = thread_channel(1);
    /// sender.send_nowait("item").unwrap();
    /// assert_eq!(poll_fn(|cx| receiver.poll_recv(cx)).await, Some("item"));
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// There is none.
    #[doc(alias = "poll_next")]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.end.is_turn_over() {
            self.between_polls.set(Some(Awaits::Turn(yield_now())));
        }
        loop {
            match self.between_polls.get_mut() {
                Some(Awaits::Item(wait)) => ready!(Pin::new(wait).poll(cx)),
                Some(Awaits::Turn(turn)) => ready!(Pin::new(turn).poll(cx)),
                None => {}
            }
            drop(self.between_polls.take());
            if let Poll::Ready(item) = self.take_counted() {
                return Poll::Ready(item);
            }
            self.between_polls.set(Some(Awaits::Item(Wait::new(self.end.clone()))));
        }
    }

    /// The next item, `None` if none will come, or pending.
    fn take_counted(&self) -> Poll<Option<T>> {
        let taken = self.recv_nowait();
        let count = if taken.is_ok() { self.end.taken_at_once.get() + 1 } else { 0 };
        self.end.taken_at_once.set(count);
        match taken {
            Ok(item) => Poll::Ready(Some(item)),
            Err(RecvNowaitError::Over) => Poll::Ready(None),
            Err(RecvNowaitError::Empty) => Poll::Pending,
        }
    }

    /// Receives the next item if there is one.
    ///
    /// # Errors
    /// [`Empty`](RecvNowaitError::Empty) if an item may still come, [`Over`](RecvNowaitError::Over) if none will.
    ///
    /// # In asyncio
    /// `queue.get_nowait()`.
    #[doc(alias = "try_recv")]
    pub fn recv_nowait(&self) -> Result<T, RecvNowaitError> {
        match self.end.shared.take() {
            Ok((item, IsAwaited(is_awaited))) => {
                if self.end.waiters.is_watched() {
                    let items = self.len();
                    self.end.noted_line().tell(|object| Got { object, items });
                }
                if is_awaited {
                    self.end.call_queue.poke(self.end.key); // a blocked sender's item took the place
                }
                Ok(item)
            }
            Err(Nothing::Yet) => Err(RecvNowaitError::Empty),
            Err(Nothing::AnyMore) => Err(RecvNowaitError::Over),
        }
    }

    /// How many items are in the channel.
    pub fn len(&self) -> usize {
        self.end.shared.look().items
    }

    /// Whether the channel is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items fit in.
    pub fn capacity(&self) -> usize {
        self.end.shared.capacity()
    }

    /// How many senders there are.
    pub fn senders(&self) -> usize {
        self.end.shared.look().senders
    }
}

impl<T: Send + 'static> Drop for LoopReceiver<T> {
    fn drop(&mut self) {
        if let Some(engine) = self.end.engine.upgrade() {
            engine.threads.remove_channel(self.end.key);
        }
        self.end.shared.close();
        let mut panics = FirstPanic::default();
        for item in self.end.shared.take_all() {
            panics.catch(|| drop(item)); // last: destructors may run any code
        }
        panics.go_on();
    }
}

impl<T: Send + 'static> fmt::Debug for LoopReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let look = self.end.shared.look();
        f.debug_struct("LoopReceiver")
            .field("len", &look.items)
            .field("capacity", &self.capacity())
            .field("senders", &look.senders)
            .field("blocked", &look.blocked)
            .field("waiters", &self.end.waiters)
            .finish_non_exhaustive()
    }
}

static CHANNEL: What = What { kind: "channel", of: "an item of " };

impl<T> End<T> {
    /// So many items were taken that other tasks are to have a turn: a thread that sends without end is not to keep the loop from
    /// them.
    fn is_turn_over(&self) -> bool {
        let is_over = self.taken_at_once.get() >= MOST_AT_ONCE;
        if is_over {
            self.taken_at_once.set(0);
        }
        is_over
    }

    fn noted_line(&self) -> &Line {
        let line = self.waiters.line_or_new(&CHANNEL);
        let (look, capacity) = (self.shared.look(), self.shared.capacity());
        line.note(State::Channel { len: look.items, capacity, senders: look.senders });
        line
    }

    /// Calls a waiter for each item that has come, or all if none will come any more. If waiters are left, the next item pokes.
    fn call(&self) {
        while self.waiters.in_line() > 0 {
            let arrived = self.shared.take_arrived();
            if arrived == 0 {
                return;
            }
            for _ in 0..arrived.min(self.waiters.in_line()) {
                self.waiters.call_one();
            }
        }
    }
}

impl<T> Owner for End<T> {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    fn line(&self) -> &Line {
        // A waiter joins. An item may have come since it looked.
        if self.shared.begin_wait() {
            self.call_queue.poke(self.key);
        }
        self.noted_line()
    }

    fn gave_up(&self, called: bool) {
        if called && self.shared.look().items > 0 {
            self.waiters.call_one();
        }
    }
}

impl<T> ChannelEnd for End<T> {
    fn poked(&self) {
        let mut told = 0;
        if self.waiters.is_watched() {
            let items = self.shared.look().items;
            told = self.noted_line().tell(|object| Put { object, items });
        }
        because_of(told, || self.call());
    }

    fn note(&self) {
        if let Some(line) = self.waiters.line() {
            let (look, capacity) = (self.shared.look(), self.shared.capacity());
            line.note(State::Channel { len: look.items, capacity, senders: look.senders });
        }
    }

    fn close(&self) {
        self.shared.close();
        self.call();
    }
}

//! **A channel from threads to the loop**: [`thread_channel`].
//!
//! Threads could send each item as a call (`Handle::call_soon`) that puts it into a queue of the loop. Then a queue, which cannot be
//! sent, has to be found again in a `thread_local!`; each item costs an allocation and a callback; and a thread that is faster than
//! the loop fills the memory. Here the items are in memory that both sides share, under a lock that is held for a few instructions,
//! and a thread that finds it full waits.
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
//! | `shared` | what both ends share: the items, the threads that wait for room |
//! | `mod` (this file), `errors` | the two ends; their errors |
//!
//! It stands on `base`, the kernel, `object`, `trace`, `waiting`, `task`, `sleep` and `thread`.

mod errors;
mod shared;

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::base::panic::FirstPanic;
use crate::engine::Engine;
use crate::kernel::current;
use crate::object::{Line, State, What, because_of};
use crate::sleep::yield_now;
use crate::task::running_loop;
use crate::thread::{CallQueue, ChannelEnd, Handle};
use crate::trace::What::{Got, Put};
use crate::waiting::{Owner, Wait, Waiters};
use shared::{IsAwaited, Nothing, Refused, Shared};

pub use errors::{RecvNowaitError, SendError, SendNowaitError};

/// So many items are taken before other tasks have their turn.
const MOST_AT_ONCE: u32 = 64;

/// A channel from other threads to the running loop, for at most `capacity` items: a sender for threads, and a receiver that stays
/// on the loop.
///
/// The sender can be cloned and sent to any thread. The items of one thread arrive in the order in which it sent them. A thread
/// that sends to a full channel is blocked until there is room, so threads cannot run ahead of the loop. When all senders are
/// dropped and the channel is empty, [`recv`](LoopReceiver::recv) returns `None`.
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
    (ThreadSender { shared, key: end.key, handle }, LoopReceiver { end })
}

/// The end of a [`thread_channel`] for threads. A clone is a sender of the same channel.
pub struct ThreadSender<T> {
    shared: Arc<Shared<T>>,
    /// The channel's key on its loop.
    key: u32,
    handle: Handle,
}

impl<T> ThreadSender<T> {
    /// Sends an item. Blocks this thread while the channel is full.
    ///
    /// # Errors
    /// If the receiver or the loop is gone, before or meanwhile. The error contains the item. (An
    /// [`EventLoop`](crate::EventLoop) whose run has ended is not gone: the channel fills up, and `send` waits for the next run.)
    ///
    /// # Panics
    /// On the thread of a running loop, which it could block: use [`send_nowait`](ThreadSender::send_nowait) there. And on the
    /// thread of the channel's own loop, if the channel is full: the loop could never make room.
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if current::running().is_some() {
            drop(item); // before the panic: its destructor may panic, too
            panic!(
                "`ThreadSender::send` could block a running loop: use `send_nowait` there, or a `Queue` between its tasks"
            );
        }
        let awaited = if self.handle.call_queue.is_of_this_thread() {
            match self.shared.push(item) {
                Ok(awaited) => awaited,
                Err(Refused::Closed(item)) => return Err(SendError(item)),
                Err(Refused::Full(item)) => {
                    drop(item);
                    panic!(
                        "the channel is full, and `ThreadSender::send` would block the thread of its own loop for ever: turn \
                         that loop, or use `send_nowait`"
                    )
                }
            }
        } else {
            self.shared.push_blocking(item).map_err(SendError)?
        };
        self.poke_if(awaited);
        Ok(())
    }

    /// Sends an item if there is room.
    ///
    /// # Errors
    /// If the channel is full, or the receiver or the loop is gone. The error contains the item.
    #[doc(alias = "try_send")]
    pub fn send_nowait(&self, item: T) -> Result<(), SendNowaitError<T>> {
        let awaited = self.shared.push(item).map_err(|refused| match refused {
            Refused::Full(item) => SendNowaitError::Full(item),
            Refused::Closed(item) => SendNowaitError::Gone(item),
        })?;
        self.poke_if(awaited);
        Ok(())
    }

    /// Whether the receiver or the loop is gone: nothing can be sent any more.
    pub fn is_gone(&self) -> bool {
        self.shared.look().is_closed
    }

    fn poke_if(&self, IsAwaited(is_awaited): IsAwaited) {
        if is_awaited {
            self.handle.call_queue.poke(self.key);
        }
    }
}

impl<T> Clone for ThreadSender<T> {
    fn clone(&self) -> ThreadSender<T> {
        self.shared.add_sender();
        ThreadSender { shared: self.shared.clone(), key: self.key, handle: self.handle.clone() }
    }
}

impl<T> Drop for ThreadSender<T> {
    fn drop(&mut self) {
        let awaited = self.shared.remove_sender();
        self.poke_if(awaited); // the handle is dropped after this: the loop is not stuck before it knows
    }
}

impl<T> fmt::Debug for ThreadSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let look = self.shared.look();
        f.debug_struct("ThreadSender")
            .field("len", &look.items)
            .field("capacity", &self.shared.capacity())
            .field("is_gone", &look.is_closed)
            .finish_non_exhaustive()
    }
}

/// The end of a [`thread_channel`] on the loop. Several tasks may share it, in an [`Rc`]: each item goes to one of them.
///
/// Dropping it drops the items that are left. Senders get an error, blocked ones too.
pub struct LoopReceiver<T: Send + 'static> {
    end: Rc<End<T>>,
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
    /// As a stream: `futures::stream::unfold(receiver, |it| async { Some((it.recv().await?, it)) })`.
    ///
    /// # Cancellation
    /// No item is lost: one that had arrived stays, or goes to the next task that waits.
    ///
    /// # In asyncio
    /// `await queue.get()`.
    pub async fn recv(&self) -> Option<T> {
        if self.end.taken_at_once.get() == MOST_AT_ONCE {
            self.end.taken_at_once.set(0);
            yield_now().await; // a thread that sends without end is not to keep the loop from its other tasks
        }
        loop {
            match self.recv_nowait() {
                Ok(item) => {
                    self.end.taken_at_once.set(self.end.taken_at_once.get() + 1);
                    return Some(item);
                }
                Err(RecvNowaitError::Over) => return None,
                Err(RecvNowaitError::Empty) => self.end.taken_at_once.set(0),
            }
            Wait::new(&*self.end).await;
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
            Ok(item) => {
                if self.end.waiters.is_watched() {
                    let items = self.len();
                    self.end.noted_line().tell(|object| Got { object, items });
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
            .field("waiters", &self.end.waiters)
            .finish_non_exhaustive()
    }
}

static CHANNEL: What = What { kind: "channel", of: "an item of " };

impl<T> End<T> {
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

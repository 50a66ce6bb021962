//! The end for threads: it sends, and waits for room.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::errors::{SendError, SendNowaitError};
use super::shared::{IsAwaited, Placed, Refused, Shared, Wakes};
use crate::delivery::{Told, checkpoint};
use crate::kept_waker::GuardedWaker;
use crate::kernel::current;
use crate::thread::Handle;
use crate::trace::Wait;

/// The end of a [`thread_channel`](crate::thread_channel()) for threads. A clone is a sender of the same channel.
pub struct ThreadSender<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// The channel's key on its loop.
    pub(super) key: u32,
    pub(super) handle: Handle,
}

impl<T> ThreadSender<T> {
    /// Sends an item. Blocks this thread while the channel is full. Of those that wait for room the first to come sends first,
    /// whether they are threads or tasks; none that comes later overtakes them.
    ///
    /// # Errors
    /// If the receiver or the loop is gone, before or meanwhile. The error contains the item. (An
    /// [`EventLoop`](crate::EventLoop) whose run has ended is not gone: the channel fills up, and `send` waits for the next run.)
    ///
    /// # Panics
    /// On the thread of a running loop, which it could block: await [`send_async`](ThreadSender::send_async) there. And on the
    /// thread of the channel's own loop, if the channel is full: the loop could never make room.
    #[track_caller]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if current::running().is_some() {
            drop(item); // before the panic: its destructor may panic, too
            panic!(
                "`ThreadSender::send` could block a running loop: await `send_async` there, or use `send_nowait`"
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

    /// Sends an item, and waits while the channel is full, without blocking the thread: for a task of a loop in *another* thread, or
    /// of any executor. It takes its turn among the threads that [`send`](ThreadSender::send).
    ///
    /// # Cancellation
    /// The item is dropped if it still waits for room; its place in the line is given up at once. An item that had gone in stays in
    /// the channel. To keep an item that does not go in, use [`send_nowait`](ThreadSender::send_nowait), which gives it back.
    ///
    /// # Errors
    /// If the receiver or its loop is gone, before or meanwhile. The error contains the item.
    ///
    /// # Examples
    /// ```
    /// use std::thread;
    /// use loopwheel::{run, thread_channel};
    ///
    /// run(async {
    ///     let (sender, receiver) = thread_channel(1);
    ///     let other = thread::spawn(|| {
    ///         run(async move {
    ///             for number in 0..3 {
    ///                 sender.send_async(number).await.unwrap(); // other tasks of that loop run meanwhile
    ///             }
    ///         });
    ///     });
    ///     for number in 0..3 {
    ///         assert_eq!(receiver.recv().await, Some(number));
    ///     }
    ///     other.join().unwrap();
    /// });
    /// ```
    ///
    /// # In asyncio
    /// `await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(queue.put(item), loop))`.
    #[doc(alias("send_wait", "reserve", "Sink"))]
    pub async fn send_async(&self, item: T) -> Result<(), SendError<T>> {
        match self.send_nowait(item) {
            Ok(()) => Ok(()),
            Err(SendNowaitError::Gone(item)) => Err(SendError(item)),
            Err(SendNowaitError::Full(item)) => Sending::new(self, item).await,
        }
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
            .field("blocked", &look.blocked)
            .field("is_gone", &look.is_closed)
            .finish_non_exhaustive()
    }
}

/// A task that waits for room. Like a waiter of `waiting/` it leaves the line as soon as it is interrupted.
struct Sending<'a, T> {
    sender: &'a ThreadSender<T>,
    item: Item<T>,
    told: Told,
}

enum Item<T> {
    Here(T),
    /// It waits under this number.
    InLine(u64),
    Sent,
}

impl<T> Sending<'_, T> {
    fn new(sender: &ThreadSender<T>, item: T) -> Sending<'_, T> {
        Sending { sender, item: Item::Here(item), told: Told::default() }
    }

    fn leave(&mut self) {
        if let Item::InLine(wait) = self.item {
            self.item = self.sender.shared.withdraw(wait).map_or(Item::Sent, Item::Here);
        }
    }
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if checkpoint::interrupted(&self.told, cx) {
            self.leave();
            return Poll::Pending;
        }
        let shared = &self.sender.shared;
        let wakes = Wakes::Task(GuardedWaker::of(cx.waker())); // first: it may run anything
        let placed = match mem::replace(&mut self.item, Item::Sent) {
            Item::Here(item) => shared.push_or_wait(item, wakes),
            Item::InLine(wait) => shared.look_after(wait, Some(wakes)),
            Item::Sent => Ok(Placed::Inside(IsAwaited(false))),
        };
        match placed {
            Err(item) => return Poll::Ready(Err(SendError(item))),
            Ok(Placed::Inside(awaited)) => {
                self.sender.poke_if(awaited);
                return Poll::Ready(Ok(()));
            }
            Ok(Placed::InLine(wait)) => self.item = Item::InLine(wait),
        }
        checkpoint::waits();
        checkpoint::tell_wait(Wait::Other { what: "room in a channel to a loop" });
        Poll::Pending
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        self.leave(); // the item is dropped after this, with no lock held
    }
}

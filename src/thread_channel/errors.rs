//! The errors of a channel from threads.

use thiserror::Error;

/// The receiver of the channel was dropped, or its loop was. Contains the item that was not sent.
///
/// # In asyncio
/// There is none: `loop.call_soon_threadsafe(queue.put_nowait, item)` raises `RuntimeError: Event loop is closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the receiver of this channel is gone, or its event loop is: nothing takes this item; let the thread end, or keep the receiver \
     until its senders are done"
)]
pub struct SendError<T>(pub T);

/// Why an item could not be sent at once. Contains the item.
///
/// # In asyncio
/// `QueueFull`, which `loop.call_soon_threadsafe(queue.put_nowait, item)` raises on the loop, where the thread does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendNowaitError<T> {
    /// The channel is full.
    #[error(
        "the channel is full: `send` blocks the thread until there is room; or try again later, or drop the item"
    )]
    Full(T),
    /// The receiver or the loop is gone.
    #[error(
        "the receiver of this channel is gone, or its event loop is: nothing takes this item; let the thread end, or keep the \
         receiver until its senders are done"
    )]
    Gone(T),
}

/// Why no item could be received at once.
///
/// # In asyncio
/// `QueueEmpty`, `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecvNowaitError {
    /// The channel is empty, and senders are left.
    #[error("the channel is empty: `recv` waits for an item")]
    Empty,
    /// The channel is empty, and no item will come: all senders were dropped, or the loop was.
    #[error("the channel is empty and all its senders are gone: there is no further item")]
    Over,
}

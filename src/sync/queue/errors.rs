//! The errors of a queue.

use thiserror::Error;

/// The queue is shut down, and nothing is left in it.
///
/// # In asyncio
/// `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down, and empty: there is no further item")]
pub struct QueueShutDown;

/// The queue is shut down. Contains the item that could not be put.
///
/// # In asyncio
/// `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down: nothing can be put")]
pub struct PutError<T>(pub T);

/// Why an item could not be put at once. Contains the item.
///
/// # In asyncio
/// `QueueFull`, `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PutNowaitError<T> {
    /// The queue is full.
    #[error("the queue is full: `put` waits for room")]
    Full(T),
    /// The queue is shut down.
    #[error("the queue is shut down: nothing can be put")]
    ShutDown(T),
}

/// Why no item could be got at once.
///
/// # In asyncio
/// `QueueEmpty`, `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetNowaitError {
    /// The queue is empty.
    #[error("the queue is empty: `get` waits for an item")]
    Empty,
    /// The queue is empty and shut down.
    #[error("the queue is shut down, and empty: there is no further item")]
    ShutDown,
}

/// `task_done` was called more often than items were put.
///
/// # In asyncio
/// `ValueError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`task_done` was called too often: call it once for each item that was got")]
pub struct TooManyTasksDone;

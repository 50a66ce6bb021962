//! **The `futures` crates' traits** for types of this crate: streams, fused futures, spawning. Only with the feature `futures`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedFuture, Stream};
use futures_task::{FutureObj, LocalFutureObj, LocalSpawn, Spawn, SpawnError};

use crate::error::{TaskError, TimedOut};
use crate::kernel::current;
use crate::sleep::Sleep;
use crate::spawning::TaskBuilder;
use crate::task::{SharedTaskOf, Task, TaskHandle};
use crate::task_set::TaskSet;
use crate::thread_channel::LoopReceiver;
use crate::wait::{AsCompleted, AsCompletedWithin};

/// Ends when all tasks were returned.
impl<H: TaskHandle> Stream for AsCompleted<H> {
    type Item = H;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<H>> {
        self.poll_ended(cx, None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left(), Some(self.left()))
    }
}

/// Ends when all tasks were returned, or after the one [`TimedOut`].
impl<H: TaskHandle> Stream for AsCompletedWithin<H> {
    type Item = Result<H, TimedOut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_timed_out {
            return Poll::Ready(None);
        }
        let next = self.poll_ended(cx).map(Result::transpose);
        self.has_timed_out = matches!(next, Poll::Ready(Some(Err(TimedOut))));
        next
    }
}

/// Ends when the set is empty; it goes on when the set has grown again.
impl<K: 'static, T: 'static, E: 'static> Stream for TaskSet<K, T, E> {
    type Item = (K, Result<T, TaskError<E>>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_ended(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// Ends when the channel is empty and no item will come: all senders were dropped, or the loop was. A `next` that is cancelled
/// loses no item.
impl<T: Send + 'static> Stream for LoopReceiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

/// Terminated when the outcome has been taken.
impl<T, E> FusedFuture for Task<T, E> {
    fn is_terminated(&self) -> bool {
        self.is_taken()
    }
}

/// Terminated when this handle has given the outcome. It would give it again, as its clones do.
impl<O> FusedFuture for SharedTaskOf<O> {
    fn is_terminated(&self) -> bool {
        self.has_given
    }
}

/// Terminated when it has ended.
impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        self.is_done()
    }
}

/// Spawns onto the loop that is running on this thread, for code that is generic over the `futures` crate's spawning traits.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use futures::task::LocalSpawnExt;
/// use loopwheel::{Spawner, yield_now};
///
/// let handle = Spawner.spawn_local_with_handle(async { 42 }).unwrap();
/// assert_eq!(handle.await, 42);
/// # });
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Spawner;

impl LocalSpawn for Spawner {
    fn spawn_local_obj(&self, future: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        spawn(future)
    }

    fn status_local(&self) -> Result<(), SpawnError> {
        current::running().map(drop).ok_or_else(SpawnError::shutdown)
    }
}

impl Spawn for Spawner {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        spawn(future)
    }

    fn status(&self) -> Result<(), SpawnError> {
        self.status_local()
    }
}

fn spawn(future: impl Future<Output = ()> + 'static) -> Result<(), SpawnError> {
    // Foreign code does not expect that the future is polled inside this call: it may hold a lock.
    let task = TaskBuilder::new().eager_start(false).create_task_if_running(future);
    task.map(drop).map_err(|_| SpawnError::shutdown()) // `SpawnError` has no other kind
}

//! The three kinds of queue as one type.

use std::fmt;

use loopwheel::sync::{
    GetNowaitError, LifoQueue, PriorityQueue, PutError, PutNowaitError, Queue, QueueShutDown,
    TooManyTasksDone,
};

use crate::parcel::Parcel;

pub(crate) enum AnyQueue {
    Fifo(Queue<Parcel>),
    Lifo(LifoQueue<Parcel>),
    Priority(PriorityQueue<Parcel>),
}

macro_rules! each {
    ($queue:expr, $name:ident => $what:expr) => {
        match $queue {
            AnyQueue::Fifo($name) => $what,
            AnyQueue::Lifo($name) => $what,
            AnyQueue::Priority($name) => $what,
        }
    };
}

impl AnyQueue {
    pub(crate) fn all() -> [AnyQueue; 3] {
        [
            AnyQueue::Fifo(Queue::bounded(2)),
            AnyQueue::Lifo(LifoQueue::bounded(1)),
            AnyQueue::Priority(PriorityQueue::unbounded()),
        ]
    }

    pub(crate) async fn put(&self, item: Parcel) -> Result<(), PutError<Parcel>> {
        each!(self, queue => queue.put(item).await)
    }

    pub(crate) fn put_nowait(&self, item: Parcel) -> Result<(), PutNowaitError<Parcel>> {
        each!(self, queue => queue.put_nowait(item))
    }

    pub(crate) async fn get(&self) -> Result<Parcel, QueueShutDown> {
        each!(self, queue => queue.get().await)
    }

    pub(crate) fn get_nowait(&self) -> Result<Parcel, GetNowaitError> {
        each!(self, queue => queue.get_nowait())
    }

    pub(crate) fn task_done(&self) -> Result<(), TooManyTasksDone> {
        each!(self, queue => queue.task_done())
    }

    pub(crate) async fn join(&self) {
        each!(self, queue => queue.join().await);
    }

    pub(crate) fn shutdown(&self, immediate: bool) {
        each!(self, queue => queue.shutdown(immediate));
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        each!(self, queue => queue.is_shut_down())
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, queue => queue.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        each!(self, queue => queue.is_empty())
    }

    pub(crate) fn is_full(&self) -> bool {
        each!(self, queue => queue.is_full())
    }
}

impl fmt::Debug for AnyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, queue => queue.fmt(f))
    }
}

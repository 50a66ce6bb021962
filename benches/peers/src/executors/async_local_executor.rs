//! `async-local-executor`, with its own `block_on`, which parks the thread. It has no timers: its examples take those of
//! `async-io`, whose own thread then fires them. Its channels (`async-local-channel`) are unbounded, so there is no queue.
//!
//! Its documentation does not say what its wakers promise. Its source (0.6.0) does: a waker is an `Arc` with the id of the
//! task. On a thread that has an executor, it puts that id into the queue of *that* executor, whichever it is; on another it
//! goes through a queue between threads, at which the loop looks only when nothing else is ready.

use std::future::Future;

use async_local_executor::{JoinHandle, block_on, spawn_local};

use crate::executor::Executor;
use crate::executors::smol_house::{MAKES_NO_TIMER, smol_timers};
use crate::peer::Peer;

pub(crate) struct LocalExecutor;

pub(crate) fn peer() -> Peer {
    Peer::executor::<LocalExecutor>("async-local-executor", "async-local-executor")
        .timers::<LocalExecutor>()
        .remark("timeout", MAKES_NO_TIMER)
        .remark("timeout-10k", MAKES_NO_TIMER)
        .unable("thread-busy", "looks at wakes from other threads only when no task is ready")
        .remark("thread-parked", "a wake on a thread with an executor of its own goes to that one")
        .remark("thread-flood", "a wake on a thread with an executor of its own goes to that one")
        .hello(
            "async-local-executor = \"0.6\"",
            "use async_local_executor::{block_on, spawn_local};
            block_on(async { spawn_local(async { println!(\"hello\") }).await });",
        )
}

impl Executor for LocalExecutor {
    type Task<T: 'static> = JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        block_on(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        spawn_local(future)
    }

    fn join<T: 'static>(task: JoinHandle<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(spawn_local(future));
    }
}

smol_timers!(LocalExecutor);

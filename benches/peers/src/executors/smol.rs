//! smol's `LocalExecutor`, driven as smol does: by `async_io::block_on`, which also runs its timers.

use std::future::Future;

use async_executor::{LocalExecutor, Task};

use crate::executor::Executor;
use crate::executors::smol_house::{MAKES_NO_TIMER, smol_house, smol_sockets, smol_timers};
use crate::peer::Peer;

pub(crate) struct Smol;

thread_local! {
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
}

pub(crate) fn peer() -> Peer {
    Peer::executor::<Smol>("smol LocalExecutor", "async-executor")
        .timers::<Smol>()
        .queue::<Smol>()
        .semaphore::<Smol>()
        .sockets::<Smol>()
        .http::<Smol>()
        .remark("timeout", MAKES_NO_TIMER)
        .remark("timeout-10k", MAKES_NO_TIMER)
        .hello(
            "async-executor = \"1\"\nasync-io = \"2\"",
            "let executor = async_executor::LocalExecutor::new();
            async_io::block_on(executor.run(async { executor.spawn(async { println!(\"hello\") }).await }));",
        )
}

impl Executor for Smol {
    type Task<T: 'static> = Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        EXECUTOR.with(|executor| async_io::block_on(executor.run(main)))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        Self::spawn(future).detach();
    }
}

smol_timers!(Smol);
smol_house!(Smol);
smol_sockets!(Smol);

//! smol's `StaticLocalExecutor`: leaked once, it need not keep a list of its tasks in order to drop them.

use std::cell::Cell;
use std::future::Future;

use async_executor::{LocalExecutor, StaticLocalExecutor, Task};

use crate::executor::Executor;
use crate::executors::smol_house::{MAKES_NO_TIMER, smol_house, smol_sockets, smol_timers};
use crate::peer::Peer;

pub(crate) struct SmolStatic;

thread_local! {
    static EXECUTOR: Cell<Option<&'static StaticLocalExecutor>> = const { Cell::new(None) };
}

pub(crate) fn peer() -> Peer {
    Peer::executor::<SmolStatic>("smol StaticLocalExecutor", "async-executor")
        .timers::<SmolStatic>()
        .queue::<SmolStatic>()
        .semaphore::<SmolStatic>()
        .sockets::<SmolStatic>()
        .http::<SmolStatic>()
        .remark("timeout", MAKES_NO_TIMER)
        .remark("timeout-10k", MAKES_NO_TIMER)
}

impl Executor for SmolStatic {
    type Task<T: 'static> = Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutor::new().leak();
        EXECUTOR.set(Some(executor));
        async_io::block_on(executor.run(main))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        EXECUTOR.get().expect("it runs").spawn(future)
    }

    fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        Self::spawn(future).detach();
    }
}

smol_timers!(SmolStatic);
smol_house!(SmolStatic);
smol_sockets!(SmolStatic);

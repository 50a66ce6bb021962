//! `unsend`, whose queue needs no atomics where the waking thread is its own, in `async_io::block_on`, as its examples have
//! it. Its semaphore is its own, its timers are `async-io`'s, and its channel is unbounded: no queue.

use std::cell::Cell;
use std::future::Future;

use async_task::Task;
use unsend::executor::Executor as Unsendable;
use unsend::lock;

use crate::executor::{Executor, Semaphore};
use crate::executors::smol_house::{MAKES_NO_TIMER, smol_timers};
use crate::peer::Peer;

pub(crate) struct Unsend;

thread_local! {
    static EXECUTOR: Cell<Option<&'static Unsendable<'static>>> = const { Cell::new(None) };
}

pub(crate) fn peer() -> Peer {
    Peer::executor::<Unsend>("unsend", "unsend")
        .timers::<Unsend>()
        .semaphore::<Unsend>()
        .unable("thread-busy", "looks at wakes from other threads only when no task is ready")
        .unable(
            "semaphore",
            "hangs: of permits that are given back together one wakes a waiter, the others none",
        )
        .remark("timeout", MAKES_NO_TIMER)
        .remark("timeout-10k", MAKES_NO_TIMER)
        .hello(
            "unsend = \"0.2\"\nasync-io = \"2\"",
            "let executor = unsend::executor::Executor::new();
            async_io::block_on(executor.run(executor.spawn(async { println!(\"hello\") })));",
        )
}

impl Executor for Unsend {
    type Task<T: 'static> = Task<T>;

    /// The executor is leaked, so that tasks can be spawned on it from anywhere.
    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = Box::leak(Box::new(Unsendable::new()));
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

smol_timers!(Unsend);

impl Semaphore for Unsend {
    type Semaphore = lock::Semaphore;

    fn semaphore(permits: usize) -> lock::Semaphore {
        lock::Semaphore::new(permits)
    }

    fn acquire(semaphore: &lock::Semaphore) -> impl Future<Output = impl Sized> {
        semaphore.acquire()
    }
}

//! tokio's `LocalSet`: tasks that cannot be sent, on a list of their own within the runtime.

use std::future::Future;

use tokio::runtime::Builder;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::executor::{Executor, unable};
use crate::executors::tokio_house::tokio_house;
use crate::peer::Peer;

pub(crate) struct TokioLocalSet;

pub(crate) fn peer() -> Peer {
    Peer::executor::<TokioLocalSet>("tokio LocalSet", "tokio")
        .timers::<TokioLocalSet>()
        .queue::<TokioLocalSet>()
        .semaphore::<TokioLocalSet>()
        .sockets::<TokioLocalSet>()
        .http::<TokioLocalSet>()
}

impl TokioLocalSet {
    fn run_on<T: 'static>(builder: &mut Builder, main: impl Future<Output = T> + 'static) -> T {
        let runtime = builder.build().unwrap_or_else(|why| unable(why));
        LocalSet::new().block_on(&runtime, main)
    }
}

impl Executor for TokioLocalSet {
    type Task<T: 'static> = JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        Self::run_on(Builder::new_current_thread().enable_time(), main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        spawn_local(future)
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("no task fails")
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(spawn_local(future));
    }
}

tokio_house!(TokioLocalSet);

//! tokio's `LocalRuntime`: a current-thread runtime whose own tasks need not be sendable.

use std::future::Future;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_local};

use crate::executor::{Executor, unable};
use crate::executors::tokio_house::tokio_house;
use crate::peer::Peer;

pub(crate) struct TokioLocalRuntime;

pub(crate) fn peer() -> Peer {
    Peer::executor::<TokioLocalRuntime>("tokio LocalRuntime", "tokio")
        .timers::<TokioLocalRuntime>()
        .queue::<TokioLocalRuntime>()
        .semaphore::<TokioLocalRuntime>()
        .sockets::<TokioLocalRuntime>()
        .http::<TokioLocalRuntime>()
        .hello(
            r#"tokio = { version = "1", features = ["rt", "time"] }"#,
            "let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_time().build_local(Default::default()).unwrap();
            runtime.block_on(async { tokio::task::spawn_local(async { println!(\"hello\") }).await.unwrap() });",
        )
}

impl TokioLocalRuntime {
    fn run_on<T: 'static>(builder: &mut Builder, main: impl Future<Output = T> + 'static) -> T {
        let runtime = builder.build_local(LocalOptions::default());
        runtime.unwrap_or_else(|why| unable(why)).block_on(main)
    }
}

impl Executor for TokioLocalRuntime {
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

tokio_house!(TokioLocalRuntime);

//! tokio's current-thread runtime, as most programs use it: `tokio::spawn` within `block_on`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use crate::executor::{Executor, unable};
use crate::executors::tokio_house::tokio_house;
use crate::peer::Peer;

pub(crate) struct TokioSpawn;

pub(crate) fn peer() -> Peer {
    Peer::executor::<TokioSpawn>("tokio spawn", "tokio")
        .timers::<TokioSpawn>()
        .queue::<TokioSpawn>()
        .semaphore::<TokioSpawn>()
        .sockets::<TokioSpawn>()
        .http::<TokioSpawn>()
}

impl TokioSpawn {
    fn run_on<T: 'static>(builder: &mut Builder, main: impl Future<Output = T> + 'static) -> T {
        let runtime = builder.build().unwrap_or_else(|why| unable(why));
        runtime.block_on(main)
    }
}

impl Executor for TokioSpawn {
    type Task<T: 'static> = JoinHandle<OnThisThread<T>>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        Self::run_on(Builder::new_current_thread().enable_time(), main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Self::Task<T> {
        tokio::spawn(OnThisThread(future))
    }

    async fn join<T: 'static>(task: Self::Task<T>) -> T {
        task.await.expect("no task fails").0
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(tokio::spawn(OnThisThread(future)));
    }
}

tokio_house!(TokioSpawn);

/// `tokio::spawn` takes only what can be sent to other threads, on this runtime too. The task bodies cannot: they are the
/// same everywhere, and use `Rc`.
pub(crate) struct OnThisThread<T>(T);

// SAFETY: a current-thread runtime polls and drops its tasks on the thread that is in `block_on`, and it is made, entered
// and dropped in `run`, on one thread. No workload carries a task's handle to another.
#[allow(unsafe_code)]
unsafe impl<T> Send for OnThisThread<T> {}

impl<F: Future> Future for OnThisThread<F> {
    type Output = OnThisThread<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned as the whole is; nothing else reaches it.
        #[allow(unsafe_code)]
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        future.poll(context).map(OnThisThread)
    }
}

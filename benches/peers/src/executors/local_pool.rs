//! `LocalPool` of the `futures` crate. It has no timers and no semaphore.

use std::cell::RefCell;
use std::future::Future;

use futures::channel::mpsc;
use futures::executor::{LocalPool, LocalSpawner};
use futures::future::RemoteHandle;
use futures::task::LocalSpawnExt;
use futures::{SinkExt, StreamExt};

use crate::executor::{Executor, Queue};
use crate::peer::Peer;

pub(crate) struct Pool;

thread_local! {
    static SPAWNER: RefCell<Option<LocalSpawner>> = const { RefCell::new(None) };
}

pub(crate) fn peer() -> Peer {
    Peer::executor::<Pool>("futures LocalPool", "futures").queue::<Pool>().hello(
        r#"futures = { version = "0.3", default-features = false, features = ["executor"] }"#,
        "use futures::task::LocalSpawnExt;
            let mut pool = futures::executor::LocalPool::new();
            let task = pool.spawner().spawn_local_with_handle(async { println!(\"hello\") }).unwrap();
            pool.run_until(task);",
    )
}

fn with_spawner<R>(use_it: impl FnOnce(&LocalSpawner) -> R) -> R {
    SPAWNER.with_borrow(|spawner| use_it(spawner.as_ref().expect("the pool runs")))
}

impl Executor for Pool {
    type Task<T: 'static> = RemoteHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut pool = LocalPool::new();
        SPAWNER.set(Some(pool.spawner()));
        pool.run_until(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> RemoteHandle<T> {
        with_spawner(|spawner| spawner.spawn_local_with_handle(future).expect("the pool lives"))
    }

    fn join<T: 'static>(task: RemoteHandle<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        with_spawner(|spawner| spawner.spawn_local(future).expect("the pool lives"));
    }
}

impl Queue for Pool {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    /// Every sender has a place of its own besides the capacity.
    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity - 1)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        sender.send(item).await.expect("the receiver lives");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.next().await.expect("the sender lives")
    }
}

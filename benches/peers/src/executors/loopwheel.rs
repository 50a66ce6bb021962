//! loopwheel.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{Task, create_task, gather, sleep, sync, wait_for};

use crate::executor::{Executor, Queue, Semaphore, Timers};
use crate::peer::{Kind, Peer};

pub(crate) struct Loopwheel;

pub(crate) fn peer() -> Peer {
    let peer = Peer::executor::<Loopwheel>("loopwheel", "loopwheel")
        .timers::<Loopwheel>()
        .queue::<Loopwheel>()
        .semaphore::<Loopwheel>()
        .hello(
            concat!("loopwheel = { path = \"", env!("CARGO_MANIFEST_DIR"), "/../..\" }"),
            "loopwheel::run(async { loopwheel::create_task(async { println!(\"hello\") }).await.unwrap() });",
        );
    Peer { kind: Kind::Ours, ..peer }
}

impl Executor for Loopwheel {
    type Task<T: 'static> = Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        loopwheel::run(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        create_task(future)
    }

    async fn join<T: 'static>(task: Task<T>) -> T {
        task.await.expect("no task fails")
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(create_task(future));
    }

    fn gather<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>>
    where
        F: Future<Output: 'static> + 'static,
    {
        gather(futures)
    }
}

impl Timers for Loopwheel {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        sleep(duration)
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        wait_for(future, limit).await.ok()
    }
}

impl Queue for Loopwheel {
    type Sender = Rc<sync::Queue<u64>>;
    type Receiver = Rc<sync::Queue<u64>>;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let queue = Rc::new(sync::Queue::bounded(capacity));
        (queue.clone(), queue)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        sender.put(item).await.expect("nothing shuts it down");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.get().await.expect("nothing shuts it down")
    }
}

impl Semaphore for Loopwheel {
    type Semaphore = sync::Semaphore;

    fn semaphore(permits: usize) -> sync::Semaphore {
        sync::Semaphore::new(permits)
    }

    fn acquire(semaphore: &sync::Semaphore) -> impl Future<Output = impl Sized> {
        semaphore.acquire()
    }
}

/// The tasks are loopwheel's, on a loop that runs otherwise.
macro_rules! tasks_of_loopwheel {
    ($executor:ty, $run:expr) => {
        impl Executor for $executor {
            type Task<T: 'static> = Task<T>;

            fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
                $run(main)
            }

            fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
                Loopwheel::spawn(future)
            }

            fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> {
                Loopwheel::join(task)
            }

            fn spawn_detached(future: impl Future<Output = ()> + 'static) {
                Loopwheel::spawn_detached(future);
            }
        }
    };
}

pub(crate) use tasks_of_loopwheel;

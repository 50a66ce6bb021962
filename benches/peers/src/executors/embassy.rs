//! embassy's executor on its std platform. Its tasks live in storage that is never given back, which on a microcontroller
//! is a `static`; here one is leaked for each task. A task has no handle: who waits for one is told through a `oneshot`.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use embassy_executor::raw::TaskStorage;
use embassy_executor::{Executor as Embassy, Spawner};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::semaphore::{FairSemaphore, Semaphore as _};
use embassy_time::{Timer, with_timeout};
use futures::channel::oneshot;

use crate::executor::{Executor, Queue, Semaphore, Timers};
use crate::peer::Peer;

pub(crate) struct EmbassyStd;

thread_local! {
    static SPAWNER: Cell<Option<Spawner>> = const { Cell::new(None) };
}

pub(crate) fn peer() -> Peer {
    Peer::executor::<EmbassyStd>("embassy", "embassy-executor")
        .timers::<EmbassyStd>()
        .queue::<EmbassyStd>()
        .semaphore::<EmbassyStd>()
        .hello(
            "embassy-executor = { version = \"0.10\", features = [\"executor-thread\", \"platform-std\"] }
embassy-time = { version = \"0.5\", features = [\"std\"] }",
            "#[embassy_executor::task]
            async fn hello() {
                println!(\"hello\");
            }
            let executor = Box::leak(Box::new(embassy_executor::Executor::new()));
            executor.run_until(|spawner| spawner.spawn(hello().unwrap()), || true);",
        )
}

impl Executor for EmbassyStd {
    type Task<T: 'static> = oneshot::Receiver<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let output = Rc::new(OnceCell::new());
        let main = {
            let output = output.clone();
            async move { assert!(output.set(main.await).is_ok(), "main ends once") }
        };
        let begin = |spawner| {
            SPAWNER.set(Some(spawner));
            Self::spawn_detached(main);
        };
        let executor = Box::leak(Box::new(Embassy::new()));
        executor.run_until(begin, || output.get().is_some());
        Rc::into_inner(output).and_then(OnceCell::into_inner).expect("main has ended")
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        Self::spawn_detached(async move {
            drop(sender.send(future.await)); // an error if the receiver is gone, which is no harm
        });
        receiver
    }

    async fn join<T: 'static>(task: oneshot::Receiver<T>) -> T {
        task.await.expect("no task fails")
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        let storage = Box::leak(Box::new(TaskStorage::new()));
        let token = storage.spawn(|| future).expect("it is not in use yet");
        SPAWNER.get().expect("it runs").spawn(token);
    }
}

impl Timers for EmbassyStd {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Timer::after(ticks(duration))
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        with_timeout(ticks(limit), future).await.ok()
    }
}

fn ticks(duration: Duration) -> embassy_time::Duration {
    embassy_time::Duration::try_from(duration).expect("not too long")
}

const PLACES: usize = 64;

impl Queue for EmbassyStd {
    type Sender = Rc<Channel<NoopRawMutex, u64, PLACES>>;
    type Receiver = Rc<Channel<NoopRawMutex, u64, PLACES>>;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        assert_eq!(capacity, PLACES, "the capacity is part of the type");
        let channel = Rc::new(Channel::new());
        (channel.clone(), channel)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        sender.send(item).await;
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.receive().await
    }
}

impl Semaphore for EmbassyStd {
    /// With room for so many who wait: that too is part of the type.
    type Semaphore = FairSemaphore<NoopRawMutex, 1_000>;

    fn semaphore(permits: usize) -> Self::Semaphore {
        FairSemaphore::new(permits)
    }

    async fn acquire(semaphore: &Self::Semaphore) -> impl Sized {
        semaphore.acquire(1).await.expect("there is room to wait")
    }
}

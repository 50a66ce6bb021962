//! `nexus-async-rt`, with the loop that parks (`block_on`). The crate calls itself experimental, a reference. Its semaphore is
//! none: there is a bounded channel and no more.
//!
//! The waker of a task holds the address of the task and puts it into a queue of the *thread that wakes*: from another
//! thread that wake is lost (with debug assertions it panics). Only its own channels wake from there.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::time::Duration;

use nexus_async_rt::channel::local::{self, Receiver, Sender};
use nexus_async_rt::{JoinHandle, Runtime, sleep, spawn_boxed, timeout};
use nexus_rt::WorldBuilder;

use crate::executor::{Executor, Queue, Timers};
use crate::peer::Peer;

const LOSES_WAKES: &str = "a task's waker does nothing on another thread: the wake is lost";
const LOSES_SLEEPS: &str =
    "hangs: its wheel rounds a deadline down, and a sleep that is woken too early is not set again";
const STAYS: &str = "a timer that is dropped stays in the wheel until its time";

pub(crate) struct Nexus;

pub(crate) fn peer() -> Peer {
    Peer::executor::<Nexus>("nexus-async-rt", "nexus-async-rt")
        .timers::<Nexus>()
        .queue::<Nexus>()
        .unable("thread-parked", LOSES_WAKES)
        .unable("thread-busy", LOSES_WAKES)
        .unable("thread-flood", LOSES_WAKES)
        .unable("timers", LOSES_SLEEPS)
        .unable("lateness", LOSES_SLEEPS)
        .remark("timeout", STAYS)
        .remark("timeout-10k", STAYS)
        .remark("timeout-armed", STAYS)
        .hello(
            "nexus-async-rt = \"0.7\"\nnexus-rt = \"2\"",
            "let mut world = nexus_rt::WorldBuilder::new().build();
            let mut runtime = nexus_async_rt::Runtime::new(&mut world);
            runtime.block_on(async { nexus_async_rt::spawn_boxed(async { println!(\"hello\") }).await });",
        )
}

impl Executor for Nexus {
    type Task<T: 'static> = JoinHandle<T>;

    /// Never dropped: it panics when it is while a waker or a handle is left, as that of a task that sleeps.
    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut world = ManuallyDrop::new(WorldBuilder::new().build());
        let mut runtime = ManuallyDrop::new(Runtime::new(&mut world));
        runtime.block_on(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        spawn_boxed(future)
    }

    fn join<T: 'static>(task: JoinHandle<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(spawn_boxed(future));
    }
}

impl Timers for Nexus {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        sleep(duration)
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        timeout(limit, future).await.ok()
    }
}

impl Queue for Nexus {
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local::channel(capacity)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        assert!(sender.send(item).await.is_ok(), "the receiver lives");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender lives")
    }
}

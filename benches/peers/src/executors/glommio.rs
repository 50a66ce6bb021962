//! glommio: `io_uring` and nothing else, and memory that must be locked.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement, Task, spawn_local, sync, timer};

use crate::executor::{Executor, Queue, Semaphore, Sockets, Timers, unable};
use crate::peer::Peer;

const POLLS_AT_SPAWN: &str = "a task is polled when it is spawned, before it stands in any queue";

pub(crate) struct Glommio;

pub(crate) fn peer() -> Peer {
    Peer::executor::<Glommio>("glommio", "glommio")
        .timers::<Glommio>()
        .queue::<Glommio>()
        .semaphore::<Glommio>()
        .sockets::<Glommio>()
        .hello(
            "glommio = \"0.9\"",
            "let executor = glommio::LocalExecutorBuilder::default().make().unwrap();
            executor.run(async { glommio::spawn_local(async { println!(\"hello\") }).await });",
        )
        .remark("spawn", POLLS_AT_SPAWN)
        .remark("spawn-1", POLLS_AT_SPAWN)
        .remark("gather-10", POLLS_AT_SPAWN)
        .remark("gather-1000", POLLS_AT_SPAWN)
        .remark("gather-100000", POLLS_AT_SPAWN)
        .unable(
            "thread-busy",
            "a loop that is busy takes wakes of other threads some twenty times a second",
        )
}

impl Executor for Glommio {
    type Task<T: 'static> = Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make();
        executor.unwrap_or_else(|why| unable(why)).run(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        spawn_local(future)
    }

    fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        spawn_local(future).detach();
    }
}

impl Timers for Glommio {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        timer::sleep(duration)
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        timer::timeout(limit, async { Ok(future.await) }).await.ok()
    }
}

impl Queue for Glommio {
    type Sender = LocalSender<u64>;
    type Receiver = LocalReceiver<u64>;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        new_bounded(capacity)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        sender.send(item).await.expect("the receiver lives");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender lives")
    }
}

impl Semaphore for Glommio {
    type Semaphore = sync::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        sync::Semaphore::new(permits as u64)
    }

    async fn acquire(semaphore: &Self::Semaphore) -> impl Sized {
        semaphore.acquire_permit(1).await.expect("nothing closes it")
    }
}

impl Sockets for Glommio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let stream = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let read = stream.read(&mut buffer).await?;
        Ok((read, buffer))
    }

    async fn write_all(
        stream: &mut TcpStream,
        buffer: Vec<u8>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        stream.write_all(&buffer[..length]).await?;
        Ok(buffer)
    }
}

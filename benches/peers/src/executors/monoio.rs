//! monoio, with `io_uring` or what it falls back to. Foreign wakes need its feature `sync`. Queue and semaphore are those of
//! `local-sync`, of the same house.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use local_sync::{mpsc::bounded, semaphore};
use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::task::JoinHandle;
use monoio::{FusionDriver, RuntimeBuilder};

use crate::executor::{Executor, Queue, Semaphore, Sockets, Timers, unable};
use crate::peer::Peer;

const WAKES_ITSELF_FIRST: &str = "a task that wakes itself goes first: each runs to its end";

pub(crate) struct Monoio;

pub(crate) fn peer() -> Peer {
    Peer::executor::<Monoio>("monoio", "monoio")
        .timers::<Monoio>()
        .queue::<Monoio>()
        .semaphore::<Monoio>()
        .sockets::<Monoio>()
        .hello(
            "monoio = \"0.2\"",
            "let builder = monoio::RuntimeBuilder::<monoio::FusionDriver>::new();
            builder.enable_timer().build().unwrap().block_on(async { monoio::spawn(async { println!(\"hello\") }).await });",
        )
        .unable(
            "thread-busy",
            "a task that wakes itself is put first in the queue, and starves the others",
        )
        .remark("yield-1000", WAKES_ITSELF_FIRST)
        .remark("gather-10", WAKES_ITSELF_FIRST)
        .remark("gather-1000", WAKES_ITSELF_FIRST)
        .remark("gather-100000", WAKES_ITSELF_FIRST)
}

impl Executor for Monoio {
    type Task<T: 'static> = JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().build();
        runtime.unwrap_or_else(|why| unable(why)).block_on(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        monoio::spawn(future)
    }

    fn join<T: 'static>(task: JoinHandle<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        drop(monoio::spawn(future));
    }
}

impl Timers for Monoio {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        monoio::time::timeout(limit, future).await.ok()
    }
}

impl Queue for Monoio {
    type Sender = bounded::Tx<u64>;
    type Receiver = bounded::Rx<u64>;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
        bounded::channel(capacity)
    }

    async fn put(sender: &mut Self::Sender, item: u64) {
        assert!(sender.send(item).await.is_ok(), "the receiver lives");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender lives")
    }
}

impl Semaphore for Monoio {
    type Semaphore = semaphore::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        semaphore::Semaphore::new(permits)
    }

    async fn acquire(semaphore: &Self::Semaphore) -> impl Sized {
        semaphore.acquire().await.expect("nothing closes it")
    }
}

impl Sockets for Monoio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, buffer: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let (read, buffer) = stream.read(buffer).await;
        Ok((read?, buffer))
    }

    async fn write_all(
        stream: &mut TcpStream,
        buffer: Vec<u8>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let (written, bytes) = stream.write_all(buffer.slice(..length)).await;
        written.map(|_| bytes.into_inner())
    }
}

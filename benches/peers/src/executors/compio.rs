//! compio's runtime with its `io_uring` driver. It brings no queue and no semaphore.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{JoinHandle, Runtime, spawn};
use compio::time;

use crate::executor::{Executor, Sockets, Timers, unable};
use crate::peer::Peer;

pub(crate) struct Compio;

pub(crate) fn peer() -> Peer {
    Peer::executor::<Compio>("compio", "compio").timers::<Compio>().sockets::<Compio>().hello(
        r#"compio = { version = "0.19", features = ["time"] }"#,
        "let runtime = compio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { compio::runtime::spawn(async { println!(\"hello\") }).await.unwrap() });",
    )
}

impl Executor for Compio {
    type Task<T: 'static> = JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        Runtime::new().unwrap_or_else(|why| unable(why)).block_on(main)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        spawn(future)
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("no task fails")
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        spawn(future).detach();
    }
}

impl Timers for Compio {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        time::sleep(duration)
    }

    async fn time_out<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        time::timeout(limit, future).await.ok()
    }
}

impl Sockets for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, buffer: Vec<u8>) -> io::Result<(usize, Vec<u8>)> {
        let BufResult(read, buffer) = stream.read(buffer).await;
        Ok((read?, buffer))
    }

    async fn write_all(
        stream: &mut TcpStream,
        buffer: Vec<u8>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let BufResult(written, bytes) = stream.write_all(buffer.slice(..length)).await;
        written.map(|()| bytes.into_inner())
    }
}

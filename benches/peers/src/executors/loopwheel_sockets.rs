//! loopwheel with sockets, in two ways: in the reactor of `async-io`, and in the one of `docs/embedding/reactor.rs`.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use loopwheel::Task;
use smol_hyper::rt::FuturesIo;

use crate::executor::{Executor, Http, Sockets, unable};
use crate::executors::loopwheel::{Loopwheel, tasks_of_loopwheel};
use crate::executors::smol_house::smol_sockets;
use crate::peer::{Kind, Peer};

#[path = "../../../../docs/embedding/reactor.rs"]
#[allow(dead_code)] // its own example
mod reactor;

pub(crate) struct Io;

pub(crate) struct Reactor;

pub(crate) fn io() -> Peer {
    let peer = Peer::other("loopwheel::io", "async-io", Kind::Ours);
    peer.sockets::<Io>().http::<Io>()
}

pub(crate) fn reactor() -> Peer {
    let peer = Peer::other("loopwheel, reactor", "mio", Kind::Ours);
    peer.sockets::<Reactor>().http::<Reactor>()
}

tasks_of_loopwheel!(Io, loopwheel::io::run);
smol_sockets!(Io);

thread_local! {
    static REACTOR: RefCell<Option<Rc<reactor::Reactor>>> = const { RefCell::new(None) };
}

tasks_of_loopwheel!(Reactor, run_in_reactor);

fn run_in_reactor<T>(main: impl Future<Output = T>) -> T {
    let (mut event_loop, reactor) = reactor::Reactor::with_loop().unwrap_or_else(|why| unable(why));
    REACTOR.set(Some(reactor));
    event_loop.run(main)
}

impl Sockets for Reactor {
    type Listener = reactor::Listener;
    type Stream = reactor::Stream;

    fn listen() -> io::Result<(reactor::Listener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let reactor = REACTOR.take().expect("it runs");
        Ok((reactor::Listener::new(&reactor, listener)?, address))
    }

    async fn accept(listener: &mut reactor::Listener) -> io::Result<reactor::Stream> {
        let (stream, _) = listener.accept().await?;
        Ok(stream) // it does not delay
    }

    async fn read(
        stream: &mut reactor::Stream,
        mut buffer: Vec<u8>,
    ) -> io::Result<(usize, Vec<u8>)> {
        let read = stream.read(&mut buffer).await?;
        Ok((read, buffer))
    }

    async fn write_all(
        stream: &mut reactor::Stream,
        buffer: Vec<u8>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        stream.write_all(&buffer[..length]).await?;
        Ok(buffer)
    }
}

impl Http for Reactor {
    fn for_hyper(
        stream: reactor::Stream,
    ) -> impl hyper::rt::Read + hyper::rt::Write + Unpin + 'static {
        FuturesIo::new(stream)
    }
}

//! # A reactor: the loop sleeps in epoll
//!
//! Sockets in one file. A task that reads from a socket which has nothing to read leaves its waker with the reactor. When no
//! task is ready, the loop sleeps in the reactor, and not by parking its thread. The reactor asks the operating system which
//! sockets have become ready, and wakes their tasks:
//!
//! ```text
//!  task ── poll_read ──▶ WouldBlock: the waker is kept        no task is ready ──▶ mio::Poll::poll ──▶ epoll
//!    ▲                                                                                                   │
//!    └───────────────────── wake ◀── the waker of each socket that has become ready ◀────────────────────┘
//! ```
//!
//! A socket is registered once, edge-triggered: the operating system reports each *change* once. So a socket counts as ready until a
//! call shows that it is not:
//!
//! | the call | shows that |
//! |---|---|
//! | fails with `WouldBlock` | nothing is left; the next change comes as an event |
//! | reads fewer bytes than it has room for (on Linux) | the same, one call earlier, **if no event has reported more than bytes** |
//!
//! The condition matters: the last bytes and the end of the stream may come as *one* event. A short read takes the bytes, no further
//! event comes, and the task would wait for the end for ever. So epoll is asked to report more than bytes (`EPOLLRDHUP`, which `mio`
//! always asks for, and `EPOLLPRI`). Once it has, the socket is read until it fails. What arrives after an event makes a new event,
//! even if it arrives before the read. No event is taken between a read and the note that it was short, as all is on one thread.
//!
//! No other thread takes part; a wake-up from one ends the sleep by `mio::Waker`. The poller comes from the crate `mio` (epoll,
//! kqueue, …; its timeouts are whole milliseconds, rounded up). The streams implement the traits of `futures-io`, so what asyncio
//! calls streams (`read_exact`, `read_until`, `write_all`) comes from the `futures` crate.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt};
use loopwheel::{EventLoop, TaskGroup, wait_for};
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Registry, Token};
use slab::Slab;

/// A client that sends nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sockets that are registered with the poller.
pub(crate) struct Reactor {
    registry: Registry,
    /// By token.
    sockets: RefCell<Slab<Rc<Readiness>>>,
}

/// What the events have said about a socket.
struct Readiness {
    sides: [Side; 2],
    /// No event has reported more than bytes: the end of the stream, an error, or urgent data, before which a read stops short.
    only_bytes: Cell<bool>,
}

/// One of the two sides of a socket: reading, or writing.
struct Side {
    /// No call has shown otherwise since the last event.
    is_ready: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

const READING: usize = 0;
const WRITING: usize = 1;

/// The token of a wake-up by another thread. No socket has it.
const WAKE_UP: Token = Token(usize::MAX);

/// What a socket is registered for.
const INTEREST: Interest = {
    let interest = Interest::READABLE.add(Interest::WRITABLE);
    #[cfg(target_os = "linux")]
    let interest = interest.add(Interest::PRIORITY);
    interest
};

impl Reactor {
    /// A loop that sleeps in a reactor of its own.
    pub(crate) fn with_loop() -> io::Result<(EventLoop, Rc<Reactor>)> {
        let mut poller = mio::Poll::new()?;
        let waker = mio::Waker::new(poller.registry(), WAKE_UP)?;
        let registry = poller.registry().try_clone()?;
        let reactor = Rc::new(Reactor { registry, sockets: RefCell::default() });
        let (sleeper, mut events) = (reactor.clone(), Events::with_capacity(1024));
        let builder = EventLoop::builder()
            .wake_hook(move || waker.wake().expect("the poller can be woken"))
            .park_with(move |at_most| match poller.poll(&mut events, at_most) {
                Ok(()) => sleeper.wake(&events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {} // it may return early
                Err(error) => panic!("the poller has failed: {error}"),
            });
        Ok((builder.build(), reactor))
    }

    /// Wakes the tasks of the sockets that have become ready.
    fn wake(&self, events: &Events) {
        for event in events {
            let socket = self.sockets.borrow().get(event.token().0).cloned();
            let Some(socket) = socket else { continue };
            let more_than_bytes = event.is_read_closed() || event.is_error() || event.is_priority();
            if more_than_bytes {
                socket.only_bytes.set(false);
            }
            for (side, is_ready) in
                socket.sides.iter().zip([event.is_readable(), event.is_writable()])
            {
                if is_ready || more_than_bytes {
                    side.is_ready.set(true);
                    if let Some(waker) = side.waiting.take() {
                        waker.wake();
                    }
                }
            }
        }
    }
}

/// A socket that tasks can await. It is registered from its creation to its end.
pub(crate) struct Socket<S: Source> {
    inner: S,
    reactor: Rc<Reactor>,
    token: Token,
    readiness: Rc<Readiness>,
}

impl<S: Source> Socket<S> {
    fn new(reactor: &Rc<Reactor>, inner: S) -> io::Result<Socket<S>> {
        let side = || Side { is_ready: Cell::new(true), waiting: Cell::default() };
        let only_bytes = Cell::new(true);
        let readiness = Rc::new(Readiness { sides: [side(), side()], only_bytes });
        let token = Token(reactor.sockets.borrow_mut().insert(readiness.clone()));
        let mut socket = Socket { inner, reactor: reactor.clone(), token, readiness };
        reactor.registry.register(&mut socket.inner, token, INTEREST)?;
        Ok(socket)
    }

    /// Tries `io` if the side is ready. If it would block, the task is woken when the side has become ready.
    fn poll<T>(
        &self,
        side: usize,
        cx: &Context<'_>,
        mut io: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let side = &self.readiness.sides[side];
        while side.is_ready.get() {
            match io(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => side.is_ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                ended => return Poll::Ready(ended),
            }
        }
        let waiting = side.waiting.take().filter(|waker| waker.will_wake(cx.waker()));
        side.waiting.set(Some(waiting.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }
}

impl<S: Source> Drop for Socket<S> {
    fn drop(&mut self) {
        let _ = self.reactor.registry.deregister(&mut self.inner);
        self.reactor.sockets.borrow_mut().remove(self.token.0);
    }
}

/// A listener that tasks can await.
pub(crate) struct Listener(Socket<TcpListener>);

impl Listener {
    pub(crate) fn new(reactor: &Rc<Reactor>, listener: net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(Listener(Socket::new(reactor, TcpListener::from_std(listener))?))
    }

    /// One task at a time: a side has one waker.
    pub(crate) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let accepted = poll_fn(|cx| self.0.poll(READING, cx, TcpListener::accept)).await;
        let (stream, address) = accepted?;
        stream.set_nodelay(true)?;
        Ok((Stream(Socket::new(&self.0.reactor, stream)?), address))
    }
}

/// A stream that tasks can await.
pub(crate) struct Stream(Socket<TcpStream>);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.0.poll(READING, cx, |mut stream| stream.read(buffer));
        let is_short = matches!(read, Poll::Ready(Ok(read)) if 0 < read && read < buffer.len());
        // Elsewhere too little is reported (urgent data), or the poller has to see a `WouldBlock` (Windows).
        if is_short && self.0.readiness.only_bytes.get() && cfg!(target_os = "linux") {
            self.0.readiness.sides[READING].is_ready.set(false);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(WRITING, cx, |mut stream| stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is kept back
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.inner.shutdown(Shutdown::Write))
    }
}

/// Sends each line back, until the other end hangs up. Returns how many bytes that were.
async fn echo(stream: Stream) -> io::Result<usize> {
    let (mut stream, mut line, mut echoed) = (BufReader::new(stream), Vec::new(), 0);
    while wait_for(stream.read_until(b'\n', &mut line), PATIENCE).await?? > 0 {
        stream.get_mut().write_all(&line).await?;
        echoed += line.len();
        line.clear();
    }
    Ok(echoed)
}

/// Serves so many connections, side by side. Returns how many bytes were sent back in all.
pub(crate) fn serve(listener: net::TcpListener, connections: usize) -> io::Result<usize> {
    let (mut event_loop, reactor) = Reactor::with_loop()?;
    let served = event_loop.run(TaskGroup::scope(async |group| {
        let mut listener = Listener::new(&reactor, listener)?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            let (stream, address) = listener.accept().await?;
            clients.push(group.create_task(async move {
                // It is this client's error alone: if it went to the group, it would cancel the others.
                Ok::<_, io::Error>(echo(stream).await.unwrap_or_else(|error| {
                    eprintln!("{address}: {error}");
                    0
                }))
            }));
        }
        let mut echoed = 0;
        for client in clients {
            echoed += client.await.expect("it does not panic");
        }
        Ok::<_, io::Error>(echoed)
    }));
    served.map_err(io::Error::other)
}

/// A client on a thread: sends `lines`, and returns whether each came back.
pub(crate) fn talk(server: SocketAddr, lines: &[String]) -> io::Result<bool> {
    let mut stream = io::BufReader::new(net::TcpStream::connect(server)?);
    let mut is_same = true;
    for line in lines {
        stream.get_mut().write_all(line.as_bytes())?;
        let mut echo = Vec::new();
        stream.read_until(b'\n', &mut echo)?;
        is_same &= echo == line.as_bytes();
    }
    Ok(is_same)
}

fn main() -> io::Result<()> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let lines: Vec<_> =
                (0..50).map(|line| format!("client {client}, line {line}\n")).collect();
            thread::spawn(move || talk(server, &lines))
        })
        .collect();
    let echoed = serve(listener, clients.len())?;
    for client in clients {
        assert!(client.join().expect("a client does not panic")?, "an echo differed");
    }
    println!("20 clients, {echoed} bytes sent back");
    Ok(())
}

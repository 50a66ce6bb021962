//! # A reactor: the loop sleeps in epoll
//!
//! Sockets in one file. A task that reads from a socket which has nothing to read leaves its waker with the reactor. When no
//! task is ready, the loop sleeps in the reactor, and not by parking its thread. The reactor asks the operating system which
//! sockets have become ready, and wakes their tasks:
//!
//! ```text
//!  task ── poll_read ──▶ WouldBlock: the waker is kept        no task is ready ──▶ Reactor::sleep ──▶ epoll
//!    ▲                                                                                                  │
//!    └───────────────────── wake ◀── the waker of each socket that has become ready ◀───────────────────┘
//! ```
//!
//! A socket is registered once, edge-triggered: the operating system tells of each *change* to ready, once. So a socket counts as
//! ready until it has said `WouldBlock`. (A read that gives less than was asked for is no sign: the end of the stream may have come
//! with the same change.) No other thread takes part; a wake-up from one ends the sleep by `Poller::notify`.
//!
//! The poller comes from the crate `polling` (epoll, kqueue, …). The streams implement the traits of `futures-io`, so what asyncio
//! calls streams (`read_exact`, `read_until`, `write_all`) comes from the `futures` crate.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt};
use loopwheel::{EventLoop, TaskGroup, wait_for};
use polling::{AsSource, Event, Events, PollMode, Poller};
use slab::Slab;

/// A client that sends nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// The poller, and the sockets that are registered with it.
pub(crate) struct Reactor {
    poller: Arc<Poller>,
    /// By key.
    sockets: RefCell<Slab<Rc<[Side; 2]>>>,
}

/// One of the two sides of a socket: reading, or writing.
struct Side {
    /// No call has said `WouldBlock` since the last event.
    is_ready: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

const READING: usize = 0;
const WRITING: usize = 1;

impl Reactor {
    /// A loop that sleeps in a reactor of its own.
    pub(crate) fn with_loop() -> io::Result<(EventLoop, Rc<Reactor>)> {
        let poller = Arc::new(Poller::new()?);
        let reactor = Rc::new(Reactor { poller: poller.clone(), sockets: RefCell::default() });
        let (sleeper, mut events) = (reactor.clone(), Events::new());
        let builder = EventLoop::builder()
            .wake_hook(move || poller.notify().expect("the poller can be notified"))
            .park_with(move |at_most| sleeper.sleep(&mut events, at_most));
        Ok((builder.build(), reactor))
    }

    /// Sleeps until a socket becomes ready, or for so long, or until another thread wakes the loop. Wakes the tasks of the sockets.
    fn sleep(&self, events: &mut Events, at_most: Option<Duration>) {
        events.clear();
        self.poller.wait(events, at_most).expect("the poller works");
        for event in events.iter() {
            let Some(sides) = self.sockets.borrow().get(event.key).cloned() else { continue };
            for (side, is_ready) in sides.iter().zip([event.readable, event.writable]) {
                if is_ready {
                    side.is_ready.set(true);
                    side.waiting.take().inspect(Waker::wake_by_ref);
                }
            }
        }
    }
}

/// A socket that tasks can await. It is registered from its creation to its end.
pub(crate) struct Socket<S: AsSource> {
    inner: S,
    reactor: Rc<Reactor>,
    key: usize,
    sides: Rc<[Side; 2]>,
}

impl<S: AsSource> Socket<S> {
    fn new(reactor: &Rc<Reactor>, inner: S) -> io::Result<Socket<S>> {
        let side = || Side { is_ready: Cell::new(true), waiting: Cell::default() };
        let sides = Rc::new([side(), side()]);
        let key = reactor.sockets.borrow_mut().insert(sides.clone());
        let socket = Socket { inner, reactor: reactor.clone(), key, sides };
        // SAFETY: a socket has to be deleted from the poller before it is closed. `drop` does that; the field cannot be moved out of a
        // type with a destructor, and a `Socket` that is leaked never closes it.
        #[allow(unsafe_code)]
        unsafe {
            let source = &socket.inner.source();
            reactor.poller.add_with_mode(source, Event::all(key), PollMode::Edge)?;
        }
        Ok(socket)
    }

    /// Tries `io` if the side is ready. If it would block, the task is woken when the side has become ready.
    fn poll<T>(
        &self,
        side: usize,
        cx: &Context<'_>,
        mut io: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let side = &self.sides[side];
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

impl<S: AsSource> Drop for Socket<S> {
    fn drop(&mut self) {
        let _ = self.reactor.poller.delete(self.inner.source());
        self.reactor.sockets.borrow_mut().remove(self.key);
    }
}

/// A listener that tasks can await.
pub(crate) struct Listener(Socket<TcpListener>);

impl Listener {
    pub(crate) fn new(reactor: &Rc<Reactor>, listener: TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(Listener(Socket::new(reactor, listener)?))
    }

    /// One task at a time: a side has one waker.
    pub(crate) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let accepted = poll_fn(|cx| self.0.poll(READING, cx, TcpListener::accept)).await;
        let (stream, address) = accepted?;
        Ok((Stream::new(&self.0.reactor, stream)?, address))
    }
}

/// A stream that tasks can await.
pub(crate) struct Stream(Socket<TcpStream>);

impl Stream {
    pub(crate) fn new(reactor: &Rc<Reactor>, stream: TcpStream) -> io::Result<Stream> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Stream(Socket::new(reactor, stream)?))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(READING, cx, |mut stream| stream.read(buffer))
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
pub(crate) fn serve(listener: TcpListener, connections: usize) -> io::Result<usize> {
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
    let mut stream = io::BufReader::new(TcpStream::connect(server)?);
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
    let listener = TcpListener::bind("127.0.0.1:0")?;
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

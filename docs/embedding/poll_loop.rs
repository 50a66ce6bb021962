//! # A loop inside a host that waits in poll(2)
//!
//! The host's own loop is the oldest kind: it waits for sockets, a deadline or a wake-up, whichever comes first, and
//! then handles it. loopwheel is one of the things that it handles. The tasks on the loop serve a TCP echo server.
//!
//! ```text
//! turn ──▶ Ready · At(deadline) · Idle ──▶ poll(2), until then ──▶ wake who waited for a socket ──▶ turn
//! ```
//!
//! The poller comes from the crate `polling` (epoll, kqueue, …). loopwheel knows nothing about it: the wake hook, the
//! deadline and wakers connect the two.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use loopwheel::{Budget, EventLoop, Next, TaskGroup, TimedOut, wait_for};
use polling::{AsSource, Event, Events, Poller};

/// A client that sends nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sockets that tasks wait for.
struct Sockets {
    poller: Arc<Poller>,
    /// By key: the waker to call. A key is removed when its event has come.
    waiting: RefCell<HashMap<usize, Option<Waker>>>,
    next_key: Cell<usize>,
}

impl Sockets {
    fn new(poller: Arc<Poller>) -> Sockets {
        Sockets { poller, waiting: RefCell::default(), next_key: Cell::new(0) }
    }

    /// For tasks: waits until `socket` can be read from, or written to, as `interest` says.
    async fn ready(&self, socket: &impl AsSource, interest: fn(usize) -> Event) -> io::Result<()> {
        let key = self.next_key.replace(self.next_key.get() + 1);
        let _watch = Watch::new(self, socket, interest(key))?;
        poll_fn(|cx| match self.waiting.borrow_mut().get_mut(&key) {
            Some(waiter) => {
                *waiter = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(Ok(())),
        })
        .await
    }

    /// For the host: waits in poll(2) until something comes, then wakes the tasks that waited for it.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = Events::new();
        self.poller.wait(&mut events, timeout)?;
        for event in events.iter() {
            let waiter = self.waiting.borrow_mut().remove(&event.key);
            if let Some(waiter) = waiter.flatten() {
                waiter.wake();
            }
        }
        Ok(())
    }
}

/// A socket that is being watched. Dropped when the event has come, and when the task that waits is cancelled.
struct Watch<'a, S: AsSource> {
    sockets: &'a Sockets,
    socket: &'a S,
    key: usize,
}

impl<'a, S: AsSource> Watch<'a, S> {
    fn new(sockets: &'a Sockets, socket: &'a S, event: Event) -> io::Result<Watch<'a, S>> {
        // SAFETY: the socket must be deleted from the poller before it is closed. The watch borrows it, and deletes it
        // when dropped; `ready` keeps the watch in a local variable, so it is not leaked.
        #[allow(unsafe_code)]
        unsafe {
            sockets.poller.add(&socket.source(), event)?;
        }
        sockets.waiting.borrow_mut().insert(event.key, None);
        Ok(Watch { sockets, socket, key: event.key })
    }
}

impl<S: AsSource> Drop for Watch<'_, S> {
    fn drop(&mut self) {
        self.sockets.waiting.borrow_mut().remove(&self.key);
        let _ = self.sockets.poller.delete(self.socket.source());
    }
}

/// Sends back what comes, until the other end hangs up. Returns how many bytes that were.
async fn echo(sockets: Rc<Sockets>, mut stream: TcpStream) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?; // an echo goes back at once, in however many pieces it comes
    let (mut buffer, mut echoed) = ([0; 512], 0);
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Ok(echoed),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match wait_for(sockets.ready(&stream, Event::readable), PATIENCE).await {
                    Ok(ready) => ready?,
                    Err(TimedOut) => return Ok(echoed),
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut left = &buffer[..read];
        while !left.is_empty() {
            match stream.write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sockets.ready(&stream, Event::writable).await?;
                }
                Err(error) => return Err(error),
            }
        }
        echoed += read;
    }
}

/// Serves so many connections, side by side. Returns how many bytes were sent back in all.
async fn accept(
    sockets: Rc<Sockets>,
    listener: TcpListener,
    connections: usize,
) -> io::Result<usize> {
    listener.set_nonblocking(true)?;
    let served = TaskGroup::scope(async |group| {
        let mut clients = Vec::new();
        while clients.len() < connections {
            match listener.accept() {
                Ok((stream, _)) => clients.push(group.create_task(echo(sockets.clone(), stream))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sockets.ready(&listener, Event::readable).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let mut echoed = 0;
        for client in clients {
            echoed += client.await.unwrap_or(0); // an error of one is the group's
        }
        Ok(echoed)
    });
    served.await.map_err(|errors| io::Error::other(errors.to_string()))
}

/// The host: runs its loop until the server has served so many connections.
pub(crate) fn serve(listener: TcpListener, connections: usize) -> io::Result<usize> {
    let poller = Arc::new(Poller::new()?);
    let sockets = Rc::new(Sockets::new(poller.clone()));
    let hook = move || poller.notify().expect("the poller can be woken");
    let mut event_loop = EventLoop::builder().wake_hook(hook).build();

    let mut server = event_loop.create_task(accept(sockets.clone(), listener, connections));
    loop {
        // The limit of 64 polls ensures that a busy loop does not keep the host from its sockets.
        let timeout = match event_loop.turn(Budget::polls(64)) {
            Next::Ready => Some(Duration::ZERO),
            Next::At(deadline) => Some(deadline - event_loop.now()),
            Next::Idle => None,
        };
        if let Ok(served) = server.result() {
            return served.expect("the server does not panic");
        }
        sockets.wait(timeout)?;
    }
}

/// A client: sends `lines`, and returns whether each came back.
pub(crate) fn talk(server: SocketAddr, lines: &[String]) -> io::Result<bool> {
    let mut stream = TcpStream::connect(server)?;
    let mut is_same = true;
    for line in lines {
        stream.write_all(line.as_bytes())?;
        let mut echo = vec![0; line.len()];
        stream.read_exact(&mut echo)?;
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

//! The edges of `docs/embedding/reactor.rs`: whatever comes together with the last bytes is not lost with them.
//!
//! The other end is a socket of the operating system, and acts while the loop does not sleep: so its acts make one edge. Each test
//! runs often, because the operating system may carry them over one by one.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../docs/embedding/reactor.rs"]
#[allow(dead_code)] // its own example
mod reactor;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use loopwheel::{Task, create_task, yield_now};
use socket2::SockRef;

use common::Watchdog;
use reactor::{Listener, Reactor, Stream};

const TIMES: usize = 200;

/// Connects a stream of the reactor to a socket.
async fn connect(reactor: &Rc<Reactor>) -> (Stream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let mut listener = Listener::new(reactor, listener).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// What is read up to the end of the stream, in reads that are never filled, and how it ended.
async fn read_all(mut stream: Stream) -> (String, io::Result<()>) {
    let (mut heard, mut buffer) = (String::new(), [0; 1000]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (heard, Ok(())),
            Ok(read) => heard.push_str(str::from_utf8(&buffer[..read]).unwrap()),
            Err(error) => return (heard, Err(error)),
        }
    }
}

/// A task that waits for this stream, which has been read from before.
async fn waiting<T: 'static>(
    reactor: &Rc<Reactor>,
    read: impl AsyncFnOnce(Stream) -> T + 'static,
) -> (Task<T>, TcpStream) {
    let (mut stream, mut peer) = connect(reactor).await;
    peer.write_all(b"first").unwrap();
    assert_eq!(stream.read(&mut [0; 1000]).await.unwrap(), 5);
    let reader = create_task(read(stream));
    let (mut bell, mut ringer) = connect(reactor).await;
    ring(&mut ringer);
    bell.read_exact(&mut [0]).await.unwrap(); // so the loop has slept, and has seen all earlier edges
    (reader, peer)
}

fn ring(ringer: &mut TcpStream) {
    ringer.write_all(&[0]).unwrap();
}

fn run(what: &str, mut test: impl AsyncFnMut(&Rc<Reactor>)) {
    let _watchdog = Watchdog::new(what);
    for _ in 0..TIMES {
        let (mut event_loop, reactor) = Reactor::with_loop().unwrap();
        event_loop.run(test(&reactor));
    }
}

#[test]
fn bytes_and_the_end_of_the_stream_in_one_edge_both_arrive() {
    run("bytes and the end in one edge", async |reactor| {
        let (reader, mut peer) = waiting(reactor, read_all).await;
        peer.write_all(b"last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap(); // the loop has not slept since
        let (heard, ended) = reader.await.unwrap();
        assert_eq!(heard, "last");
        ended.unwrap();
    });
}

#[test]
fn an_end_of_the_stream_between_the_edge_of_the_bytes_and_their_read_arrives() {
    run("the end between edge and read", async |reactor| {
        let (reader, mut peer) = waiting(reactor, read_all).await;
        let (mut bell, mut ringer) = connect(reactor).await;
        let mut other = [0];
        let waiting = create_task(async move { bell.read_exact(&mut other).await });
        yield_now().await;
        ring(&mut ringer);
        peer.write_all(b"last").unwrap();
        waiting.await.unwrap().unwrap(); // the edges of both have been seen; the reader may not have been polled yet
        peer.shutdown(Shutdown::Write).unwrap();
        let (heard, ended) = reader.await.unwrap();
        assert_eq!(heard, "last");
        ended.unwrap();
    });
}

#[test]
fn an_end_of_the_stream_after_the_short_read_is_an_edge_of_its_own() {
    run("the end after the short read", async |reactor| {
        let (mut stream, mut peer) = connect(reactor).await;
        peer.write_all(b"last").unwrap();
        let mut buffer = [0; 1000];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 4);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "the end is there to stay");
        stream.write_all(b"still open").await.unwrap();
    });
}

#[test]
fn bytes_and_an_end_that_came_before_the_registration_both_arrive() {
    run("bytes and the end before the registration", async |reactor| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.write_all(b"all").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut listener = Listener::new(reactor, listener).unwrap();
        let (heard, ended) = read_all(listener.accept().await.unwrap().0).await;
        assert_eq!(heard, "all");
        ended.unwrap();
    });
}

#[test]
fn bytes_and_a_reset_in_one_edge_do_not_leave_the_task_waiting() {
    run("bytes and a reset in one edge", async |reactor| {
        let (reader, mut peer) = waiting(reactor, read_all).await;
        peer.write_all(b"last").unwrap();
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let (_, ended) = reader.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn bytes_behind_urgent_data_which_stop_a_read_arrive() {
    run("bytes behind urgent data", async |reactor| {
        let read_two = async |mut stream: Stream| {
            let mut buffer = [0; 1000];
            (stream.read(&mut buffer).await.unwrap(), stream.read(&mut buffer).await.unwrap())
        };
        let (reader, mut peer) = waiting(reactor, read_two).await;
        peer.write_all(b"before").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"behind it").unwrap();
        assert_eq!(reader.await.unwrap(), (6, 9));
    });
}

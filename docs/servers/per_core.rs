//! # One loop per core
//!
//! For Unix. A loop is one thread. To use all cores, run a loop on each. Each has a listener of its own on the same port
//! (`SO_REUSEPORT`: on Linux the kernel spreads the clients over them), and its own part of the state, so there is no lock. What
//! belongs to another loop is asked for with its `Handle`, which costs two switches of threads.
//!
//! The example counts: `add KEY NUMBER` answers with the new sum of that key, and says which loop took the client and which one
//! has the key. `cargo run -p ecosystem --example per_core -- 4000`, and `nc localhost 4000`. Ctrl-C or SIGTERM ends it;
//! clients are cut.
//!
//! A loop more costs a request nothing, unless it crosses to another loop. The server's CPU time for one request, where 64 clients
//! send a hundred at once: 2.4 µs with one loop; 2.4 µs with two, if a client asks only for keys of its own loop; 3.8 µs with keys of
//! both. So a second core doubles what can be answered in the first case (420,000 requests a second for each core), and gives a
//! quarter more in the last. This is computed from CPU time: on the two cores of the machine the clients take another 1 to 2 µs, and
//! other programs ran. (`cargo run --release -p ecosystem --example per_core_load`, 2026-11-28, medians of seven rounds.)
//!
//! All sockets of `async-io` are in one poller of the process, in which the loops wait in turn. If the poller is what limits a
//! program, give each loop one of its own, with `EventLoopBuilder::park_with`: `docs/embedding/reactor.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::num::NonZero;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use async_signal::{Signal, Signals};
use futures::future::{Either, select};
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncWriteExt, StreamExt};
use loopwheel::sync::Event;
use loopwheel::{Handle, TaskGroup, sleep};
use socket2::{Domain, Socket, Type};

/// What one loop has. Only its own thread can reach it.
#[derive(Default)]
struct Shard {
    sums: RefCell<HashMap<String, i64>>,
    stop: Event,
}

thread_local! {
    static SHARD: Rc<Shard> = Rc::default();
}

/// The loops, as each of them sees them.
#[derive(Clone)]
struct Loops {
    here: usize,
    all: Arc<[Handle]>,
}

fn add_here(key: &str, number: i64) -> i64 {
    SHARD.with(|shard| {
        let mut sums = shard.sums.borrow_mut();
        let sum = sums.entry(key.to_owned()).or_default();
        *sum += number;
        *sum
    })
}

impl Loops {
    fn of_key(&self, key: &str) -> usize {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        usize::try_from(hash % self.all.len() as u64).expect("it is below a `usize`")
    }

    /// Adds on the loop that has the key.
    async fn add(&self, key: &str, number: i64) -> io::Result<i64> {
        let there = self.of_key(key);
        if there == self.here {
            return Ok(add_here(key, number));
        }
        let key = key.to_owned();
        let task = self.all[there].create_task(move || async move { add_here(&key, number) });
        task.map_err(io::Error::other)?.await.map_err(io::Error::other)
    }

    async fn serve_client(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?; // or an answer waits until the client has acknowledged the one before
        let mut lines = BufReader::new(stream.clone()).lines();
        while let Some(line) = lines.next().await.transpose()? {
            let words: Vec<_> = line.split_whitespace().collect();
            let answer = match words[..] {
                ["add", key, number] if number.parse::<i32>().is_ok() => {
                    let sum = self.add(key, number.parse().expect("it was tried")).await?;
                    format!("{sum}, by loop {} for loop {}\n", self.here, self.of_key(key))
                }
                _ => "say: add KEY NUMBER\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }
}

/// One of the loops: serves until its shard is told to stop, and cuts the clients then.
async fn serve(listener: StdListener, loops: Loops) -> io::Result<()> {
    let listener = TcpListener::try_from(listener)?;
    let shard = SHARD.with(Rc::clone);
    let served = TaskGroup::scope(async |group| {
        loop {
            let (accepting, stopping) = (pin!(listener.accept()), pin!(shard.stop.wait()));
            let Either::Left((accepted, _)) = select(accepting, stopping).await else { break };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("no connection was accepted: {error}"); // too many files are open? It may pass.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let loops = loops.clone();
            group.create_task(async move {
                if let Err(error) = loops.serve_client(stream).await {
                    eprintln!("{address}: {error}");
                }
            });
        }
        group.cancel();
        Ok::<_, io::Error>(())
    });
    served.await.map_err(|errors| io::Error::other(errors.to_string()))
}

/// A listener that shares its port with others of this program.
fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Serves with so many loops until Ctrl-C or SIGTERM.
pub(crate) fn serve_until_a_signal(port: u16, loops: usize) -> io::Result<()> {
    let first = listen((Ipv4Addr::LOCALHOST, port).into())?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..loops {
        listeners.push(listen(address)?);
    }
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    // The loops have to know each other before they exist: a reservation becomes a loop on its thread.
    let (handles, reservations): (Vec<_>, Vec<_>) = (0..loops).map(|_| Handle::reserve()).unzip();
    let all: Arc<[Handle]> = handles.into();
    thread::scope(|threads| {
        for (here, (listener, reservation)) in listeners.into_iter().zip(reservations).enumerate() {
            let loops = Loops { here, all: all.clone() };
            threads.spawn(move || {
                let builder = loopwheel::io::builder().name(format!("loop {here}"));
                let mut event_loop = builder.reservation(reservation).build();
                if let Err(error) = event_loop.run(serve(listener, loops)) {
                    eprintln!("loop {here} has ended: {error}");
                }
            });
        }
        loopwheel::io::run(async {
            println!("listening on {address}");
            signals.next().await;
            for handle in &*all {
                let told = handle.call_soon(|| SHARD.with(|shard| shard.stop.set()));
                told.unwrap_or_else(|gone| eprintln!("{gone}"));
            }
        });
    });
    Ok(())
}

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(4000, |port| port.parse().expect("a port"));
    serve_until_a_signal(port, thread::available_parallelism().map_or(1, NonZero::get))
}

//! The clients of the workloads with sockets: one process, the same for all executors. Where there are many, it has a core to itself.
//! It waits in epoll and does nothing but write a request and read its reply, so a server on an executor has more to do.
//!
//! The server starts it, and tells it on its standard input how many round trips to make. At the end of that input it ends.

use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::sockopt::set_socket_linger;

use crate::cores;
use crate::workloads::Runs;

/// What is asked of the server, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// 64 bytes, which come back.
    Echo,
    /// HTTP/1.1, on connections that are kept.
    Http,
}

/// What a reply of HTTP ends with.
pub(crate) const BODY: &str = "Hello, client!";

const REQUEST: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";

impl Protocol {
    /// A request, and what its reply ends with. No two connections say the same to an echo.
    fn exchange(self, connection: usize) -> (Vec<u8>, Vec<u8>) {
        match self {
            Protocol::Echo => {
                let bytes = format!("{connection:-<64}").into_bytes();
                (bytes.clone(), bytes)
            }
            Protocol::Http => (REQUEST.into(), BODY.into()),
        }
    }
}

/// Who connects to the server, and what they say.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Connections that make one round trip at the beginning, and no more.
    pub(crate) idle: usize,
    pub(crate) protocol: Protocol,
}

/// The process, as its server sees it.
pub(crate) struct Clients(Child);

impl Clients {
    /// Starts the process. Each connection makes one round trip at once.
    pub(crate) fn start(server: SocketAddr, plan: Plan, runs: Runs) -> Clients {
        let spawn = || {
            if runs == Runs::TwoCoresMedian {
                cores::move_to_the_other(); // what a thread starts stays on the core of the thread
            }
            let protocol = clap::ValueEnum::to_possible_value(&plan.protocol);
            Command::new(std::env::current_exe()?)
                .args(["clients", &server.to_string()])
                .args([plan.connections, plan.idle].map(|number| number.to_string()))
                .arg(protocol.expect("it has a name").get_name())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
        };
        let child = thread::scope(|scope| scope.spawn(spawn).join());
        Clients(child.expect("no panic").expect("this program can be run"))
    }

    /// Has each connection make so many round trips.
    pub(crate) fn begin(&self, trips: usize) {
        let mut stdin = self.0.stdin.as_ref().expect("it is piped");
        writeln!(stdin, "{trips}").expect("the clients are there");
    }

    /// Ends the process.
    pub(crate) fn end(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("it is a child");
        assert!(status.success(), "the clients ended with {status}");
    }
}

/// A connection of a client. It is a blocking one: it is only read when there is something to read.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    reply_ends_with: Vec<u8>,
    reply: Vec<u8>,
    trips_left: usize,
}

impl Client {
    /// Connects, and makes a round trip: so the server has accepted it, and its backlog never overflows.
    fn connect(server: SocketAddr, number: usize, protocol: Protocol) -> Result<Client> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        set_socket_linger(&stream, Some(Duration::ZERO))?; // closed with a reset: thousands would stay in TIME_WAIT
        let (request, reply_ends_with) = protocol.exchange(number);
        let mut client =
            Client { stream, request, reply_ends_with, reply: Vec::new(), trips_left: 1 };
        client.ask()?;
        while client.trips_left > 0 {
            client.hear()?;
        }
        Ok(client)
    }

    fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request)
    }

    /// Reads once. If that was the end of a reply, the next request is sent, unless it was the last.
    fn hear(&mut self) -> Result<()> {
        let mut bytes = [0; 1024];
        let read = self.stream.read(&mut bytes)?;
        ensure!(read > 0, "the server has hung up");
        self.reply.extend(&bytes[..read]);
        if self.reply.ends_with(&self.reply_ends_with) {
            self.reply.clear();
            self.trips_left -= 1;
            if self.trips_left > 0 {
                self.ask()?;
            }
        }
        ensure!(self.reply.len() < bytes.len(), "this is not the reply: {:?}", self.reply);
        Ok(())
    }
}

/// What the process does.
pub(crate) fn run(server: SocketAddr, plan: Plan) -> Result<()> {
    let connect = |number| Client::connect(server, number, plan.protocol);
    let idle: Vec<_> = (0..plan.idle).map(connect).collect::<Result<_>>()?;
    let mut clients: Vec<_> =
        (plan.idle..plan.idle + plan.connections).map(connect).collect::<Result<_>>()?;
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (number, client) in (0..).zip(&clients) {
        epoll::add(
            &poller,
            &client.stream,
            epoll::EventData::new_u64(number),
            epoll::EventFlags::IN,
        )?;
    }
    let mut events = Vec::with_capacity(plan.connections);
    for line in io::stdin().lock().lines() {
        let trips = line?.parse()?;
        for client in &mut clients {
            client.trips_left = trips;
            client.ask()?;
        }
        let mut busy = clients.len();
        while busy > 0 {
            events.clear();
            epoll::wait(&poller, spare_capacity(&mut events), None)?;
            for event in &events {
                let client = &mut clients[usize::try_from(event.data.u64())?];
                if client.trips_left == 0 {
                    continue; // the server has what it waited for, and hangs up while others still read
                }
                client.hear()?;
                busy -= usize::from(client.trips_left == 0);
            }
        }
    }
    drop(idle);
    Ok(())
}

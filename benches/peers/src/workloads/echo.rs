//! A server on the executor, and clients in a process of their own: bytes that come back.

use std::cell::{Cell, OnceCell};
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process;
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clients::{Clients, Plan, Protocol};
use crate::executor::Sockets;
use crate::measure::{Sample, laps, repeat_bare};
use crate::parts::Muster;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const ONE: Workload = Workload {
    name: "echo-1",
    about: "a TCP server sends 64 bytes back to one client over loopback; an operation is a round trip",
    unit: Unit::CpuAndWallNanos,
    runs: Runs::PinnedMedian,
};

pub(crate) const HUNDRED: Workload = Workload {
    name: "echo-100",
    about: "the same with 100 connections, on two cores; an operation is a round trip",
    runs: Runs::TwoCoresMedian,
    ..ONE
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "echo-1000",
    about: "the same with 1,000 connections; an operation is a round trip",
    ..HUNDRED
};

pub(crate) const BESIDE_IDLE: Workload = Workload {
    name: "echo-idle",
    about: "the same with 100 connections, and 10,000 idle ones; an operation is a round trip",
    ..HUNDRED
};

const IDLE: usize = 10_000;

/// How much a server reads at once.
const BUFFER: usize = 1024;

pub(crate) fn measure<E: Sockets>(workload: &'static Workload, scale: Scale) -> Sample {
    measure_server::<E, _>(workload, scale, plan(workload, scale), echo::<E>)
}

/// What the clients of a workload do.
fn plan(workload: &Workload, scale: Scale) -> Plan {
    let (connections, idle) = match workload.name {
        "echo-1" => (1, 0),
        "echo-100" => (100, 0),
        "echo-1000" => (1_000, 0),
        "echo-idle" => (100, idle_that_fit()),
        name => unreachable!("{name} is no echo"),
    };
    let (connections, idle) = (scale.size(connections), scale.size(idle));
    Plan { connections, idle, protocol: Protocol::Echo }
}

/// As many idle connections as there are in `echo-idle`, or as the limit of open files allows.
fn idle_that_fit() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    IDLE.min(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(200))
}

/// What has to be said of the figures if there are fewer.
pub(crate) fn fewer_idle() -> Option<String> {
    let fit = idle_that_fit();
    (fit < IDLE).then(|| format!("{fit} idle connections: more files may not be open here"))
}

/// The trips of all connections in a lap.
fn trips(scale: Scale, plan: Plan) -> usize {
    plan.connections * (scale.size(10_000) / plan.connections).max(2)
}

/// Runs a server on the executor: one task a connection. `serve` calls `arrive` for each trip.
pub(crate) fn measure_server<E: Sockets, F: Future<Output = io::Result<()>> + 'static>(
    workload: &'static Workload,
    scale: Scale,
    plan: Plan,
    serve: impl Fn(E::Stream, Rc<Muster>) -> F + Copy + 'static,
) -> Sample {
    allow_files();
    let trips = trips(scale, plan);
    let muster = Rc::new(Muster::default());
    let clients = Rc::new(OnceCell::new());
    let once = {
        let clients = clients.clone();
        move || {
            let (muster, clients) = (muster.clone(), clients.clone());
            async move {
                if clients.get().is_none() {
                    muster.expect(plan.connections + plan.idle);
                    let (listener, address) = E::listen().unwrap_or_else(|why| failed(why));
                    E::spawn_detached(accept::<E, _>(listener, muster.clone(), serve));
                    let _ = clients.set(Clients::start(address, plan, workload.runs));
                    muster.complete().await;
                }
                muster.expect(trips);
                let clients: &Clients = clients.get().expect("they were started");
                clients.begin(trips / plan.connections);
                muster.complete().await;
            }
        }
    };
    let laps = E::run_with_sockets(async move { E::join(E::spawn(laps(scale, once))).await });
    // Not before: nothing hangs up while the server runs.
    Rc::into_inner(clients).and_then(OnceCell::into_inner).expect("they were started").end();
    laps.sample(workload.unit, trips)
}

async fn accept<E: Sockets, F: Future<Output = io::Result<()>> + 'static>(
    mut listener: E::Listener,
    muster: Rc<Muster>,
    serve: impl Fn(E::Stream, Rc<Muster>) -> F,
) {
    loop {
        let stream = E::accept(&mut listener).await.unwrap_or_else(|why| failed(why));
        let served = serve(stream, muster.clone());
        E::spawn_detached(async {
            match served.await {
                Ok(()) => failed("a client has hung up"),
                Err(why) => failed(why),
            }
        });
    }
}

/// A panic of a task is not seen everywhere, and without it the others would wait for ever.
fn failed(why: impl Display) -> ! {
    eprintln!("the server: {why}");
    process::exit(1)
}

async fn echo<E: Sockets>(mut stream: E::Stream, muster: Rc<Muster>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (read, filled) = E::read(&mut stream, buffer).await?;
        if read == 0 {
            return Ok(());
        }
        buffer = E::write_all(&mut stream, filled, read).await?;
        muster.arrive();
    }
}

/// As many open files as this process may have; what it starts inherits that.
fn allow_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the maximum");
}

/// The same by hand: epoll, and nothing that could be called a task.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    allow_files();
    let plan = plan(workload, scale);
    let trips = trips(scale, plan);
    let mut server = BareServer::new().unwrap_or_else(|why| failed(why));
    let clients = Clients::start(server.address, plan, workload.runs);
    let mut serve = |trips| server.serve(trips).unwrap_or_else(|why| failed(why));
    serve(plan.connections + plan.idle);
    let sample = repeat_bare(workload, scale, trips, || {
        clients.begin(trips / plan.connections);
        serve(trips);
    });
    clients.end();
    sample
}

struct BareServer {
    poller: rustix::fd::OwnedFd,
    listener: TcpListener,
    address: SocketAddr,
    streams: Vec<TcpStream>,
    events: Vec<epoll::Event>,
}

/// The key of the listener.
const LISTENER: u64 = u64::MAX;

impl BareServer {
    fn new() -> io::Result<BareServer> {
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (streams, events) = (Vec::new(), Vec::with_capacity(1024));
        let server = BareServer { poller, listener, address, streams, events };
        server.add(&server.listener, LISTENER)?;
        Ok(server)
    }

    fn add(&self, source: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::add(&self.poller, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
    }

    fn serve(&mut self, trips: usize) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        let left = Cell::new(trips);
        while left.get() > 0 {
            self.events.clear();
            epoll::wait(&self.poller, spare_capacity(&mut self.events), None)?;
            for event in 0..self.events.len() {
                let key = self.events[event].data.u64();
                if key == LISTENER {
                    let (stream, _) = self.listener.accept()?;
                    stream.set_nodelay(true)?;
                    self.add(&stream, self.streams.len() as u64)?;
                    self.streams.push(stream);
                    continue;
                }
                let mut stream = &self.streams[usize::try_from(key).expect("an index")];
                let read = stream.read(&mut buffer)?;
                if read == 0 {
                    return Err(io::Error::other("a client has hung up"));
                }
                stream.write_all(&buffer[..read])?;
                left.set(left.get() - 1);
            }
        }
        Ok(())
    }
}

//! Measures `docs/servers/per_core.rs`: what a request costs the server, and how many are answered in a second, with one loop and with
//! two. For Linux. `cargo run --release -p ecosystem --example per_core_load`
//!
//! The clients are another process. They send their requests in batches, so that they need far less of the processor than the server.
#![allow(clippy::cast_precision_loss)] // figures of three digits

#[path = "../../docs/servers/per_core.rs"]
#[allow(dead_code)] // its own example
mod per_core;

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use async_net::TcpStream;
use futures::io::{BufReader, Lines};
use futures::{AsyncBufReadExt, AsyncWriteExt, StreamExt};
use loopwheel::try_gather;

const CLIENTS: usize = 64;
const KEYS: usize = 64;
const BATCH: usize = 100;
const BATCHES: usize = 50;
const ROUNDS: usize = 7;

struct Client {
    stream: TcpStream,
    answers: Lines<BufReader<TcpStream>>,
    batch: String,
}

impl Client {
    /// `only_here`: with the keys of the loop that takes this client.
    async fn connect(server: SocketAddr, only_here: bool) -> io::Result<Client> {
        let stream = TcpStream::connect(server).await?;
        let answers = BufReader::new(stream.clone()).lines();
        let mut client = Client { stream, answers, batch: String::new() };
        let mut keys = vec![];
        for number in 0..KEYS {
            let request = format!("add key-{number} 1\n");
            client.stream.write_all(request.as_bytes()).await?;
            let answer = client.answer().await?;
            let (by, of) = answer
                .split_once(", by loop ")
                .and_then(|(_, loops)| loops.split_once(" for loop "))
                .expect("an answer says which loops it is from");
            if by == of || !only_here {
                keys.push(request);
            }
        }
        client.batch = keys.into_iter().cycle().take(BATCH).collect();
        Ok(client)
    }

    async fn answer(&mut self) -> io::Result<String> {
        self.answers.next().await.expect("the server does not hang up")
    }

    async fn ask(mut self) -> io::Result<()> {
        for _ in 0..BATCHES {
            self.stream.write_all(self.batch.as_bytes()).await?;
            for _ in 0..BATCH {
                self.answer().await?;
            }
        }
        Ok(())
    }
}

/// The server, in a process of its own.
struct Server(Child);

impl Server {
    fn start(loops: usize) -> io::Result<(Server, SocketAddr)> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(loops.to_string()).stdout(Stdio::piped()).spawn()?;
        let mut says = String::new();
        io::BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut says)?;
        let address = says.trim().strip_prefix("listening on ").expect("it says where it listens");
        Ok((Server(child), address.parse().map_err(io::Error::other)?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The CPU time of a process, which Linux counts in hundredths of a second.
fn cpu_time(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in brackets");
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<u64>().expect("it is a number"));
    Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
}

/// Nanoseconds for a request: of the clock on the wall, of the server's CPU time, and of the clients'.
fn measure(loops: usize, only_here: bool) -> io::Result<[f64; 3]> {
    let (server, address) = Server::start(loops)?;
    loopwheel::io::run(async {
        let clients = (0..CLIENTS).map(|_| Client::connect(address, only_here));
        let clients = try_gather(clients.collect::<Vec<_>>()).await?;
        let processes = [server.0.id(), process::id()];
        // The real clock is the point: it is printed, and nothing is asserted.
        let (began, before) = (Instant::now(), processes.map(cpu_time));
        try_gather(clients.into_iter().map(Client::ask).collect::<Vec<_>>()).await?;
        let mut taken = [began.elapsed(), Duration::ZERO, Duration::ZERO];
        for ((taken, process), before) in taken[1..].iter_mut().zip(processes).zip(before) {
            *taken = cpu_time(process)?.saturating_sub(before?);
        }
        Ok(taken.map(|time| time.as_nanos() as f64 / (CLIENTS * BATCHES * BATCH) as f64))
    })
}

fn main() -> io::Result<()> {
    if let Some(loops) = env::args().nth(1) {
        return per_core::serve_until_a_signal(0, loops.parse().expect("a number of loops"));
    }
    let ways = [
        ("one loop", 1, false),
        ("two loops, keys of the same loop", 2, true),
        ("two loops, keys of both", 2, false),
    ];
    let mut measured = ways.map(|_| vec![]);
    for _ in 0..ROUNDS {
        for ((_, loops, only_here), measured) in ways.iter().zip(&mut measured) {
            measured.push(measure(*loops, *only_here)?);
        }
    }
    println!("nanoseconds for a request: median (least) of {ROUNDS} rounds");
    println!("{:34}{:>16}{:>16}{:>16}", "", "wall", "server's CPU", "clients' CPU");
    for ((name, ..), measured) in ways.iter().zip(measured) {
        print!("{name:34}");
        for column in 0..3 {
            let mut figures: Vec<_> = measured.iter().map(|round| round[column]).collect();
            figures.sort_by(f64::total_cmp);
            print!("{:>16}", format!("{:.0} ({:.0})", figures[ROUNDS / 2], figures[0]));
        }
        println!();
    }
    Ok(())
}

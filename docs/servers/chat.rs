//! # A chat server
//!
//! A client says its name in the first line. What it says then goes to all others. Each client has a queue of a few lines, and code
//! of its own that writes them: so one that reads slowly does not hold the others up. If its queue is full, it misses lines, and is
//! told how many.
//!
//! `cargo run -p ecosystem --example chat -- 4000`, and then `nc localhost 4000` in several terminals. Ctrl-C or SIGTERM
//! cancels `main`, and with it all clients; the exit code is the shell's for the signal, 130 or 143.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use async_signal::{Signal, Signals};
use futures::future::select;
use futures::io::{BufReader, Lines};
use futures::{AsyncBufReadExt, AsyncWriteExt, StreamExt};
use loopwheel::sync::Queue;
use loopwheel::{RunError, TaskGroup, create_task, current_task, finally, sleep, try_create_task};

const QUEUED_LINES: usize = 16;

struct Client {
    name: String,
    lines: Queue<Rc<str>>,
    missed: Cell<usize>,
}

/// The clients that are here.
#[derive(Default)]
struct Room(RefCell<Vec<Rc<Client>>>);

impl Room {
    /// Adds a client, unless one of that name is here.
    fn enter(&self, name: &str) -> Option<Rc<Client>> {
        if name.is_empty() || self.0.borrow().iter().any(|client| client.name == name) {
            return None;
        }
        let lines = Queue::bounded(QUEUED_LINES);
        let client = Rc::new(Client { name: name.to_owned(), lines, missed: Cell::new(0) });
        self.0.borrow_mut().push(client.clone());
        self.tell_others(&client, &format!("* {name} is here\n"));
        Some(client)
    }

    fn leave(&self, client: &Client) {
        self.0.borrow_mut().retain(|other| other.name != client.name);
        self.tell_others(client, &format!("* {} has left\n", client.name));
    }

    /// Waits for no client: a line that does not fit into a queue is missed.
    fn tell_others(&self, from: &Client, line: &str) {
        let line: Rc<str> = line.into();
        for client in self.0.borrow().iter().filter(|client| client.name != from.name) {
            if client.lines.put_nowait(line.clone()).is_err() {
                client.missed.set(client.missed.get() + 1);
            }
        }
    }
}

/// What the client says goes to the others. (A server for strangers would limit the length of a line, and how many come a second.)
async fn hear(
    mut said: Lines<BufReader<TcpStream>>,
    client: &Client,
    room: &Room,
) -> io::Result<()> {
    while let Some(line) = said.next().await {
        room.tell_others(client, &format!("{}: {}\n", client.name, line?));
    }
    Ok(())
}

/// What the others say goes to the client.
async fn tell(mut stream: TcpStream, client: &Client) -> io::Result<()> {
    loop {
        let line = client.lines.get().await.expect("no queue is shut down");
        stream.write_all(line.as_bytes()).await?;
        let missed = client.missed.take();
        if missed > 0 {
            stream.write_all(format!("* you missed {missed} lines\n").as_bytes()).await?;
        }
    }
}

async fn chat(mut stream: TcpStream, room: Rc<Room>) -> io::Result<()> {
    let mut said = BufReader::new(stream.clone()).lines();
    stream.write_all(b"* your name?\n").await?;
    let client = loop {
        let Some(name) = said.next().await.transpose()? else { return Ok(()) };
        match room.enter(name.trim()) {
            Some(client) => break client,
            None => stream.write_all(b"* another name, please\n").await?,
        }
    };
    // The client leaves in any case: at its end, after an error, and if the server is cancelled.
    finally(
        async {
            let (hearing, telling) = (hear(said, &client, &room), tell(stream, &client));
            // When one has ended, the other is dropped.
            select(pin!(hearing), pin!(telling)).await.factor_first().0
        },
        async || room.leave(&client),
    )
    .await
}

async fn serve(listener: TcpListener) -> io::Result<Infallible> {
    let room = Rc::new(Room::default());
    TaskGroup::scope(async |group| -> io::Result<Infallible> {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("no connection was accepted: {error}"); // too many files are open? It may pass.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let room = room.clone();
            group.create_task(async move {
                // It is this client's error alone: if it went to the group, it would cancel the others. So would a panic, which ends
                // only the task that it is in: this one awaits another.
                if let Err(error) = try_create_task(chat(stream, room)).await {
                    eprintln!("{address}: {error}");
                }
            });
        }
    })
    .await
    .map_err(|errors| io::Error::other(format!("{errors:#}")))
}

/// Waits for a signal, and returns the shell's number for it: 130 for SIGINT, 143 for SIGTERM.
async fn next_signal(signals: &mut Signals) -> u8 {
    let is_term = matches!(signals.next().await, Some(Ok(Signal::Term)));
    if is_term { 143 } else { 130 }
}

/// Serves until Ctrl-C or SIGTERM, and returns the exit code.
pub(crate) fn serve_until_a_signal(port: u16) -> u8 {
    let code = Rc::new(Cell::new(0));
    let signalled = code.clone();
    let ended = loopwheel::io::try_run(async {
        let (main, mut signals) = (current_task(), Signals::new([Signal::Int, Signal::Term])?);
        drop(create_task(async move {
            signalled.set(next_signal(&mut signals).await);
            main.cancel_with_reason("a signal");
        }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("listening on {}", listener.local_addr()?);
        serve(listener).await
    });
    let error: Box<dyn Error> = match ended {
        Err(RunError::Cancelled(_)) => return code.get(),
        Err(error) => error.into(),
        Ok(Err(error)) => error.into(),
    };
    eprintln!("{error}");
    1
}

fn main() -> ExitCode {
    let port = env::args().nth(1).map_or(4000, |port| port.parse().expect("a port"));
    ExitCode::from(serve_until_a_signal(port))
}

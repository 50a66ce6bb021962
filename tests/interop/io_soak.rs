//! Two thousand connections on `loopwheel::io`, of which many end badly: resets, half-closes, time-outs, cancels and drops, from
//! both sides. When they have ended nothing is left: no task, no child of a group, no file descriptor.
//!
//! It is alone in its process, so that no other test opens files while it counts them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dice.rs"]
mod dice;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use common::{Trace, Watchdog, ms};
use dice::Dice;
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt};
use loopwheel::sync::Event;
use loopwheel::{
    TaskGroup, TaskGroupBuilder, all_tasks, create_task, current_task, finally, sleep, wait_for,
    yield_now,
};
use socket2::SockRef;

const CONNECTIONS: u64 = 2_000;
const AT_ONCE: usize = 100;
const SEEDS: u64 = 2;

/// What the first byte of a client asks the server for.
const ECHO: u8 = b'e';
const WITH_LIMIT: u8 = b'l';
const RESET: u8 = b'r';
const CANCEL: u8 = b'c';

/// Makes the end of this connection a reset.
fn will_reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Counts what is alive.
#[derive(Clone, Default)]
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn add(&self) -> Alive {
        self.0.set(self.0.get() + 1);
        self.clone()
    }
}

/// The server's end of one connection.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer[..1]).await? == 0 {
        return Ok(());
    }
    let asked = buffer[0];
    match asked {
        RESET => {
            will_reset(&stream);
            return Ok(());
        }
        CANCEL => _ = current_task().cancel(),
        _ => {}
    }
    let limit = (asked == WITH_LIMIT).then(|| ms(5));
    loop {
        match wait_for(stream.read(&mut buffer), limit).await?? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// Accepts until `stop` is set, and then waits until each connection has ended by itself: none is cancelled.
async fn serve(listener: TcpListener, stop: Rc<Event>, errors: Rc<Cell<u64>>) {
    let alive = Alive::default();
    TaskGroup::<Infallible>::scope(async |group| {
        loop {
            let (accepting, stopping) = (pin!(listener.accept()), pin!(stop.wait()));
            let Either::Left((accepted, _)) = select(accepting, stopping).await else { break };
            let (stream, _) = accepted.unwrap();
            let (alive, errors) = (alive.add(), errors.clone());
            group.create_task(finally(
                async move {
                    if echo(stream).await.is_err() {
                        errors.set(errors.get() + 1);
                    }
                },
                async move || {
                    yield_now().await; // a clean-up that waits
                    alive.0.set(alive.0.get() - 1);
                },
            ));
        }
        while group.running() > 0 {
            sleep(ms(1)).await; // the watchdog ends this
        }
    })
    .await
    .unwrap();
    assert_eq!(alive.0.get(), 0);
}

/// Asks, a few times, and gets what it has sent.
async fn converse(stream: &mut TcpStream, dice: &mut Dice) -> io::Result<()> {
    for _ in 0..=dice.below(3) {
        let said: Vec<u8> = (0..=dice.number_below(20_000)).map(|_| dice.next() as u8).collect();
        stream.write_all(&said).await?;
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard).await?;
        assert!(heard == said, "what came back is not what was sent");
    }
    Ok(())
}

async fn converse_for_ever(mut stream: TcpStream, mut dice: Dice) {
    while converse(&mut stream, &mut dice).await.is_ok() {}
}

/// What a client does, and the name of that.
async fn client(server: SocketAddr, mut dice: Dice) -> &'static str {
    let deed = dice.below(12);
    let asks_for = match deed {
        0 => RESET,
        1 => CANCEL,
        2 => WITH_LIMIT,
        _ => ECHO,
    };
    let mut stream = TcpStream::connect(server).await.unwrap();
    if deed == 3 {
        return "closes at once";
    }
    stream.write_all(&[asks_for]).await.unwrap();
    match deed {
        0 => {
            assert!(matches!(stream.read(&mut [0]).await, Err(_) | Ok(0)));
            "is reset"
        }
        1 => {
            assert!(matches!(stream.read(&mut [0]).await, Err(_) | Ok(0)));
            "is cancelled by the server"
        }
        2 => {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            "is silent for too long"
        }
        4 => {
            let _ = wait_for(converse(&mut stream, &mut dice), ms(1)).await;
            will_reset(&stream);
            "resets"
        }
        5 => {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            "closes one half at once"
        }
        6 => {
            converse(&mut stream, &mut dice).await.unwrap();
            stream.write_all(b"the end").await.unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = vec![];
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"the end");
            "closes one half when it has spoken"
        }
        7 => {
            assert!(wait_for(stream.read(&mut [0]), ms(dice.number_below(4))).await.is_err());
            converse(&mut stream, &mut dice).await.unwrap();
            "waits in vain and goes on"
        }
        8 => {
            let talk = converse_for_ever(stream, dice);
            assert!(wait_for(talk, ms(2)).await.is_err());
            "is ended by its limit"
        }
        9 => {
            let turns = dice.below(20);
            let talk = create_task(converse_for_ever(stream, dice));
            for _ in 0..turns {
                yield_now().await;
            }
            talk.cancel();
            assert!(talk.await.unwrap_err().is_cancelled());
            "is cancelled"
        }
        10 => {
            let pause = sleep(ms(dice.number_below(4)));
            select(pin!(converse_for_ever(stream, dice)), pin!(pause)).await;
            "is dropped in a select"
        }
        _ => {
            let failed = TaskGroup::scope(async |group| {
                group.create_task(async move {
                    converse(&mut stream, &mut dice).await.unwrap();
                    Err::<(), _>("the other is cancelled")
                });
                let mut other = TcpStream::connect(server).await.unwrap();
                other.write_all(&[ECHO]).await.unwrap();
                group.create_task(async move {
                    let _ = other.read(&mut [0]).await;
                    pending::<()>().await;
                });
            });
            assert!(failed.await.is_err());
            "is a child beside one that fails"
        }
    }
}

async fn soak(seed: u64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = listener.local_addr().unwrap();
    let (stop, errors) = (Rc::new(Event::new()), Rc::new(Cell::new(0)));
    let serving = create_task(serve(listener, stop.clone(), errors.clone()));
    let done = Rc::new(RefCell::new(vec![]));
    TaskGroupBuilder::new()
        .limit(AT_ONCE)
        .scope::<Infallible, _>(async |group| {
            for number in 0..CONNECTIONS {
                let done = done.clone();
                group.create_task(async move {
                    let deed = client(server, Dice::new(seed * CONNECTIONS + number)).await;
                    done.borrow_mut().push(deed);
                });
            }
        })
        .await
        .unwrap();
    stop.set();
    serving.await.unwrap();
    let mut done = done.take();
    assert_eq!(done.len() as u64, CONNECTIONS);
    done.sort_unstable();
    done.dedup();
    assert_eq!(done.len(), 12, "{done:?}");
    assert!(errors.get() > 0, "resets and limits are errors of the server");
    let left = all_tasks();
    assert!(left.len() == 1 && left[0] == current_task(), "{left:?}");
}

/// How many files are open. `None` where it is not known.
fn open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

#[test]
fn connections_that_end_badly_leave_nothing_behind() {
    let _watchdog = Watchdog::new("the soak of connections");
    // The files of the reactor itself stay open.
    loopwheel::io::run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        assert!(wait_for(listener.accept(), ms(1)).await.is_err());
    });
    let before = open_files();
    for seed in 0..SEEDS {
        let _trace = Trace(format!("with the seed {seed}"));
        loopwheel::io::run(soak(seed));
        assert_eq!(open_files(), before, "files are left open");
    }
}

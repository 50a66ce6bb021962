//! # An HTTP server that stops gracefully
//!
//! `hyper` serves, and each connection is a child of one group. At Ctrl-C, or SIGTERM, which is how service managers and containers
//! stop a program, the server accepts no more. A connection that is idle ends at once, and one that answers a request finishes it,
//! if that takes no longer than the grace of five seconds. What is left then is cut. The exit code is 0 if every connection has
//! finished, and the shell's for the signal, 130 or 143, if one was cut. A second signal does not wait.
//!
//! `cargo run -p ecosystem --example http_server -- 8080 5`: the port, and the seconds of grace.

use std::cell::Cell;
use std::convert::Infallible;
use std::env;
use std::future::pending;
use std::io;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use async_signal::{Signal, Signals};
use futures::StreamExt;
use futures::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use loopwheel::sync::Event;
use loopwheel::{TaskGroup, create_task, now, sleep, timeout};
use smol_hyper::rt::FuturesIo;

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    println!("{} {}", request.method(), request.uri());
    let text = match request.uri().path() {
        "/slow" => {
            sleep(Duration::from_secs(1)).await;
            Bytes::from("slow, and finished\n")
        }
        "/never" => pending().await,
        "/echo" => request.into_body().collect().await?.to_bytes(),
        _ => Bytes::from("hello\n"),
    };
    Ok(Response::new(Full::new(text)))
}

/// Serves one client until it has ended, or until the request that is being answered is finished. Its errors are its own: an error
/// that went to the group would cancel the other connections. (So does a panic. A server that is to survive one in `answer` awaits
/// `create_task(answer(request))` there, and makes a response of the `TaskError`.)
async fn serve_client(stream: TcpStream, stop: Rc<Event>) {
    let connection =
        http1::Builder::new().serve_connection(FuturesIo::new(stream), service_fn(answer));
    let ended = match select(pin!(connection), pin!(stop.wait())).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), mut connection)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        eprintln!("a connection failed: {error}");
    }
}

/// Serves until `stop` is set. Says whether every connection has finished within `grace`.
async fn serve(listener: TcpListener, stop: Rc<Event>, grace: Duration) -> bool {
    let served = timeout(None, async |deadline| {
        // No limit yet: it is set below, when the server is told to stop.
        TaskGroup::<Infallible>::scope(async |group| {
            loop {
                match select(pin!(listener.accept()), pin!(stop.wait())).await {
                    Either::Right(_) => break,
                    Either::Left((Ok((stream, _)), _)) => {
                        group.create_task(serve_client(stream, stop.clone()));
                    }
                    // Too many files are open, for example. It may pass.
                    Either::Left((Err(error), _)) => {
                        eprintln!("no connection was accepted: {error}");
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            drop(listener); // a client that comes now is refused, and need not wait
            println!("stopping: {} connections are left", group.running());
            deadline.reschedule(now() + grace).expect("the body still runs");
        })
        .await
        .expect("no child fails");
    });
    served.await.is_ok()
}

/// Waits for a signal, and returns the shell's number for it: 130 for SIGINT, 143 for SIGTERM.
async fn next_signal(signals: &mut Signals) -> u8 {
    let is_term = matches!(signals.next().await, Some(Ok(Signal::Term)));
    if is_term { 143 } else { 130 }
}

/// Sets `stop` at the first signal, of which `code` is the exit code, and ends the program at the second.
async fn stop_at_a_signal(mut signals: Signals, stop: Rc<Event>, code: Rc<Cell<u8>>) {
    code.set(next_signal(&mut signals).await);
    stop.set();
    let second = next_signal(&mut signals).await;
    std::process::exit(second.into());
}

/// Serves until Ctrl-C or SIGTERM, and returns the exit code.
pub(crate) fn serve_until_a_signal(port: u16, grace: Duration) -> u8 {
    let code = Rc::new(Cell::new(0));
    let signalled = code.clone();
    let finished = loopwheel::io::run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let stop = Rc::new(Event::new());
        let signals = Signals::new([Signal::Int, Signal::Term])?;
        drop(create_task(stop_at_a_signal(signals, stop.clone(), signalled)));
        println!("listening on {}", listener.local_addr()?);
        Ok::<_, io::Error>(serve(listener, stop, grace).await)
    });
    match finished {
        Ok(true) => {
            println!("every connection has finished");
            0
        }
        Ok(false) => {
            println!("the grace is over: the rest was cut");
            code.get()
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let port = arguments.next().map_or(8080, |port| port.parse().expect("a port"));
    let grace = arguments.next().map_or(5.0, |grace| grace.parse().expect("seconds of grace"));
    ExitCode::from(serve_until_a_signal(port, Duration::from_secs_f64(grace)))
}

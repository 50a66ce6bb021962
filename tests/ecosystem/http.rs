//! HTTP: `hyper` on the loop's own tasks, and `reqwest` with a tokio beside the loop.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use async_compat::Compat;
use async_net::{TcpListener, TcpStream};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use loopwheel::{Task, create_task, gather, wait_for};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use crate::common::ms;
use crate::{on_both, tokio_beside};

/// Serves on the loop until it is cancelled. What it shares is an `Rc`: all is on one thread.
async fn serve() -> (SocketAddr, Rc<Cell<u32>>, Task<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Rc::new(Cell::new(0));
    let counter = served.clone();
    let serving = create_task(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counter = counter.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let counter = counter.clone();
                async move {
                    counter.set(counter.get() + 1);
                    if request.uri().path() == "/slow" {
                        loopwheel::sleep(Duration::from_secs(3600)).await;
                    }
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let text = format!("{path}, {} bytes", body.len());
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
                }
            });
            let connection =
                server::Builder::new().serve_connection(FuturesIo::new(stream), answer);
            drop(create_task(async move { connection.await.unwrap_or_default() }));
        }
    });
    (address, served, serving)
}

/// One request, on a connection of its own.
async fn get(server: SocketAddr, path: &str) -> hyper::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(server).await.expect("the server listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(FuturesIo::new(stream)).await?;
    let connection = create_task(connection);
    let request = Request::builder().uri(path).header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new()).expect("the address is valid");
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await.expect("a connection does not panic")?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[test]
fn a_server_and_clients_of_hyper_run_on_one_loop() {
    on_both("hyper", async || {
        let (address, served, _serving) = serve().await;
        let answers = gather(
            (0..10).map(|number| async move { get(address, &format!("/{number}")).await.unwrap() }),
        )
        .await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer, (StatusCode::OK, format!("/{number}, 0 bytes")));
        }
        assert_eq!(served.get(), 10);
    });
}

#[test]
fn a_time_limit_ends_a_request_of_hyper_that_is_too_slow() {
    on_both("hyper, slow", async || {
        let (address, served, _serving) = serve().await;
        assert!(wait_for(get(address, "/slow"), ms(50)).await.is_err());
        assert_eq!(get(address, "/next").await.unwrap().1, "/next, 0 bytes");
        assert!(served.get() >= 1);
    });
}

#[test]
fn hypers_own_time_limits_need_a_timer_and_that_of_async_io_serves() {
    on_both("hyper, timer", async || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = create_task(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let never = service_fn(async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            });
            let mut builder = server::Builder::new();
            builder.timer(SmolTimer::new()).header_read_timeout(ms(20));
            builder.serve_connection(FuturesIo::new(stream), never).await
        });
        let _silent = TcpStream::connect(address).await.unwrap();
        let ended = serving.await.unwrap();
        assert!(ended.unwrap_err().is_timeout());
    });
}

#[test]
fn reqwest_asks_a_server_on_the_loop_while_tokio_runs_beside_it() {
    let tokio = tokio_beside();
    let _guard = tokio.enter();
    on_both("reqwest", async || {
        let (server, _, _serving) = serve().await;
        let client = reqwest::Client::new();
        let answers = gather((0..5).map(|number| {
            let request = client.post(format!("http://{server}/{number}")).body("hello");
            async move { request.send().await?.text().await }
        }))
        .await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), format!("/{number}, 5 bytes"));
        }
    });
}

#[test]
fn reqwest_works_inside_async_compat_without_a_runtime_of_ones_own() {
    on_both("reqwest, compat", async || {
        let (server, _, _serving) = serve().await;
        let request = async {
            let response = reqwest::get(format!("http://{server}/compat")).await?;
            response.text().await
        };
        assert_eq!(Compat::new(request).await.unwrap(), "/compat, 0 bytes");
    });
}

#[test]
fn a_limit_of_the_loop_ends_a_request_of_reqwest() {
    let tokio = tokio_beside();
    let _guard = tokio.enter();
    on_both("reqwest, slow", async || {
        let (server, _, _serving) = serve().await;
        let request = reqwest::get(format!("http://{server}/slow"));
        assert!(wait_for(request, ms(50)).await.is_err());
    });
}

//! A server of HTTP/1.1 on the executor: hyper, on the executor's own sockets.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::clients::{BODY, Plan, Protocol};
use crate::executor::Http;
use crate::measure::Sample;
use crate::parts::Muster;
use crate::scale::Scale;
use crate::workloads::Workload;
use crate::workloads::echo::{self, measure_server};

pub(crate) const HTTP: Workload = Workload {
    name: "http-200",
    about: "hyper answers 200 connections with a small body, HTTP/1.1 with keep-alive; an operation is a request",
    ..echo::HUNDRED
};

pub(crate) fn measure<E: Http>(workload: &'static Workload, scale: Scale) -> Sample {
    let plan = Plan { connections: scale.size(200), idle: 0, protocol: Protocol::Http };
    measure_server::<E, _>(workload, scale, plan, serve::<E>)
}

async fn serve<E: Http>(stream: E::Stream, muster: Rc<Muster>) -> io::Result<()> {
    let answer = service_fn(|_| {
        muster.arrive();
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY.as_bytes())))) }
    });
    let connection = http1::Builder::new().serve_connection(E::for_hyper(stream), answer);
    connection.await.map_err(io::Error::other)
}

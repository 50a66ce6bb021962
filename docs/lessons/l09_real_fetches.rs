//! # L09: real fetches
//!
//! Five HTTP requests are made at once, to a real server on this machine's loopback.
//!
//! Neither the server (`tiny_http`) nor the client (`minreq`) knows about this loop: both block the thread they run
//! on. So each request is handed to another thread with [`to_thread`] (same name in asyncio), and awaited like
//! anything else.
//!
//! The points to notice: blocking code needs no asynchronous version, only a thread. And on a virtual clock no time
//! passes while such work runs: real work takes real time, which the loop's clock need not show.
//!
//! Step through it: `docs/players/l09_real_fetches.html`, in any browser.

use std::thread;

use loopwheel::{gather, to_thread};
use tiny_http::{Response, Server};

fn get(url: &str) -> u16 {
    minreq::get(url).send().expect("the server is right here").status_code
}

/// Runs the lesson.
pub async fn lesson() {
    let server = Server::http("127.0.0.1:0").expect("a free port on loopback");
    let port = server.server_addr().to_ip().expect("it listens on an address").port();
    let serving = thread::spawn(move || {
        for request in server.incoming_requests().take(5) {
            request.respond(Response::from_string("hello")).expect("the client waits for it");
        }
    });

    let statuses = gather((1..=5).map(|number| async move {
        let url = format!("http://127.0.0.1:{port}/{number}");
        to_thread(move || get(&url)).await.expect("a request does not panic")
    }))
    .await;
    println!("{statuses:?}");

    to_thread(move || serving.join().expect("the server has served")).await.expect("and ends");
}

fn main() {
    loopwheel::run(lesson());
}

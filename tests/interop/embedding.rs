//! Runs the worked examples of `docs/embedding`, and checks that each does what its page says.
#![allow(dead_code)] // each example's `main` is for when it is run alone

#[path = "../../docs/embedding/call_me_later.rs"]
mod call_me_later;
#[path = "../../docs/embedding/frame_loop.rs"]
mod frame_loop;
#[path = "../../docs/embedding/inside_tokio.rs"]
mod inside_tokio;
#[path = "../../docs/embedding/reactor.rs"]
mod reactor;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

#[test]
fn a_loop_that_sleeps_in_a_reactor_serves_many_clients_at_once_and_every_byte_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..30)
        .map(|client| {
            let lines: Vec<_> = (0..40)
                .map(|line| format!("{client} {line} {}\n", "x".repeat(100 * line)))
                .collect();
            let bytes: usize = lines.iter().map(String::len).sum();
            thread::spawn(move || (reactor::talk(server, &lines).unwrap(), bytes))
        })
        .collect();
    let echoed = reactor::serve(listener, clients.len()).unwrap();
    let mut sent = 0;
    for client in clients {
        let (is_same, bytes) = client.join().unwrap();
        assert!(is_same);
        sent += bytes;
    }
    assert_eq!(echoed, sent);
}

#[test]
fn a_reactor_sees_the_end_of_a_stream_that_comes_with_its_last_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(server).unwrap();
                stream.write_all(b"first\n").unwrap();
                let mut first = [0; 6];
                stream.read_exact(&mut first).unwrap();
                stream.write_all(b"last").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut last = String::new();
                stream.read_to_string(&mut last).unwrap();
                last
            })
        })
        .collect();
    assert_eq!(reactor::serve(listener, 20).unwrap(), 200);
    assert!(clients.into_iter().all(|client| client.join().unwrap() == "last"));
}

#[test]
fn a_loop_inside_tokio_uses_tokios_sockets() {
    assert_eq!(inside_tokio::answers().unwrap(), ["WHO", "WHERE", "WHEN"]);
}

#[test]
fn a_page_that_can_only_be_called_later_runs_a_loop() {
    assert_eq!(
        call_me_later::visit(),
        [(0, "the page is shown"), (300, "the picture fades in"), (300, "the worker has answered")]
    );
}

#[test]
fn tasks_span_the_frames_of_a_host_and_never_cost_more_than_their_budget() {
    let seen = frame_loop::play();
    let seen: Vec<_> = seen.iter().map(|(frame, what)| (*frame, what.as_str())).collect();
    assert_eq!(
        seen,
        [
            (0, "the spell begins"),
            (9, "the monster has thought"),
            // Frame 60 is 40 ns short of a second, and a timer never fires early.
            (61, "the spell ends, after 1.02 s"),
            // It is cancelled before frame 120, and its clean-up takes 50 ms: a bit more than three frames.
            (124, "the merchant has packed"),
        ]
    );
}

//! The traps that the page warns of: each does what the page says.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::AsyncReadExt;
use loopwheel::{
    EventLoop, EventLoopBuilder, Instant, TaskError, VirtualClock, create_task, now, run_virtual,
    to_thread, wait_for,
};
use tokio::net::TcpStream;

use crate::common::{Watchdog, ms};
use crate::{run, tokio_beside};

const NO_REACTOR: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";

#[test]
fn a_socket_of_tokio_without_tokio_panics_and_says_why() {
    let outcome = run("no reactor", async {
        create_task(async { TcpStream::connect((Ipv4Addr::LOCALHOST, 1)).await.map(drop) }).await
    });
    let Err(TaskError::Panicked(panic)) = outcome else { panic!("{outcome:?}") };
    assert!(panic.message().starts_with(NO_REACTOR), "{}", panic.message());
}

#[test]
fn a_compat_around_main_does_not_reach_the_tasks_that_main_creates() {
    let outcome = run(
        "compat",
        async_compat::Compat::new(async {
            tokio::time::sleep(ms(1)).await; // this is inside
            create_task(tokio_sleep()).await
        }),
    );
    let Err(TaskError::Panicked(panic)) = outcome else { panic!("{outcome:?}") };
    assert!(panic.message().starts_with(NO_REACTOR), "{}", panic.message());
}

async fn tokio_sleep() {
    tokio::time::sleep(ms(1)).await;
}

#[test]
fn a_tokio_that_no_thread_drives_never_wakes_its_futures() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = tokio.enter();
    run("undriven", async {
        assert!(wait_for(tokio_sleep(), ms(50)).await.is_err(), "there is no panic, and no end");
    });
}

#[test]
fn a_task_of_tokio_runs_on_tokios_thread_where_there_is_no_loop() {
    let tokio = tokio_beside();
    let _guard = tokio.enter();
    run("other thread", async {
        let here = thread::current().id();
        let there = tokio::spawn(async { thread::current().id() }).await.unwrap();
        assert_ne!(here, there);
        let panic = tokio::spawn(async { drop(create_task(async {})) }).await.unwrap_err();
        let message = panic.into_panic().downcast::<String>().unwrap();
        assert!(message.contains("no event loop is running on this thread"), "{message}");
    });
}

/// A listener, and the thread that answers the first client when `when` has returned: bytes now and then, until the client is gone.
fn answers(when: impl FnOnce() + Send + 'static) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        when();
        while stream.write_all(b"!").is_ok() {
            thread::sleep(ms(2)); // the real clock is the point: virtual time has to wait for it
        }
    });
    (server, answering)
}

/// Reads one byte, for an hour at most, and says whether it came in time.
async fn read_within_an_hour(stream: &mut async_net::TcpStream) -> bool {
    let mut byte = [0];
    let reading = wait_for(stream.read_exact(&mut byte), Duration::from_secs(3600));
    reading.await.map(Result::unwrap).is_ok()
}

/// Both kinds of loop, on this clock.
fn on_clock(clock: fn() -> VirtualClock) -> [EventLoopBuilder; 2] {
    [EventLoop::builder(), loopwheel::io::builder()].map(|builder| builder.clock(clock()))
}

#[test]
fn virtual_time_waits_for_a_socket_that_answers() {
    for builder in on_clock(VirtualClock::new) {
        let (server, answering) = answers(|| thread::sleep(ms(10))); // real time, in which the loop has nothing to do
        let _watchdog = Watchdog::new("virtual time waits");
        builder.build().run(async {
            let mut stream = async_net::TcpStream::connect(server).await.unwrap();
            assert!(read_within_an_hour(&mut stream).await);
            assert_eq!(now(), Instant::START);
        });
        answering.join().unwrap();
    }
}

#[test]
fn virtual_time_jumps_over_an_answer_that_takes_too_long_and_says_so() {
    for builder in on_clock(VirtualClock::new) {
        let (answer, may_answer) = mpsc::channel();
        let (server, answering) = answers(move || may_answer.recv().unwrap());
        let reports = Rc::new(RefCell::new(vec![]));
        let sink = reports.clone();
        let builder = builder.exception_handler(move |context| {
            sink.borrow_mut().push(context.to_string());
        });
        let _watchdog = Watchdog::new("virtual time jumps");
        builder.build().run(async {
            let mut stream = async_net::TcpStream::connect(server).await.unwrap();
            assert!(!read_within_an_hour(&mut stream).await, "nothing has come for a second");
            assert!(now().as_secs_f64() >= 3600.0);
            answer.send(()).unwrap();
            // A byte that is there already wakes nothing. The next one does.
            while reports.borrow().is_empty() {
                stream.read_exact(&mut [0]).await.unwrap();
            }
        });
        answering.join().unwrap();
        let reports = reports.borrow();
        assert!(reports[0].contains("virtual time had jumped"), "{reports:?}");
    }
}

#[test]
fn virtual_time_that_is_impatient_jumps_over_every_limit() {
    for builder in on_clock(VirtualClock::impatient) {
        let (answer, may_answer) = mpsc::channel();
        let (server, answering) = answers(move || may_answer.recv().unwrap());
        let _watchdog = Watchdog::new("impatient");
        builder.build().run(async {
            let mut stream = async_net::TcpStream::connect(server).await.unwrap();
            assert!(!read_within_an_hour(&mut stream).await);
            answer.send(()).unwrap();
        });
        answering.join().unwrap();
    }
}

#[test]
fn a_clock_that_is_held_waits_for_the_socket() {
    let (server, answering) = answers(|| thread::sleep(ms(10))); // the real clock is the point: an answer takes real time
    let clock = VirtualClock::new();
    let _watchdog = Watchdog::new("held clock");
    EventLoop::builder().clock(clock.clone()).build().run(async {
        let held = clock.hold();
        let mut stream = async_net::TcpStream::connect(server).await.unwrap();
        assert!(read_within_an_hour(&mut stream).await);
        drop(held);
    });
    assert_eq!(clock.now(), Instant::START);
    answering.join().unwrap();
}

#[test]
fn virtual_time_stands_still_while_to_thread_works() {
    run_virtual(async {
        let work = to_thread(|| thread::sleep(ms(5))); // the real clock is the point: the work of a thread takes real time
        assert!(wait_for(work, ms(1)).await.is_ok());
        assert_eq!(now().as_nanos(), 0);
    });
}

#[test]
fn reqwest_without_tokio_panics() {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        run("reqwest, alone", async { drop(reqwest::get("http://127.0.0.1:1").await) });
    }));
    let message = panic.unwrap_err();
    let message = message
        .downcast_ref::<String>()
        .map_or_else(|| *message.downcast_ref::<&str>().unwrap(), String::as_str);
    assert!(message.starts_with(NO_REACTOR), "{message}");
}

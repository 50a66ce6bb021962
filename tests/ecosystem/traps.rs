//! The traps that the page warns of: each does what the page says.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use futures::AsyncReadExt;
use loopwheel::{
    EventLoop, Instant, TaskError, VirtualClock, create_task, now, run_virtual, to_thread, wait_for,
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

#[test]
fn virtual_time_jumps_over_every_limit_while_a_socket_answers() {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap(); // it accepts, and never says anything
    run_virtual(async {
        let mut stream = async_net::TcpStream::connect(server).await.unwrap();
        let mut buffer = [0; 1];
        let reading = stream.read(&mut buffer);
        assert!(wait_for(reading, Duration::from_secs(3600)).await.is_err());
        assert!(now().as_secs_f64() >= 3600.0);
    });
    drop(listener);
}

#[test]
fn a_clock_that_is_held_waits_for_the_socket() {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        thread::sleep(ms(10)); // real time, in which the loop has nothing to do
        stream.write_all(b"!").unwrap();
    });
    let clock = VirtualClock::new();
    let _watchdog = Watchdog::new("held clock");
    EventLoop::builder().clock(clock.clone()).build().run(async {
        let held = clock.hold();
        let mut stream = async_net::TcpStream::connect(server).await.unwrap();
        let mut buffer = [0; 1];
        let reading = stream.read(&mut buffer);
        assert_eq!(wait_for(reading, Duration::from_secs(3600)).await.unwrap().unwrap(), 1);
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

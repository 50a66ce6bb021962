//! Retry, rate limits and tracing: `backon`, `governor`, `tracing`.

use std::cell::Cell;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use backon::{ExponentialBuilder, Retryable};
use governor::clock::{Clock, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use loopwheel::{create_task, gather, now, run_virtual, sleep, wait_for};
use tracing::{info, instrument};
use tracing_subscriber::fmt::MakeWriter;

use crate::common::ms;
use crate::run;

fn millis() -> u64 {
    now().as_nanos() / 1_000_000
}

#[test]
fn backon_retries_on_the_loops_clock() {
    run_virtual(async {
        let (tries, told) = (Cell::new(0), Cell::new(0));
        let work = async || {
            tries.set(tries.get() + 1);
            if tries.get() < 4 { Err("busy") } else { Ok(tries.get()) }
        };
        let pauses = ExponentialBuilder::default().with_min_delay(ms(1_000)).with_max_times(5);
        let tell = |_: &&str, _| told.set(told.get() + 1);
        let done = work.retry(pauses).sleep(loopwheel::sleep).notify(tell).await;
        assert_eq!((done, told.get()), (Ok(4), 3));
        assert_eq!(millis(), 1_000 + 2_000 + 4_000);
    });
}

#[test]
fn a_limit_around_a_retry_of_backon_ends_its_pauses() {
    run_virtual(async {
        let always = async || Err::<(), _>("busy");
        let retried = always.retry(ExponentialBuilder::default()).sleep(loopwheel::sleep);
        assert!(wait_for(retried, ms(1_500)).await.is_err());
        assert_eq!(millis(), 1_500);
    });
}

#[test]
fn governor_waits_on_its_own_timer_thread_in_real_time() {
    run("governor", async {
        let quota = Quota::with_period(ms(5)).unwrap();
        let limiter = RateLimiter::direct(quota);
        let began = now();
        for _ in 0..4 {
            limiter.until_ready().await;
        }
        assert!(now() - began >= ms(14), "three waits of five milliseconds, less what was rounded");
    });
}

#[test]
fn governor_on_the_loops_clock_needs_one_loop() {
    run_virtual(async {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(10).unwrap());
        let limiter = RateLimiter::direct_with_clock(
            quota.allow_burst(NonZeroU32::new(1).unwrap()),
            clock.clone(),
        );
        let shown = Cell::new(now());
        for _ in 0..5 {
            loop {
                clock.advance(now() - shown.replace(now()));
                match limiter.check() {
                    Ok(()) => break,
                    Err(not_yet) => sleep(not_yet.wait_time_from(clock.now())).await,
                }
            }
        }
        assert_eq!(millis(), 400);
    });
}

/// Keeps what a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Written;

    fn make_writer(&'a self) -> Written {
        self.clone()
    }
}

#[instrument]
async fn fetch(id: u64) {
    info!("asks");
    sleep(ms(10 - id)).await;
    info!("has it");
}

#[test]
fn spans_of_instrument_stay_with_their_tasks_however_these_take_turns() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(written.clone())
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        run_virtual(async {
            gather([create_task(fetch(1)), create_task(fetch(2))]).await;
        });
    });
    let written = written.0.lock().unwrap();
    let lines: Vec<_> = std::str::from_utf8(&written).unwrap().lines().map(str::trim).collect();
    assert_eq!(
        lines,
        ["fetch{id=1}: asks", "fetch{id=2}: asks", "fetch{id=2}: has it", "fetch{id=1}: has it",]
    );
}

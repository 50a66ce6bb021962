//! # L28: three at a time
//!
//! Ten fetches take 0.1 s each, and at most three may run at a time.
//!
//! A [`Semaphore`] (same name in asyncio) has three permits. A fetch acquires one, and waits if none is left; the
//! permit is given back when the `Permit` is dropped, at the end of the function. In asyncio: `async with
//! semaphore:`.
//!
//! The points to notice: ten fetches in rounds of three take four rounds, 0.4 s. A permit is given back *however*
//! the function ends, also by an early return, a panic or a cancel, because a destructor gives it back. And waiting
//! fetches are served in order of arrival: a fetch that comes late cannot overtake.
//!
//! Step through it: `docs/players/l28_three_at_a_time.html`, in any browser.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Semaphore;
use loopwheel::{gather, now, sleep};

struct Server {
    permits: Semaphore,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

async fn fetch(number: u32, server: Rc<Server>) -> u32 {
    let _permit = server.permits.acquire().await;
    server.in_flight.set(server.in_flight.get() + 1);
    server.most_in_flight.set(server.most_in_flight.get().max(server.in_flight.get()));
    sleep(Duration::from_millis(100)).await;
    server.in_flight.set(server.in_flight.get() - 1);
    number
}

/// Makes ten fetches, three at a time.
pub async fn lesson() {
    let start = now();
    let server = Rc::new(Server {
        permits: Semaphore::new(3),
        in_flight: Cell::new(0),
        most_in_flight: Cell::new(0),
    });
    let fetched = gather((1..=10).map(|number| fetch(number, server.clone()))).await;
    println!("Fetched {fetched:?}");
    println!("Total: {:.2}s", (now() - start).as_secs_f64());
    println!("Most in flight: {}", server.most_in_flight.get());
}

fn main() {
    loopwheel::run(lesson());
}

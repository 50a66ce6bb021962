//! # L30: a crawl of a thousand
//!
//! A thousand URLs are fetched, at most fifty at a time; about one in two hundred fails. The first crawl is best
//! effort: it fetches what can be fetched. The second is fail fast: the first failure ends it.
//!
//! Best effort is [`try_gather`] with every outcome collected, and a [`Semaphore`] for the limit; in asyncio
//! `asyncio.gather(..., return_exceptions=True)` and `asyncio.Semaphore(50)`. Fail fast is a task group, and
//! [`TaskGroupBuilder::limit`] sets how many of its children run at once; asyncio's `TaskGroup` has no such setting,
//! and needs the semaphore there too.
//!
//! The points to notice: each kind has its price. Best effort takes the whole time, and gives everything that could
//! be fetched. Fail fast is over as soon as something fails, and what was in flight at that moment is lost, although
//! its cost was paid. Which one is right depends on what half a crawl is worth.
//!
//! How long a URL takes, and whether it fails, depends on its number alone, so both crawls see the same web.
//!
//! Step through it: `docs/players/l30_a_crawl_of_a_thousand.html`, in any browser.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Semaphore;
use loopwheel::{TaskGroupBuilder, now, sleep, try_gather};

const AT_A_TIME: usize = 50;

/// What is known of the fetches.
#[derive(Default)]
struct Web {
    fetched: Cell<usize>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

/// Counts a fetch as in flight until it is dropped: a fetch that is cancelled counts itself out too.
struct InFlight(Rc<Web>);

impl InFlight {
    fn new(web: &Rc<Web>) -> InFlight {
        web.in_flight.set(web.in_flight.get() + 1);
        web.most_in_flight.set(web.most_in_flight.get().max(web.in_flight.get()));
        InFlight(web.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

async fn fetch(number: usize, web: Rc<Web>) -> Result<usize, String> {
    let _in_flight = InFlight::new(&web);
    let dice = scramble(number as u64);
    sleep(Duration::from_millis(100 + dice % 400)).await;
    if (dice >> 32).is_multiple_of(160) {
        return Err(format!("https://example.com/{number} is gone"));
    }
    web.fetched.set(web.fetched.get() + 1);
    Ok(number)
}

/// A number that looks random, and is always the same for the same input (this is `SplitMix64`).
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

async fn best_effort(urls: RangeInclusive<usize>) {
    let (start, web) = (now(), Rc::new(Web::default()));
    let permits = Rc::new(Semaphore::new(AT_A_TIME));
    let calls = urls.map(|number| {
        let (permits, web) = (permits.clone(), web.clone());
        async move {
            let _permit = permits.acquire().await;
            fetch(number, web).await
        }
    });
    let outcomes = try_gather(calls).return_exceptions().await;
    let fetched = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let failed = outcomes.len() - fetched;
    let secs = (now() - start).as_secs_f64();
    println!("Best effort: {fetched} fetched, {failed} failed, in {secs:.2}s");
    println!("Most in flight: {}", web.most_in_flight.get());
}

async fn fail_fast(urls: RangeInclusive<usize>) {
    let (start, web) = (now(), Rc::new(Web::default()));
    let group = TaskGroupBuilder::default().limit(AT_A_TIME).scope(async |group| {
        for number in urls.clone() {
            group.create_task(fetch(number, web.clone()));
        }
    });
    let errors = group.await.unwrap_err();
    let (fetched, failed) = (web.fetched.get(), errors.iter().count());
    let secs = (now() - start).as_secs_f64();
    println!("Fail fast: {fetched} fetched, {failed} failed, in {secs:.2}s");
    println!("Most in flight: {}", web.most_in_flight.get());
    for error in &errors {
        println!("The end of it: {error}");
    }
    println!(
        "Stopped or never begun: {}; still in flight: {}",
        urls.count() - fetched - failed,
        web.in_flight.get()
    );
}

/// Crawls the URLs with these numbers with best effort, then fails fast.
pub async fn crawl(urls: RangeInclusive<usize>) {
    best_effort(urls.clone()).await;
    fail_fast(urls).await;
}

/// Crawls a thousand.
pub async fn lesson() {
    crawl(1..=1000).await;
}

fn main() {
    loopwheel::run(lesson());
}

//! # L06: partial success
//!
//! Three services are asked at once. Two of them, A and C, answer after 1 s; B cannot be reached, which is known
//! after 0.5 s. The answers that came are shown, and the one that did not is reported.
//!
//! [`try_gather`] is for futures that can fail. Awaited directly, it gives all values or the first error;
//! [`return_exceptions`](loopwheel::Gather::return_exceptions) makes every outcome a value. In asyncio:
//! `asyncio.gather(*calls, return_exceptions=True)`.
//!
//! The point to notice: asyncio puts values and exceptions into one list and leaves it to the caller to tell them
//! apart, with `isinstance(result, Exception)`. Here each outcome is a `Result`, and the compiler requires both
//! arms. There is even a third arm: a child may have been cancelled or may have panicked, without an error of its
//! own.
//!
//! Step through it: `docs/players/l06_partial_success.html`, in any browser.

use std::time::Duration;

use loopwheel::{TaskError, sleep, try_gather};

async fn ask(service: &'static str) -> Result<&'static str, String> {
    if service == "ServiceB" {
        sleep(Duration::from_millis(500)).await;
        return Err(format!("Could not reach {service}"));
    }
    sleep(Duration::from_secs(1)).await;
    Ok(service)
}

/// Asks three services, one of which is down.
pub async fn lesson() {
    let calls = ["ServiceA", "ServiceB", "ServiceC"].map(ask);
    let outcomes = try_gather(calls).return_exceptions().await;
    for (place, outcome) in outcomes.into_iter().enumerate() {
        let number = place + 1;
        match outcome {
            Ok(service) => println!("[{number}] Success: {service}"),
            Err(TaskError::Failed(error)) => println!("[{number}] Failed: {error}"),
            Err(other) => println!("[{number}] Neither: {other}"),
        }
    }
}

fn main() {
    loopwheel::run(lesson());
}

//! # L02: API calls
//!
//! Three calls run as tasks: A takes 1 s, B 1.5 s, C 1 s.
//!
//! They begin in the order in which they were created, and end in the order in which they are ready: A, C, B. The
//! whole takes as long as the slowest call, 1.5 s.
//!
//! The point to notice: nothing here is left to chance. The loop has one thread and one queue. The task created
//! first begins first. When two tasks wait for the same moment, the one that began to wait first goes on first: A
//! before C. asyncio promises only the first half of this: its heap of timers does not define which of two equal
//! timers comes first.
//!
//! `main` awaits A first, and learns that C is done only when it comes to C. That delays nothing: C ended long
//! before its handle is awaited, and its outcome was kept.
//!
//! Step through it: `docs/players/l02_api_calls.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, now, sleep};

async fn call_api(name: &'static str, takes: Duration) {
    println!("Fetching {name}...");
    sleep(takes).await;
    println!("done {name}");
}

/// Calls three APIs at once.
pub async fn lesson() {
    let start = now();
    let calls = [
        create_task(call_api("A", Duration::from_secs(1))),
        create_task(call_api("B", Duration::from_millis(1500))),
        create_task(call_api("C", Duration::from_secs(1))),
    ];
    for call in calls {
        call.await.unwrap();
    }
    println!("Total: {:.2}s", (now() - start).as_secs_f64());
}

fn main() {
    loopwheel::run(lesson());
}

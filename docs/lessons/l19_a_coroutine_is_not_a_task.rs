//! # L19: a coroutine is not a task
//!
//! A future is made and never awaited: it prints nothing. The same future as a task runs, although no code awaits it
//! either.
//!
//! Calling an `async fn` runs none of its body. It makes a future (asyncio: a *coroutine*), which does nothing until
//! it is awaited. [`create_task`] makes a *task* of it: now the loop awaits it.
//!
//! The point to notice: a forgotten `await` is silent at run time. asyncio warns when the coroutine is destroyed
//! (`coroutine 'say_hello' was never awaited`); Rust warns sooner, when it compiles a line like `say_hello("you");`.
//! Here the future is bound to a variable, so the compiler does not warn.
//!
//! Step through it: `docs/players/l19_a_coroutine_is_not_a_task.html`, in any browser.

use std::time::Duration;

use loopwheel::{create_task, sleep};

async fn say_hello(who: &str) {
    sleep(Duration::from_millis(100)).await;
    println!("Hello from the {who}!");
}

/// Makes a future that never runs, and a task that does.
pub async fn lesson() {
    println!("Made a future; waiting a second...");
    let _future = say_hello("future");
    sleep(Duration::from_secs(1)).await;
    println!("...and it printed nothing");

    println!("Made a task; waiting a second...");
    let task = create_task(say_hello("task"));
    sleep(Duration::from_secs(1)).await;
    println!("...and it ran: is_done() is {}", task.is_done());
}

fn main() {
    loopwheel::run(lesson());
}

//! # L29: the best by ten seconds
//!
//! Five weather services are asked: two answer in time, one is down, and two are slow, 12 s and 30 s. After 10 s the
//! board shows the answers that came, and names the services that are missing.
//!
//! That is [`wait`] with a time limit: it gives the tasks that are over and those that are not, and we decide what
//! happens to the latter. Here they are cancelled. In asyncio: `done, pending = await asyncio.wait(tasks,
//! timeout=10)`, then `task.cancel()` for those that are pending. A `wait_for` around a `gather` would not work:
//! when the time is up it gives an error, and the answers that came are lost.
//!
//! The points to notice: `cancel` is a request, so each late task is awaited after it. After that the task is known
//! to be over, with any clean-up done. And the board is complete at 10 s, not at 30 s.
//!
//! Step through it: `docs/players/l29_the_best_by_ten_seconds.html`, in any browser.

use std::time::Duration;

use loopwheel::{AllCompleted, TaskBuilder, TaskError, now, sleep, wait};

type Answer = Result<&'static str, &'static str>;

/// Each service, after how many milliseconds it answers, and its answer.
const SERVICES: [(&str, u64, Answer); 5] = [
    ("OpenWeatherMap", 1200, Ok("18 degrees, cloudy")),
    ("WeatherAPI", 500, Err("connection refused")),
    ("NOAA", 30_000, Ok("18 degrees, light rain")),
    ("LocalRadar", 8000, Ok("17 degrees, rain from the west")),
    ("Airport", 12_000, Ok("16 degrees, wind")),
];

async fn ask(millis: u64, answer: Answer) -> Answer {
    sleep(Duration::from_millis(millis)).await;
    answer
}

/// Shows what five services have said after ten seconds.
pub async fn lesson() {
    let start = now();
    let tasks = SERVICES.map(|(name, millis, answer)| {
        TaskBuilder::new().name(name).try_create_task(ask(millis, answer))
    });
    let (done, late) = wait(tasks, AllCompleted).timeout(Duration::from_secs(10)).await;
    println!("The board, after {:.1}s:", (now() - start).as_secs_f64());
    for task in done {
        let name = task.name();
        match task.await {
            Ok(weather) => println!("{name}: {weather}"),
            Err(TaskError::Failed(error)) => println!("{name}: down ({error})"),
            Err(other) => println!("{name}: {other}"),
        }
    }
    for task in &late {
        task.cancel();
    }
    for task in late {
        let name = task.name();
        let is_cancelled = task.await.is_err_and(|error| error.is_cancelled());
        println!(
            "{name}: too late, {}",
            if is_cancelled { "cancelled" } else { "and not stopped" }
        );
    }
    println!("Total: {:.1}s", (now() - start).as_secs_f64());
}

fn main() {
    loopwheel::run(lesson());
}

//! # L04: weather, grouped
//!
//! The four weather services of lesson L03 are asked again, this time as the children of a [`TaskGroup`].
//!
//! A group is a part of the program that no child outlives: [`scope`](TaskGroup::scope) runs its body, which creates
//! the children, and goes on only when all of them are over. In asyncio: `async with asyncio.TaskGroup() as group:`,
//! with `group.create_task(...)` in it and `task.result()` after it.
//!
//! The points to notice: `scope` gives what its body returns, here the handles. By then every task is over, so
//! awaiting a handle afterwards does not wait. And a child returns a `Result`, because a group is about what happens
//! when one fails (lessons L05 and L08). These never fail, as [`Infallible`] says.
//!
//! Step through it: `docs/players/l04_weather_grouped.html`, in any browser.

use std::convert::Infallible;
use std::time::Duration;

use loopwheel::{TaskGroup, now, sleep};

/// Each service, how many milliseconds it takes, and what it says.
const SERVICES: [(&str, u64, &str); 4] = [
    ("OpenWeatherMap", 1000, "18 degrees, cloudy"),
    ("WeatherAPI", 1200, "19 degrees, cloudy"),
    ("NOAA", 1500, "18 degrees, light rain"),
    ("LocalRadar", 800, "17 degrees, rain from the west"),
];

async fn ask(service: &str, millis: u64, answer: &str) -> Result<String, Infallible> {
    sleep(Duration::from_millis(millis)).await;
    Ok(format!("{service}: {answer}"))
}

/// Fetches four weather reports in a group.
pub async fn lesson() {
    let start = now();
    let tasks = TaskGroup::scope(async |group| {
        let calls = SERVICES.map(|(service, millis, answer)| ask(service, millis, answer));
        Ok::<_, Infallible>(calls.map(|call| group.create_task(call)))
    });
    let tasks = tasks.await.unwrap();

    let secs = (now() - start).as_secs_f64();
    println!("Fetched from {} services in {secs:.2}s", tasks.len());
    for task in tasks {
        let report = task.await.unwrap();
        println!("{report}");
    }
}

fn main() {
    loopwheel::run(lesson());
}

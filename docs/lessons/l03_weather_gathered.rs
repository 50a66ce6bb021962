//! # L03: weather, gathered
//!
//! Four weather services are asked at once: `OpenWeatherMap` answers after 1 s, `WeatherAPI` after 1.2 s, `NOAA`
//! after 1.5 s and `LocalRadar` after 0.8 s.
//!
//! [`gather`] (same name in asyncio) makes a task of each future, waits for all of them, and gives their values in
//! the order of the arguments. It takes any iterable, or a tuple if the futures have different types; in asyncio:
//! `await asyncio.gather(*calls)`.
//!
//! The points to notice: `LocalRadar` answers first but is last in the result, because it was asked last. And the
//! whole takes as long as the slowest service, 1.5 s; the four of them one by one would take 4.5 s.
//!
//! Step through it: `docs/players/l03_weather_gathered.html`, in any browser.

use std::time::Duration;

use loopwheel::{gather, now, sleep};

/// Each service, how many milliseconds it takes, and what it says.
const SERVICES: [(&str, u64, &str); 4] = [
    ("OpenWeatherMap", 1000, "18 degrees, cloudy"),
    ("WeatherAPI", 1200, "19 degrees, cloudy"),
    ("NOAA", 1500, "18 degrees, light rain"),
    ("LocalRadar", 800, "17 degrees, rain from the west"),
];

async fn ask(service: &str, millis: u64, answer: &str) -> String {
    sleep(Duration::from_millis(millis)).await;
    format!("{service}: {answer}")
}

/// Gathers four weather reports.
pub async fn lesson() {
    let start = now();
    let calls = SERVICES.map(|(service, millis, answer)| ask(service, millis, answer));
    let reports = gather(calls).await;

    let secs = (now() - start).as_secs_f64();
    println!("Fetched from {} services in {secs:.2}s", reports.len());
    for report in reports {
        println!("{report}");
    }
}

fn main() {
    loopwheel::run(lesson());
}

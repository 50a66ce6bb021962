//! # The loop in `metrics`
//!
//! An observer that counts polls and the ends of tasks with the crate `metrics`, whose recorder the program installs:
//! for Prometheus, `StatsD`, or a test. How long polls take is measured in real time.

use std::cell::RefCell;
use std::time::Instant;

use loopwheel::trace::{Event, Observer, What};
use loopwheel::{EventLoop, VirtualClock, create_task, gather, yield_now};
use metrics::{counter, gauge, histogram};

/// When the polls that are going on began.
#[derive(Default)]
pub(crate) struct Counters {
    began: RefCell<Vec<Instant>>,
}

impl Observer for Counters {
    fn observe(&self, event: &Event<'_>) {
        match &event.what {
            What::Spawned { .. } => {
                counter!("loopwheel_spawned_total").increment(1);
                gauge!("loopwheel_alive").increment(1);
            }
            What::Ended { how, .. } => {
                counter!("loopwheel_ended_total", "how" => format!("{how:?}")).increment(1);
                gauge!("loopwheel_alive").decrement(1);
            }
            What::PollBegan { .. } => self.began.borrow_mut().push(Instant::now()),
            What::PollEnded { .. } => {
                counter!("loopwheel_polls_total").increment(1);
                if let Some(began) = self.began.borrow_mut().pop() {
                    histogram!("loopwheel_poll_seconds").record(began.elapsed());
                }
            }
            _ => {}
        }
    }
}

/// Ten tasks that yield once.
pub(crate) fn run_observed() {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(Counters::default());
    event_loop.build().run(async {
        let tasks: Vec<_> = (0..10).map(|_| create_task(yield_now())).collect();
        gather(tasks).await;
    });
}

fn main() {
    run_observed();
}

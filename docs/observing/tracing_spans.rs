//! # The loop in `tracing`
//!
//! An observer that gives each task a span of the crate `tracing`, enters it while the task is polled, and tells every
//! other event as one of `tracing`'s. So what the program tells itself, in a poll, is in the span of its task.

use std::cell::RefCell;
use std::collections::HashMap;

use loopwheel::trace::{Event, Id, Observer, What};
use loopwheel::{EventLoop, TaskBuilder, VirtualClock, sleep};
use tracing::span::EnteredSpan;
use tracing::{Span, info, trace, trace_span};

/// The spans of the tasks that have not ended, and those of the polls that are going on.
#[derive(Default)]
pub(crate) struct Spans {
    of_tasks: RefCell<HashMap<Id, Span>>,
    entered: RefCell<Vec<EnteredSpan>>,
}

impl Observer for Spans {
    fn observe(&self, event: &Event<'_>) {
        match &event.what {
            What::Spawned { task, at } | What::Found { task, at, .. } => {
                let span = trace_span!("task", id = %task, spawned_at = %at);
                self.of_tasks.borrow_mut().insert(*task, span);
            }
            What::PollBegan { task, .. } => {
                let span = self.of_tasks.borrow().get(task).cloned().unwrap_or_else(Span::none);
                self.entered.borrow_mut().push(span.entered());
            }
            What::PollEnded { .. } => drop(self.entered.borrow_mut().pop()),
            What::Ended { task, how } => {
                trace!(id = %task, %how, "ended");
                self.of_tasks.borrow_mut().remove(task);
            }
            what => trace!(seq = event.seq, cause = event.cause, "{what}"),
        }
    }
}

/// A task that tells that it works. It takes no real time.
pub(crate) fn run_observed() {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(Spans::default());
    event_loop.build().run(async {
        let worker = TaskBuilder::new().name("worker").create_task(async {
            info!("working");
            sleep(std::time::Duration::from_secs(1)).await;
            info!("done");
        });
        worker.await.expect("it ends");
    });
}

fn main() {
    // A subscriber of the crate `tracing-subscriber` would print it.
    run_observed();
}

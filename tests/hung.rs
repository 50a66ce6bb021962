//! Three programs that hang, each by a mistake that is easy to make. What the crate says by itself names the mistake.

mod common;

use std::rc::Rc;

use common::ms;
use loopwheel::sync::{Lock, Queue, Semaphore};
use loopwheel::{EventLoop, TaskBuilder, VirtualClock, create_task, gather, sleep};

/// Runs the program until it hangs, and returns what the crate says.
fn hang(is_debugging: bool, program: impl Future<Output = ()>) -> String {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(is_debugging);
    event_loop.build().try_run(program).unwrap_err().to_string()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// A task takes a permit for each request, and forgets one of them on its way out.
#[test]
fn a_permit_that_was_lost_is_held_by_the_task_that_forgot_it() {
    let text = hang(true, async {
        let permits = Rc::new(Semaphore::new(2).named("connections"));
        let serve = |number: u32| {
            let permits = permits.clone();
            let serve = async move {
                let permit = permits.acquire().await;
                sleep(ms(10)).await;
                if number == 1 {
                    permit.forget(); // the mistake
                }
            };
            TaskBuilder::new().name(format!("request-{number}")).create_task(serve)
        };
        gather((0..4).map(serve).collect::<Vec<_>>()).await;
        let _all = (permits.acquire().await, permits.acquire().await);
    });
    says(&text, &["\"connections\"", "'request-1'", "has ended"]);
}

/// Two tasks take two locks, in different orders.
#[test]
fn a_circle_of_two_locks_is_shown_with_its_tasks_and_their_locks() {
    let text = hang(false, async {
        let locks = Rc::new([Lock::new().named("accounts"), Lock::new().named("audit")]);
        let transfer = |name: &str, first: usize, second: usize| {
            let locks = locks.clone();
            let transfer = async move {
                let _first = locks[first].acquire().await;
                sleep(ms(10)).await;
                let _second = locks[second].acquire().await;
            };
            TaskBuilder::new().name(name).create_task(transfer)
        };
        gather([transfer("deposit", 0, 1), transfer("report", 1, 0)]).await;
    });
    says(
        &text,
        &["a cycle:", "'deposit'", "'report'", "\"accounts\"", "\"audit\"", "3 tasks are left"],
    );
}

/// A worker takes items out of a queue, and does not say of one that it is done.
#[test]
fn an_item_that_was_never_reported_as_done_is_counted_in_the_queue_that_is_joined() {
    let text = hang(false, async {
        let jobs = Rc::new(Queue::unbounded().named("jobs"));
        let worker = jobs.clone();
        let worker = async move {
            while let Ok(number) = worker.get().await {
                if number != 3 {
                    worker.task_done().unwrap(); // the mistake: not of number 3
                }
            }
        };
        let _worker = create_task(worker);
        for number in 0..5 {
            jobs.put(number).await.unwrap();
        }
        jobs.join().await;
    });
    says(&text, &["\"jobs\"", "the work on the items", "1 "]);
}

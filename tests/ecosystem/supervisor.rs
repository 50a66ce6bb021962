//! Runs the worked example `docs/servers/supervisor.rs`. It has no sockets, so it runs on virtual time.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{all_tasks, create_task, finally, now, run_test, sleep};

use crate::common::ms;
use example::{Child, GaveUp, Restart, Supervisor};

#[path = "../../docs/servers/supervisor.rs"]
#[allow(dead_code)] // its `main` is for when it is run alone
mod example;

fn millis() -> u64 {
    now().as_nanos() / 1_000_000
}

/// A child that runs for ever, and takes a second to stop. `stopped` counts how often it has.
fn steady(stopped: &Rc<Cell<u32>>) -> Child {
    let stopped = stopped.clone();
    Child::new("steady", Restart::Always, move || {
        let stopped = stopped.clone();
        finally(pending(), async move || {
            sleep(ms(1_000)).await;
            stopped.set(stopped.get() + 1);
        })
    })
}

/// A child that runs for so many seconds, one time after the other, and then fails. The second time it panics.
fn flaky(seconds: &'static [u64]) -> Child {
    let times = Cell::new(0);
    Child::new("flaky", Restart::OnFailure, move || {
        let time = times.replace(times.get() + 1);
        async move {
            sleep(Duration::from_secs(seconds[time])).await;
            assert_ne!(time, 1, "it is a panic");
            Err(format!("error {time}"))
        }
    })
}

fn supervisor_of(children: Vec<Child>) -> Supervisor {
    Supervisor { children, restarts: 3, within: Duration::from_secs(60), pause: ms(500) }
}

#[test]
fn a_supervisor_restarts_what_fails_and_gives_up_when_that_is_too_often() {
    let (stopped, log) = (Rc::new(Cell::new(0)), RefCell::new(vec![]));
    let once = Child::new("once", Restart::Never, async || Ok(()));
    let supervisor = supervisor_of(vec![steady(&stopped), flaky(&[90, 90, 90, 1, 1, 1]), once]);
    let gave_up = run_test(async {
        let ended = supervisor.run(|line| log.borrow_mut().push(line)).await;
        // The work, the pauses, and the clean-up of the other.
        assert_eq!(millis(), 3 * 90_000 + 3 * 1_000 + 5 * 500 + 1_000);
        ended.unwrap_err()
    });
    assert_eq!(gave_up, GaveUp { child: "flaky", why: "failed: error 5".into(), restarts: 3 });
    assert_eq!(stopped.get(), 1, "the clean-up of the other was waited for");
    let log = log.into_inner();
    let starts = [
        "once has ended",
        "flaky failed: error 0; restart 1",
        "flaky panicked: assertion `left != right` failed: it is a panic",
        "flaky failed: error 2; restart 1",
        "flaky failed: error 3; restart 2",
        "flaky failed: error 4; restart 3",
    ];
    assert_eq!(log.len(), starts.len(), "{log:?}");
    for (line, start) in log.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_supervisor_does_not_restart_a_child_that_was_cancelled_and_ends_with_the_last() {
    let (stopped, log) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(vec![])));
    let (supervisor, sink) = (supervisor_of(vec![steady(&stopped)]), log.clone());
    run_test(async move {
        let supervising =
            create_task(
                async move { supervisor.run(move |line| sink.borrow_mut().push(line)).await },
            );
        sleep(ms(1)).await;
        let child = all_tasks().into_iter().find(|task| task.name() == "steady").unwrap();
        child.cancel_with_reason("not needed");
        assert_eq!(supervising.await.unwrap(), Ok(()));
    });
    assert_eq!(stopped.get(), 1);
    let log = log.borrow();
    let [line] = &log[..] else { panic!("{log:?}") };
    assert!(line.starts_with("steady was stopped: cancelled at "), "{line}");
    assert!(line.ends_with(": not needed"), "{line}");
}

#[test]
fn a_supervisor_that_is_cancelled_stops_its_children_and_waits_for_them() {
    let stopped = Rc::new(Cell::new(0));
    let supervisor = supervisor_of(vec![steady(&stopped), flaky(&[60])]);
    run_test(async move {
        let supervising = create_task(async move { supervisor.run(drop).await });
        sleep(ms(1)).await;
        supervising.cancel();
        assert!(supervising.await.unwrap_err().is_cancelled());
        assert_eq!((all_tasks().len(), millis()), (1, 1_001));
    });
    assert_eq!(stopped.get(), 1);
}

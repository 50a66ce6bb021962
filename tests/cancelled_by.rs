//! Tests what cancelled a task, and where: for each cancel of the crate's own, for plain ones, and for those that are forwarded.

mod common;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::panic::Location;
use std::rc::Rc;

use common::{ms, watched_loop};
use loopwheel::{
    CancelledBy, EventLoop, SharedTask, Task, TaskBuilder, TaskError, TaskGroup, TaskRef, TimedOut,
    VirtualClock, catch_cancel, create_task, current_task, gather, now, run_virtual, shield, sleep,
    timeout, timeout_at, try_create_task, try_gather, wait_for, yield_now,
};

/// What a cause says, with the lines of this file in place of their numbers: `(at +3)` is three lines after `line`.
fn told(by: Option<CancelledBy>, line: u32) -> String {
    let by = by.expect("the cause is known");
    let at = by.at().expect("its line is known");
    assert_eq!(at.file(), file!(), "the line is the caller's");
    by.to_string().replace(&at.to_string(), &format!("+{}", at.line() - line))
}

#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

/// What the task was cancelled by, as it is known where that is caught.
async fn caught() -> Option<CancelledBy> {
    let cancelled = catch_cancel(sleep(ms(60_000))).await.unwrap_err();
    let by = cancelled.cancelled_by();
    let asked = current_task().cancelled_by().map(|by| by.to_string());
    assert_eq!(asked, by.as_ref().map(CancelledBy::to_string), "the task says the same");
    by
}

#[test]
fn a_plain_cancel_says_where_it_was_called() {
    run_virtual(async {
        type Cancel = fn(&Task<()>) -> u32;
        let ways: [(Cancel, &str); 4] = [
            (|task| (task.cancel(), here()).1, "cancelled at +0"),
            (|task| (task.to_ref().cancel(), here()).1, "cancelled at +0"),
            (|task| (task.cancel_with_reason("enough"), here()).1, "cancelled at +0: enough"),
            (|task| (task.to_ref().cancel_with_reason("so"), here()).1, "cancelled at +0: so"),
        ];
        for (cancel, expected) in ways {
            for starts in [false, true] {
                let mut task = create_task(sleep(ms(60_000)));
                if starts {
                    yield_now().await;
                }
                assert!(task.cancelled_by().is_none());
                let line = cancel(&task);
                assert_eq!(told(task.cancelled_by(), line), expected, "while it is pending");
                let loopwheel::TaskError::Cancelled(error) = (&mut task).await.unwrap_err() else {
                    panic!("it was cancelled")
                };
                assert_eq!(told(error.cancelled_by(), line), expected, "in the error");
                assert_eq!(told(task.cancelled_by(), line), expected, "when it has ended");
                let said = expected.split_once(": ").map(|(_, said)| said);
                assert_eq!(error.reason(), said);
                assert_eq!(error.cancelled_by().unwrap().reason(), said);
            }
        }
        let shared: SharedTask<()> = create_task(pending()).shared();
        let line = here() + 1;
        shared.cancel();
        assert_eq!(told(shared.cancelled_by(), line), "cancelled at +0");
    });
}

#[test]
fn a_time_limit_says_how_long_it_was_and_where() {
    run_virtual(async {
        let line = here();
        let by = wait_for(caught(), ms(10)).await.unwrap();
        assert_eq!(told(by, line), "a time limit of 10ms (at +1) is up, in task 'main'");
        let by = timeout(ms(10), async |_| caught().await).await.unwrap();
        assert_eq!(told(by, line), "a time limit of 10ms (at +3) is up, in task 'main'");
        let by = timeout_at(now() + ms(80), async |_| caught().await).await.unwrap();
        assert_eq!(told(by, line), "a time limit until 0.1 s (at +5) is up, in task 'main'");
        let moved = timeout(ms(10), async |deadline| {
            deadline.reschedule(now() + ms(100)).unwrap();
            caught().await
        });
        let by = moved.await.unwrap();
        assert_eq!(told(by, line), "a time limit until 0.2 s (at +7) is up, in task 'main'");

        // Forwarded to a task, and down a chain of two.
        let inner = create_task(caught());
        let outer = TaskBuilder::new().name("outer").create_task(inner);
        let waits = create_task(async move {
            let by = wait_for(outer, ms(10)).await.unwrap().unwrap().unwrap();
            (by, here())
        });
        let name = waits.name();
        let (by, line) = waits.await.unwrap();
        let expected = format!("a time limit of 10ms (at +0) is up, in {name}");
        assert_eq!(told(by, line - 1), expected);

        // Of zero: the task is cancelled, and the waiting task is not.
        let mut task = create_task(sleep(ms(60_000)));
        yield_now().await;
        let line = here();
        assert_eq!(wait_for(&mut task, ms(0)).await, Err(TimedOut));
        let by = told(task.cancelled_by(), line);
        assert_eq!(by, "a time limit of 0ns (at +1) is up, in task 'main'");
        assert!(current_task().cancelled_by().is_none(), "the limit has taken its request back");
    });
}

#[test]
fn a_group_says_which_child_failed_or_how_it_ended() {
    run_virtual(async {
        let line = here();
        let failed = TaskGroup::<&str>::scope(async |group| {
            let sibling = group.create_named("reader", async { Ok::<_, &str>(caught().await) });
            drop(group.create_named("writer", async { Err::<(), _>("it fails") }));
            let expected = "task 'writer' (spawned at +3) of the same group failed";
            assert_eq!(told(caught().await, line), expected, "the body");
            assert_eq!(told(sibling.await.unwrap(), line), expected, "the sibling");
            Ok::<_, &str>(())
        });
        failed.await.unwrap_err();

        let line = here();
        let mut child = None;
        let failed = TaskGroup::<&str>::scope(async |group| {
            child = Some(group.create_task(async { Ok::<_, &str>(caught().await) }));
            yield_now().await;
            Err::<(), _>("it fails")
        });
        failed.await.unwrap_err();
        let expected =
            "the body of its group (opened at +2), in task 'main', did not end with a value";
        assert_eq!(told(child.unwrap().await.unwrap(), line), expected);

        let mut child = None;
        let line = here();
        let cancelled = TaskGroup::<&str>::scope(async |group| {
            child = Some(group.create_task(pending::<Result<(), &str>>()));
            yield_now().await;
            group.cancel();
            Ok::<_, &str>(())
        });
        cancelled.await.unwrap();
        let expected = "its group, in task 'main', was cancelled (at +4)";
        assert_eq!(told(child.unwrap().cancelled_by(), line), expected);

        let child: Rc<RefCell<Option<TaskRef>>> = Rc::default();
        let place = child.clone();
        let line = here();
        let parent = create_task(TaskGroup::<&str>::scope(async move |group| {
            *place.borrow_mut() = Some(group.create_task(pending::<Result<(), _>>()).to_ref());
            pending::<Result<(), &str>>().await
        }));
        let name = parent.name();
        yield_now().await;
        // A limit that is up drops what waits for foreign code only: the scope, and with it the children.
        parent.cancel();
        parent.await.unwrap_err();
        let by = child.take().unwrap().cancelled_by();
        let expected =
            format!("the body of its group (opened at +1), in {name}, did not end with a value");
        assert_eq!(told(by, line), expected);

        let child: Rc<RefCell<Option<TaskRef>>> = Rc::default();
        let place = child.clone();
        let line = here();
        let mut scope = Box::pin(TaskGroup::<&str>::scope(async move |group| {
            *place.borrow_mut() = Some(group.create_task(pending::<Result<(), _>>()).to_ref());
            pending::<Result<(), &str>>().await
        }));
        assert!(futures::poll!(&mut scope).is_pending());
        drop(scope);
        let by = child.take().unwrap().cancelled_by();
        let expected = "the scope of its group (opened at +1), in task 'main', was dropped";
        assert_eq!(told(by, line), expected);
    });
}

#[test]
fn a_gathering_that_is_dropped_says_where_it_was_made() {
    run_virtual(async {
        let seen: Rc<RefCell<Vec<_>>> = Rc::default();
        async fn keep(seen: Rc<RefCell<Vec<Option<CancelledBy>>>>) -> Result<(), ()> {
            let by = caught().await;
            seen.borrow_mut().push(by);
            Ok(())
        }
        let line = here();
        let gathered = gather([keep(seen.clone())]);
        let tuple = gather((keep(seen.clone()), async {}));
        let tried = try_gather([keep(seen.clone())]);
        yield_now().await;
        drop((gathered, tuple, tried));
        yield_now().await;
        let seen: Vec<_> = seen.take().into_iter().map(|by| told(by, line)).collect();
        let expected =
            [1, 2, 3].map(|at| format!("the gathering that it belongs to (at +{at}) was dropped"));
        assert_eq!(seen, expected);
    });
}

#[test]
fn the_end_of_a_run_and_of_a_loop_say_so() {
    let (mut event_loop, reports) = watched_loop();
    let left: RefCell<Option<Task<_>>> = RefCell::new(None);
    let line = here() + 1;
    event_loop.run(async {
        *left.borrow_mut() = Some(create_task(caught()));
        yield_now().await;
    });
    let by = left.take().unwrap().result().unwrap().unwrap();
    assert_eq!(told(by, line), "the run of its loop (at +0) is over");

    let task = event_loop.create_task(pending::<()>());
    let line = here() + 1;
    event_loop.cancel_all().unwrap();
    assert_eq!(told(task.cancelled_by(), line), "the run of its loop (at +0) is over");

    // Main, when its run ends in a deadlock.
    let main: RefCell<Option<TaskRef>> = RefCell::new(None);
    let line = here() + 1;
    let stuck = event_loop.try_run(async {
        *main.borrow_mut() = Some(current_task());
        pending::<()>().await;
    });
    assert!(stuck.is_err());
    assert_eq!(
        told(main.take().unwrap().cancelled_by(), line),
        "the run of its loop (at +0) is over"
    );

    let task = event_loop.create_task(pending::<()>());
    drop(event_loop);
    let by = task.cancelled_by().unwrap();
    assert_eq!((by.to_string().as_str(), by.at()), ("its loop was dropped", None));
    assert!(reports.borrow().is_empty());
}

#[test]
fn a_shield_hides_the_text_and_keeps_the_cause() {
    run_virtual(async {
        let task = create_task(sleep(ms(60_000)));
        let awaited = task.to_ref();
        let waits = create_task(shield(task));
        yield_now().await;
        let line = here() + 1;
        awaited.cancel_with_reason("why");
        let loopwheel::TaskError::Cancelled(error) = waits.await.unwrap().unwrap_err() else {
            panic!("it was cancelled")
        };
        assert_eq!(error.reason(), None, "as in asyncio");
        assert_eq!(told(error.cancelled_by(), line), "cancelled at +0: why");
    });
}

#[test]
fn a_cancel_of_another_thread_says_where_it_was_called() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let handle = event_loop.handle();
    let remote = handle.create_task(caught_text).unwrap();
    event_loop.run_until_complete(turns());
    let line = here() + 1;
    remote.cancel();
    event_loop.run_until_complete(turns());
    let expected = format!("cancelled at {}:{line}:", file!());
    assert!(remote.wait().unwrap().starts_with(&expected), "the line of `cancel`");
}

async fn turns() {
    common::turns(4).await;
}

async fn caught_text() -> String {
    caught().await.unwrap().to_string()
}

#[test]
fn while_a_task_runs_only_a_request_that_counts_is_named() {
    run_virtual(async {
        let task = create_task(async {
            assert!(catch_cancel(sleep(ms(60_000))).await.is_err());
            assert!(current_task().cancelled_by().is_some(), "caught, and it counts");
            current_task().uncancel();
            assert!(current_task().cancelled_by().is_none(), "taken back");
        });
        let asked = task.to_ref();
        yield_now().await;
        task.cancel();
        task.await.unwrap();
        assert!(asked.cancelled_by().is_none(), "it did not end as cancelled");
    });
}

#[test]
fn the_error_of_a_task_becomes_an_io_error_that_keeps_what_happened() {
    run_virtual(async {
        let kept = |error: io::Error| {
            assert_eq!(error.kind(), io::ErrorKind::Other);
            error.into_inner().unwrap().downcast::<TaskError>().expect("the task's error")
        };
        let refused = try_create_task(async { Err::<(), _>(io::Error::from_raw_os_error(111)) });
        let error = io::Error::from(refused.await.unwrap_err());
        assert_eq!(error.raw_os_error(), Some(111));

        let reads = try_create_task(pending::<io::Result<()>>());
        reads.cancel_with_reason("enough");
        let cancelled = kept(reads.await.unwrap_err().into()).cancelled().expect("cancelled");
        assert_eq!(cancelled.reason(), Some("enough"));

        let panics = try_create_task(async { panic!("of the task") as io::Result<()> });
        assert!(kept(panics.await.unwrap_err().into()).is_panic());
        let panics = create_task(async { panic!("of the task") });
        let error = panics.await.unwrap_err();
        assert_eq!(error.clone().cancelled(), None);
        assert_eq!(kept(error.into()).to_string(), "the task panicked: of the task");
    });
}

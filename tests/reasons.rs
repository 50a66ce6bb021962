//! Tests the reason of a cancel: the one that the caller gave, and those that the crate's own cancels give.

mod common;

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use common::ms;
use futures::FutureExt;
use loopwheel::{
    Cancelled, EventLoop, TaskError, TaskGroup, VirtualClock, catch_cancel, create_task, gather,
    run_virtual, sleep, wait_for, yield_now,
};

/// The reason that is known where this is cancelled.
async fn why() -> Option<String> {
    let cancelled = catch_cancel(sleep(ms(60_000))).await.unwrap_err();
    cancelled.reason().map(str::to_owned)
}

#[test]
fn the_crates_own_cancels_say_why_and_by_whom() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let last = RefCell::new(None);
    event_loop.run(async {
        let limited = wait_for(why(), ms(10)).await;
        assert_eq!(limited, Ok(Some("a time limit of 10ms is up, in task 'main'".to_owned())));
        let task = create_task(why());
        let limited = wait_for(task, ms(10)).await;
        assert_eq!(limited, Ok(Ok(Some("a time limit of 10ms is up, in task 'main'".to_owned()))));

        let failed = TaskGroup::<&str>::scope(async |group| {
            let sibling = group.create_task(async { Ok::<_, &str>(why().await) });
            let fails = group.create_task(async { Err::<(), _>("it fails") });
            let name = fails.name();
            drop(fails);
            let of_body = why().await;
            let expected = Some(format!("{name} of the same group failed"));
            assert_eq!((of_body, sibling.await), (expected.clone(), Ok(expected)));
            Ok::<_, &str>(())
        });
        failed.await.unwrap_err();

        let bodys = TaskGroup::<&str>::scope(async |group| {
            let child = group.create_task(async {
                let expected = "the body of its group, in task 'main', did not end with a value";
                assert_eq!(why().await.as_deref(), Some(expected));
                Ok::<_, &str>(())
            });
            drop(child);
            yield_now().await;
            Err::<(), _>("it fails")
        });
        bodys.await.unwrap_err();

        let mut kept = None;
        let cancelled = TaskGroup::<&str>::scope(async |group| {
            kept = Some(group.create_task(pending::<Result<(), &str>>()));
            yield_now().await;
            group.cancel();
            Ok::<_, &str>(())
        });
        cancelled.await.unwrap();
        let error = kept.unwrap().await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: its group, in task 'main', was cancelled");

        let seen = Rc::new(RefCell::new(None));
        let place = seen.clone();
        let gathered = gather([async move { *place.borrow_mut() = why().await }]);
        yield_now().await;
        drop(gathered);
        yield_now().await;
        let expected = "the gathering that it belongs to was dropped";
        assert_eq!(seen.borrow().as_deref(), Some(expected));

        *last.borrow_mut() = Some(create_task(why()));
        yield_now().await;
    });
    let at_the_end = last.take().unwrap();
    let expected = Some("the run of its loop is over".to_owned());
    assert_eq!(at_the_end.now_or_never(), Some(Ok(expected)));

    let kept = event_loop.create_task(pending::<()>());
    drop(event_loop);
    let error = kept.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cancelled: its loop was dropped");
}

#[test]
fn what_was_said_is_the_reason_and_not_what_the_crate_does_of_itself() {
    run_virtual(async {
        let awaited = create_task(why());
        let task = create_task(awaited);
        yield_now().await;
        task.cancel_with_reason("shutting down");
        assert_eq!(task.await, Ok(Ok(Some("shutting down".to_owned()))));
        let task = create_task(why());
        yield_now().await;
        task.cancel();
        assert_eq!(task.await, Ok(None), "nothing was said");
    });
}

#[test]
fn two_cancels_are_equal_if_they_say_the_same_wherever_they_come_from() {
    run_virtual(async {
        let cancelled = |reason: Option<&str>| {
            let task = create_task(pending::<()>());
            match reason {
                Some(reason) => task.cancel_with_reason(reason),
                None => task.cancel(),
            };
            task
        };
        let said = cancelled(Some("shutting down")).await;
        assert!(matches!(said, Err(TaskError::Cancelled(_))));
        assert_eq!(said, cancelled(Some("shutting down")).await);
        assert_ne!(said, cancelled(Some("too slow")).await);
        assert_ne!(said, cancelled(None).await);
        assert_eq!(cancelled(None).await, cancelled(None).await);
    });
}

#[test]
fn the_default_cancel_says_nothing() {
    let nothing = Cancelled::default();
    assert_eq!((nothing.reason(), nothing.cancelled_by().is_none()), (None, true));
    assert_eq!(nothing.to_string(), "cancelled");
}

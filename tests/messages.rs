//! The list of the panics that a user can meet: each is provoked here. Its text says what happened, to what, and what to do; and it
//! points at the user's line where Rust allows it. (A future is polled by other code than the code that made it. So a panic in its
//! poll cannot point at the line; where the line is known, the text names it.)

use std::cell::RefCell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::{Context, Waker};
use std::time::Duration;

use futures::FutureExt;
use loopwheel::sync::{Barrier, Semaphore};
use loopwheel::{
    Budget, Cancelled, EventLoop, Handle, Instant, Task, TaskBuilder, TaskGroup, TaskLocal,
    TaskSet, TestRun, all_tasks, call_soon, catch_cancel, create_task, current_task, first_ok,
    gather, now, race, run_test, run_virtual, set_debug, set_exception_handler, sleep, sleep_until,
    to_thread, try_create_task, wait_for, yield_now,
};

/// What the first panic of a thread said, and where it was.
#[derive(Clone, Debug)]
struct Seen {
    text: String,
    file: String,
    line: u32,
}

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Where a panic points to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// The line of the user's call, in this file.
    TheCall,
    /// The crate: it happens in a poll.
    APoll,
}

use At::{APoll, TheCall};

fn provoke(what: &str, code: impl FnOnce()) -> Seen {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        set_hook(Box::new(|info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "not a text".to_owned());
            let location = info.location().expect("always known");
            let seen = Seen { text, file: location.file().to_owned(), line: location.line() };
            SEEN.with_borrow_mut(|first| _ = first.get_or_insert(seen));
        }));
    });
    SEEN.take();
    let ended = catch_unwind(AssertUnwindSafe(code));
    assert!(ended.is_err(), "{what}: it does not panic");
    SEEN.take().expect("the hook has seen it")
}

/// A way to provoke a panic, what its text contains, and where it points to.
type Case = (&'static str, fn(), &'static [&'static str], At);

const NO_LOOP: &[&str] = &["no event loop is running on this thread", "`loopwheel::run`"];

fn poll_once<F: Future>(future: F) {
    let mut future = pin!(future);
    let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

static LOCAL: TaskLocal<u32> = TaskLocal::new();

#[rustfmt::skip]
const WITHOUT_A_LOOP: &[Case] = &[
    ("create_task", || drop(create_task(async {})), NO_LOOP, TheCall),
    ("try_create_task", || drop(try_create_task(async { Ok::<(), ()>(()) })), NO_LOOP, TheCall),
    ("TaskBuilder", || drop(TaskBuilder::new().create_task(async {})), NO_LOOP, TheCall),
    ("now", || _ = now(), NO_LOOP, TheCall),
    ("elapsed", || _ = Instant::START.elapsed(), NO_LOOP, TheCall),
    ("all_tasks", || _ = all_tasks(), NO_LOOP, TheCall),
    ("call_soon", || _ = call_soon(|| ()), NO_LOOP, TheCall),
    ("Handle::current", || _ = Handle::current(), NO_LOOP, TheCall),
    ("set_exception_handler", || set_exception_handler(|_| ()), NO_LOOP, TheCall),
    ("set_debug", || set_debug(true), NO_LOOP, TheCall),
    ("to_thread", || drop(to_thread(|| ())), NO_LOOP, TheCall),
    ("gather", || drop(gather([async {}])),
        NO_LOOP, APoll),
    ("race", || drop(race([async {}])), NO_LOOP, TheCall),
    ("race of a tuple", || drop(race((async {}, async {}))), NO_LOOP, TheCall),
    ("first_ok", || drop(first_ok([async { Ok::<(), ()>(()) }])), NO_LOOP, TheCall),
    ("a race of none", || drop(race([] as [std::future::Ready<()>; 0])),
        &["a race of no futures", "give `race` at least one"], TheCall),
    ("TaskSet::create_task", || _ = TaskSet::new().create_task((), async {}), NO_LOOP, TheCall),
    ("TaskSet::try_create_task", || _ = TaskSet::new().try_create_task((), async { Ok::<(), ()>(()) }), NO_LOOP, TheCall),
    ("current_task", || _ = current_task(), &["no task is running here", "only inside a task"], TheCall),
    ("TaskLocal::set", || _ = LOCAL.set(1), &["no task is running here"], TheCall),
    ("TaskLocal::reset", || _ = LOCAL.reset(None), &["no task is running here"], TheCall),
    ("sleep", || poll_once(sleep(Duration::from_secs(1))),
        &["a sleep was polled where no event loop", "`loopwheel::run`", "`EventLoop::drive`"], APoll),
    ("sleep_until", || poll_once(sleep_until(Instant::MAX)),
        &["a sleep was polled where no event loop", "`EventLoop::drive`"], APoll),
    ("sleep of zero", || poll_once(sleep(Duration::ZERO)), &["a sleep was polled where no event loop"], APoll),
    ("wait_for", || poll_once(wait_for(async {}, Duration::from_secs(1))),
        &["a time limit (created at tests/messages.rs:", "outside a task", "`EventLoop::drive`"], APoll),
    ("TaskGroup::scope", || poll_once(TaskGroup::<()>::scope(async |_| Ok::<(), ()>(()))),
        &["the scope of a task group (opened at tests/messages.rs:", "outside a task", "`loopwheel::run`"], APoll),
    ("reraise", || poll_once(async { Cancelled::default().reraise().await }),
        &["`reraise` was polled outside a task"], APoll),
];

async fn awaited_twice() {
    let mut task = TaskBuilder::new().name("once").create_task(async { 1 });
    assert_eq!((&mut task).await, Ok(1));
    let _ = task.await;
}

async fn awaits_itself() {
    let own: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let place = own.clone();
    let task = TaskBuilder::new().name("circle").create_task(async move {
        let task = place.take().expect("it is there");
        let _ = task.await;
    });
    *own.borrow_mut() = Some(task);
    yield_now().await;
    yield_now().await;
    panic!("the panic of the task came first, and is seen first");
}

async fn after_its_end<F: Future>(future: F) {
    let mut future = pin!(future);
    (&mut future).await;
    (&mut future).await;
}

#[rustfmt::skip]
const IN_A_LOOP: &[Case] = &[
    ("a task awaited twice", || run_virtual(awaited_twice()),
        &["task 'once' (spawned at tests/messages.rs:", "taken before", "`Task::shared`"], APoll),
    ("a task that awaits itself", || run_virtual(awaits_itself()),
        &["task 'circle' (spawned at tests/messages.rs:", "cannot await itself"], APoll),
    ("a shared task after an await", || run_virtual(async {
        let mut task = TaskBuilder::new().name("shared").create_task(async {});
        (&mut task).await.unwrap();
        let _ = task.shared().await;
    }), &["the shared task 'shared' (spawned at tests/messages.rs:", "share it first"], APoll),
    ("a gathered task after an await", || run_virtual(async {
        let mut task = create_task(async {});
        (&mut task).await.unwrap();
        let _ = gather([task]).await;
    }), &["the outcome of a gathered task was taken before"], APoll),
    ("a limit after its end", || run_virtual(after_its_end(wait_for(async {}, Duration::from_secs(1)))),
        &["a time limit (created at tests/messages.rs:", "after its end", "await it once"], APoll),
    ("a gathering after its end", || run_virtual(async { after_its_end(gather([async {}])).await }),
        &["a gathering was polled after its end", "await it once"], APoll),
    ("a racer after an await", || run_virtual(async {
        let mut task = TaskBuilder::new().name("used").create_task(async {});
        (&mut task).await.unwrap();
        drop(race([task]));
    }), &["the outcome of task 'used' (spawned at tests/messages.rs:", "taken before", "cannot race"], TheCall),
    ("a race after its end", || run_virtual(async { after_its_end(race([async {}])).await }),
        &["a race was polled after its end", "await it once"], APoll),
    ("catch_cancel after its end", || run_virtual(after_its_end(catch_cancel(async {}))),
        &["`catch_cancel` was polled after its end"], APoll),
    ("to_thread after its end", || run_virtual(async { after_its_end(to_thread(|| ())).await }),
        &["`ToThread` was taken before", "await it once"], APoll),
    ("a run in a run", || run_virtual(async { loopwheel::run(async {}) }),
        &["already running", "await the future, or give it to `create_task`"], TheCall),
    ("a turn in a run", || run_virtual(async { EventLoop::new().turn(Budget::unlimited()); }),
        &["a loop cannot be turned while one is running", "outside of both"], TheCall),
    ("run_until_stalled in a run", || run_virtual(async { EventLoop::new().run_until_stalled(); }),
        &["a loop cannot be turned while one is running"], TheCall),
    ("run_for in a run", || run_virtual(async { EventLoop::new().run_for(Budget::polls(1)); }),
        &["a loop cannot be turned while one is running"], TheCall),
    ("EventLoop::enter in another", || run_virtual(async { EventLoop::new().enter(|| ()); }),
        &["cannot be entered while", "is running on this thread", "outside of that loop"], TheCall),
    ("a turn of a loop that is entered", || EventLoop::new().enter(|| _ = EventLoop::new().turn(Budget::unlimited())),
        &["a loop cannot be turned while one is running"], TheCall),
    ("a test in a run", || run_virtual(async { run_test(async {}) }),
        &["already running", "await the future, or give it to `create_task`"], TheCall),
    ("a test that forgets a task", || run_test(async { drop(create_task(pending::<()>())); yield_now().await; }),
        &["`main` has ended", "neither awaited nor cancelled", "`TestRun::allow_tasks_left`",
            "1 task is left", "Task-2, waiting, spawned at tests/messages.rs:"], TheCall),
    ("a test in which a task fails", || run_test(async { drop(try_create_task(async { Err::<(), _>("no mail") })); yield_now().await; }),
        &["task 'Task-2' (spawned at tests/messages.rs:", "no code took its error: \"no mail\""], TheCall),
    ("a test without the report that it expects", || TestRun::new().expect_report("no mail").run(async {}),
        &["no report says \"no mail\"", "`TestRun::expect_report`"], TheCall),
    ("a test in a deadlock", || run_test(pending::<()>()),
        &["deadlock: nothing is ready", "'main' (Task-1), waiting, spawned at tests/messages.rs:"], TheCall),
    ("a deadlock", || run_virtual(pending::<()>()),
        &["deadlock: nothing is ready", "'main' (Task-1), waiting, spawned at tests/messages.rs:"], TheCall),
    ("a cancelled main", || run_virtual(async { current_task().cancel(); yield_now().await; }),
        &["the main task was cancelled"], TheCall),
    ("too many tasks", || EventLoop::builder().max_tasks(1).build().run(async { create_task(async {}); }),
        &["too many tasks are alive", "`EventLoopBuilder::max_tasks`"], TheCall),
    ("too many racers", || EventLoop::builder().max_tasks(1).build().run(async { drop(race([async {}])) }),
        &["too many tasks are alive", "`EventLoopBuilder::max_tasks`"], TheCall),
    ("too many tasks in a set", || EventLoop::builder().max_tasks(1).build().run(async {
        TaskSet::new().create_task((), async {});
    }), &["too many tasks are alive", "`EventLoopBuilder::max_tasks`"], TheCall),
    ("a group that is over", || run_virtual(async {
        let mut kept = None;
        TaskGroup::<()>::scope(async |group| { kept = Some(group.clone()); Ok::<(), ()>(()) }).await.unwrap();
        kept.unwrap().create_task(async { Ok(()) });
    }), &["the task group is over", "inside the body of its scope"], TheCall),
    ("a group that shuts down", || run_virtual(async {
        let _ = TaskGroup::<()>::scope(async |group| {
            group.cancel();
            group.create_task(async { Ok(()) });
            Ok::<(), ()>(())
        }).await;
    }), &["the task group is shutting down", "`create_task_if_open`"], TheCall),
    ("RemoteTask::wait in a loop", || run_virtual(async {
        let _ = Handle::current().create_task(|| async {}).unwrap().wait();
    }), &["`RemoteTask::wait` would block a running loop", "await it there"], TheCall),
    ("RemoteTask::wait on its own thread", || {
        let event_loop = EventLoop::new();
        let _ = event_loop.handle().create_task(|| async {}).unwrap().wait();
    }, &["would block the thread of the task's own loop", "turn that, or await the task"], TheCall),
    ("a remote task awaited twice", || {
        let mut event_loop = EventLoop::new();
        let mut task = event_loop.handle().create_task(|| async {}).unwrap();
        event_loop.run_until_stalled();
        (&mut task).now_or_never().unwrap().unwrap();
        let _ = task.wait();
    }, &["`RemoteTask` was taken before", "keep the outcome"], TheCall),
    ("a barrier for nothing", || drop(Barrier::new(0)), &["at least one party", "the number of tasks"], TheCall),
    ("too many permits", || Semaphore::new(usize::MAX).release(), &["more than usize::MAX permits"], TheCall),
    ("a name with a NUL", || _ = EventLoop::builder().thread_name("a\0b"), &["cannot contain a NUL byte"], TheCall),
];

#[test]
fn each_panic_says_what_happened_to_what_and_what_to_do_and_points_at_the_call() {
    let mut wrong = Vec::new();
    for (what, code, parts, at) in WITHOUT_A_LOOP.iter().chain(IN_A_LOOP) {
        let seen = provoke(what, code);
        if let Some(missing) = parts.iter().find(|part| !seen.text.contains(**part)) {
            wrong.push(format!("{what}: no {missing:?} in {seen:?}"));
        }
        let points_here = seen.file.ends_with("messages.rs");
        if points_here != (*at == TheCall) {
            wrong.push(format!("{what}: it points to {}:{}", seen.file, seen.line));
        }
    }
    eprintln!("{}", wrong.join("\n")); // the hook of this test shows no panic
    assert!(wrong.is_empty());
}

/// A waker that is not of this crate may poll a handle: an executor around a loop does. So that is no panic. What a task waits for
/// in another loop, which does not run, is named.
#[test]
fn a_task_of_another_loop_is_named_with_its_loop() {
    let other = EventLoop::builder().name("other").build();
    let task = other.create_task(sleep(Duration::from_secs(1)));
    task.to_ref().set_name("far");
    let ended = EventLoop::new().try_run(async { task.await.unwrap() });
    let text = ended.unwrap_err().to_string();
    let expected =
        "'far' (Task-1) of the loop 'other', which does not run: turn it, or spawn the task here";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn the_error_of_a_loop_that_is_gone_says_what_to_do() {
    let event_loop = EventLoop::new();
    let handle = event_loop.handle();
    let remote = handle.create_task(pending::<fn() -> ()>).unwrap();
    let task = event_loop.create_task(pending::<()>());
    drop(event_loop);
    let gone = handle.call_soon(|| ()).unwrap_err().to_string();
    assert!(gone.contains("the event loop is gone") && gone.contains("keep the loop"), "{gone}");
    assert_eq!(remote.wait().unwrap_err().to_string(), gone);
    let error = task.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cancelled: its loop was dropped");
}

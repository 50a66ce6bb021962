//! Tests what makes a test fail: `run_test` and `TestRun`.

mod common;

use std::cell::{Cell, RefCell};
use std::env;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::rc::Rc;

use common::{Log, OnDrop, Watchdog, ms, turns};
use futures::FutureExt;
use loopwheel::sync::{Event, Lock, Queue};
use loopwheel::{
    Clock, EventLoop, Failure, Handle, Instant, RunError, Task, TaskBuilder, TaskGroup, TestRun,
    VirtualClock, call_later, call_soon, catch_cancel, create_task, current_task, finally, gather,
    now, run_test, run_virtual, set_exception_handler, sleep, to_thread, try_create_task, try_run,
    wait_for, yield_now,
};

/// What the panic of this test's run says.
#[track_caller]
fn failure_of<T>(run: impl FnOnce() -> T) -> String {
    let ended = catch_unwind(AssertUnwindSafe(run));
    let payload = ended.err().expect("the test is to fail, and it does not");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

/// How often each of these texts is in the failure: once.
#[track_caller]
fn expect_once(failure: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(failure.matches(text).count(), 1, "{text:?} in:\n{failure}");
    }
}

async fn yields_for_ever() {
    loop {
        yield_now().await;
    }
}

// ---- what does not fail ----

#[test]
fn a_test_in_which_nothing_fails_returns_what_main_does_after_no_real_time() {
    let mut log = vec![]; // `main` may borrow
    let answer = run_test(async {
        let task = create_task(async {
            sleep(ms(3_600_000)).await;
            40
        });
        log.push("in the test");
        task.await.unwrap() + 2
    });
    assert_eq!((answer, log), (42, vec!["in the test"]));
    assert_eq!(run_test(async { now() }), Instant::START);
}

#[test]
fn a_failure_that_code_takes_does_not_fail_a_test() {
    run_test(async {
        assert!(create_task(async { panic!("it is looked at") }).await.is_err());
        assert_eq!(try_create_task(async { Err::<(), _>(1) }).await.unwrap_err().failed(), Some(1));
        let ended = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("of a child") });
        });
        assert!(ended.await.is_err());
        assert!(to_thread(|| panic!("on a thread")).await.is_err());
    });
}

#[test]
fn the_error_of_a_main_that_returns_one_is_returned() {
    let ended = run_test(async { "x".parse::<u32>() });
    assert!(ended.is_err());
}

// ---- reports ----

#[test]
fn an_assertion_that_fails_in_a_task_fails_the_test() {
    let line = line!() + 2;
    let failure = failure_of(|| {
        run_test(async {
            let task = TaskBuilder::new().name("checks").create_task(async {
                assert_eq!(1 + 1, 3, "the sum");
            });
            sleep(ms(1)).await;
            drop(task);
        });
    });
    let spawned = format!("task 'checks' (spawned at {}:{}:", file!(), line + 1);
    expect_once(&failure, &[&spawned, "panicked and no code took the panic", "the sum"]);
    // The same without this crate's test run is green.
    run_virtual(async {
        set_exception_handler(|_| ());
        drop(create_task(async { panic!("it is only reported") }));
        yield_now().await;
    });
}

#[test]
fn each_kind_of_failure_that_no_code_takes_fails_the_test() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let failure = failure_of(|| {
        run_test(async {
            drop(try_create_task(async { Err::<(), _>("an error") }));
            call_soon(|| panic!("in a callback"));
            call_later(ms(1), || panic!("in a later callback"));
            let in_its_value = create_task(async { Panics });
            sleep(ms(2)).await;
            drop(in_its_value);
        });
    });
    assert!(failure.starts_with("4 things went wrong in this test\n- "), "{failure}");
    let texts = ["an error", "in a callback", "in a later callback", "in a destructor"];
    expect_once(&failure, &texts);
}

#[test]
fn what_fails_after_main_in_the_clean_up_and_in_destructors_fails_the_test() {
    struct Panics(&'static str);
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }
    let failure = failure_of(|| {
        TestRun::new().allow_tasks_left().run(async {
            let cleans_up = finally(pending::<()>(), async || {
                sleep(ms(5)).await;
                panic!("in a clean-up that awaits");
            });
            drop(create_task(cleans_up));
            call_later(ms(3_600_000), {
                let panics = Panics("with the loop");
                move || drop(panics)
            });
            sleep(ms(1)).await;
        });
    });
    expect_once(&failure, &["in a clean-up that awaits", "with the loop"]);
}

#[test]
fn a_swallowed_cancel_at_the_end_fails_the_test_and_it_ends() {
    let _watchdog = Watchdog::new("a_swallowed_cancel_at_the_end_fails_the_test_and_it_ends");
    let swallows = async || {
        loop {
            let _ = catch_cancel(sleep(ms(1_000))).await;
        }
    };
    let left = || {
        drop(create_task(swallows()));
        yield_now()
    };
    let failure = failure_of(|| TestRun::new().allow_tasks_left().run(async { left().await }));
    expect_once(&failure, &["task 'Task-2'", "has been cancelled by the end of the run"]);
    // Also if it is expected: the run does not wait for ever.
    let expecting = TestRun::new().allow_tasks_left().expect_report("by the end of the run");
    expecting.run(async { left().await });
}

#[test]
fn a_slow_poll_in_debug_mode_does_not_fail_the_test() {
    let slow = || {
        std::thread::sleep(ms(2));
        pending::<()>()
    };
    let builder = || EventLoop::builder().slow_callback_duration(ms(1));
    let main = async || _ = wait_for(async { slow().await }, ms(1)).await;
    TestRun::new().event_loop(builder()).run(main());
    let expecting = TestRun::new().expect_report("held up the loop").event_loop(builder());
    expecting.run(main());
}

#[test]
fn an_expected_report_does_not_fail_the_test() {
    TestRun::new().expect_report("task 'sends' ").expect_report("panicked").run(async {
        let failing = async { Err::<(), _>("the server is down") };
        drop(TaskBuilder::new().name("sends").try_create_task(failing));
        drop(create_task(async { panic!("on purpose") }));
        yield_now().await;
    });
}

#[test]
fn an_expected_report_that_does_not_come_fails_the_test() {
    let failure = failure_of(|| {
        TestRun::new().expect_report("the server is down").run(async {});
    });
    expect_once(&failure, &["no report says \"the server is down\""]);
}

#[test]
fn each_expectation_takes_one_report_and_the_longest_text_goes_first() {
    let fail = |text: &'static str| drop(try_create_task(async move { Err::<(), _>(text) }));
    TestRun::new().expect_report("user").expect_report("user 12").run(async {
        fail("user 12");
        fail("user 1");
        yield_now().await;
    });
    let failure = failure_of(|| {
        TestRun::new().expect_report("user").run(async {
            fail("user 1");
            fail("user 2");
            yield_now().await;
        });
    });
    expect_once(&failure, &["user 2"]);
    assert!(!failure.contains("user 1"), "{failure}");
    let failure = failure_of(|| {
        TestRun::new().expect_report("user").expect_report("user").run(async {
            fail("user 1");
            yield_now().await;
        });
    });
    expect_once(&failure, &["no report says \"user\""]);
}

#[test]
fn a_handler_that_main_sets_takes_what_it_is_given() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let handler = || {
        let sink = seen.clone();
        move |context: &loopwheel::ExceptionContext| {
            assert!(matches!(context.failure, Failure::Failed(_)));
            sink.borrow_mut().push(context.to_string());
        }
    };
    let fail = || drop(try_create_task(async { Err::<(), _>("it is looked at") }));
    run_test(async {
        set_exception_handler(handler());
        fail();
        yield_now().await;
    });
    let settings = EventLoop::builder().exception_handler(handler());
    TestRun::new().event_loop(settings).run(async {
        fail();
        yield_now().await;
    });
    assert_eq!(seen.borrow().len(), 2);
    // It is not among the expected reports.
    let failure = failure_of(|| {
        TestRun::new().expect_report("looked at").run(async {
            set_exception_handler(handler());
            fail();
            yield_now().await;
        });
    });
    expect_once(&failure, &["no report says \"looked at\""]);
}

#[test]
fn an_assertion_that_fails_in_a_handler_fails_the_test() {
    let failure = failure_of(|| {
        run_test(async {
            set_exception_handler(|context| assert_eq!(context.to_string(), "another text"));
            drop(create_task(async { panic!("a failure") }));
            yield_now().await;
        });
    });
    expect_once(&failure, &["the exception handler panicked"]);
}

#[test]
fn a_report_after_the_verdict_harms_nothing() {
    let mut left: Option<Task<()>> = None;
    run_test(async {
        left = Some(create_task(async { panic!("it is not yet reported") }));
        yield_now().await;
    });
    drop(left); // printed
}

// ---- tasks that are left ----

#[test]
fn a_task_that_main_forgot_fails_the_test_with_where_it_was_made_and_what_it_waits_for() {
    let line = line!() + 4;
    let failure = failure_of(|| {
        run_test(async {
            let lock = Rc::new(Lock::new().named("accounts"));
            let held = TaskBuilder::new().name("holder").create_task({
                let lock = lock.clone();
                async move {
                    let _guard = lock.acquire().await;
                    pending::<()>().await;
                }
            });
            drop((held, create_task(async move { drop(lock.acquire().await) })));
            turns(2).await;
        });
    });
    let made_at = format!("spawned at {}:{line}:", file!());
    expect_once(&failure, &[&made_at, "2 tasks are left", "`TestRun::allow_tasks_left`"]);
    assert!(failure.contains("the lock \"accounts\"") && failure.contains("'holder'"), "{failure}");
}

#[test]
fn a_task_that_is_ready_when_main_ends_is_left() {
    let failure = failure_of(|| run_test(async { drop(create_task(async {})) }));
    expect_once(&failure, &["1 task is left", "Task-2, ready, spawned at"]);
}

#[test]
fn a_task_that_main_has_cancelled_may_clean_up_after_it() {
    let log = Log::new();
    run_test(async {
        let logged = log.clone();
        let task = create_task(finally(pending::<()>(), async move || {
            sleep(ms(5)).await;
            logged.add("cleaned up");
        }));
        let mut gathering = Box::pin(gather([pending::<()>()]));
        assert!((&mut gathering).now_or_never().is_none());
        yield_now().await;
        drop(gathering); // cancels the child
        task.cancel();
    });
    log.expect(&[(5, "cleaned up")]);
}

#[test]
fn callbacks_and_timers_that_are_left_do_not_fail_the_test() {
    run_test(async {
        call_later(ms(100), || panic!("it is never called"));
        let mut slept = Box::pin(sleep(ms(1_000)));
        assert!(wait_for(&mut slept, ms(1)).await.is_err());
    });
}

#[test]
fn tasks_may_be_left_if_the_test_says_so_and_are_cleaned_up() {
    let log = Log::new();
    let logged = log.clone();
    TestRun::new().allow_tasks_left().run(async {
        drop(create_task(finally(pending::<()>(), async move || {
            sleep(ms(5)).await;
            logged.add("cleaned up");
        })));
        yield_now().await;
    });
    log.expect(&[(5, "cleaned up")]);
}

// ---- runs that do not end ----

#[test]
fn a_deadlock_fails_the_test_with_the_tree() {
    let failure = failure_of(|| {
        run_test(async {
            let queue = Rc::new(Queue::<u32>::unbounded());
            let producer = create_task({
                let _queue = queue.clone();
                async { assert_eq!(1, 2, "so it puts nothing") }
            });
            _ = queue.get().await;
            producer.await.unwrap();
        });
    });
    // The failure behind it is there, too.
    expect_once(
        &failure,
        &["deadlock: nothing is ready", "'main' (Task-1), waiting", "so it puts nothing"],
    );
}

#[test]
fn a_deadlock_in_the_clean_up_fails_the_test() {
    let failure = failure_of(|| {
        TestRun::new().allow_tasks_left().run(async {
            drop(create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                pending::<()>().await;
            }));
            yield_now().await;
        });
    });
    expect_once(&failure, &["in the clean-up after `main`: deadlock"]);
}

#[test]
fn tasks_that_keep_virtual_time_from_passing_end_the_test() {
    let _watchdog = Watchdog::new("tasks_that_keep_virtual_time_from_passing_end_the_test");
    let failure = failure_of(|| {
        run_test(async {
            let spinning = TaskBuilder::new().name("spins").create_task(yields_for_ever());
            sleep(ms(1)).await;
            spinning.cancel();
        });
    });
    expect_once(&failure, &["polls while its virtual time stood still"]);
    assert!(failure.contains("'spins'") && !failure.contains("things went wrong"), "{failure}");
}

#[test]
fn a_loop_that_only_the_outside_could_wake_ends_the_test() {
    let _watchdog = Watchdog::new("a_loop_that_only_the_outside_could_wake_ends_the_test");
    let log = Log::new();
    let failure = failure_of(|| {
        let settings = EventLoop::builder().stall_after(ms(10));
        TestRun::new().event_loop(settings).run(async {
            let _dropped = OnDrop(log.clone(), "main is dropped");
            let _handle = Handle::current();
            Event::new().wait().await;
        });
    });
    expect_once(&failure, &["has been quiet for", "'main' (Task-1), waiting"]);
    log.expect(&[(0, "main is dropped")]);
}

// ---- main ----

#[test]
fn a_panic_of_main_goes_on() {
    #[derive(Debug, PartialEq)]
    struct Payload(u32);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        TestRun::new().expect_report("main does not come to it").run(async {
            drop(create_task(async { panic!("beside it") }));
            drop(create_task(pending::<()>())); // main was interrupted, and has not forgotten it
            yield_now().await;
            std::panic::panic_any(Payload(7));
        });
    }));
    assert_eq!(*ended.unwrap_err().downcast::<Payload>().unwrap(), Payload(7));
}

#[test]
fn a_main_that_is_cancelled_fails_the_test() {
    let failure = failure_of(|| {
        run_test(async {
            current_task().cancel_with_reason("enough");
            yield_now().await;
        });
    });
    expect_once(&failure, &["the main task was cancelled: enough"]);
}

#[test]
fn a_test_in_a_run_is_refused() {
    let failure = failure_of(|| run_virtual(async { run_test(async {}) }));
    expect_once(&failure, &["an event loop is already running on this thread"]);
    assert_eq!(run_test(async { try_run(async {}) }), Err(RunError::AlreadyRunning));
}

#[test]
fn the_output_of_a_test_that_fails_is_dropped_and_its_panic_hides_nothing() {
    struct Output(Rc<Cell<u32>>);
    impl Drop for Output {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("of the output");
        }
    }
    let drops = Rc::new(Cell::new(0));
    let failure = failure_of(|| {
        run_test(async {
            drop(create_task(async { panic!("the failure") }));
            yield_now().await;
            Output(drops.clone())
        })
    });
    expect_once(&failure, &["the failure"]);
    assert_eq!(drops.get(), 1);
    let output = || drop(run_test(async { Output(drops.clone()) }));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(output)).is_err());
    assert_eq!(drops.get(), 2); // it is the caller's
}

// ---- the loop ----

#[test]
fn the_settings_of_the_loop_are_kept_and_its_clock_is_virtual_unless_they_have_another() {
    let clock = VirtualClock::new();
    let settings = EventLoop::builder().clock(clock.clone()).name("mine").max_tasks(2);
    TestRun::new().event_loop(settings).run(async {
        sleep(ms(5)).await;
        drop(create_task(async {}).await);
        assert_eq!(loopwheel::dump().loop_name, "mine");
    });
    assert_eq!(clock.now(), Instant::START + ms(5));
    let frozen = Rc::new(Cell::new(Instant::START));
    let settings = EventLoop::builder().clock(Clock::host(move || {
        frozen.set(frozen.get() + ms(1));
        frozen.get()
    }));
    TestRun::new().event_loop(settings).run(sleep(ms(3)));
    TestRun::new().event_loop(EventLoop::builder().name("mine")).run(sleep(ms(3_600_000)));
}

#[test]
fn a_clock_that_panics_when_it_is_dropped_fails_the_test() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("of the clock");
        }
    }
    let failure = failure_of(|| {
        let panics = Panics;
        let clock = Clock::host(move || {
            let _held = &panics;
            Instant::START
        });
        TestRun::new().event_loop(EventLoop::builder().clock(clock)).run(async {});
    });
    expect_once(&failure, &["the drop of the loop panicked: of the clock"]);
}

// ---- what the user sees ----

const LINE_OF_THE_CALL: u32 = line!() + 5;

#[test]
#[ignore = "it fails: it is run by the next test"]
fn fails() {
    run_test(async {
        let task = create_task(async {
            assert_eq!(1 + 1, 3);
        });
        sleep(ms(1)).await;
        drop(task);
    });
}

#[test]
fn the_output_of_a_test_has_the_panic_of_the_task_its_place_and_the_line_of_the_call() {
    let this = env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", "fails", "--ignored"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    let text = text.replace('\\', "/"); // as the paths of another system have it
    let file = file!().replace('\\', "/");
    for part in [
        format!("panicked at {file}:{}:", LINE_OF_THE_CALL + 2),
        format!("panicked at {file}:{LINE_OF_THE_CALL}:"),
        format!("task 'Task-2' (spawned at {file}:{}:", LINE_OF_THE_CALL + 1),
        "assertion `left == right` failed".to_owned(),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
}

#[cfg(feature = "async-io")]
#[test]
fn a_test_with_sockets_runs_on_virtual_time_and_fails_on_what_its_server_leaves() {
    use async_net::{TcpListener, TcpStream};
    use futures::{AsyncReadExt, AsyncWriteExt};

    async fn echo_once(listener: TcpListener) -> std::io::Result<()> {
        let (mut client, _) = listener.accept().await?;
        sleep(ms(3_600_000)).await;
        futures::io::copy(client.clone(), &mut client).await.map(drop)
    }
    let _watchdog = Watchdog::new("a_test_with_sockets_runs_on_virtual_time");
    let test = |hangs_up: bool| {
        TestRun::new().event_loop(loopwheel::io::builder()).run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = create_task(echo_once(listener));
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
            assert!(now().as_secs_f64() >= 3_600.0, "the hour has passed");
            if hangs_up {
                drop(client);
                server.await.unwrap().unwrap();
            }
        });
    };
    test(true);
    let left = failure_of(|| test(false));
    assert!(left.contains("tasks go on that it has neither awaited nor cancelled"), "{left}");
}

// ---- stuck beside a task that ticks ----

async fn ticks() {
    loop {
        sleep(ms(1_000)).await;
    }
}

#[test]
fn tasks_in_a_cycle_beside_one_that_ticks_fail_the_test() {
    let _watchdog = Watchdog::new("a cycle of locks beside a task that ticks");
    let failure = failure_of(|| {
        run_test(async {
            let _ticks = TaskBuilder::new().name("ticks").create_task(ticks());
            let (left, right) = (Rc::new(Lock::new()), Rc::new(Lock::new()));
            let both = |first: Rc<Lock>, second: Rc<Lock>| async move {
                let _first = first.acquire().await;
                sleep(ms(1)).await;
                let _second = second.acquire().await;
            };
            gather([
                create_task(both(left.clone(), right.clone())),
                create_task(both(right, left)),
            ])
            .await;
        });
    });
    expect_once(
        &failure,
        &[
            "virtual time has jumped more than 1000000 times",
            "`TestRun::max_jumps`",
            "a cycle: Task-3 waits for lock 2, held by Task-4, which waits for lock 1",
        ],
    );
    assert!(failure.contains("ticks"), "{failure}");
}

#[test]
fn a_main_that_waits_for_nothing_beside_a_task_that_ticks_fails_after_so_many_jumps() {
    let _watchdog = Watchdog::new("a main that is stuck");
    let run = || TestRun::new().allow_tasks_left().max_jumps(100);
    let failure = failure_of(|| {
        run().run(async {
            let _ticks = create_task(ticks());
            pending::<()>().await;
        });
    });
    expect_once(&failure, &["has jumped more than 100 times, by 101s", "main"]);
    // So does a clean-up at the end, and a test that takes no more than that ends well.
    let failure = failure_of(|| {
        run().run(async {
            drop(create_task(async {
                let _ = catch_cancel(sleep(ms(1))).await;
                ticks().await;
            }));
            yield_now().await;
        });
    });
    expect_once(&failure, &["has jumped more than 100 times"]);
    run().run(async {
        let _ticks = create_task(ticks());
        sleep(ms(100_000)).await;
    });
}

#[test]
fn the_jump_that_ends_a_test_is_none_too_many() {
    let _watchdog = Watchdog::new("a test that ends at its last jump");
    TestRun::new().max_jumps(1).run(async {
        sleep(ms(1)).await;
        sleep(ms(1)).await; // the second jump, but nothing is left that could be stuck
    });
    let failure = failure_of(|| {
        TestRun::new().max_jumps(0).run(async {
            sleep(ms(1)).await;
            sleep(ms(1)).await;
            sleep(ms(1)).await;
        });
    });
    expect_once(&failure, &["has jumped more than 0 times, by 1ms", "main"]);
}

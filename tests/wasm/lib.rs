//! A loop in `wasm32-unknown-unknown`, where there is no thread and no clock: the host gives the time, and calls.
//!
//! `run.mjs` is the host. It imports nothing but two functions, `now` and `say`, and needs no tool that writes glue. A program in a
//! browser has `wasm-bindgen` do the same.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Queue;
use loopwheel::trace::Event;
use loopwheel::{
    Budget, Clock, EventLoop, Instant, Next, TaskBuilder, TaskGroup, VirtualClock, catch_cancel,
    create_task, gather, now, sleep, try_create_task, try_to_thread, wait_for, yield_now,
};

/// What the host gives to the module.
mod host {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        /// The milliseconds that the host's clock shows.
        pub(crate) safe fn now() -> f64;
        /// The host prints this text, which it reads from the module's memory.
        pub(crate) safe fn say(text: *const u8, length: usize);
    }
}

fn say(text: &str) {
    host::say(text.as_ptr(), text.len());
}

thread_local! {
    static LOOP: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
}

/// The host calls this first: makes a loop on the host's clock, and two tasks.
#[unsafe(no_mangle)]
pub extern "C" fn start() {
    std::panic::set_hook(Box::new(|panic| say(&format!("panic: {panic}"))));
    let clock = || Instant::START + Duration::from_secs_f64(host::now() / 1_000.0);
    let event_loop = EventLoop::builder().clock(Clock::host(clock)).build();
    let questions = Rc::new(Queue::bounded(1));
    let asker = questions.clone();
    drop(event_loop.create_task(async move {
        for question in 1..=3 {
            sleep(Duration::from_millis(10)).await;
            asker.put(question).await.expect("the queue is open");
        }
        asker.shutdown(false);
    }));
    drop(event_loop.create_task(async move {
        while let Ok(question) = questions.get().await {
            say(&format!("question {question}"));
        }
        let too_slow = wait_for(sleep(Duration::from_secs(3600)), Duration::from_millis(5)).await;
        say(if too_slow.is_err() { "too slow" } else { "an hour has passed" });
    }));
    LOOP.set(Some(event_loop));
}

/// One turn. Returns in how many milliseconds the host is to call it again; less than zero is never.
#[unsafe(no_mangle)]
pub extern "C" fn turn() -> f64 {
    LOOP.with_borrow_mut(|event_loop| {
        let event_loop = event_loop.as_mut().expect("`start` was called");
        match event_loop.turn(Budget::polls(16)) {
            Next::Ready => 0.0,
            Next::At(deadline) => (deadline - event_loop.now()).as_secs_f64() * 1_000.0,
            Next::Idle => -1.0,
        }
    })
}

/// An hour on virtual time, with tasks, a group, a cancel and its clean-up. Returns how many virtual seconds it took.
#[unsafe(no_mangle)]
pub extern "C" fn run_virtual() -> f64 {
    loopwheel::run_virtual(async {
        let task = create_task(async {
            let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(7200))).await else {
                return;
            };
            sleep(Duration::from_secs(1)).await;
            say("cleaned up");
            cancelled.reraise().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        let sum = TaskGroup::scope(async |group| {
            let tasks: Vec<_> = (0..1_000_u64)
                .map(|number| {
                    group.create_task(async move {
                        sleep(Duration::from_secs(number)).await;
                        Ok(number)
                    })
                })
                .collect();
            let numbers = gather(tasks).await;
            Ok::<_, String>(numbers.into_iter().map(Result::unwrap_or_default).sum::<u64>())
        });
        assert_eq!(sum.await.expect("no task fails"), 499_500);
        now().as_secs_f64()
    })
}

/// How many tasks can be alive on one loop, `main` included.
#[unsafe(no_mangle)]
pub extern "C" fn how_many_tasks() -> usize {
    loopwheel::run_virtual(async {
        let create = || TaskBuilder::new().create_task_if_running(std::future::pending::<()>());
        let tasks: Vec<_> = std::iter::repeat_with(create).map_while(Result::ok).collect();
        for task in &tasks {
            task.cancel();
        }
        tasks.len() + 1
    })
}

/// How many loops can be alive.
#[unsafe(no_mangle)]
pub extern "C" fn how_many_loops() -> usize {
    let build = || EventLoop::builder().clock(VirtualClock::new()).try_build();
    let loops: Vec<_> = std::iter::repeat_with(build).map_while(Result::ok).collect();
    loops.len()
}

/// An error that no code takes reaches the exception handler, and the loop goes on.
#[unsafe(no_mangle)]
pub extern "C" fn reports() {
    let event_loop = EventLoop::builder().clock(VirtualClock::new());
    let mut event_loop = event_loop.exception_handler(|context| say(&context.to_string())).build();
    event_loop.run(async {
        drop(try_create_task(async { Err::<(), _>("broken") }));
        yield_now().await;
    });
}

/// Whether work for another thread is refused with an error: there is no other thread.
#[unsafe(no_mangle)]
pub extern "C" fn refuses_threads() -> bool {
    loopwheel::run_virtual(async { try_to_thread(|| ()).is_err() })
}

/// What `node` expects to end the module: the operating system's clock, which is not there.
#[unsafe(no_mangle)]
pub extern "C" fn monotonic_clock() {
    drop(EventLoop::new());
}

/// Debug mode, which measures polls: by the loop's clock, as there is no other.
#[unsafe(no_mangle)]
pub extern "C" fn debug_mode() {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    run_for_a_while(event_loop);
}

/// An observer, which is told how long a poll took: by the loop's clock too.
#[unsafe(no_mangle)]
pub extern "C" fn observer() {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(|_: &Event<'_>| ());
    run_for_a_while(event_loop.build());
}

fn run_for_a_while(mut event_loop: EventLoop) {
    event_loop.run(async {
        create_task(sleep(Duration::from_secs(1))).await.expect("it ends");
    });
}

/// What `node` expects to end the module: a panic cannot be caught, as it can elsewhere.
#[unsafe(no_mangle)]
pub extern "C" fn a_task_panics() {
    loopwheel::run_virtual(async {
        drop(create_task(async { panic!("broken") }).await);
    });
}

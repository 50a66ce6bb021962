//! Places at a loop's edges: the clock, the hooks, the handler, `drive`, other threads.

use std::cell::Cell;
use std::future::{Future, pending};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use loopwheel::errors::RemoteError;
use loopwheel::trace::Event;
use loopwheel::{
    Clock, EventLoopBuilder, Handle, Instant, VirtualClock, create_task, run_test, run_virtual,
    set_exception_handler, sleep, to_thread, try_create_task, yield_now,
};

use crate::deeds::{Code, text_of};
use crate::place::{Goes, Place, inside, outside};
use crate::stage::{W, ms};
use crate::things::{Foreign, On, OnWaker, Value};

pub(crate) fn places() -> Vec<Place> {
    let mut places = clocks_and_hooks();
    places.extend(handlers());
    places.extend(test_runs());
    places.extend(driven());
    places.extend(threads());
    places.extend(remote());
    places
}

fn value(w: &W) -> Value {
    Value::new(&w.code, On::Drop)
}

/// A clock that advances a millisecond at each look.
fn looked_at(time: &Rc<Cell<u64>>, at_each: impl Fn() + 'static) -> Clock {
    let time = time.clone();
    Clock::host(move || {
        time.set(time.get() + 1_000_000);
        at_each();
        Instant::from_nanos(time.get())
    })
}

/// The time that a clock shows from the deed on.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Passes,
    FallsBack,
    JumpsToTheEnd,
    Asks,
}

fn clock(w: &W, builder: EventLoopBuilder, then: Then) {
    w.code.disarm();
    let (time, code) = (Cell::new(0), w.code.clone());
    let clock = Clock::host(move || {
        let before = code.ran();
        time.set(time.get() + 1_000_000);
        code.run();
        let is_now = before == 0 && code.ran() > 0;
        match then {
            Then::FallsBack if is_now => time.set(0),
            Then::JumpsToTheEnd if code.ran() > 0 => return Instant::MAX,
            Then::Asks => assert!(loopwheel::try_now().is_ok() || code.ran() == 0),
            _ => {}
        }
        Instant::from_nanos(time.get())
    });
    let mut event_loop = builder.clock(clock).build();
    let world = w.clone();
    w.turn_on(&mut event_loop, async move {
        world.furnish().await;
        world.code.arm();
        sleep(ms(3)).await;
    });
    w.call(|| drop(event_loop));
}

/// An observer that runs the code at one of the events of a run: `after` so many.
fn observer(w: &W, after: u32) {
    w.code.disarm();
    let (left, code) = (Cell::new(after), w.code.clone());
    let observer = move |_: &Event<'_>| {
        left.set(left.get().saturating_sub(1));
        if left.get() == 0 {
            code.run();
        }
    };
    let mut event_loop = w.builder().clock(VirtualClock::impatient()).trace(observer).build();
    let world = w.clone();
    w.turn_on(&mut event_loop, async move {
        world.furnish().await;
        world.code.arm();
        create_task(sleep(ms(3))).await.expect("it ends");
        yield_now().await;
    });
    w.call(|| drop(event_loop));
}

fn clocks_and_hooks() -> Vec<Place> {
    vec![
        outside("an observer", Goes::Report, |w| observer(w, 0)),
        outside("an observer later in a run", Goes::Report, |w| observer(w, 60)),
        outside("a host's clock", Goes::Report, |w| clock(w, w.builder(), Then::Passes)),
        outside("a host's clock that falls back", Goes::Report, |w| {
            clock(w, w.builder(), Then::FallsBack);
        }),
        outside("a host's clock that jumps to the end", Goes::Report, |w| {
            clock(w, w.builder(), Then::JumpsToTheEnd);
        }),
        outside("a host's clock that asks for the time", Goes::Report, |w| {
            clock(w, w.builder(), Then::Asks);
        }),
        outside("the drop of a host's clock", Goes::Caller, |w| {
            let value = value(w);
            let clock = looked_at(&Rc::default(), move || assert!(!value.token.text.is_empty()));
            let event_loop = w.builder().clock(clock).build();
            drop(event_loop.create_task(pending::<()>()));
            w.call(|| drop(event_loop));
            makes_loops_still();
        }),
        outside("the wake hook", Goes::Nowhere, |w| {
            w.code.disarm();
            let (code, world) = (w.code.clone(), w.clone());
            let mut event_loop = w.builder().wake_hook(move || code.run()).build();
            w.witness_on(&event_loop, "one that is woken from outside");
            event_loop.turn(loopwheel::Budget::unlimited());
            w.code.arm();
            w.call(|| w.code.wake_all());
            w.code.disarm();
            w.turn_on(&mut event_loop, async move { world.furnish().await });
        }),
        outside("the closure of EventLoop::enter", Goes::Caller, |w| {
            w.code.disarm();
            let (mut event_loop, world) = (w.builder().build(), w.clone());
            w.witness_on(&event_loop, "one beside the host");
            event_loop.turn(loopwheel::Budget::unlimited());
            w.code.arm();
            w.call(|| event_loop.enter(|| w.code.run()));
            w.code.disarm();
            w.turn_on(&mut event_loop, async move { world.furnish().await });
        }),
        outside("the drop of a wake hook", Goes::Nowhere, |w| {
            let value = value(w);
            let hook = move || assert!(!value.token.text.is_empty());
            let event_loop = w.builder().wake_hook(hook).build();
            w.call(|| drop(event_loop));
            makes_loops_still();
        }),
        outside("a parker", Goes::Caller, |w| {
            w.code.disarm();
            let (code, world) = (w.code.clone(), w.clone());
            let mut event_loop = w.builder().park_with(move |_| code.run()).build();
            w.witness_on(&event_loop, "one that sleeps in a parker");
            w.code.arm();
            let busy = async {
                for _ in 0..200 {
                    yield_now().await; // the parker looks at its sockets now and then
                }
            };
            w.call(|| event_loop.run_until_complete(busy));
            w.code.disarm();
            w.turn_on(&mut event_loop, async move { world.furnish().await });
        }),
        outside("the drop of a parker", Goes::Caller, |w| {
            let value = value(w);
            let park = move |_: Option<Duration>| assert!(!value.token.text.is_empty());
            let event_loop = w.builder().park_with(park).build();
            drop(event_loop.create_task(pending::<()>()));
            w.call(|| drop(event_loop));
            makes_loops_still();
        }),
    ]
}

/// After it, loops can still be made and run.
fn makes_loops_still() {
    run_virtual(async { yield_now().await });
}

fn handlers() -> Vec<Place> {
    vec![
        outside("the exception handler", Goes::Nowhere, |w| {
            let (code, world) = (w.code.clone(), w.clone());
            let event_loop = w
                .builder()
                .exception_handler(move |context| {
                    world.reports.borrow_mut().push(context.to_string());
                    code.run();
                })
                .build();
            w.expect_report("the first failure");
            w.expect_report("the second failure");
            w.run_on(event_loop, async {
                for text in ["the first failure", "the second failure"] {
                    drop(try_create_task(async move { Err::<(), &str>(text) }));
                }
            });
        }),
        inside("the drop of an exception handler that is replaced", Goes::Caller, async |w| {
            let (value, other) = (value(&w), w.clone());
            set_exception_handler(move |_| assert!(!value.token.text.is_empty()));
            w.call(|| {
                set_exception_handler(move |context| {
                    other.reports.borrow_mut().push(context.to_string());
                });
            });
            w.expect_report("a failure after it");
            drop(try_create_task(async { Err::<(), &str>("a failure after it") }));
        }),
        outside("the drop of an exception handler with its loop", Goes::Caller, |w| {
            let value = value(w);
            let handler = move |_: &_| assert!(!value.token.text.is_empty());
            let event_loop = w.builder().exception_handler(handler).build();
            w.call(|| drop(event_loop));
            makes_loops_still();
        }),
    ]
}

fn test_runs() -> Vec<Place> {
    vec![outside("the drop of the output of a test that fails", Goes::Nowhere, |w| {
        let (value, world) = (value(w), w.clone());
        w.expect_report("the failure of the test");
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run_test(async move {
                world.furnish().await;
                drop(try_create_task(async { Err::<(), &str>("the failure of the test") }));
                world.all_end().await;
                value
            })
        }));
        let failure = ended.map(mem::forget).expect_err("the test fails");
        w.reports.borrow_mut().push(text_of(&*failure).to_owned());
    })]
}

#[derive(Clone, Copy, PartialEq)]
enum Driver {
    Sleep,
    Poll,
    Drop,
}

/// A timer of the executor outside.
struct Outer {
    polled: Option<Code>,
    _held: Option<Value>,
}

impl Future for Outer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.polled.iter().for_each(Code::run);
        Poll::Ready(())
    }
}

/// The executor outside polls with foreign wakers, a new one in each poll.
fn drive_with(w: &W, on: OnWaker) {
    w.code.disarm();
    let (world, event_loop) = (w.clone(), w.builder().build());
    let mut driven = Box::pin(event_loop.drive(
        async move {
            world.furnish().await;
            world.code.arm();
            world.all_end().await;
        },
        |_: Duration| pending::<()>(),
    ));
    w.code.loop_may_leak();
    for _ in 0..10_000 {
        let waker = Foreign::waker(&w.code, on, Waker::noop());
        match w.call(|| driven.as_mut().poll(&mut Context::from_waker(&waker))) {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(Err(error))) => w.fail(format!("`drive` ended with: {error}")),
            Some(Poll::Ready(Ok(()))) | None => break,
        }
    }
    w.call(|| drop(driven));
    w.look_at_witnesses();
}

fn drive(w: &W, on: Driver) {
    let time = Rc::new(Cell::new(0));
    let event_loop = w.builder().clock(looked_at(&time, || ())).build();
    let (world, code) = (w.clone(), w.code.clone());
    let main = async move {
        world.furnish().await;
        world.all_end().await;
    };
    let mut driven = Box::pin(event_loop.drive(main, move |until_then: Duration| {
        time.set(time.get() + u64::try_from(until_then.as_nanos()).unwrap());
        if on == Driver::Sleep {
            code.run();
        }
        let polled = (on == Driver::Poll).then(|| code.clone());
        let held = (on == Driver::Drop).then(|| Value::new(&code, On::Drop));
        Outer { polled, _held: held }
    }));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        match w.call(|| driven.as_mut().poll(&mut context)) {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(Err(error))) => w.fail(format!("`drive` ended with: {error}")),
            // The drive is over, or the panic has ended it, and the loop goes with it.
            Some(Poll::Ready(Ok(()))) | None => break,
        }
    }
    w.call(|| drop(driven));
    w.look_at_witnesses();
}

fn driven() -> Vec<Place> {
    vec![
        outside("the sleep function of drive", Goes::Caller, |w| drive(w, Driver::Sleep)),
        outside("the poll of a timer of drive", Goes::Caller, |w| drive(w, Driver::Poll)),
        outside("the drop of a timer of drive", Goes::Caller, |w| drive(w, Driver::Drop)),
        outside("clone of the waker that polls drive", Goes::Caller, |w| {
            drive_with(w, OnWaker::Clone);
        }),
        outside("wake_by_ref of the waker that polls drive", Goes::Caller, |w| {
            drive_with(w, OnWaker::WakeByRef);
        }),
        outside("drop of the waker that polled drive", Goes::Nowhere, |w| {
            drive_with(w, OnWaker::Drop);
        }),
    ]
}

fn threads() -> Vec<Place> {
    vec![
        inside("the closure of to_thread", Goes::Outcome, async |w| {
            let (code, world) = (w.code.clone(), w.clone());
            w.witness("one that awaits the thread", async move {
                world.outcome(&to_thread(move || code.run()).await);
            });
        }),
        inside("the drop of a value of to_thread that nothing takes", Goes::Report, async |w| {
            let (value, (sender, receiver)) = (value(&w), mpsc::channel::<()>());
            let work = to_thread(move || {
                _ = receiver.recv();
                value
            });
            drop(work);
            drop(sender);
            drop(to_thread(|| ()).await);
            while w.code.ran() == 0 {
                thread::yield_now();
            }
        }),
        inside("the drop of a value of to_thread with its future", Goes::Report, async |w| {
            let value = value(&w);
            w.task(async move {
                let work = to_thread(move || value);
                while !format!("{work:?}").contains("true") {
                    yield_now().await;
                }
                drop(work);
            });
        }),
        inside("a call from another thread", Goes::Report, async |w| {
            let (code, handle) = (w.code.clone(), Handle::current());
            thread::spawn(move || handle.call_soon(move || code.run())).join().unwrap().unwrap();
        }),
        outside("the drop of a call from another thread that comes too late", Goes::Report, |w| {
            let event_loop = w.builder().build();
            let (value, handle) = (value(w), event_loop.handle());
            let behind = w.code.token("a call behind it");
            let calls = thread::spawn(move || {
                handle.call_soon(move || drop(value)).unwrap();
                handle.call_soon(move || drop(behind)).unwrap();
            });
            calls.join().unwrap();
            w.expect_report("of another thread");
            w.expect_report("of another thread");
            w.call(|| drop(event_loop));
        }),
        outside("the drop of a call that a loop that is gone refuses", Goes::Nowhere, |w| {
            let event_loop = w.builder().build();
            let (value, handle) = (value(w), event_loop.handle());
            drop(event_loop);
            w.look(move || format!("{handle:?}"));
            let handle = w.builder().build().handle();
            w.call(|| handle.call_soon(move || drop(value)));
        }),
    ]
}

fn note<T>(w: &W, outcome: Result<T, RemoteError>) {
    if let Err(RemoteError::Panicked(panic)) = outcome {
        w.outcome::<(), std::convert::Infallible>(&Err(loopwheel::TaskError::Panicked(panic)));
    }
}

fn remote() -> Vec<Place> {
    vec![
        inside("the closure of Handle::create_task", Goes::Outcome, async |w| {
            let (code, world) = (w.code.clone(), w.clone());
            let remote = Handle::current().create_task(move || {
                code.run();
                let token = code.token("a remote future");
                async move { token }
            });
            w.witness("one that awaits the remote task", async move {
                note(&world, remote.unwrap().await);
            });
        }),
        inside("the drop of a remote task's future", Goes::Outcome, async |w| {
            let (value, world) = (value(&w), w.clone());
            let remote = Handle::current()
                .create_task(move || crate::things::Holding { held: value, polls: 2 });
            w.witness("one that awaits the remote task", async move {
                note(&world, remote.unwrap().await);
            });
        }),
        inside("the drop of a remote outcome that nothing takes", Goes::Report, async |w| {
            let value = value(&w);
            drop(Handle::current().create_task(move || async move {
                yield_now().await;
                value
            }));
            w.settled().await;
        }),
        inside("the drop of a remote outcome with its handle", Goes::Report, async |w| {
            let value = value(&w);
            let remote = Handle::current().create_task(move || async move { value }).unwrap();
            let settled = w.clone();
            w.task(async move {
                settled.settled().await;
                drop(remote);
            });
        }),
        outside(
            "the drop of the closure of Handle::create_task with its loop",
            Goes::Report,
            |w| {
                let event_loop = w.builder().build();
                let value = value(w);
                let remote = event_loop.handle().create_task(move || async move { drop(value) });
                w.call(|| drop(event_loop));
                if remote.unwrap().wait() != Err(RemoteError::LoopGone(loopwheel::errors::LoopGone))
                {
                    w.fail("the remote task was not told");
                }
            },
        ),
        inside("the drop of a task of another loop with it", Goes::Outcome, async |w| {
            let other = w.builder().build();
            let held = crate::things::holding(value(&w));
            w.stand_around(other.create_task(held));
            yield_now().await;
            w.call(|| drop(other));
            drop(create_task(yield_now()).await);
        }),
    ]
}

//! The host makes the loop, does with it what the program says, and makes sure that the program ends.

use std::cell::Cell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use loopwheel::{Budget, Clock, EventLoop, Instant, Next, RunError, VirtualClock};

use crate::handle::{Handle, Held, see_panic};
use crate::interpret::{Place, PlainFuture, TaskFuture, callback, ms};
use crate::ledger::{Fault, HOST};
use crate::program::{Body, HostStep, Millis, Program, Settings, TaskSpec};
use crate::world::{Line, World};
use crate::{checks, janitor, reflex, report};

/// The results of a run.
pub(crate) struct Report {
    pub(crate) fault: Option<Fault>,
    pub(crate) log: Vec<Line>,
    pub(crate) operations: u64,
    /// Something was leaked on purpose.
    pub(crate) leaks: bool,
}

pub(crate) fn execute(program: &Program, is_verbose: bool) -> Report {
    let world = World::new(is_verbose);
    World::set_current(Some(world.clone()));
    world.threads_are_used.set(program.settings.threads);
    let mut host = Host::new(world.clone(), &program.settings);
    for step in &program.host {
        let stepped = catch_unwind(AssertUnwindSafe(|| host.step(step)));
        if stepped.is_err() {
            world.ledger.fault("a panic out of the loop", format!("{step:?}"));
        }
    }
    host.finish();
    drop(host);
    checks::after(&world);
    World::set_current(None);
    Report {
        fault: world.ledger.first_fault(),
        log: world.take_log(),
        operations: world.operations.get(),
        leaks: world.ledger.anything_forgotten(),
    }
}

/// Ignores panics of the program's own code.
fn quietly(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        drop(payload);
    }
}

struct Host<'a> {
    world: Rc<World>,
    settings: &'a Settings,
    clock: VirtualClock,
    /// What the host's own clock shows.
    frame: Rc<Cell<Instant>>,
    event_loop: Option<EventLoop>,
}

impl Host<'_> {
    fn new(world: Rc<World>, settings: &Settings) -> Host<'_> {
        let (clock, frame) = (VirtualClock::impatient(), Rc::new(Cell::new(Instant::START)));
        let mut host = Host { world, settings, clock, frame, event_loop: None };
        host.new_loop();
        host
    }

    fn new_loop(&mut self) {
        self.drop_loop();
        let settings = self.settings;
        let frame = self.frame.clone();
        let clock = if settings.host_clock {
            Clock::host(move || frame.get())
        } else {
            Clock::from(self.clock.clone())
        };
        let handler = report::handler(&self.world, settings.handler, settings.handler_throws);
        let mut builder = EventLoop::builder().clock(clock).exception_handler(handler);
        if settings.watches_slow_polls {
            builder = builder.slow_callback_duration(Duration::from_secs(3_600)); // real time: none is that slow
        }
        self.event_loop = Some(builder.build());
    }

    fn drop_loop(&mut self) {
        let Some(event_loop) = self.event_loop.take() else { return };
        self.world.is_closing.set(true);
        self.guarded("dropping the loop", || drop(event_loop));
        self.world.is_closing.set(false);
        self.world.janitor_is_on.set(false);
    }

    fn event_loop(&mut self) -> &mut EventLoop {
        self.event_loop.as_mut().expect("there is one, but while it is made")
    }

    /// No panic of foreign code may come out here.
    fn guarded<R>(&self, what: &'static str, call: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(result) => Some(result),
            Err(payload) => {
                self.world.ledger.fault("a panic out of the loop", what);
                quietly(|| drop(payload));
                None
            }
        }
    }

    fn step(&mut self, step: &HostStep) {
        self.world.log(HOST, "takes a step", 0);
        match step {
            HostStep::Run(body) => self.run(body, true),
            HostStep::RunUntilComplete(body) => self.run(body, false),
            HostStep::Drive { main, polls } => self.drive(main, *polls),
            HostStep::Spawn { slot, task } => {
                let handle = self.spawn(task);
                let before = self.world.handles.put(*slot, handle);
                quietly(|| drop(before)); // a foreign waker in it may throw
            }
            HostStep::CallSoon(does) => {
                let callback = callback(&self.world, HOST, *does);
                drop(self.event_loop().call_soon(callback));
            }
            HostStep::CallLater(delay, does) => {
                let callback = callback(&self.world, HOST, *does);
                drop(self.event_loop().call_later(ms(*delay), callback));
            }
            HostStep::Turn { polls, times } => {
                for _ in 0..*times {
                    self.turn(Budget::polls((*polls).into()));
                }
            }
            HostStep::TurnFor(millis) => {
                self.turn(Budget::time(ms(*millis)));
            }
            HostStep::RunUntilStalled => self.run_until_stalled(),
            HostStep::Advance(millis) => self.advance(*millis),
            HostStep::Jump => {
                self.world.time_is_moved.set(true);
                self.event_loop().jump_to_next_deadline();
            }
            HostStep::CancelEach => {
                for task in self.event_loop().all_tasks() {
                    task.cancel();
                }
            }
            HostStep::CancelAll if self.settings.host_clock => {}
            HostStep::CancelAll => {
                self.begin_to_run();
                self.arm_janitor();
                let mut event_loop = self.event_loop.take().expect("it is not being made");
                let ended = self.guarded("cancel_all", || event_loop.cancel_all());
                self.event_loop = Some(event_loop);
                self.check_end(ended.and_then(Result::err));
            }
            HostStep::Act(reflex) => {
                quietly(|| reflex::fire(*reflex));
            }
            HostStep::NewLoop => self.new_loop(),
        }
    }

    fn spawn(&mut self, task: &TaskSpec) -> Handle {
        let place = Place { label: HOST, task: HOST, group: None, is_watched: true };
        let future = TaskFuture::new(&place, task);
        let label = future.label();
        let held = if task.fallible {
            Held::Fallible(self.event_loop().try_create_task(future))
        } else {
            Held::Plain(self.event_loop().create_task(PlainFuture(future)))
        };
        Handle { label, held }
    }

    fn arm_janitor(&mut self) {
        let world = self.world.clone();
        janitor::arm(&world, self.event_loop());
    }

    fn turn(&mut self, budget: Budget) -> Next {
        self.world.time_is_moved.set(true); // a small budget leaves tasks behind that are ready
        let mut event_loop = self.event_loop.take().expect("it is not being made");
        let next = self.guarded("turn", || event_loop.turn(budget));
        self.event_loop = Some(event_loop);
        next.unwrap_or(Next::Ready)
    }

    fn run_until_stalled(&mut self) {
        while self.turn(Budget::unlimited()) == Next::Ready {}
    }

    fn advance(&mut self, millis: Millis) {
        self.world.time_is_moved.set(true);
        self.clock.advance(ms(millis));
        self.frame.set(self.frame.get() + ms(millis));
    }

    /// From here on time passes only when nothing is ready.
    fn begin_to_run(&mut self) {
        if self.world.time_is_moved.get() {
            self.run_until_stalled();
            self.world.time_is_moved.set(false);
        }
    }

    fn run(&mut self, body: &Body, to_the_end: bool) {
        if self.settings.host_clock {
            // The loop would wait in real time.
            drop(self.event_loop().create_task(TaskFuture::of_host(body)));
            return self.run_until_stalled();
        }
        self.begin_to_run();
        if self.settings.janitor {
            self.arm_janitor();
        }
        let main = TaskFuture::of_host(body);
        let mut event_loop = self.event_loop.take().expect("it is not being made");
        let ended = if to_the_end {
            self.guarded("try_run", || event_loop.try_run(main))
        } else {
            self.guarded("try_run_until_complete", || event_loop.try_run_until_complete(main))
        };
        self.event_loop = Some(event_loop);
        self.check_end(ended.and_then(|ended| ended.map(drop).err()));
    }

    fn check_end(&self, error: Option<RunError>) {
        let ledger = &self.world.ledger;
        match error {
            Some(RunError::Panicked(panic)) => {
                quietly(|| see_panic(&self.world, &panic)); // what was thrown may throw when it is dropped
            }
            Some(RunError::Deadlock(deadlock)) => {
                let text = deadlock.to_string();
                self.world.log(HOST, "is stuck", deadlock.waits().len() as u64);
                // Where a deadlock is allowed, main is gone by now, so nothing can be said about pending waits.
                if self.settings.janitor {
                    ledger.fault("a deadlock", text);
                }
            }
            None | Some(RunError::Cancelled(_)) => {}
            Some(other) => ledger.fault("a wrong end", other.to_string()),
        }
    }

    fn drive(&mut self, main: &Body, polls: u8) {
        if self.settings.host_clock {
            return;
        }
        self.begin_to_run();
        self.arm_janitor();
        let event_loop = self.event_loop.take().expect("it is not being made");
        let main = TaskFuture::of_host(main);
        {
            let mut driven = Some(Box::pin(event_loop.drive(main, |_| pending::<()>())));
            let called = Arc::new(Called::default());
            let waker = Waker::from(called.clone());
            let at_most = if polls == 0 { u32::MAX } else { polls.into() };
            for _ in 0..at_most {
                let polled = self.guarded("drive", || {
                    driven.as_mut()?.as_mut().poll(&mut Context::from_waker(&waker)).into()
                });
                match polled.flatten() {
                    Some(Poll::Pending) => {}
                    Some(Poll::Ready(ended)) => {
                        self.check_end(ended.map(drop).err());
                        break;
                    }
                    None => break,
                }
                while !called.0.swap(false, Ordering::Relaxed) {
                    if !self.settings.threads {
                        self.world.ledger.fault("hangs", "a driven loop is never polled again");
                        self.world.die();
                    }
                    thread::yield_now();
                }
            }
            self.world.is_closing.set(true);
            self.guarded("dropping a driven loop", || drop(driven.take()));
            self.world.is_closing.set(false);
            self.world.janitor_is_on.set(false);
        }
        self.new_loop();
    }

    /// Waits until all tasks end, unless they are dropped with the loop.
    fn finish(&mut self) {
        if !self.settings.dropped_midway {
            self.settle();
        }
        if !self.settings.handles_outlive_loop {
            self.drop_handles();
        }
        self.drop_loop();
        for thread in self.world.threads.take() {
            drop(thread.join());
        }
        self.drop_handles();
        self.world.callbacks.clear();
    }

    fn drop_handles(&self) {
        self.world.handles.clear();
        self.world.wakers.clear();
    }

    fn settle(&mut self) {
        self.begin_to_run();
        self.arm_janitor();
        loop {
            let mut event_loop = self.event_loop.take().expect("it is not being made");
            let next = self.guarded("turn", || event_loop.turn(Budget::unlimited()));
            let live_tasks = match next {
                None | Some(Next::Ready) => 1,
                _ => event_loop.live_tasks(), // which counts them
            };
            let jumps = match next {
                None | Some(Next::Ready) => true,
                Some(Next::At(_) | Next::Idle) if live_tasks == 0 => false,
                Some(Next::At(when)) => {
                    if self.settings.host_clock {
                        self.frame.set(when);
                    } else if !event_loop.jump_to_next_deadline() {
                        thread::yield_now(); // work is out on a thread
                    }
                    true
                }
                Some(Next::Idle) => {
                    if !self.settings.threads {
                        self.world.ledger.fault("hangs", format!("{live_tasks} tasks, no timer"));
                    }
                    self.settings.threads
                }
            };
            self.event_loop = Some(event_loop);
            if !jumps {
                return;
            }
        }
    }
}

/// The waker of the executor that drives the loop.
#[derive(Default)]
struct Called(AtomicBool);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

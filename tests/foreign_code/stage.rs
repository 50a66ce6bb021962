//! The stage of a cell: the deed, the things it is done to, the witnesses around it, and what is asserted at the end.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use loopwheel::sync::Event;
use loopwheel::{
    Budget, EventLoop, EventLoopBuilder, Task, TaskError, TaskRef, VirtualClock, call_later,
    create_task, sleep, wait_for,
};

use crate::deeds::{Code, Deed, discard, text_of};
use crate::place::Goes;

pub(crate) type W = Rc<World>;
pub(crate) type Local = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

thread_local! {
    static HERE: RefCell<Option<W>> = const { RefCell::new(None) };
}

/// The surroundings of the foreign code in one cell.
pub(crate) struct World {
    pub(crate) code: Code,
    pub(crate) reports: RefCell<Vec<String>>,
    pub(crate) failures: RefCell<Vec<String>>,
    expected_reports: RefCell<Vec<&'static str>>,
    outcomes: Cell<usize>,
    callers: Cell<usize>,
    witnesses: RefCell<Vec<(&'static str, bool)>>,
    /// The last handles of tasks and similar things.
    pub(crate) lasts: RefCell<Vec<Box<dyn Any>>>,
    pub(crate) forgets: RefCell<Vec<Box<dyn Any>>>,
    pub(crate) refs: RefCell<Vec<TaskRef>>,
    pub(crate) looks: RefCell<Vec<Box<dyn Fn() -> String>>>,
    /// Calls again, from inside, what has called the foreign code.
    pub(crate) again: RefCell<Vec<Box<dyn Fn()>>>,
    pub(crate) other: RefCell<Option<EventLoop>>,
    pub(crate) timers: RefCell<Vec<Box<dyn Any>>>,
    pub(crate) open: Rc<Event>,
}

impl World {
    pub(crate) fn enter(code: Code) -> W {
        let world = Rc::new(World {
            code,
            reports: RefCell::default(),
            failures: RefCell::default(),
            expected_reports: RefCell::default(),
            outcomes: Cell::default(),
            callers: Cell::default(),
            witnesses: RefCell::default(),
            lasts: RefCell::default(),
            forgets: RefCell::default(),
            refs: RefCell::default(),
            looks: RefCell::default(),
            again: RefCell::default(),
            other: RefCell::default(),
            timers: RefCell::default(),
            open: Rc::default(),
        });
        HERE.set(Some(world.clone()));
        world
    }

    /// Returns the world of this thread. The threads of `to_thread` have none.
    pub(crate) fn here() -> Option<W> {
        HERE.try_with(|here| here.borrow().clone()).ok().flatten()
    }

    pub(crate) fn deed(&self) -> Deed {
        self.code.deed()
    }

    pub(crate) fn fail(&self, what: impl Into<String>) {
        self.failures.borrow_mut().push(what.into());
    }

    pub(crate) fn last(&self, thing: impl Any) {
        self.lasts.borrow_mut().push(Box::new(thing));
    }

    pub(crate) fn look(&self, look: impl Fn() -> String + 'static) {
        self.looks.borrow_mut().push(Box::new(look));
    }

    pub(crate) fn again(&self, call: impl Fn() + 'static) {
        self.again.borrow_mut().push(Box::new(call));
    }

    pub(crate) fn expect_report(&self, text: &'static str) {
        self.expected_reports.borrow_mut().push(text);
    }

    /// Returns a value that must be dropped before the run is over.
    pub(crate) fn ending(self: &Rc<Self>, name: &'static str) -> Ending {
        self.witnesses.borrow_mut().push((name, false));
        Ending { world: self.clone(), number: self.witnesses.borrow().len() - 1 }
    }

    /// Spawns a task that must end.
    pub(crate) fn witness(
        self: &Rc<Self>,
        name: &'static str,
        task: impl Future<Output = ()> + 'static,
    ) {
        let (ending, token) = (self.ending(name), self.code.token(name));
        drop(create_task(async move {
            let _held = (ending, token);
            task.await;
        }));
    }

    /// A task of a loop that does not run, which waits to be woken from outside.
    pub(crate) fn witness_on(self: &Rc<Self>, event_loop: &EventLoop, name: &'static str) {
        let (ending, code, mut polled) = (self.ending(name), self.code.clone(), false);
        drop(event_loop.create_task(async move {
            poll_fn(|cx| {
                code.keep_waker(cx.waker());
                if mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            drop(ending);
        }));
    }

    /// When this returns, every new witness has had its first poll, so it is in its wait list.
    pub(crate) async fn settled(&self) {
        for _ in 0..4 {
            loopwheel::yield_now().await;
        }
    }

    /// Notes where a panic of the deed went.
    pub(crate) fn outcome<T, E>(&self, outcome: &Result<T, TaskError<E>>) {
        if let Err(TaskError::Panicked(panic)) = outcome {
            self.saw_panic(panic.message(), &self.outcomes);
        }
    }

    /// Calls something that hands foreign code on. The panic of that code is this caller's.
    pub(crate) fn call<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        let called = catch_unwind(AssertUnwindSafe(call));
        let seen = called.map_err(|payload| {
            self.saw_panic(text_of(&*payload), &self.callers);
            discard(payload);
        });
        seen.ok()
    }

    fn saw_panic(&self, text: &str, place: &Cell<usize>) {
        if text.contains(self.code.mark()) {
            place.set(place.get() + 1);
        } else {
            self.fail(format!("something else panicked: {text}"));
        }
    }

    /// Makes a task that the deed looks at and cancels, and whose last handle it drops.
    pub(crate) fn task<F: Future<Output: 'static> + 'static>(
        self: &Rc<Self>,
        future: F,
    ) -> TaskRef {
        self.stand_around(create_task(future))
    }

    pub(crate) fn stand_around<T: 'static, E: 'static>(
        self: &Rc<Self>,
        handle: Task<T, E>,
    ) -> TaskRef {
        let task = self.at_hand(&handle);
        if self.deed() == Deed::DropsHandles {
            self.last(handle);
        } else {
            let world = self.clone();
            self.witness("the joiner of the task at hand", async move {
                world.outcome(&handle.await);
            });
        }
        task
    }

    /// Makes the same without a joiner.
    pub(crate) fn at_hand<T, E>(self: &Rc<Self>, handle: &Task<T, E>) -> TaskRef {
        let task = handle.to_ref();
        self.refs.borrow_mut().push(task.clone());
        let looked_at = task.clone();
        self.look(move || format!("{looked_at:?} {}", looked_at.name()));
        let ending = self.ending("the done-callback of the task at hand");
        task.add_done_callback(move |_| drop(ending));
        task
    }

    pub(crate) fn builder(self: &Rc<Self>) -> EventLoopBuilder {
        let world = Rc::downgrade(self);
        EventLoop::builder().clock(VirtualClock::impatient()).exception_handler(move |context| {
            if let Some(world) = world.upgrade() {
                world.reports.borrow_mut().push(context.to_string());
            }
        })
    }

    /// Runs the body among the witnesses, on a fresh loop.
    pub(crate) fn run(self: &Rc<Self>, body: impl Future<Output = ()> + 'static) {
        self.run_on(self.builder().build(), body);
    }

    pub(crate) fn run_on(
        self: &Rc<Self>,
        mut event_loop: EventLoop,
        body: impl Future<Output = ()> + 'static,
    ) {
        let world = self.clone();
        let ran = event_loop.try_run(async move {
            world.furnish().await;
            body.await;
            world.all_end().await;
        });
        if let Err(error) = ran {
            self.fail(format!("`run` ended with: {error}"));
        }
        drop(event_loop);
    }

    /// Spawns the witnesses, and makes what the deeds are done to, besides the task at hand.
    pub(crate) async fn furnish(self: &Rc<Self>) {
        let code = &self.code;
        let open = self.open.clone();
        // One witness may be forgotten in the middle of the line, and one is behind it.
        let mut in_line: Local = Box::pin({
            let (open, token) = (open.clone(), code.leakable("a forgotten wait"));
            async move {
                open.wait().await;
                drop(token);
            }
        });
        poll_fn(|cx| Poll::Ready(in_line.as_mut().poll(cx).is_ready())).await;
        self.forgets.borrow_mut().push(Box::new(in_line));
        self.witness("one behind in a wait list", {
            let open = open.clone();
            async move { open.wait().await }
        });
        let ending = self.ending("a later callback");
        call_later(ms(50), {
            let open = open.clone();
            move || {
                open.set();
                drop(ending);
            }
        });
        self.witness("a later timer", sleep(ms(60)));
        // It is woken through a waker that the deed wakes.
        let (wakers, mut polled) = (self.code.clone(), false);
        self.witness("one with a waker", {
            let open = open.clone();
            async move {
                poll_fn(|cx| {
                    wakers.keep_waker(cx.waker());
                    if mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                open.wait().await;
            }
        });
        let waker = self.code.clone();
        call_later(ms(40), move || waker.wake_all());
        // Two more tasks, one finished and one not: their last handles may go, or be forgotten.
        let over = create_task({
            let token = code.token("another task's outcome");
            async move { token }
        });
        let going = create_task({
            let token = code.token("another task's future");
            async move {
                sleep(ms(30)).await;
                drop(token);
            }
        });
        self.refs.borrow_mut().push(going.to_ref());
        let forgotten = create_task({
            let token = code.leakable("the outcome of a forgotten handle");
            async move { token }
        });
        self.settled().await;
        self.last(over);
        self.last(going);
        self.forgets.borrow_mut().push(Box::new(forgotten));
        let mut armed = Box::pin(sleep(ms(20)));
        poll_fn(|cx| Poll::Ready(armed.as_mut().poll(cx).is_ready())).await;
        self.timers.borrow_mut().push(Box::new(armed));
        self.look(move || format!("{open:?}"));
        self.furnish_other_loop();
        if self.deed() == Deed::Forgets {
            self.witness("one that forgets a time limit", self.clone().forgets_a_limit());
        }
        self.settled().await;
    }

    /// A forgotten limit expires, and cancels nothing.
    async fn forgets_a_limit(self: Rc<Self>) {
        let forgetting = create_task(async {
            let mut limited = Box::pin(wait_for(sleep(ms(30)), ms(10)));
            poll_fn(|cx| Poll::Ready(limited.as_mut().poll(cx).is_ready())).await;
            mem::forget(limited);
            sleep(ms(20)).await;
        });
        if forgetting.await.is_err() {
            self.fail("a forgotten limit has cancelled its task");
        }
    }

    fn furnish_other_loop(self: &Rc<Self>) {
        let other = self.builder().build();
        let token = self.code.token("a task of another loop");
        let joined = other.create_task(async move {
            sleep(ms(1)).await;
            drop(token);
        });
        let done = self.code.token("a callback of another loop");
        other.call_later(ms(5), move || drop(done));
        self.witness("one that joins a task of another loop", async move {
            drop(joined.await);
        });
        *self.other.borrow_mut() = Some(other);
        let world = self.clone();
        call_later(ms(50), move || drop(world.other.take()));
    }

    /// Waits until all witnesses have ended, but not for ever.
    pub(crate) async fn all_end(&self) {
        for _ in 0..100 {
            if self.witnesses.borrow().iter().all(|(_, ended)| *ended) {
                return;
            }
            sleep(ms(20)).await;
        }
        self.look_at_witnesses();
    }

    pub(crate) fn look_at_witnesses(&self) {
        for (name, ended) in &*self.witnesses.borrow() {
            if !ended {
                self.fail(format!("{name} was woken never"));
            }
        }
    }

    /// Turns the loop as a host does, until the body is over.
    pub(crate) fn turn_on(
        self: &Rc<Self>,
        event_loop: &mut EventLoop,
        body: impl Future<Output = ()> + 'static,
    ) {
        let (world, is_over) = (self.clone(), Rc::new(Cell::new(false)));
        let over = is_over.clone();
        let main = event_loop.create_task(async move {
            body.await;
            world.all_end().await;
            over.set(true);
        });
        main.set_name("main");
        drop(main);
        for _ in 0..10_000 {
            self.call(|| event_loop.turn(Budget::unlimited()));
            if is_over.get() {
                return;
            }
            event_loop.jump_to_next_deadline();
        }
        self.fail("a body is never over");
    }

    /// Ends the run: what is left is dropped, and everything is counted.
    pub(crate) fn leave(&self, goes: Goes) -> Vec<String> {
        if self.code.ran() == 0 {
            self.fail("the foreign code was never called");
        }
        self.code.disarm();
        drop((self.lasts.take(), self.forgets.take(), self.refs.take()));
        drop((self.looks.take(), self.again.take(), self.timers.take(), self.other.take()));
        self.code.drop_wakers();
        HERE.set(None);
        self.look_at_panics(goes);
        let mut failures = self.failures.take();
        failures.extend(self.code.losses());
        failures
    }

    fn look_at_panics(&self, goes: Goes) {
        let mut reports = self.reports.take();
        let all = reports.len();
        reports.retain(|report| !report.contains(self.code.mark()));
        let mut expected_reports = self.expected_reports.take();
        let expected = expected_reports.len();
        expected_reports.retain(|text| *text != self.code.mark());
        let of_the_place = expected - expected_reports.len(); // it says what the deed says
        let reported = (all - reports.len()).saturating_sub(of_the_place);
        let (outcomes, callers) = (self.outcomes.get(), self.callers.get());
        let thrown = self.code.thrown();
        let expected = match goes {
            _ if thrown == 0 => (0, 0, 0),
            Goes::Outcome => (0, thrown, 0),
            Goes::Report => (thrown, 0, 0),
            Goes::OutcomeOrReport => (reported, thrown.saturating_sub(reported), 0),
            Goes::Caller => (0, 0, thrown),
            Goes::Nowhere => (0, 0, 0),
        };
        if (reported, outcomes, callers) != expected {
            self.fail(format!(
                "the panic was {reported} times reported, {outcomes} times an outcome, {callers} times the \
                 caller's, and not {expected:?}"
            ));
        }
        for text in expected_reports {
            match reports.iter().position(|report| report.contains(text)) {
                Some(place) => drop(reports.remove(place)),
                None => self.fail(format!("nothing was reported that says: {text}")),
            }
        }
        for report in reports {
            self.fail(format!("an unexpected report: {report}"));
        }
    }
}

/// Says that a witness has ended.
pub(crate) struct Ending {
    world: W,
    number: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.world.witnesses.borrow_mut()[self.number].1 = true;
    }
}

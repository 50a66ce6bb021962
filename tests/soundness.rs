//! Foreign code that panics, re-enters, or drops what is being looked at. Each test here is a fault that was found. The table in
//! `foreign_code.rs` covers all places.

mod common;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use common::{Log, Watchdog, ms, watched_loop};
use cooked_waker::IntoWaker;
use futures::future::select;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use loopwheel::sync::{BoundedSemaphore, Condition, Event, Promise};
use loopwheel::{
    AllCompleted, Clock, EventLoop, Instant, Raised, RunError, Task, TaskGroup, TaskGroupBuilder,
    TaskLocal, VirtualClock, as_completed, call_soon, create_task, finally, gather, now,
    run_virtual, shield, sleep, try_create_task, wait, wait_for, yield_now,
};

/// An error whose `Debug` drops the last handle of its own task.
struct DropsItsHandle(String);

thread_local! {
    static HANDLE: RefCell<Option<Task<(), DropsItsHandle>>> = const { RefCell::new(None) };
}

impl fmt::Debug for DropsItsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        drop(HANDLE.take());
        f.write_str(&self.0)
    }
}

#[test]
fn an_error_lives_while_it_is_being_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let mut task = try_create_task(async {
            sleep(ms(2)).await;
            Err::<(), _>(DropsItsHandle("on the heap, and long enough to be seen there".into()))
        });
        assert!(wait_for(shield(&mut task), ms(1)).await.is_err());
        HANDLE.set(Some(task));
        sleep(ms(5)).await;
    });
    let [report] = &reports.borrow()[..] else { panic!("one report: {reports:?}") };
    assert!(report.ends_with("on the heap, and long enough to be seen there"), "{report}");
}

/// A foreign waker that panics when it is woken.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

fn poll_with_a_bomb(future: Pin<&mut impl Future>) {
    let waker = Waker::from(Arc::new(Bomb));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn waiters_behind_a_waker_that_panics_are_woken() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let event = Event::new();
        let mut first = pin!(event.wait());
        poll_with_a_bomb(first.as_mut());
        let mut behind = pin!(event.wait());
        assert!(futures::poll!(behind.as_mut()).is_pending());
        event.set();
        assert!(futures::poll!(behind.as_mut()).is_ready());

        let promise = Promise::new();
        let mut first = pin!(promise.wait());
        poll_with_a_bomb(first.as_mut());
        let mut behind = pin!(promise.wait());
        assert!(futures::poll!(behind.as_mut()).is_pending());
        promise.set(5).unwrap();
        assert_eq!(futures::poll!(behind.as_mut()), Poll::Ready(5));

        let shared = create_task(sleep(ms(1))).shared();
        let mut first = shared.clone();
        poll_with_a_bomb(Pin::new(&mut first));
        let behind = create_task(shared);
        assert_eq!(behind.await, Ok(Ok(())));

        let mut gathered = gather([sleep(ms(1))]);
        poll_with_a_bomb(Pin::new(&mut gathered));
        sleep(ms(2)).await;
    });
    assert_eq!(reports.borrow().len(), 4, "each panic is reported once: {reports:?}");
    assert!(reports.borrow()[0].contains("a waker panicked"), "{reports:?}");
}

/// A value whose destructor panics.
struct Throws;

impl Drop for Throws {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

#[test]
fn a_task_local_whose_destructor_panics_keeps_no_joiner_from_its_end() {
    static LOCAL: TaskLocal<Throws> = TaskLocal::new();
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let task = create_task(async {
            LOCAL.set(Throws);
            7
        });
        task.add_done_callback(|_| ());
        assert_eq!(task.await, Ok(7));
    });
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
}

/// A name that runs something when it is made.
struct Name<F>(F);

impl<F: FnOnce()> From<Name<F>> for String {
    fn from(name: Name<F>) -> String {
        (name.0)();
        "named".to_owned()
    }
}

#[test]
fn a_name_is_made_before_the_task_is_touched() {
    run_virtual(async {
        let called = Rc::new(Cell::new(0));
        let task = create_task(sleep(ms(5))).shared();
        let (joiner, again) = (create_task(task.clone()), task.to_ref());
        let count = called.clone();
        again.add_done_callback(move |_| count.set(count.get() + 1));
        yield_now().await;
        // A panic while the name is being made changes nothing.
        let thrown = catch_unwind(AssertUnwindSafe(|| again.set_name(Name(|| panic!("no name")))));
        assert!(thrown.is_err());
        // A callback that is added while the name is being made is called like any other.
        let (count, adds) = (called.clone(), again.clone());
        again.set_name(Name(move || adds.add_done_callback(move |_| count.set(count.get() + 1))));
        assert_eq!(again.name(), "named");
        assert_eq!(joiner.await, Ok(Ok(())));
        yield_now().await;
        assert_eq!(called.get(), 2);
    });
}

#[test]
fn a_hosts_clock_may_drop_a_sleep_at_any_reading() {
    for reading in 0..20 {
        let kept: Rc<RefCell<Option<Pin<Box<loopwheel::Sleep>>>>> = Rc::default();
        let (readings, dropped) = (Rc::new(Cell::new(-1)), Rc::new(Cell::new(false)));
        let clock = Clock::host({
            let (kept, readings, dropped) = (kept.clone(), readings.clone(), dropped.clone());
            let time = Cell::new(0);
            move || {
                if readings.replace(readings.get() - 1) == 0 {
                    dropped.set(kept.take().is_some());
                }
                time.set(time.get() + 100_000);
                Instant::from_nanos(time.get())
            }
        });
        let mut event_loop = EventLoop::builder().clock(clock).build();
        event_loop.run(async {
            let mut kept_sleep = Box::pin(sleep(ms(3_600_000)));
            assert!(futures::poll!(kept_sleep.as_mut()).is_pending());
            *kept.borrow_mut() = Some(kept_sleep);
            readings.set(reading);
            while !dropped.get() {
                sleep(ms(1)).await;
            }
        });
    }
}

#[test]
fn while_a_hosts_clock_panics_time_stands_still() {
    let (time, panics) = (Rc::new(Cell::new(Instant::from_nanos(5))), Rc::new(Cell::new(false)));
    let reports = Rc::new(Cell::new(0));
    let clock = Clock::host({
        let (time, panics) = (time.clone(), panics.clone());
        move || {
            assert!(!panics.get(), "no time");
            time.get()
        }
    });
    let count = reports.clone();
    let mut event_loop = EventLoop::builder()
        .clock(clock)
        .exception_handler(move |_| count.set(count.get() + 1))
        .build();
    event_loop.run(async {
        panics.set(true);
        assert_eq!(now(), Instant::from_nanos(5));
        assert_eq!(reports.get(), 1);
        panics.set(false);
        // A clock that falls back is not believed.
        time.set(Instant::from_nanos(3));
        assert_eq!(now(), Instant::from_nanos(5));
        // A clock that jumps to the end makes everything due.
        let long = create_task(sleep(ms(1_000_000_000)));
        yield_now().await;
        time.set(Instant::MAX);
        assert_eq!(long.await, Ok(()));
        sleep(ms(1)).await;
        assert!(wait_for(pending::<()>(), ms(1)).await.is_err());
    });
}

#[test]
fn inside_a_hosts_clock_the_time_is_the_latest() {
    let seen = Rc::new(Cell::new(Instant::MAX));
    let clock = Clock::host({
        let seen = seen.clone();
        move || {
            if let Ok(now) = loopwheel::try_now() {
                seen.set(now);
            }
            Instant::from_nanos(7)
        }
    });
    let mut event_loop = EventLoop::builder().clock(clock).build();
    assert_eq!(event_loop.run(async { now() }), Instant::from_nanos(7));
    assert_eq!(seen.get(), Instant::from_nanos(7));
}

async fn then_fails(
    work: impl Future<Output = ()>,
    error: &'static str,
) -> Result<(), &'static str> {
    work.await;
    Err(error)
}

#[test]
fn the_errors_of_a_group_whose_body_panics_are_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let task = create_task(TaskGroup::scope(async |group: &TaskGroup<&'static str>| {
            group.create_task(then_fails(sleep(ms(1)), "of the child"));
            let _cancelled = loopwheel::catch_cancel(sleep(ms(5))).await;
            assert!(now() == Instant::START, "of the body");
            Ok::<(), &str>(())
        }));
        assert!(task.await.unwrap_err().is_panic());
    });
    let [report] = &reports.borrow()[..] else { panic!("one report: {reports:?}") };
    assert!(report.contains("of the child"), "{report}");
}

#[test]
fn the_errors_of_a_scope_that_is_dropped_are_reported_or_left_to_their_handles() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let kept = RefCell::new(None);
        let scope = pin!(TaskGroup::scope(async |group: &TaskGroup<&'static str>| {
            group.create_task(then_fails(sleep(ms(5)), "of the detached"));
            let task = group.create_task(then_fails(sleep(ms(5)), "of the kept"));
            kept.borrow_mut().replace(task);
            // It keeps the scope from ending.
            let slow = finally(sleep(ms(100)), async || sleep(ms(100)).await);
            group.create_task(async move {
                slow.await;
                Ok(())
            });
            sleep(ms(50)).await;
            Ok::<(), &str>(())
        }));
        drop(select(scope, pin!(sleep(ms(20)))).await);
    });
    assert_eq!(reports.borrow().len(), 2, "each error is reported once: {reports:?}");
    assert!(reports.borrow()[0].contains("of the detached"), "{reports:?}");
    assert!(reports.borrow()[1].contains("of the kept"), "when its handle goes: {reports:?}");
}

#[test]
fn a_groups_errors_survive_a_value_of_the_body_that_panics_when_it_is_dropped() {
    let (mut event_loop, reports) = watched_loop();
    let witness = Rc::new(());
    let error = event_loop.run(async {
        let scope = TaskGroup::scope(async |group: &TaskGroup<Rc<()>>| {
            let witness = witness.clone();
            group.create_task(async move { Err::<(), _>(witness) });
            Ok::<_, Rc<()>>(Throws)
        });
        scope.await.err().expect("the child failed")
    });
    assert_eq!(error.iter().count(), 1);
    assert!(reports.borrow()[0].contains("in a destructor"), "{reports:?}");
    drop(error);
    assert_eq!(Rc::strong_count(&witness), 1, "and nothing leaks");
}

fn nest(
    depth: u32,
    deepest: Rc<Cell<u32>>,
) -> Pin<Box<dyn Future<Output = Result<(), &'static str>>>> {
    Box::pin(async move {
        deepest.set(deepest.get() + 1);
        if depth == 0 {
            pending::<()>().await;
        }
        let scope = TaskGroup::scope(async |group: &TaskGroup<&'static str>| {
            group.create_task(nest(depth - 1, deepest));
            Ok::<_, &'static str>(())
        });
        scope.await.map_err(|_| "inside")
    })
}

#[test]
fn groups_that_nest_deeper_than_the_stack_can_be_dropped() {
    const DEPTH: u32 = 50_000;
    let deepest = Rc::new(Cell::new(0));
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    drop(event_loop.try_create_task(nest(DEPTH, deepest.clone())));
    event_loop.run_until_stalled();
    assert_eq!(deepest.get(), DEPTH + 1);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&deepest), 1, "every future was dropped");
}

#[test]
fn a_scope_that_is_dropped_sees_its_tasks_gone_sixty_levels_down() {
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    /// When the scope inside is dropped, nothing deeper is left.
    fn nest(
        depth: u32,
        alive: Rc<Cell<u32>>,
    ) -> Pin<Box<dyn Future<Output = Result<(), &'static str>>>> {
        Box::pin(async move {
            struct Check(Rc<Cell<u32>>, u32);
            impl Drop for Check {
                fn drop(&mut self) {
                    assert_eq!(self.0.get(), self.1, "this level and those above it");
                }
            }
            alive.set(alive.get() + 1);
            let mine = Counts(alive.clone());
            let _check = Check(alive.clone(), alive.get());
            let scope = TaskGroup::scope(async |group: &TaskGroup<&'static str>| {
                if depth > 0 {
                    group.create_task(nest(depth - 1, alive.clone()));
                }
                pending::<()>().await;
                Ok::<_, &'static str>(())
            });
            let ended = scope.await.map_err(|_| "inside");
            drop(mine);
            ended
        })
    }
    let (mut event_loop, reports) = watched_loop();
    let alive = Rc::new(Cell::new(0));
    drop(event_loop.try_create_task(nest(60, alive.clone())));
    event_loop.run_until_stalled();
    assert_eq!(alive.get(), 61);
    drop(event_loop);
    assert_eq!((alive.get(), reports.borrow().len()), (0, 0), "{reports:?}");
}

#[test]
fn seventy_thousand_limits_may_be_up_at_once() {
    const MANY: usize = 70_000;
    let timed_out = run_virtual(async {
        let mut all: Vec<_> =
            (0..MANY).map(|_| Some(Box::pin(wait_for(sleep(ms(100)), ms(10))))).collect();
        let mut timed_out = 0;
        poll_fn(|cx| {
            for place in &mut all {
                if let Some(limited) = place
                    && let Poll::Ready(ended) = limited.as_mut().poll(cx)
                {
                    timed_out += usize::from(ended.is_err());
                    *place = None;
                }
            }
            if all.iter().all(Option::is_none) { Poll::Ready(timed_out) } else { Poll::Pending }
        })
        .await
    });
    assert_eq!(timed_out, MANY);
}

#[test]
fn seventy_thousand_cancels_are_counted_and_taken_back() {
    run_virtual(async {
        let task = create_task(async {
            let slept = loopwheel::catch_cancel(sleep(ms(1_000))).await;
            let me = loopwheel::current_task();
            assert!(slept.is_err());
            assert_eq!(me.cancelling(), 70_000);
            for left in (0..70_000).rev() {
                assert_eq!(me.uncancel(), left);
            }
        });
        yield_now().await;
        for _ in 0..70_000 {
            assert!(task.cancel());
        }
        assert_eq!(task.await, Ok(()));
    });
}

/// If this were quadratic, it would take minutes in a debug build, and the watchdog would say so.
#[test]
fn eighty_thousand_handles_in_one_set_are_awaited_in_linear_time() {
    let _watchdog = Watchdog::new("80,000 handles in a set");
    run_virtual(async {
        let mut set: FuturesUnordered<_> =
            (0..80_000_u64).map(|n| create_task(sleep(ms(n % 7)))).collect();
        while let Some(ended) = set.next().await {
            assert_eq!(ended, Ok(()));
        }
    });
}

/// Makes another of its kind when it is dropped, and counts.
struct MakesItsLike(Rc<Cell<u32>>);

impl Drop for MakesItsLike {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        let again = MakesItsLike(self.0.clone());
        drop(create_task(async move {
            let _again = again;
            pending::<()>().await;
        }));
    }
}

#[test]
fn a_destructor_that_makes_its_like_does_not_keep_a_loop_from_its_end() {
    let (drops, reports) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(vec![])));
    let (count, sink) = (drops.clone(), reports.clone());
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::impatient())
        .exception_handler(move |context| {
            sink.borrow_mut().push((context.to_string(), count.get()));
        })
        .build();
    let makes = MakesItsLike(drops.clone());
    event_loop.run(async {
        drop(create_task(async {
            let _makes = makes;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    drop(event_loop);
    let reports = reports.borrow();
    let (last, dropped) = reports.last().expect("it is said what it was");
    assert!(last.contains("rounds of dropping"), "{reports:?}");
    assert!(reports[0].0.contains("tests/soundness.rs"), "and where it was made: {reports:?}");
    assert_eq!(drops.get(), *dropped, "the last is forgotten: its destructor does not run");
}

#[test]
fn clean_up_that_starts_its_successor_does_not_keep_a_run_from_its_end() {
    fn successor() -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async {
            finally(pending::<()>(), async || {
                sleep(ms(1)).await;
                drop(create_task(successor()));
                yield_now().await;
            })
            .await;
        })
    }
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        drop(create_task(successor()));
        yield_now().await;
    });
    assert_eq!(event_loop.live_tasks(), 0);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("rounds of cancelling"), "{reports:?}");
}

#[test]
fn a_callback_may_be_added_by_the_destructor_of_what_ends() {
    run_virtual(async {
        struct Adds(Rc<RefCell<Option<loopwheel::TaskRef>>>, Rc<Cell<bool>>);
        impl Drop for Adds {
            fn drop(&mut self) {
                let called = self.1.clone();
                if let Some(task) = self.0.take() {
                    task.add_done_callback(move |_| called.set(true));
                }
            }
        }
        let (own, called) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(false)));
        let adds = Adds(own.clone(), called.clone());
        let task = create_task(async move {
            let _adds = adds;
            yield_now().await;
        });
        *own.borrow_mut() = Some(task.to_ref());
        assert_eq!(task.await, Ok(()));
        call_soon(|| ());
        yield_now().await;
        yield_now().await;
        assert!(called.get());
    });
}

#[test]
fn a_bounded_semaphore_that_was_released_by_hand_keeps_its_bound_when_a_called_waiter_is_cancelled()
{
    run_virtual(async {
        let semaphore = Rc::new(BoundedSemaphore::new(1));
        let permit = semaphore.acquire_nowait().unwrap();
        let waits = semaphore.clone();
        let waiter = create_task(async move { drop(waits.acquire().await) });
        yield_now().await;
        semaphore.release().unwrap(); // the waiter is called, though the guard is still there
        waiter.cancel();
        drop(permit);
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn condition_waits_that_relock_beside_each_other_let_a_cancel_out() {
    let _watchdog = Watchdog::new("two conditions in a set");
    for with_the_locks_free in [true, false] {
        run_virtual(async {
            let conditions = Rc::new([Condition::new(), Condition::new()]);
            let waited = conditions.clone();
            let task = create_task(async move {
                let wait = async |condition: &Condition| {
                    let guard = condition.acquire().await;
                    guard.wait().await;
                };
                let (first, second) = (pin!(wait(&waited[0])), pin!(wait(&waited[1])));
                let either = select(first, second);
                futures::join!(either, sleep(ms(1_000)));
            });
            yield_now().await;
            let mut guards = vec![];
            if !with_the_locks_free {
                guards.push(conditions[0].acquire().await);
                guards.push(conditions[1].acquire().await);
            }
            assert_eq!(conditions.each_ref().map(Condition::waiting), [1, 1]);
            task.cancel();
            sleep(ms(10)).await;
            assert_eq!(task.is_done(), with_the_locks_free);
            drop(guards);
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}

/// A foreign waker that panics when it is cloned.
struct CannotBeCloned;

impl Clone for CannotBeCloned {
    fn clone(&self) -> CannotBeCloned {
        panic!("in the clone of a waker");
    }
}

impl cooked_waker::WakeRef for CannotBeCloned {
    fn wake_by_ref(&self) {}
}

impl cooked_waker::Wake for CannotBeCloned {}

fn poll_without_a_clone(future: Pin<&mut impl Future>) {
    let waker = Box::new(CannotBeCloned).into_waker();
    let mut cx = Context::from_waker(&waker);
    let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut cx).is_ready()));
    assert!(polled.is_err(), "it has to keep the waker");
}

#[test]
fn many_tasks_awaited_through_a_waker_that_panics_when_it_is_cloned_are_let_go() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let tasks = || [create_task(sleep(ms(5))), create_task(pending())];
        for limit in [None, Some(ms(7))] {
            let mut some = wait(tasks(), AllCompleted).timeout(limit);
            poll_without_a_clone(Pin::new(&mut some));
            let mut some = as_completed(tasks()).timeout(limit);
            poll_without_a_clone(pin!(some.next()));
            let mut some = gather(tasks());
            poll_without_a_clone(Pin::new(&mut some));
        }
        // What can be awaited again goes on where it was.
        let began = now();
        let mut some = wait(tasks(), AllCompleted).timeout(ms(7));
        poll_without_a_clone(Pin::new(&mut some));
        let (done, pending) = some.await;
        assert_eq!((done.len(), pending.len(), now() - began), (1, 1, ms(7)));
    });
    drop(event_loop);
    assert_eq!(Rc::strong_count(&reports), 1, "the loop is freed, and its exception handler");
}

/// A future that is ready after a turn, and panics when it is dropped.
struct ReadyThenThrows<T> {
    output: T,
    has_yielded: bool,
    _throws: Throws,
}

impl<T> ReadyThenThrows<T> {
    fn new(output: T) -> ReadyThenThrows<T> {
        ReadyThenThrows { output, has_yielded: false, _throws: Throws }
    }
}

impl<T: Clone + Unpin> Future for ReadyThenThrows<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(self.output.clone());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn what_a_child_under_a_limit_returns_is_not_leaked_when_its_future_panics_in_its_destructor() {
    let witness = Rc::new(());
    run_virtual(async {
        let scope = TaskGroupBuilder::new().limit(1).scope(async |group: &TaskGroup<&str>| {
            let child = group.create_task(ReadyThenThrows::new(Ok(witness.clone())));
            let next = group.create_task(async { Ok(now()) });
            assert!(child.await.unwrap_err().is_panic());
            assert_eq!(next.await.unwrap(), Instant::START, "the permit was given back");
            Ok::<_, &str>(())
        });
        assert!(matches!(scope.await.unwrap_err().members(), [Raised::Panic(_)]));
    });
    assert_eq!(Rc::strong_count(&witness), 1);
}

async fn panics(future: impl Future) -> bool {
    AssertUnwindSafe(future).catch_unwind().await.is_err()
}

#[test]
fn a_body_that_panics_in_its_destructor_is_cleaned_up_after_and_leaks_nothing() {
    let (mut event_loop, reports) = watched_loop();
    let (witness, log) = (Rc::new(()), Log::new());
    event_loop.run(async {
        let cleans_up = || {
            let log = log.clone();
            async move {
                sleep(ms(5)).await;
                log.add("cleaned up");
            }
        };
        // It has returned a value.
        let scope = TaskGroup::scope(|group: &TaskGroup<&'static str>| {
            let cleanup = cleans_up();
            group.create_task(finally(sleep(ms(60_000)).map(Ok), async || cleanup.await));
            ReadyThenThrows::new(Ok::<_, &str>(witness.clone()))
        });
        assert!(panics(scope).await);
        assert!(panics(finally(ReadyThenThrows::new(witness.clone()), cleans_up)).await);
        // It is cancelled.
        let scope = TaskGroup::scope(async |group: &TaskGroup<&'static str>| {
            let cleanup = cleans_up();
            group.create_task(finally(pending::<Result<(), _>>(), async || cleanup.await));
            group.create_task(async { Err::<(), _>("of the child") });
            let _throws = Throws;
            pending::<Result<(), &str>>().await
        });
        assert!(panics(scope).await);
    });
    log.expect(&[(5, "cleaned up"), (10, "cleaned up"), (15, "cleaned up")]);
    assert_eq!(Rc::strong_count(&witness), 1);
    let [report] = &reports.borrow()[..] else { panic!("one report: {reports:?}") };
    assert!(report.contains("of the child"), "{report}");
}

thread_local! {
    static PANICS: RefCell<Option<Task<()>>> = const { RefCell::new(None) };
}

/// Drops the last handle of its task when that ends.
struct DropsAHandle;

impl Drop for DropsAHandle {
    fn drop(&mut self) {
        drop(PANICS.take());
    }
}

#[test]
fn a_failure_is_reported_once_though_a_shield_was_given_up_and_a_task_local_drops_the_last_handle()
{
    static LOCAL: TaskLocal<DropsAHandle> = TaskLocal::new();
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let mut task = create_task(async {
            LOCAL.set(DropsAHandle);
            sleep(ms(2)).await;
            panic!("of the task");
        });
        assert!(wait_for(shield(&mut task), ms(1)).await.is_err());
        PANICS.set(Some(task));
        sleep(ms(5)).await;
        assert!(PANICS.take().is_none());
    });
    let [report] = &reports.borrow()[..] else { panic!("one report: {reports:?}") };
    assert!(report.contains("of the task"), "{report}");
}

#[test]
fn a_panic_of_main_is_reported_if_the_clean_up_after_it_is_stuck() {
    let (mut event_loop, reports) = watched_loop();
    let ended = event_loop.try_run(async {
        drop(create_task(finally(pending::<()>(), async || pending().await)));
        yield_now().await;
        panic!("of main");
    });
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("it is stuck") };
    assert_eq!(deadlock.waits().len(), 1);
    let [report] = &reports.borrow()[..] else { panic!("one report: {reports:?}") };
    assert!(report.contains("the main task") && report.contains("of main"), "{report}");
}

#[test]
fn two_tasks_that_await_each_other_beside_foreign_code_end_when_they_are_cancelled() {
    // The waker of each has escaped, so a poll finds what it awaits. The cancel would go from one to the other for ever.
    async fn lets_its_waker_out() -> Waker {
        let kept = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        yield_now().await;
        kept
    }
    let _watchdog = Watchdog::new("two that await each other");
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let first: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let of_the_first = first.clone();
        let task = create_task(async move {
            let _kept = lets_its_waker_out().await;
            gather([async move {
                let _kept = lets_its_waker_out().await;
                let first = of_the_first.take().expect("it is there");
                let _ = first.await;
            }])
            .await;
        });
        let seen = task.to_ref();
        *first.borrow_mut() = Some(task);
        for _ in 0..5 {
            yield_now().await;
        }
        seen.cancel();
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(seen.is_cancelled());
    });
    assert_eq!(reports.borrow().len(), 0, "{reports:?}");
}

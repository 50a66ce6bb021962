//! Tests very many tasks: a million at one time, and millions one after another. What keeps its order with three keeps it
//! with a million, and what is over is gone.
//!
//! A million tasks are a second's work in a debug build. The steady state runs fifty million in a release build
//! (`cargo test --release --test soak`), where the generations of one place in the slot table wrap around.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::Once;
use std::task::{Poll, Waker};

use common::ms;
use counting::counts;
use loopwheel::{
    EventLoop, Instant, TaskRef, VirtualClock, all_tasks, create_task, now, sleep, sleep_until,
    wait_for, yield_now,
};

/// The memory that is allocated and not freed.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Live {
    blocks: i64,
    bytes: i64,
}

fn live() -> Live {
    let counts = counts();
    Live { blocks: counts.live_blocks, bytes: counts.live_bytes }
}

/// Makes a loop on virtual time. What the process keeps for its loops for ever exists after the first call.
fn new_loop() -> EventLoop {
    static REGISTRY: Once = Once::new();
    REGISTRY.call_once(|| drop((0..8).map(|_| EventLoop::new()).collect::<Vec<_>>()));
    EventLoop::builder().clock(VirtualClock::impatient()).build()
}

/// The generator `SplitMix64`: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

struct CountsItsDrop(Rc<Cell<usize>>);

impl Drop for CountsItsDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Starts a million sleepers on one loop (a tenth of that in a debug build). `passes_time` awaits until they are all awake. Returns (woken at, sleeper), in the
/// order in which they woke, and the expected order.
fn a_million_sleepers(passes_time: impl AsyncFnOnce(&VirtualClock, Instant)) -> [Wakes; 2] {
    const SLEEPERS: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    // Sleeps last up to five hours, and every second one ends at a moment that it shares with many others.
    let mut dice = Dice(7);
    let deadlines: Vec<u64> = (0..SLEEPERS)
        .map(|sleeper| {
            let power = 10 + dice.below(34);
            let ten_millis = 1 + dice.below(100) * 10_000_000;
            if sleeper % 2 == 0 { ten_millis } else { 1 + dice.below(1 << power) }
        })
        .collect();
    let clock = VirtualClock::impatient();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let woken = Rc::new(RefCell::new(Vec::with_capacity(SLEEPERS)));
    let dropped = Rc::new(Cell::new(0));
    event_loop.run(async {
        for (sleeper, &deadline) in deadlines.iter().enumerate() {
            let (woken, guard) = (woken.clone(), CountsItsDrop(dropped.clone()));
            drop(create_task(async move {
                let _guard = guard;
                sleep_until(Instant::from_nanos(deadline)).await;
                woken.borrow_mut().push((now().as_nanos(), sleeper));
            }));
        }
        assert_eq!(all_tasks().len(), SLEEPERS + 1);
        yield_now().await;
        passes_time(&clock, Instant::from_nanos(*deadlines.iter().max().unwrap())).await;
        assert_eq!(all_tasks().len(), 1);
    });
    assert_eq!(dropped.get(), SLEEPERS);
    let mut expected: Wakes = deadlines.into_iter().zip(0..).collect();
    expected.sort_unstable();
    [woken.take(), expected]
}

type Wakes = Vec<(u64, usize)>;

#[test]
fn a_million_sleepers_wake_at_their_deadlines_in_order_and_leave_nothing() {
    drop(new_loop());
    let before = live();
    let [woken, expected] = a_million_sleepers(async |_, last| {
        sleep_until(last).await;
        yield_now().await;
    });
    // At its deadline, neither early nor late, and no task overtaken. (Not `assert_eq`: it would print a million.)
    assert_eq!(woken.iter().zip(&expected).position(|(woken, expected)| woken != expected), None);
    drop((woken, expected));
    assert_eq!(live(), before);
}

#[test]
fn a_million_sleepers_wake_in_order_although_the_loop_is_late() {
    let [woken, expected] = a_million_sleepers(async |clock, last| {
        // Time passes in great steps, many deadlines in each.
        let _held = clock.hold();
        for _ in 0..=100 {
            clock.advance((last - Instant::START) / 100);
            for _ in 0..100 {
                yield_now().await;
            }
        }
    });
    let overtaken = woken.iter().zip(&expected).position(|(woken, expected)| woken.1 != expected.1);
    assert_eq!(overtaken, None);
    assert!(woken.iter().zip(&expected).all(|(woken, expected)| woken.0 >= expected.0), "early");
}

/// Wakers and references of the last tasks, kept and used although those tasks are over.
#[derive(Default)]
struct KeptTooLong {
    wakers: VecDeque<Waker>,
    tasks: VecDeque<TaskRef>,
}

impl KeptTooLong {
    const LEN: usize = 64;

    fn keep(&mut self, waker: Waker, task: TaskRef) {
        if self.tasks.len() == Self::LEN {
            self.wakers.pop_front();
            self.tasks.pop_front();
        }
        self.wakers.push_back(waker);
        self.tasks.push_back(task);
    }

    fn use_all(&self) {
        self.wakers.iter().for_each(Waker::wake_by_ref);
        assert!(self.tasks.iter().all(|task| task.is_done() && !task.cancel()));
    }
}

/// Runs sixteen tasks of all kinds, from spawn to end. Every round is the same.
async fn round(kept: &RefCell<KeptTooLong>) -> u64 {
    let watched = |task: u64| async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        match task % 4 {
            0 => {}
            1 => yield_now().await,
            2 => sleep(ms(task)).await,
            _ => assert!(wait_for(pending::<()>(), ms(1)).await.is_err()),
        }
        waker
    };
    // One after another: they all have the same place.
    for task in 0..8 {
        let task = create_task(watched(task));
        let reference = task.to_ref();
        let waker = task.await.unwrap();
        kept.borrow_mut().keep(waker, reference);
    }
    // Side by side: awaited, detached, cancelled, and one that waits for the other.
    let tasks = [0, 1, 2, 3].map(|task| create_task(watched(task)));
    drop(create_task(sleep(ms(1))));
    let cancelled = create_task(pending::<()>());
    let waits = create_task(async move { cancelled.await.is_err() });
    yield_now().await;
    waits.cancel();
    assert!(waits.await.is_err());
    for task in tasks {
        let reference = task.to_ref();
        let waker = task.await.unwrap();
        kept.borrow_mut().keep(waker, reference);
    }
    let callback = create_task(yield_now());
    callback.to_ref().add_done_callback(|task| assert!(task.is_done()));
    callback.await.unwrap();
    yield_now().await;
    kept.borrow().use_all();
    16
}

#[test]
fn tasks_that_come_and_go_for_ever_need_no_more_memory() {
    const TASKS: u64 = if cfg!(debug_assertions) { 300_000 } else { 50_000_000 };
    let mut event_loop = new_loop();
    let kept = RefCell::default();
    event_loop.run(async {
        let mut tasks = 0;
        while tasks < TASKS / 100 {
            tasks += round(&kept).await;
        }
        let warm = live();
        while tasks < TASKS {
            tasks += round(&kept).await;
        }
        assert_eq!(live(), warm, "after {tasks} tasks");
        assert_eq!(all_tasks().len(), 1);
    });
}

/// Returns what is live beyond what was live before, which was a warm loop and nothing else.
fn live_beyond(before: Live) -> Live {
    let Live { blocks, bytes } = live();
    Live { blocks: blocks - before.blocks, bytes: bytes - before.bytes }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "a release build keeps the memory of records")]
fn a_task_that_is_over_keeps_nothing_but_its_record_while_there_is_a_handle() {
    const TASKS: i64 = 10_000;
    /// A future that owns memory while it sleeps, and an outcome that owns some.
    fn hoarder() -> impl Future<Output = Vec<u8>> {
        let own = vec![1_u8; 1_000];
        async move {
            sleep(ms(own[0].into())).await;
            vec![2_u8; 100]
        }
    }
    const NOTHING: Live = Live { blocks: 0, bytes: 0 };
    let record = 88 + size_of_val(&hoarder()).cast_signed() as i64;
    let mut event_loop = new_loop();
    event_loop.run(async {
        let mut handles = Vec::with_capacity(TASKS as usize);
        let mut references = Vec::with_capacity(TASKS as usize);
        for warm in [false, true] {
            let before = live();
            handles.extend((0..TASKS).map(|_| create_task(hoarder())));
            yield_now().await;
            references.extend(handles.iter().map(loopwheel::Task::to_ref));
            let at_work = live_beyond(before);
            sleep(ms(2)).await;
            assert!(handles.iter().all(loopwheel::Task::is_done));
            let over = live_beyond(before);
            handles.clear();
            let detached = live_beyond(before);
            references.clear();
            let gone = live_beyond(before);
            if warm {
                assert_eq!(at_work.blocks, 2 * TASKS, "a record and what the future owns");
                assert_eq!(over.blocks, 2 * TASKS, "a record and what the outcome owns");
                assert_eq!(
                    at_work.bytes - over.bytes,
                    900 * TASKS,
                    "of the future nothing is left"
                );
                assert_eq!(detached.blocks, TASKS, "a record: nothing can take the outcome");
                assert_eq!(over.bytes - detached.bytes, 100 * TASKS);
                assert!(detached.bytes <= record * TASKS, "{} a task", detached.bytes / TASKS);
                assert_eq!(gone, NOTHING);
            }
        }
    });
}

#[test]
fn a_dropped_loop_stores_no_remote_wakes_whatever_handles_remain() {
    let mut event_loop = new_loop();
    let (kept, wakers) = event_loop.run(async {
        let waker = || create_task(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        // Two tasks in the same slot, one after the other: their wakes do not coalesce, so each would be sent.
        (loopwheel::current_task(), [waker().await.unwrap(), waker().await.unwrap()])
    });
    drop(event_loop);
    let before = live();
    for _ in 0..10_000 {
        wakers.iter().for_each(Waker::wake_by_ref);
    }
    assert_eq!(live(), before);
    assert!(kept.is_done());
}

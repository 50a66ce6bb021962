//! Tests what the primitives promise: first come, first served. If a task gives up, at whatever moment and in whatever way,
//! nothing is lost, nothing is doubled, and no waiter is forgotten.

mod common;

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
use std::task::{Context, Poll, Wake, Waker};

use common::{Log, ms};
use futures::FutureExt;
use loopwheel::sync::{
    AlreadySet, Barrier, BoundedSemaphore, BrokenBarrier, Condition, Event, LifoQueue, Lock,
    MinHeap, NotLocked, PriorityQueue, Promise, PutError, Queue, QueueOf, QueueShutDown,
    ReleasedTooOften, Semaphore, Store, TooManyTasksDone, TryGetError, TryPutError,
};
use loopwheel::{
    TaskRef, catch_cancel, create_task, gather, now, run_virtual, sleep, wait_for, yield_now,
};

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

// ---- One driver for every primitive, every state of a waiter and every way to give up

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

/// Numbers of the waiters whose turn has come, in that order.
type Served = Rc<RefCell<Vec<usize>>>;

/// Says which waiters one `serve` lets go on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Serves {
    /// One.
    One,
    /// It serves one, the next when that one is done, and so on.
    Chain,
    All,
}

/// A primitive at which all tasks have to wait until `serve`.
trait Primitive {
    const NAME: &'static str;
    const SERVES: Serves;
    /// Whether the others keep their order when a waiter leaves the line.
    const KEEPS_ORDER: bool = true;

    fn new() -> Self;
    /// Waits, says that it is served, and uses what it has got for a millisecond.
    async fn wait(&self, number: usize, served: Served);
    fn serve(self: &Rc<Self>);
    fn waiting(&self) -> Option<usize>;
    /// When these have been served and no task waits any more, nothing is missing.
    async fn check(&self, served: &[usize]);
}

async fn serve_me(number: usize, served: &Served) {
    served.borrow_mut().push(number);
    sleep(ms(1)).await;
}

impl Primitive for Lock {
    const NAME: &'static str = "Lock";
    const SERVES: Serves = Serves::Chain;

    fn new() -> Lock {
        let lock = Lock::new();
        lock.try_acquire().expect("it is new").forget();
        lock
    }
    async fn wait(&self, number: usize, served: Served) {
        let _guard = self.acquire().await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.release().expect("it was taken");
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert!(!self.is_locked());
        assert!(self.try_acquire().is_some());
    }
}

impl Primitive for Semaphore {
    const NAME: &'static str = "Semaphore";
    const SERVES: Serves = Serves::Chain;

    fn new() -> Semaphore {
        Semaphore::new(0)
    }
    async fn wait(&self, number: usize, served: Served) {
        let _permit = self.acquire().await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.release();
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert_eq!(self.available(), 1, "permits");
        assert!(!self.is_locked());
    }
}

impl Primitive for BoundedSemaphore {
    const NAME: &'static str = "BoundedSemaphore";
    const SERVES: Serves = Serves::Chain;

    fn new() -> BoundedSemaphore {
        let semaphore = BoundedSemaphore::new(1);
        semaphore.try_acquire().expect("it is new").forget();
        semaphore
    }
    async fn wait(&self, number: usize, served: Served) {
        let _permit = self.acquire().await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.release().expect("it was taken");
    }
    fn waiting(&self) -> Option<usize> {
        None
    }
    async fn check(&self, _: &[usize]) {
        assert_eq!(self.available(), 1, "permits");
        assert_eq!(self.release(), Err(ReleasedTooOften));
    }
}

impl Primitive for Event {
    const NAME: &'static str = "Event";
    const SERVES: Serves = Serves::All;

    fn new() -> Event {
        Event::new()
    }
    async fn wait(&self, number: usize, served: Served) {
        self.wait().await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.set();
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert!(self.is_set());
    }
}

impl Primitive for Promise<&'static str> {
    const NAME: &'static str = "Promise";
    const SERVES: Serves = Serves::All;

    fn new() -> Self {
        Promise::new()
    }
    async fn wait(&self, number: usize, served: Served) {
        assert_eq!(self.wait().await, "value");
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.set("value").expect("it is new");
    }
    fn waiting(&self) -> Option<usize> {
        None
    }
    async fn check(&self, _: &[usize]) {
        assert_eq!(self.get(), Some("value"));
    }
}

/// A condition, and what is waited for: a token.
struct Tokens {
    condition: Condition,
    tokens: Cell<usize>,
}

impl Primitive for Tokens {
    const NAME: &'static str = "Condition";
    const SERVES: Serves = Serves::One;
    // As in asyncio: a waiter that gives up wakes the next one to be safe, which then goes to the end of the line.
    const KEEPS_ORDER: bool = false;

    fn new() -> Tokens {
        Tokens { condition: Condition::new(), tokens: Cell::new(0) }
    }
    async fn wait(&self, number: usize, served: Served) {
        let guard = self.condition.acquire().await;
        guard.wait_for(|| self.tokens.get() > 0).await;
        assert!(self.condition.is_locked());
        self.tokens.set(self.tokens.get() - 1);
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        let guard = self.condition.acquire().now_or_never().expect("the lock is free");
        self.tokens.set(self.tokens.get() + 1);
        guard.notify(1);
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.condition.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert!(!self.condition.is_locked(), "the condition's lock is free");
        assert_eq!(self.tokens.get(), 0, "tokens");
    }
}

impl Primitive for Barrier {
    const NAME: &'static str = "Barrier";
    const SERVES: Serves = Serves::All;
    const KEEPS_ORDER: bool = false; // it is a condition

    fn new() -> Barrier {
        Barrier::new(4)
    }
    async fn wait(&self, number: usize, served: Served) {
        let index = self.wait().await.expect("it is not broken");
        assert!(index < 4);
        serve_me(number, &served).await;
    }
    /// The missing tasks come.
    fn serve(self: &Rc<Self>) {
        for missing in (0..self.parties() - self.waiting()).rev() {
            let barrier = self.clone();
            let mut comes = Box::pin(async move { barrier.wait().await.map(drop) });
            if missing == 0 && self.waiting() == 3 {
                assert_eq!(comes.as_mut().now_or_never(), Some(Ok(())), "the last need not wait");
            } else {
                drop(create_task(comes));
            }
        }
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert!(!self.is_broken());
        // The next round begins from nothing.
        let round = futures::future::join_all((0..4).map(|_| self.wait()));
        let indices = wait_for(round, ms(10)).await.expect("four are enough");
        let indices: BTreeSet<_> = indices.into_iter().map(Result::unwrap).collect();
        assert_eq!(indices, (0..4).collect());
    }
}

/// A task waits for an item.
struct Getting<S: Store> {
    queue: QueueOf<S>,
    next: Cell<usize>,
    got: RefCell<Vec<usize>>,
}

/// A task waits for room.
struct Putting<S: Store> {
    queue: QueueOf<S>,
    got: RefCell<Vec<usize>>,
}

const FILLER: usize = 1_000;

trait Named: Store<Item = usize> + 'static {
    const GET: &'static str;
    const PUT: &'static str;
}

macro_rules! named {
    ($($queue:ty => $get:literal $put:literal;)+) => {$(
        impl Named for $queue {
            const GET: &'static str = $get;
            const PUT: &'static str = $put;
        }
    )+};
}

named! {
    std::collections::VecDeque<usize> => "Queue::get" "Queue::put";
    Vec<usize> => "LifoQueue::get" "LifoQueue::put";
    MinHeap<usize> => "PriorityQueue::get" "PriorityQueue::put";
}

impl<S: Named> Primitive for Getting<S> {
    const NAME: &'static str = S::GET;
    const SERVES: Serves = Serves::One;

    fn new() -> Self {
        Getting { queue: QueueOf::unbounded(), next: Cell::new(0), got: RefCell::default() }
    }
    async fn wait(&self, number: usize, served: Served) {
        let item = self.queue.get().await.expect("it is open");
        self.got.borrow_mut().push(item);
        self.queue.task_done().expect("one was put");
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.queue.put_nowait(self.next.get()).expect("there is room");
        self.next.set(self.next.get() + 1);
    }
    fn waiting(&self) -> Option<usize> {
        None
    }
    async fn check(&self, served: &[usize]) {
        let expected: Vec<_> = (0..served.len()).collect();
        assert_eq!(*self.got.borrow(), expected, "each item arrives once");
        assert!(self.queue.is_empty());
        wait_for(self.queue.join(), ms(10)).await.expect("all is done");
        assert_eq!(self.queue.task_done(), Err(TooManyTasksDone));
    }
}

impl<S: Named> Primitive for Putting<S> {
    const NAME: &'static str = S::PUT;
    const SERVES: Serves = Serves::One;

    fn new() -> Self {
        let queue = QueueOf::bounded(1);
        queue.put_nowait(FILLER).expect("there is room");
        Putting { queue, got: RefCell::default() }
    }
    async fn wait(&self, number: usize, served: Served) {
        self.queue.put(number).await.expect("it is open");
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.got.borrow_mut().push(self.queue.get_nowait().expect("it was full"));
    }
    fn waiting(&self) -> Option<usize> {
        None
    }
    async fn check(&self, served: &[usize]) {
        let mut got = self.got.take();
        got.extend(self.queue.get_nowait());
        let mut expected = vec![FILLER];
        expected.extend(served);
        assert_eq!(got, expected, "each item arrives once");
        assert_eq!(self.queue.get_nowait(), Err(TryGetError::Empty));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    BeforeItsFirstPoll,
    Queued,
    WokenAndNotYetPolled,
    Granted,
}

const STATES: [State; 4] =
    [State::BeforeItsFirstPoll, State::Queued, State::WokenAndNotYetPolled, State::Granted];

#[derive(Clone, Copy, Debug, PartialEq)]
enum GivesUp {
    /// `task.cancel()`.
    Cancelled,
    /// Another task drops its future.
    DroppedFromOutside,
    /// Its own task drops the future, as a `select!` does.
    DroppedFromInside,
}

const WAYS: [GivesUp; 3] =
    [GivesUp::Cancelled, GivesUp::DroppedFromOutside, GivesUp::DroppedFromInside];

/// A waiter in a task, which can give up in every way.
struct Waiter {
    task: TaskRef,
    future: Rc<RefCell<Option<Waiting>>>,
    drops_it: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

/// When the task is cancelled, what it holds is dropped with it.
struct Held(Rc<RefCell<Option<Waiting>>>);

impl Drop for Held {
    fn drop(&mut self) {
        let future = self.0.borrow_mut().take();
        drop(future);
    }
}

impl Waiter {
    fn new(waiting: Waiting) -> Waiter {
        let future = Rc::new(RefCell::new(Some(waiting)));
        let (drops_it, waker) = (Rc::new(Cell::new(false)), Rc::default());
        let (inside, dropping) = (Held(future.clone()), drops_it.clone());
        let kept: Rc<RefCell<Option<Waker>>> = Rc::clone(&waker);
        let task = create_task(poll_fn(move |cx| {
            *kept.borrow_mut() = Some(cx.waker().clone());
            let mut inside = inside.0.borrow_mut();
            if dropping.get() {
                *inside = None;
            }
            inside.as_mut().map_or(Poll::Ready(()), |future| future.as_mut().poll(cx))
        }));
        Waiter { task: task.to_ref(), future, drops_it, waker }
    }

    fn gives_up(&self, way: GivesUp) {
        match way {
            GivesUp::Cancelled => assert!(self.task.cancel()),
            GivesUp::DroppedFromOutside => {
                let future = self.future.borrow_mut().take();
                drop(future);
                self.wake();
            }
            GivesUp::DroppedFromInside => {
                self.drops_it.set(true);
                self.wake();
            }
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Three wait at a primitive; the one with number `victim` gives up.
async fn one_of_three_gives_up<P: Primitive + 'static>(state: State, way: GivesUp, victim: usize) {
    let primitive = Rc::new(P::new());
    let served: Served = Rc::default();
    let waiters: Vec<_> = (0..3)
        .map(|number| {
            let (primitive, served) = (primitive.clone(), served.clone());
            Waiter::new(Box::pin(async move { primitive.wait(number, served).await }))
        })
        .collect();
    if state != State::BeforeItsFirstPoll {
        turns(5).await;
        assert_eq!(*served.borrow(), [0; 0], "all have to wait");
        assert!(primitive.waiting().is_none_or(|waiting| waiting == 3), "all are in line");
    }
    if state == State::WokenAndNotYetPolled || state == State::Granted {
        primitive.serve();
    }
    if state == State::Granted {
        while served.borrow().is_empty() {
            yield_now().await;
        }
    }
    waiters[victim].gives_up(way);
    sleep(ms(50)).await;

    let mut expected: Vec<_> = (0..3).filter(|number| *number != victim).collect();
    if state == State::Granted && !expected.contains(&victim) {
        expected.insert(victim, victim);
    }
    let by_now = match (state, P::SERVES) {
        (State::BeforeItsFirstPoll | State::Queued, _) => 0,
        (_, Serves::One) => 1,
        (_, Serves::Chain | Serves::All) => expected.len(),
    };
    assert_eq!(
        *served.borrow(),
        expected[..by_now],
        "the turn goes to the next waiter, no further"
    );
    if let Some(waiting) = primitive.waiting() {
        assert_eq!(waiting, expected.len() - by_now, "still in line");
    }

    while served.borrow().len() < expected.len() {
        let before = served.borrow().len();
        primitive.serve();
        sleep(ms(50)).await;
        let after = served.borrow().len();
        assert!(after > before, "no task came when {before} had been served");
        assert!(P::SERVES != Serves::One || after == before + 1, "one turn, and two came");
    }
    if !P::KEEPS_ORDER && state == State::Queued {
        served.borrow_mut().sort_unstable();
    }
    assert_eq!(*served.borrow(), expected, "in the order in which they came");
    assert!(primitive.waiting().is_none_or(|waiting| waiting == 0), "no waiter is left in line");
    assert!(waiters.iter().all(|waiter| waiter.task.is_done()), "all tasks have ended");
    primitive.check(&expected).await;
}

/// If it panics, it says what it was about.
struct Trace(String);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\n=> {}", self.0);
        }
    }
}

fn a_task_gives_up<P: Primitive + 'static>() {
    for state in STATES {
        for way in WAYS {
            let first_in_line = matches!(state, State::WokenAndNotYetPolled | State::Granted);
            let only_the_first_is_served = P::SERVES != Serves::All && first_in_line;
            for victim in 0..if only_the_first_is_served { 1 } else { 3 } {
                let name = P::NAME;
                let _trace = Trace(format!("{name}: waiter {victim}, {state:?}, {way:?}"));
                run_virtual(one_of_three_gives_up::<P>(state, way, victim));
            }
        }
    }
}

macro_rules! for_each_primitive {
    ($($test:ident: $primitive:ty;)+) => {$(
        #[test]
        fn $test() {
            a_task_gives_up::<$primitive>();
        }
    )+};
}

for_each_primitive! {
    a_task_that_gives_up_at_a_lock_leaves_nothing_behind: Lock;
    a_task_that_gives_up_at_a_semaphore_leaves_nothing_behind: Semaphore;
    a_task_that_gives_up_at_a_bounded_semaphore_leaves_nothing_behind: BoundedSemaphore;
    a_task_that_gives_up_at_an_event_leaves_nothing_behind: Event;
    a_task_that_gives_up_at_a_promise_leaves_nothing_behind: Promise<&'static str>;
    a_task_that_gives_up_at_a_condition_leaves_nothing_behind: Tokens;
    a_task_that_gives_up_at_a_barrier_leaves_nothing_behind: Barrier;
    a_task_that_gives_up_getting_from_a_queue_leaves_nothing_behind: Getting<std::collections::VecDeque<usize>>;
    a_task_that_gives_up_getting_from_a_lifo_queue_leaves_nothing_behind: Getting<Vec<usize>>;
    a_task_that_gives_up_getting_from_a_priority_queue_leaves_nothing_behind:
        Getting<MinHeap<usize>>;
    a_task_that_gives_up_putting_into_a_queue_leaves_nothing_behind: Putting<std::collections::VecDeque<usize>>;
    a_task_that_gives_up_putting_into_a_lifo_queue_leaves_nothing_behind: Putting<Vec<usize>>;
    a_task_that_gives_up_putting_into_a_priority_queue_leaves_nothing_behind:
        Putting<MinHeap<usize>>;
}

// ---- The same at random

/// A small random number generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn a_semaphore_keeps_count_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice(seed * 7_919);
            let permits = 1 + dice.below(3) as usize;
            let semaphore = Rc::new(Semaphore::new(permits));
            let in_use = Rc::new(Cell::new(0));
            let mut tasks = Vec::new();
            for _ in 0..200 {
                match dice.below(3) {
                    0 | 1 => {
                        let (semaphore, in_use) = (semaphore.clone(), in_use.clone());
                        let hold = dice.below(5);
                        tasks.push(create_task(async move {
                            let permit = semaphore.acquire().await;
                            in_use.set(in_use.get() + 1);
                            assert!(in_use.get() <= permits);
                            let _ = catch_cancel(sleep(ms(hold))).await;
                            in_use.set(in_use.get() - 1);
                            drop(permit);
                        }));
                    }
                    _ if !tasks.is_empty() => {
                        let index = dice.below(tasks.len() as u64) as usize;
                        tasks[index].cancel();
                    }
                    _ => {}
                }
                if dice.below(3) == 0 {
                    sleep(ms(dice.below(3))).await;
                }
            }
            for task in wait_for(gather(tasks), ms(10_000)).await.expect("no task hangs") {
                assert!(task.is_ok() || task.unwrap_err().is_cancelled());
            }
            assert_eq!((semaphore.available(), semaphore.waiting()), (permits, 0));
        });
    }
}

#[test]
fn every_item_of_a_queue_arrives_once_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice(seed * 104_729);
            let queue = Rc::new(Queue::bounded(1 + dice.below(3) as usize));
            let (put, got) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
            let mut tasks = Vec::new();
            for number in 0..200_u64 {
                match dice.below(5) {
                    0 | 1 => {
                        let (queue, put) = (queue.clone(), put.clone());
                        tasks.push(create_task(async move {
                            queue.put(number).await.unwrap();
                            put.borrow_mut().push(number);
                        }));
                    }
                    2 | 3 => {
                        let (queue, got) = (queue.clone(), got.clone());
                        tasks.push(create_task(async move {
                            let item = queue.get().await.unwrap();
                            got.borrow_mut().push(item);
                        }));
                    }
                    _ if !tasks.is_empty() => {
                        let index = dice.below(tasks.len() as u64) as usize;
                        tasks[index].cancel();
                    }
                    _ => {}
                }
                if dice.below(3) == 0 {
                    yield_now().await;
                }
            }
            turns(50).await;
            // No task sleeps beside an item or room. (Getters may wait at an empty queue, putters at a full one.)
            let text = format!("{queue:?}");
            assert!(queue.is_empty() || text.contains("getters: 0 waiting"), "{text}");
            assert!(queue.is_full() || text.contains("putters: 0 waiting"), "{text}");
            for task in &tasks {
                task.cancel();
            }
            turns(5).await;
            while let Ok(item) = queue.get_nowait() {
                got.borrow_mut().push(item);
            }
            assert_eq!(*put.borrow(), *got.borrow(), "all that was put, once, and in order");
        });
    }
}

#[test]
fn a_lock_is_held_by_one_task_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice(seed * 15_485_863);
            let lock = Rc::new(Lock::new());
            let is_held = Rc::new(Cell::new(false));
            let mut tasks = Vec::new();
            for _ in 0..100 {
                let (inner, is_held) = (lock.clone(), is_held.clone());
                let (hold, limit) = (dice.below(4), dice.below(40));
                tasks.push(create_task(async move {
                    let limited = wait_for(inner.acquire(), ms(limit)).await;
                    if let Ok(guard) = limited {
                        assert!(!is_held.replace(true), "two hold it");
                        let _ = catch_cancel(sleep(ms(hold))).await;
                        is_held.set(false);
                        drop(guard);
                    }
                }));
                if dice.below(2) == 0 {
                    let index = dice.below(tasks.len() as u64) as usize;
                    tasks[index].cancel();
                    sleep(ms(dice.below(3))).await;
                }
            }
            for task in wait_for(gather(tasks), ms(10_000)).await.expect("no task hangs") {
                assert!(task.is_ok() || task.unwrap_err().is_cancelled());
            }
            assert!(!lock.is_locked() && lock.waiting() == 0);
        });
    }
}

// ---- Order

/// Ten come in order at different times; they are served in that order.
fn is_fair<P: Primitive + 'static>() {
    let _trace = Trace(P::NAME.to_owned());
    run_virtual(async {
        let primitive = Rc::new(P::new());
        let served: Served = Rc::default();
        for number in 0..10 {
            let (primitive, served) = (primitive.clone(), served.clone());
            drop(create_task(async move { primitive.wait(number, served).await }));
            turns(number % 3).await;
        }
        turns(5).await;
        while served.borrow().len() < 10 {
            primitive.serve();
            sleep(ms(50)).await;
        }
        assert!(served.borrow().iter().copied().eq(0..10));
    });
}

#[test]
fn who_came_first_is_served_first() {
    is_fair::<Lock>();
    is_fair::<Semaphore>();
    is_fair::<BoundedSemaphore>();
    is_fair::<Event>();
    is_fair::<Promise<&'static str>>();
    is_fair::<Tokens>();
    is_fair::<Getting<std::collections::VecDeque<usize>>>();
    is_fair::<Putting<std::collections::VecDeque<usize>>>();
}

#[test]
fn no_task_overtakes_at_a_lock_between_a_release_and_the_next_ones_turn() {
    run_virtual(async {
        let log = Log::new();
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let take = |name: &'static str| {
            let (lock, log) = (lock.clone(), log.clone());
            create_task(async move {
                let _guard = lock.acquire().await;
                log.add(name);
                sleep(ms(1)).await;
            })
        };
        let early = take("early");
        turns(2).await;
        drop(guard);
        assert!(!lock.is_locked(), "no task holds it");
        assert!(lock.try_acquire().is_none(), "but it is spoken for");
        let late = take("late");
        yield_now().await;
        let guard = lock.acquire().await; // the latest
        log.add("latest");
        drop(guard);
        gather((early, late)).await.1.unwrap();
        log.expect(&[(0, "early"), (1, "late"), (2, "latest")]);
    });
}

#[test]
fn no_task_overtakes_at_a_semaphore_even_if_a_permit_is_left_over() {
    run_virtual(async {
        let log = Log::new();
        let semaphore = Rc::new(Semaphore::new(0));
        let take = |name: &'static str| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            create_task(async move {
                semaphore.acquire().await.forget();
                log.add(name);
            })
        };
        let early = take("early");
        turns(2).await;
        semaphore.release(); // for `early`, whose turn comes
        semaphore.release();
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.is_locked() && semaphore.try_acquire().is_none(), "not before `early`");
        semaphore.acquire().await.forget();
        log.add("late");
        early.await.unwrap();
        log.expect(&[(0, "early"), (0, "late")]);
        assert_eq!((semaphore.available(), semaphore.is_locked()), (0, true));
    });
}

#[test]
fn queues_give_in_their_order() {
    run_virtual(async {
        fn drain<S: Store<Item = i32>>(queue: &QueueOf<S>) -> Vec<i32> {
            for item in [2, 3, 1] {
                queue.put_nowait(item).unwrap();
            }
            std::iter::from_fn(|| queue.get_nowait().ok()).collect()
        }
        assert_eq!(drain(&Queue::unbounded()), [2, 3, 1]);
        assert_eq!(drain(&LifoQueue::unbounded()), [1, 3, 2]);
        assert_eq!(drain(&PriorityQueue::unbounded()), [1, 2, 3]);
        assert_eq!(drain(&QueueOf::<BinaryHeap<Reverse<i32>>>::unbounded()), [1, 2, 3]);
    });
}

// ---- Misuse

#[test]
fn releasing_what_is_not_held_is_an_error() {
    run_virtual(async {
        let lock = Lock::new();
        assert_eq!(lock.release(), Err(NotLocked));
        let guard = lock.acquire().await;
        assert_eq!(lock.release(), Ok(()), "by hand");
        drop(guard); // has nothing left to release
        assert_eq!(lock.release(), Err(NotLocked));
        assert!(NotLocked.to_string().contains("acquire it first"));

        let bounded = BoundedSemaphore::new(2);
        assert_eq!(bounded.release(), Err(ReleasedTooOften));
        bounded.acquire().await.forget();
        assert_eq!(bounded.release(), Ok(()));
        assert_eq!(bounded.release(), Err(ReleasedTooOften));
        assert_eq!(bounded.available(), 2);
    });
}

#[test]
fn a_condition_without_its_lock_is_an_error() {
    run_virtual(async {
        let condition = Condition::new();
        assert_eq!(condition.notify(1), Err(NotLocked));
        assert_eq!(condition.notify_all(), Err(NotLocked));
        assert_eq!(condition.release(), Err(NotLocked));
        assert_eq!(condition.wait().await, Err(NotLocked));
        condition.acquire().await.forget();
        assert_eq!(condition.notify(1), Ok(()), "without a waiter");
        assert_eq!(condition.notify_all(), Ok(()));
        assert_eq!(condition.release(), Ok(()));
    });
}

#[test]
fn more_tasks_done_than_items_put_is_an_error() {
    run_virtual(async {
        let queue = Queue::unbounded();
        assert_eq!(queue.task_done(), Err(TooManyTasksDone));
        queue.put_nowait(1).unwrap();
        assert_eq!(queue.task_done(), Ok(()));
        assert_eq!(queue.task_done(), Err(TooManyTasksDone));
    });
}

#[test]
fn a_promise_is_set_once() {
    run_virtual(async {
        let promise = Promise::new();
        assert_eq!((promise.is_set(), promise.get()), (false, None));
        assert_eq!(promise.set(1), Ok(()));
        assert_eq!(promise.clone().set(2), Err(AlreadySet(2)), "the value comes back");
        assert_eq!((promise.is_set(), promise.get(), promise.wait().await), (true, Some(1), 1));
    });
}

#[test]
#[should_panic(expected = "at least one party")]
fn a_barrier_for_zero_tasks_is_refused() {
    drop(Barrier::new(0));
}

// ---- Guards and counts

#[test]
fn guards_release_unless_they_are_forgotten() {
    run_virtual(async {
        let lock = Lock::new();
        drop(lock.acquire().await);
        assert!(!lock.is_locked());
        lock.acquire().await.forget();
        assert!(lock.is_locked());
        lock.release().unwrap();

        let semaphore = Semaphore::new(2);
        let permit = semaphore.acquire().await;
        semaphore.acquire().await.forget();
        assert!(semaphore.is_locked());
        drop(permit);
        assert_eq!(semaphore.available(), 1);
        semaphore.release();
        semaphore.release();
        assert_eq!(semaphore.available(), 3, "an unbounded one can be released into being larger");

        let condition = Condition::new();
        drop(condition.acquire().await);
        assert!(!condition.is_locked());
        condition.acquire().await.forget();
        assert!(condition.is_locked());
        condition.release().unwrap();
    });
}

#[test]
fn those_who_wait_are_counted() {
    run_virtual(async {
        let (lock, semaphore) = (Rc::new(Lock::new()), Rc::new(Semaphore::new(0)));
        let (event, condition) = (Rc::new(Event::new()), Rc::new(Condition::new()));
        let barrier = Rc::new(Barrier::new(9));
        lock.acquire().await.forget();
        let mut tasks = Vec::new();
        for round in 1..=3 {
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            let (event, condition) = (event.clone(), condition.clone());
            let barrier = barrier.clone();
            let counts = || {
                let (lock, semaphore) = (lock.waiting(), semaphore.waiting());
                [lock, semaphore, event.waiting(), condition.waiting(), barrier.waiting()]
            };
            tasks.push(create_task({
                let lock = lock.clone();
                async move { lock.acquire().await.forget() }
            }));
            tasks.push(create_task({
                let semaphore = semaphore.clone();
                async move { semaphore.acquire().await.forget() }
            }));
            tasks.push(create_task({
                let event = event.clone();
                async move { event.wait().await }
            }));
            tasks.push(create_task({
                let condition = condition.clone();
                async move { condition.acquire().await.wait().await }
            }));
            tasks.push(create_task({
                let barrier = barrier.clone();
                async move { barrier.wait().await.map(drop).unwrap() }
            }));
            turns(3).await;
            assert_eq!(counts(), [round; 5]);
        }
        for task in &tasks {
            task.cancel();
        }
        turns(8).await;
        assert_eq!((lock.waiting(), semaphore.waiting(), event.waiting()), (0, 0, 0));
        assert_eq!((condition.waiting(), barrier.waiting()), (0, 0));
        assert_eq!((barrier.parties(), barrier.is_broken()), (9, false));
    });
}

#[test]
fn a_semaphore_lets_so_many_in() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let workers = (0..10).map(|_| {
            let (semaphore, inside, most) = (semaphore.clone(), inside.clone(), most.clone());
            async move {
                let _permit = semaphore.acquire().await;
                inside.set(inside.get() + 1);
                most.set(most.get().max(inside.get()));
                sleep(ms(10)).await;
                inside.set(inside.get() - 1);
            }
        });
        gather(workers).await;
        assert_eq!((most.get(), now().as_nanos()), (3, 40_000_000));
    });
}

#[test]
fn an_event_lets_those_go_who_waited_even_if_it_is_cleared_at_once() {
    run_virtual(async {
        let event = Rc::new(Event::new());
        let wait = || {
            let event = event.clone();
            create_task(async move { event.wait().await })
        };
        let early = wait();
        turns(2).await;
        event.set();
        event.set(); // is no news
        event.clear();
        assert!(!event.is_set());
        let late = wait();
        early.await.unwrap();
        turns(5).await;
        assert!(!late.is_done());
        event.set();
        late.await.unwrap();
        event.wait().await; // does not wait
    });
}

#[test]
fn a_notification_wakes_as_many_as_it_says() {
    run_virtual(async {
        let condition = Rc::new(Condition::new());
        let woken = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let (condition, woken) = (condition.clone(), woken.clone());
            drop(create_task(async move {
                let guard = condition.acquire().await;
                guard.wait().await;
                assert!(condition.is_locked());
                woken.borrow_mut().push(number);
            }));
        }
        turns(8).await;
        for (notified, so_far) in [(0, 0), (2, 2), (1, 3), (99, 5)] {
            let guard = condition.acquire().await;
            guard.notify(notified);
            turns(5).await;
            assert!(woken.borrow().len() < so_far.max(1), "they need the lock");
            drop(guard);
            turns(8).await;
            assert!(woken.borrow().iter().copied().eq(0..so_far), "{:?}", woken.borrow());
        }
    });
}

#[test]
fn a_barrier_that_is_aborted_or_reset_turns_all_waiters_away() {
    run_virtual(async {
        let barrier = Rc::new(Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await })
        };
        let turned_away = [wait(), wait()];
        turns(5).await;
        barrier.reset().await;
        for task in turned_away {
            assert_eq!(task.await, Ok(Err(BrokenBarrier)));
        }
        assert_eq!((barrier.is_broken(), barrier.waiting()), (false, 0));
        let passing = gather([wait(), wait(), wait()]).await;
        assert!(passing.into_iter().all(|index| index.unwrap().is_ok()));

        let turned_away = [wait(), wait()];
        turns(5).await;
        barrier.abort().await;
        for task in turned_away {
            assert_eq!(task.await, Ok(Err(BrokenBarrier)));
        }
        assert!(barrier.is_broken());
        assert_eq!(barrier.wait().await, Err(BrokenBarrier), "until it is reset");
        barrier.reset().await;
        assert!(!barrier.is_broken());
        assert!(gather([wait(), wait(), wait()]).await.into_iter().all(|i| i.unwrap().is_ok()));
    });
}

// ---- Queues: capacity and shutdown

#[test]
fn a_capacity_of_zero_is_no_limit() {
    run_virtual(async {
        let (zero, two) = (Queue::bounded(0), Queue::bounded(2));
        assert_eq!((zero.capacity(), two.capacity()), (None, Some(2)));
        assert_eq!(
            (Queue::<i32>::default().capacity(), Queue::<i32>::unbounded().capacity()),
            (None, None)
        );
        for number in 0..1_000 {
            zero.put_nowait(number).unwrap();
        }
        assert_eq!((zero.len(), zero.is_full()), (1_000, false));
        two.put_nowait(1).unwrap();
        two.put_nowait(2).unwrap();
        assert!(two.is_full());
        assert_eq!(two.put_nowait(3), Err(TryPutError::Full(3)));
        assert_eq!(two.len(), 2);
    });
}

/// How each task that waits at a queue ended.
async fn outcomes<T: fmt::Debug + 'static>(tasks: Vec<loopwheel::Task<T>>) -> Vec<String> {
    let ended = wait_for(gather(tasks), ms(10)).await.expect("all waiters are woken");
    ended.into_iter().map(|outcome| format!("{:?}", outcome.unwrap())).collect()
}

#[test]
fn a_shutdown_lets_getters_have_what_is_left_and_turns_putters_away() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(2));
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let putters: Vec<_> = (3..5)
            .map(|item| {
                let queue = queue.clone();
                create_task(async move { queue.put(item).await })
            })
            .collect();
        turns(2).await;
        queue.shutdown(false);
        assert!(queue.is_shut_down());
        assert_eq!(outcomes(putters).await, ["Err(PutError(3))", "Err(PutError(4))"]);
        assert_eq!(queue.put_nowait(9), Err(TryPutError::ShutDown(9)));
        assert_eq!(queue.put(9).await, Err(PutError(9)), "the item comes back");
        assert_eq!((queue.get().await, queue.get_nowait()), (Ok(1), Ok(2)));
        assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown));
        assert_eq!(queue.get().await, Err(QueueShutDown));
        assert!(queue.join().now_or_never().is_none(), "two were put and none is done");
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        queue.join().await;
    });
}

#[test]
fn a_shutdown_wakes_getters_that_wait_at_an_empty_queue() {
    for immediate in [false, true] {
        run_virtual(async move {
            let queue = Rc::new(Queue::<i32>::unbounded());
            let getters: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    create_task(async move { queue.get().await })
                })
                .collect();
            turns(2).await;
            queue.shutdown(immediate);
            assert_eq!(outcomes(getters).await, ["Err(QueueShutDown)"; 3]);
        });
    }
}

#[test]
fn an_immediate_shutdown_drops_the_items_and_counts_them_as_done() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(3));
        let item = Rc::new(());
        for _ in 0..3 {
            queue.put_nowait(item.clone()).unwrap();
        }
        let in_work = queue.get().await.unwrap();
        let joiner = {
            let queue = queue.clone();
            create_task(async move { queue.join().await })
        };
        turns(2).await;
        queue.shutdown(true);
        assert_eq!(Rc::strong_count(&item), 2, "the queue has dropped its own");
        assert_eq!(queue.get().await, Err(QueueShutDown));
        turns(2).await;
        assert!(!joiner.is_done(), "one is in work");
        drop(in_work);
        queue.task_done().unwrap();
        joiner.await.unwrap();
        queue.shutdown(true); // twice is once
        queue.shutdown(false);
    });
}

#[test]
fn a_shutdown_in_the_middle_of_a_hand_over_loses_no_item() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        let getter = {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        turns(2).await;
        queue.put_nowait(7).unwrap(); // the getter is woken
        queue.shutdown(false);
        assert_eq!(getter.await, Ok(Ok(7)));
    });
}

#[test]
fn join_waits_for_the_work_and_not_for_the_queue_to_be_empty() {
    run_virtual(async {
        let log = Log::new();
        let queue = Rc::new(Queue::bounded(2));
        queue.join().await; // nothing was put
        let worker = create_task({
            let (queue, log) = (queue.clone(), log.clone());
            async move {
                while let Ok(item) = queue.get().await {
                    sleep(ms(item)).await;
                    log.add(format!("{item} done"));
                    queue.task_done().unwrap();
                }
            }
        });
        for item in [5, 6] {
            queue.put(item).await.unwrap();
        }
        queue.join().await;
        log.add("joined");
        queue.shutdown(false);
        worker.await.unwrap();
        log.expect(&[(5, "5 done"), (11, "6 done"), (11, "joined")]);
    });
}

// ---- Hard drops in the middle of more than one wait

#[test]
fn a_condition_guard_whose_wait_was_dropped_holds_nothing() {
    run_virtual(async {
        let condition = Condition::new();
        let guard = condition.acquire().await;
        assert!(guard.wait().now_or_never().is_none());
        assert!(!condition.is_locked(), "the wait had released it");
        let other = condition.acquire().await;
        drop(guard);
        assert!(condition.is_locked(), "the guard did not release what `other` holds");
        drop(other);
    });
}

#[test]
fn a_condition_dropped_hard_while_it_retakes_its_lock_hands_both_on() {
    run_virtual(async {
        let condition = Rc::new(Condition::new());
        let log = Log::new();
        let waiter = |name: &'static str| {
            let (condition, log) = (condition.clone(), log.clone());
            Waiter::new(Box::pin(async move {
                let guard = condition.acquire().await;
                guard.wait().await;
                log.add(name);
            }))
        };
        let (one, other) = (waiter("one"), waiter("other"));
        turns(4).await;
        let guard = condition.acquire().await;
        guard.notify(1);
        turns(3).await; // `one` stands in the line of the lock
        one.gives_up(GivesUp::DroppedFromOutside);
        drop(guard);
        sleep(ms(1)).await;
        assert!(other.task.is_done(), "the notification went to the other one");
        log.expect(&[(0, "other")]);
        assert!(!condition.is_locked());
    });
}

#[test]
fn waiting_needs_no_task_of_ours() {
    // Any future may wait, in any executor.
    let lock = Lock::new();
    let guard = lock.acquire().now_or_never().unwrap();
    let (one, other) = (lock.acquire(), lock.acquire());
    let release = async move {
        drop(guard);
    };
    futures::executor::block_on(async {
        futures::join!(async { drop(one.await) }, async { drop(other.await) }, release);
    });
    assert!(!lock.is_locked());
}

// ---- Foreign code that panics or comes back

/// Runs once, where an item is compared or dropped or a store is asked.
type Hook = Rc<RefCell<Option<Box<dyn FnOnce()>>>>;

fn hook_up(hook: &Hook, foreign: impl FnOnce() + 'static) {
    *hook.borrow_mut() = Some(Box::new(foreign));
}

fn run_hook(hook: &Hook) {
    let foreign = hook.borrow_mut().take();
    if let Some(foreign) = foreign {
        foreign();
    }
}

/// An item whose `Ord` is foreign code.
#[derive(Clone)]
struct Ranked {
    rank: i32,
    compared: Hook,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        run_hook(&self.compared);
        self.rank.cmp(&other.rank)
    }
}

type RankedQueue = Rc<PriorityQueue<Ranked>>;

fn ranked_queue(ranks: impl IntoIterator<Item = i32>) -> (RankedQueue, Hook) {
    let (queue, compared) = (Rc::new(PriorityQueue::bounded(5)), Hook::default());
    for rank in ranks {
        queue.put_nowait(Ranked { rank, compared: compared.clone() }).ok().expect("there is room");
    }
    (queue, compared)
}

fn ranks_left(queue: &RankedQueue) -> Vec<i32> {
    std::iter::from_fn(|| queue.get_nowait().ok().map(|item| item.rank)).collect()
}

/// Returns the message of the panic of this call.
fn panic_of<R>(foreign: impl FnOnce() -> R) -> String {
    let thrown = catch_unwind(AssertUnwindSafe(foreign)).err().expect("it panics");
    match thrown.downcast::<String>() {
        Ok(message) => *message,
        Err(thrown) => (*thrown.downcast_ref::<&str>().expect("a message")).to_owned(),
    }
}

#[test]
fn an_ord_that_panics_in_a_put_leaves_the_item_in_the_queue_and_counted() {
    run_virtual(async {
        let (queue, compared) = ranked_queue([2, 4]);
        hook_up(&compared, || panic!("cannot compare"));
        let item = Ranked { rank: 1, compared: compared.clone() };
        assert_eq!(panic_of(|| queue.put_nowait(item)), "cannot compare");
        assert_eq!(queue.len(), 3);
        assert!(format!("{queue:?}").contains("unfinished: 3"), "{queue:?}");
        let mut left = ranks_left(&queue);
        left.sort_unstable();
        assert_eq!(left, [1, 2, 4]);
        for _ in 0..3 {
            assert_eq!(queue.task_done(), Ok(()));
        }
        assert_eq!(queue.task_done(), Err(TooManyTasksDone));
    });
}

#[test]
fn an_ord_that_panics_in_a_put_does_not_keep_a_getter_waiting() {
    run_virtual(async {
        let (queue, compared) = ranked_queue([]);
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                create_task(async move { queue.get().await.map(|item| item.rank) })
            })
            .collect();
        turns(2).await;
        for rank in [1, 2] {
            hook_up(&compared, || panic!("cannot compare"));
            let item = Ranked { rank, compared: compared.clone() };
            let put = catch_unwind(AssertUnwindSafe(|| queue.put_nowait(item)));
            assert_eq!(put.is_err(), rank == 2, "one item is compared with none");
        }
        assert_eq!(outcomes(getters).await, ["Ok(1)", "Ok(2)"]);
    });
}

#[test]
fn an_ord_that_panics_in_a_get_leaves_the_item_in_the_queue() {
    run_virtual(async {
        let (queue, compared) = ranked_queue([3, 1, 2, 5, 4]);
        hook_up(&compared, || panic!("cannot compare"));
        assert_eq!(panic_of(|| queue.get_nowait().is_ok()), "cannot compare");
        assert_eq!((queue.len(), queue.is_full()), (5, true));
        assert!(format!("{queue:?}").contains("unfinished: 5"), "{queue:?}");
        assert_eq!(ranks_left(&queue), [1, 2, 3, 4, 5], "in their order still");
    });
}

#[test]
fn an_ord_that_panics_in_a_getter_leaves_the_item_to_the_next_getter() {
    run_virtual(async {
        let (queue, compared) = ranked_queue([]);
        let get = || {
            let queue = queue.clone();
            create_task(async move { queue.get().await.map(|item| item.rank) })
        };
        let (one, other) = (get(), get());
        turns(2).await;
        for rank in [1, 2, 3] {
            queue.put_nowait(Ranked { rank, compared: compared.clone() }).ok().unwrap();
        }
        let third = get();
        hook_up(&compared, || panic!("cannot compare"));
        assert!(one.await.unwrap_err().is_panic());
        assert_eq!(outcomes(vec![other, third]).await, ["Ok(1)", "Ok(2)"]);
        assert_eq!(ranks_left(&queue), [3]);
    });
}

#[test]
fn an_ord_that_asks_the_queue_is_told_the_truth() {
    run_virtual(async {
        let (queue, compared) = ranked_queue([1, 2, 3, 4]);
        let told = Rc::new(RefCell::new(Vec::new()));
        let ask = || {
            let (queue, told) = (queue.clone(), told.clone());
            move || {
                told.borrow_mut().push((queue.len(), queue.is_empty(), queue.is_full()));
                assert!(format!("{queue:?}").contains("len: 5"), "{queue:?}");
            }
        };
        hook_up(&compared, ask());
        queue.put_nowait(Ranked { rank: 0, compared: compared.clone() }).ok().unwrap();
        hook_up(&compared, ask());
        assert_eq!(queue.get_nowait().ok().map(|item| item.rank), Some(0));
        assert_eq!(*told.borrow(), [(5, false, true); 2], "it is in, and it is not out yet");
        assert_eq!(ranks_left(&queue), [1, 2, 3, 4]);
    });
}

#[test]
fn an_ord_that_puts_gets_or_shuts_down_is_told_what_to_do_instead() {
    run_virtual(async {
        type Operation = fn(&RankedQueue, &Hook);
        let operations: [Operation; 5] = [
            |queue, hook| drop(queue.put_nowait(Ranked { rank: 9, compared: hook.clone() })),
            |queue, hook| {
                drop(queue.put(Ranked { rank: 9, compared: hook.clone() }).now_or_never());
            },
            |queue, _| drop(queue.get_nowait()),
            |queue, _| drop(queue.get().now_or_never()),
            |queue, _| queue.shutdown(true),
        ];
        for operation in operations {
            let (queue, compared) = ranked_queue([2, 1]);
            let again = || {
                let (queue, compared) = (queue.clone(), compared.clone());
                move || operation(&queue, &compared)
            };
            hook_up(&compared, again());
            let item = Ranked { rank: 0, compared: compared.clone() };
            let message = panic_of(|| queue.put_nowait(item).is_ok());
            assert!(message.starts_with("this queue is putting its items in order"), "{message}");
            assert!(message.contains("do that in a task, or with `call_soon`"), "{message}");
            hook_up(&compared, again());
            let message = panic_of(|| queue.get_nowait().is_ok());
            assert!(message.starts_with("this queue is putting its items in order"), "{message}");
            assert_eq!((queue.len(), queue.is_shut_down()), (3, false));
            let mut left = ranks_left(&queue);
            left.sort_unstable();
            assert_eq!(left, [0, 1, 2]);
        }
        // A shutdown that leaves the items alone can be done.
        let (queue, compared) = ranked_queue([2]);
        let inner = queue.clone();
        hook_up(&compared, move || inner.shutdown(false));
        queue.put_nowait(Ranked { rank: 1, compared: compared.clone() }).ok().unwrap();
        assert!(queue.is_shut_down());
        assert_eq!(ranks_left(&queue), [1, 2]);
    });
}

#[test]
fn a_shutdown_empties_a_priority_queue_whose_ord_panics() {
    run_virtual(async {
        struct Incomparable {
            _item: Rc<()>,
        }
        impl PartialEq for Incomparable {
            fn eq(&self, _: &Incomparable) -> bool {
                panic!("cannot compare")
            }
        }
        impl Eq for Incomparable {}
        impl PartialOrd for Incomparable {
            fn partial_cmp(&self, other: &Incomparable) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Incomparable {
            fn cmp(&self, _: &Incomparable) -> Ordering {
                panic!("cannot compare")
            }
        }
        let (queue, item) = (PriorityQueue::unbounded(), Rc::new(()));
        for _ in 0..5 {
            let put =
                AssertUnwindSafe(|| queue.put_nowait(Incomparable { _item: item.clone() }).is_ok());
            let _ = catch_unwind(put);
        }
        assert_eq!((queue.len(), Rc::strong_count(&item)), (5, 6));
        assert_eq!(panic_of(|| queue.shutdown(true)), "cannot compare");
        assert_eq!((queue.len(), Rc::strong_count(&item)), (0, 1));
        queue.join().now_or_never().expect("all count as done");
    });
}

#[test]
fn a_priority_queue_loses_no_item_whenever_its_ord_panics() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice(seed * 32_452_843);
            let (queue, compared) = (Rc::new(PriorityQueue::unbounded()), Hook::default());
            let (mut inside, mut has_panicked) = (BTreeSet::new(), false);
            for number in 0..300_i32 {
                let may_panic = seed % 2 == 0 && dice.below(8) == 0;
                if may_panic {
                    hook_up(&compared, || panic!("cannot compare"));
                }
                if dice.below(5) < 3 {
                    let rank = (dice.below(1_000) as i32) * 1_000 + number;
                    let item = Ranked { rank, compared: compared.clone() };
                    let put = catch_unwind(AssertUnwindSafe(|| queue.put_nowait(item).is_ok()));
                    has_panicked |= put.is_err();
                    inside.insert(rank);
                } else if let Ok(got) = catch_unwind(AssertUnwindSafe(|| queue.get_nowait())) {
                    let got = got.ok().map(|item| item.rank);
                    assert!(has_panicked || got == inside.first().copied(), "the smallest");
                    assert!(got.is_none_or(|rank| inside.remove(&rank)), "once");
                } else {
                    has_panicked = true;
                }
                assert_eq!(queue.len(), inside.len());
            }
            compared.borrow_mut().take();
            let left: BTreeSet<_> = ranks_left(&queue).into_iter().collect();
            assert_eq!(left, inside);
        });
    }
}

type Touch = (&'static str, Box<dyn FnOnce()>);

thread_local! {
    /// What the next method of a `Touchy` store does first, and the name of that method.
    static TOUCHED: RefCell<Option<Touch>> = const { RefCell::new(None) };
}

/// A store from outside the crate, whose methods are foreign code.
#[derive(Default)]
struct Touchy(std::collections::VecDeque<i32>);

impl Touchy {
    fn on(method: &'static str, foreign: impl FnOnce() + 'static) {
        TOUCHED.set(Some((method, Box::new(foreign))));
    }

    fn touched(method: &str) {
        let foreign =
            TOUCHED.with_borrow_mut(|touched| touched.take_if(|(name, _)| *name == method));
        if let Some((_, foreign)) = foreign {
            foreign();
        }
    }
}

impl Store for Touchy {
    type Item = i32;
    fn keep(&mut self, item: i32) {
        Touchy::touched("before keep");
        self.0.push_back(item);
        Touchy::touched("after keep");
    }
    fn next(&mut self) -> Option<i32> {
        Touchy::touched("before next");
        let item = self.0.pop_front();
        Touchy::touched("after next");
        item
    }
    fn count(&self) -> usize {
        Touchy::touched("count");
        self.0.len()
    }
}

#[test]
fn a_store_that_panics_leaves_a_queue_that_counts_what_the_store_has() {
    for (method, put_is_in, got_is_in) in [
        ("before keep", false, true),
        ("after keep", true, true),
        ("before next", true, true),
        ("after next", true, false),
        ("count", true, true),
    ] {
        let _trace = Trace(method.to_owned());
        run_virtual(async move {
            let queue = Rc::new(QueueOf::<Touchy>::bounded(2));
            queue.put_nowait(1).unwrap();
            Touchy::on(method, || panic!("touched"));
            let panicked = catch_unwind(AssertUnwindSafe(|| queue.put_nowait(2))).is_err();
            assert_eq!(panicked, !method.contains("next"));
            assert_eq!(queue.len(), 1 + usize::from(put_is_in), "{queue:?}");
            let in_queue = queue.len();
            assert!(format!("{queue:?}").contains(&format!("unfinished: {in_queue}")));

            Touchy::on(method, || panic!("touched"));
            let panicked = catch_unwind(AssertUnwindSafe(|| queue.get_nowait())).is_err();
            assert_eq!(panicked, !method.contains("keep"));
            TOUCHED.take();
            let is_left = usize::from(panicked && got_is_in);
            assert_eq!(queue.len(), in_queue - 1 + is_left, "{queue:?}");
            // What the store has lost counts as done; what was handed over does not.
            while queue.get_nowait().is_ok() {}
            let handed_over = in_queue - usize::from(panicked && !got_is_in);
            for _ in 0..handed_over {
                assert_eq!(queue.task_done(), Ok(()));
            }
            assert_eq!(queue.task_done(), Err(TooManyTasksDone));
            queue.join().now_or_never().expect("all is done");
        });
    }
}

#[test]
fn a_store_that_panics_leaves_no_task_waiting_for_what_is_there() {
    run_virtual(async {
        // A putter was called for room, and its item is not kept: the room is the next one's.
        let queue = Rc::new(QueueOf::<Touchy>::bounded(1));
        queue.put_nowait(0).unwrap();
        let put = |item| {
            let queue = queue.clone();
            create_task(async move { queue.put(item).await })
        };
        let (one, other) = (put(1), put(2));
        turns(2).await;
        assert_eq!(queue.get_nowait(), Ok(0));
        Touchy::on("before keep", || panic!("touched"));
        assert!(one.await.unwrap_err().is_panic());
        assert_eq!(outcomes(vec![other]).await, ["Ok(())"]);
        assert_eq!(queue.get_nowait(), Ok(2));

        // A getter was called for an item, and does not get it: the item is the next one's.
        let get = || {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        let (one, other) = (get(), get());
        turns(2).await;
        queue.put_nowait(3).unwrap();
        Touchy::on("before next", || panic!("touched"));
        assert!(one.await.unwrap_err().is_panic());
        assert_eq!(outcomes(vec![other]).await, ["Ok(3)"]);

        // The store loses an item: there is room for a putter.
        queue.put_nowait(4).unwrap();
        let putter = put(5);
        turns(2).await;
        Touchy::on("after next", || panic!("touched"));
        assert_eq!(panic_of(|| queue.get_nowait()), "touched");
        assert_eq!(outcomes(vec![putter]).await, ["Ok(())"]);
        assert_eq!(queue.get_nowait(), Ok(5));
    });
}

#[test]
fn a_store_that_comes_back_to_its_queue_is_told_the_truth_or_what_to_do_instead() {
    run_virtual(async {
        for method in ["before keep", "after keep", "count"] {
            let queue = Rc::new(QueueOf::<Touchy>::unbounded());
            let inner = queue.clone();
            Touchy::on(method, move || assert_eq!(inner.len(), 1));
            queue.put_nowait(1).unwrap();
            let inner = queue.clone();
            Touchy::on(method, move || inner.put_nowait(9).unwrap());
            let message = panic_of(|| queue.put_nowait(2));
            assert!(message.starts_with("this queue is putting its items in order"), "{message}");
            assert_eq!(queue.len(), if method == "before keep" { 1 } else { 2 });
        }
    });
}

/// Runs a hook when it is dropped.
struct HookOnDrop(Box<dyn FnMut()>);

impl Drop for HookOnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_shutdown_drops_every_item_though_their_destructors_panic() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let dropped = Rc::new(Cell::new(0));
        for number in 0..4 {
            let dropped = dropped.clone();
            let on_drop = move || {
                dropped.set(dropped.get() + 1);
                assert!(number == 2, "destructor {number}");
            };
            queue.put_nowait(HookOnDrop(Box::new(on_drop))).ok().unwrap();
        }
        let joiner = {
            let queue = queue.clone();
            create_task(async move { queue.join().await })
        };
        turns(2).await;
        assert_eq!(panic_of(|| queue.shutdown(true)), "destructor 0", "the first goes on");
        assert_eq!((dropped.get(), queue.len(), queue.is_shut_down()), (4, 0, true));
        assert_eq!(outcomes(vec![joiner]).await, ["()"], "all count as done");
    });
}

#[test]
fn a_shutdown_wakes_putters_though_the_destructor_of_an_item_panics() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        let panics = HookOnDrop(Box::new(|| panic!("destructor")));
        queue.put_nowait(panics).ok().unwrap();
        let putter = {
            let queue = queue.clone();
            let item = HookOnDrop(Box::new(|| ()));
            create_task(async move { queue.put(item).await.is_err() })
        };
        turns(2).await;
        assert_eq!(panic_of(|| queue.shutdown(true)), "destructor");
        assert_eq!(outcomes(vec![putter]).await, ["true"]);
    });
}

#[test]
fn a_destructor_in_a_shutdown_finds_the_queue_shut_down_and_empty() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let found = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..3 {
            let (inner, found) = (Rc::downgrade(&queue), found.clone());
            let on_drop = move || {
                let queue = inner.upgrade().expect("it is in use");
                queue.shutdown(true);
                let put = queue.put_nowait(HookOnDrop(Box::new(|| ())));
                let is_refused = matches!(put, Err(TryPutError::ShutDown(_)));
                found.borrow_mut().push((queue.len(), is_refused, format!("{queue:?}")));
            };
            queue.put_nowait(HookOnDrop(Box::new(on_drop))).ok().unwrap();
        }
        queue.shutdown(true);
        let found = found.take();
        assert_eq!(found.len(), 3);
        for (len, is_refused, text) in found {
            assert!(len == 0 && is_refused && text.contains("unfinished: 0"), "{text}");
        }
    });
}

/// A foreign waker that counts, and panics if told to.
struct CountingWaker {
    woken: AtomicUsize,
    panics: bool,
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, atomic::Ordering::Relaxed);
        assert!(!self.panics, "a waker panicked");
    }
}

/// A future that is polled by hand, with a waker of its own.
struct ByHand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    waker: Arc<CountingWaker>,
}

impl<'a, T> ByHand<'a, T> {
    fn new(panics: bool, future: impl Future<Output = T> + 'a) -> ByHand<'a, T> {
        let waker = Arc::new(CountingWaker { woken: AtomicUsize::new(0), panics });
        let mut by_hand = ByHand { future: Box::pin(future), waker };
        assert!(by_hand.poll().is_pending(), "it has to wait");
        by_hand
    }

    fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(self.waker.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.waker.woken.load(atomic::Ordering::Relaxed) > 0
    }
}

#[test]
fn a_waker_that_panics_costs_a_getter_no_item() {
    let queue = Queue::bounded(2);
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    let putter = ByHand::new(true, queue.put(3));
    let got = catch_unwind(AssertUnwindSafe(|| queue.get_nowait().ok()));
    assert!(putter.is_woken());
    drop(putter);
    let mut items: Vec<_> = got.ok().flatten().into_iter().collect();
    items.extend(std::iter::from_fn(|| queue.get_nowait().ok()));
    assert_eq!(items, [1, 2], "each arrives once, and in order");
}

#[test]
fn a_waker_that_panics_keeps_none_of_the_others_from_being_woken() {
    let condition = Condition::new();
    let wait = |panics| {
        ByHand::new(panics, async {
            let guard = condition.acquire().await;
            guard.wait().await;
        })
    };
    let waiters = [wait(false), wait(true), wait(true), wait(false)];
    condition.acquire().now_or_never().expect("it is free").forget();
    let _ = catch_unwind(AssertUnwindSafe(|| condition.notify_all()));
    assert!(waiters.iter().all(ByHand::is_woken));
    condition.release().unwrap();
    for waiter in waiters {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(waiter)));
    }
}

#[test]
fn a_waker_that_panics_loses_no_permit() {
    let semaphore = Semaphore::new(0);
    let mut first = ByHand::new(false, semaphore.acquire());
    for _ in 0..3 {
        semaphore.release(); // one for the first, and two that are granted when it goes on
    }
    let (second, mut third) =
        (ByHand::new(true, semaphore.acquire()), ByHand::new(false, semaphore.acquire()));
    let permit = catch_unwind(AssertUnwindSafe(|| first.poll().is_ready()));
    assert!(permit.is_err() || permit.is_ok_and(|is_ready| is_ready));
    assert!(second.is_woken() && third.is_woken());
    assert!(third.poll().is_ready());
    drop(second);
    assert_eq!((semaphore.available(), semaphore.waiting()), (3, 0));
}

#[test]
fn a_bounded_semaphore_never_has_more_permits_than_it_began_with() {
    run_virtual(async {
        let semaphore = Rc::new(BoundedSemaphore::new(1));
        semaphore.acquire().await.forget();
        let waits = {
            let semaphore = semaphore.clone();
            create_task(async move { semaphore.acquire().await.forget() })
        };
        turns(2).await;
        semaphore.release().unwrap(); // granted to the task that waits
        semaphore.release().unwrap(); // by hand, once too often
        waits.cancel(); // it gives its permit back
        turns(3).await;
        assert_eq!(semaphore.available(), 1);
        assert_eq!(semaphore.release(), Err(ReleasedTooOften));
    });
}

// ---- The numbers of a barrier

#[test]
fn a_barrier_gives_each_number_once_though_one_left_while_it_filled() {
    run_virtual(async {
        let barrier = Rc::new(Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await.expect("it is not broken") })
        };
        let (leaves, stays) = (wait(), wait());
        turns(3).await;
        leaves.cancel();
        turns(5).await;
        assert_eq!(barrier.waiting(), 1);
        let round = vec![stays, wait(), wait()];
        let numbers = outcomes(round).await;
        assert_eq!(numbers, ["1", "0", "2"], "the one that comes next has the number that is free");
        let round = (0..3).map(|_| wait()).collect();
        assert_eq!(outcomes(round).await, ["0", "1", "2"], "the next round begins anew");
    });
}

#[test]
fn a_barrier_gives_each_number_once_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice(seed * 49_979_687);
            let parties = 1 + dice.below(5) as usize;
            let barrier = Rc::new(Barrier::new(parties));
            let rounds = Rc::new(RefCell::new(Vec::new()));
            let mut tasks = Vec::new();
            for _ in 0..200 {
                if dice.below(3) > 0 || tasks.is_empty() {
                    let (barrier, rounds) = (barrier.clone(), rounds.clone());
                    tasks.push(create_task(async move {
                        let number = barrier.wait().await.expect("it is not broken");
                        rounds.borrow_mut().push(number);
                    }));
                } else {
                    let index = dice.below(tasks.len() as u64) as usize;
                    tasks[index].cancel();
                }
                // All that are let go have left before the next come.
                turns(parties * 6).await;
            }
            let passed = rounds.take();
            assert!(passed.len() >= parties && passed.len() % parties == 0, "{passed:?}");
            for round in passed.chunks(parties) {
                let mut numbers = round.to_vec();
                numbers.sort_unstable();
                assert!(numbers.into_iter().eq(0..parties), "{round:?}");
            }
        });
    }
}

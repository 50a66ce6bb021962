//! Tests tasks that give up waiting at a primitive, at whatever moment and in whatever way: nothing is lost, nothing is doubled, and
//! no waiter is forgotten.

mod common;
#[path = "common/dice.rs"]
mod dice;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use common::{Log, Trace, ms, turns};
use dice::Dice;
use futures::FutureExt;
use loopwheel::sync::{
    Barrier, BoundedSemaphore, Condition, Event, GetNowaitError, Lock, MinHeap, Promise, Queue,
    QueueOf, ReleasedTooOften, Semaphore, Store, TooManyTasksDone,
};
use loopwheel::{
    TaskRef, catch_cancel, create_task, gather, run_virtual, sleep, wait_for, yield_now,
};

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
        lock.acquire_nowait().expect("it is new").forget();
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
        assert!(self.acquire_nowait().is_ok());
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
        semaphore.acquire_nowait().expect("it is new").forget();
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

/// Each waiter wants two permits at once.
struct TwoPermits(Semaphore);

impl Primitive for TwoPermits {
    const NAME: &'static str = "acquire_many";
    const SERVES: Serves = Serves::Chain;

    fn new() -> TwoPermits {
        TwoPermits(Semaphore::new(1)) // one is too few
    }
    async fn wait(&self, number: usize, served: Served) {
        let _permits = self.0.acquire_many(2).await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.0.release();
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.0.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert_eq!(self.0.available(), 2, "permits");
        assert!(!self.0.is_locked());
        drop(self.0.acquire_many_nowait(2).expect("they are free"));
    }
}

struct Owned(Rc<Semaphore>);

impl Primitive for Owned {
    const NAME: &'static str = "acquire_owned";
    const SERVES: Serves = Serves::Chain;

    fn new() -> Owned {
        Owned(Rc::new(Semaphore::new(0)))
    }
    async fn wait(&self, number: usize, served: Served) {
        let _permit = self.0.clone().acquire_owned().await;
        serve_me(number, &served).await;
    }
    fn serve(self: &Rc<Self>) {
        self.0.release();
    }
    fn waiting(&self) -> Option<usize> {
        Some(self.0.waiting())
    }
    async fn check(&self, _: &[usize]) {
        assert_eq!(self.0.available(), 1, "permits");
        assert_eq!(Rc::strong_count(&self.0), 1, "no permit keeps the semaphore");
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
        assert_eq!(self.queue.get_nowait(), Err(GetNowaitError::Empty));
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
    a_task_that_gives_up_waiting_for_two_permits_leaves_nothing_behind: TwoPermits;
    a_task_that_gives_up_waiting_for_an_owned_permit_leaves_nothing_behind: Owned;
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

#[test]
fn a_semaphore_keeps_count_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice::new(seed * 7_919);
            let permits = 1 + dice.number_below(3) as usize;
            let semaphore = Rc::new(Semaphore::new(permits));
            let in_use = Rc::new(Cell::new(0));
            let mut tasks = Vec::new();
            for _ in 0..200 {
                match dice.number_below(3) {
                    0 | 1 => {
                        let (semaphore, in_use) = (semaphore.clone(), in_use.clone());
                        let hold = dice.number_below(5);
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
                        let index = dice.number_below(tasks.len() as u64) as usize;
                        tasks[index].cancel();
                    }
                    _ => {}
                }
                if dice.number_below(3) == 0 {
                    sleep(ms(dice.number_below(3))).await;
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
            let mut dice = Dice::new(seed * 104_729);
            let queue = Rc::new(Queue::bounded(1 + dice.number_below(3) as usize));
            let (put, got) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
            let mut tasks = Vec::new();
            for number in 0..200_u64 {
                match dice.number_below(5) {
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
                        let index = dice.number_below(tasks.len() as u64) as usize;
                        tasks[index].cancel();
                    }
                    _ => {}
                }
                if dice.number_below(3) == 0 {
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
            let mut dice = Dice::new(seed * 15_485_863);
            let lock = Rc::new(Lock::new());
            let is_held = Rc::new(Cell::new(false));
            let mut tasks = Vec::new();
            for _ in 0..100 {
                let (inner, is_held) = (lock.clone(), is_held.clone());
                let (hold, limit) = (dice.number_below(4), dice.number_below(40));
                tasks.push(create_task(async move {
                    let limited = wait_for(inner.acquire(), ms(limit)).await;
                    if let Ok(guard) = limited {
                        assert!(!is_held.replace(true), "two hold it");
                        let _ = catch_cancel(sleep(ms(hold))).await;
                        is_held.set(false);
                        drop(guard);
                    }
                }));
                if dice.number_below(2) == 0 {
                    let index = dice.number_below(tasks.len() as u64) as usize;
                    tasks[index].cancel();
                    sleep(ms(dice.number_below(3))).await;
                }
            }
            for task in wait_for(gather(tasks), ms(10_000)).await.expect("no task hangs") {
                assert!(task.is_ok() || task.unwrap_err().is_cancelled());
            }
            assert!(!lock.is_locked() && lock.waiting() == 0);
        });
    }
}

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
    is_fair::<TwoPermits>();
    is_fair::<Owned>();
    is_fair::<Event>();
    is_fair::<Promise<&'static str>>();
    is_fair::<Tokens>();
    is_fair::<Getting<std::collections::VecDeque<usize>>>();
    is_fair::<Putting<std::collections::VecDeque<usize>>>();
}

#[test]
fn a_barrier_gives_each_number_once_whichever_waiter_is_cancelled_when() {
    for seed in 1..100_u64 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async move {
            let mut dice = Dice::new(seed * 49_979_687);
            let parties = 1 + dice.number_below(5) as usize;
            let barrier = Rc::new(Barrier::new(parties));
            let rounds = Rc::new(RefCell::new(Vec::new()));
            let mut tasks = Vec::new();
            for _ in 0..200 {
                if dice.number_below(3) > 0 || tasks.is_empty() {
                    let (barrier, rounds) = (barrier.clone(), rounds.clone());
                    tasks.push(create_task(async move {
                        let number = barrier.wait().await.expect("it is not broken");
                        rounds.borrow_mut().push(number);
                    }));
                } else {
                    let index = dice.number_below(tasks.len() as u64) as usize;
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

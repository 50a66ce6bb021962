//! Tests primitives that call foreign code (an `Ord`, a store, a destructor, a waker) which panics or calls back: no item, permit or
//! waiter is lost.

mod common;
#[path = "common/dice.rs"]
mod dice;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
use std::task::{Context, Poll, Wake, Waker};

use common::{Trace, outcomes, turns};
use dice::Dice;
use futures::FutureExt;
use loopwheel::sync::{
    BoundedSemaphore, Condition, PriorityQueue, PutNowaitError, Queue, QueueOf, ReleasedTooOften,
    Semaphore, Store, TooManyTasksDone,
};
use loopwheel::{create_task, run_virtual};

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
            let mut dice = Dice::new(seed * 32_452_843);
            let (queue, compared) = (Rc::new(PriorityQueue::unbounded()), Hook::default());
            let (mut inside, mut has_panicked) = (BTreeSet::new(), false);
            for number in 0..300_i32 {
                let may_panic = seed % 2 == 0 && dice.number_below(8) == 0;
                if may_panic {
                    hook_up(&compared, || panic!("cannot compare"));
                }
                if dice.number_below(5) < 3 {
                    let rank = (dice.number_below(1_000) as i32) * 1_000 + number;
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
fn a_store_that_loses_an_item_costs_no_getter_its_place() {
    run_virtual(async {
        let queue = Rc::new(QueueOf::<Touchy>::unbounded());
        let got = Rc::new(RefCell::new(vec![]));
        let get = |name| {
            let (queue, got) = (queue.clone(), got.clone());
            create_task(async move {
                let item = queue.get().await.unwrap();
                got.borrow_mut().push((name, item));
            })
        };
        let _getters = [get("first"), get("second")];
        turns(2).await;
        Touchy::on("before keep", || panic!("touched"));
        assert_eq!(panic_of(|| queue.put_nowait(1)), "touched");
        turns(3).await;
        queue.put_nowait(2).unwrap();
        queue.put_nowait(3).unwrap();
        turns(3).await;
        assert_eq!(got.take(), [("first", 2), ("second", 3)]);
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
fn a_shutdown_in_the_middle_of_a_panic_adds_none_to_it() {
    let queue = Queue::unbounded();
    queue.put_nowait(HookOnDrop(Box::new(|| panic!("an item")))).ok().unwrap();
    let message = panic_of(|| {
        let _shuts_down = HookOnDrop(Box::new(move || queue.shutdown(true)));
        panic!("the first");
    });
    assert_eq!(message, "the first");
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
                let is_refused = matches!(put, Err(PutNowaitError::ShutDown(_)));
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

impl CountingWaker {
    fn new(panics: bool) -> CountingWaker {
        CountingWaker { woken: AtomicUsize::new(0), panics }
    }
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
        let waker = Arc::new(CountingWaker::new(panics));
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
fn a_waiter_that_is_polled_with_another_waker_waits_on_and_that_one_is_woken() {
    let semaphore = Semaphore::new(0);
    let mut waits = ByHand::new(false, semaphore.acquire());
    let before = std::mem::replace(&mut waits.waker, Arc::new(CountingWaker::new(false)));
    for _ in 0..2 {
        assert!(waits.poll().is_pending());
    }
    assert_eq!(semaphore.waiting(), 1);
    semaphore.release();
    assert!(waits.is_woken() && before.woken.load(atomic::Ordering::Relaxed) == 0);
    assert!(waits.poll().is_ready());
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

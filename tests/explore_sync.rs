//! Each primitive of `sync` in each order of a small program, with a cancel before each poll of each task, and in some orders of a
//! bigger one: no permit and no item is lost or doubled, and a waiter that was woken and is cancelled hands on.
//!
//! In a debug build it takes minutes: CI runs it in release. An exploration observes the loop itself, so a further observer is no test.
#![cfg(not(loopwheel_traced))]

#[path = "common/explored.rs"]
mod explored;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use explored::{Section, Thing, Things, ended, proves, samples, spawn};
use futures::future::join_all;
use loopwheel::sync::{
    Barrier, BoundedSemaphore, BrokenBarrier, Condition, Event, Lock, MinHeap, Promise, PutError,
    Queue, QueueOf, QueueShutDown, Semaphore, Store,
};
use loopwheel::{
    LoopReceiver, Task, TaskBuilder, TaskGroupBuilder, TaskSet, TestRun, explore, thread_channel,
    yield_now,
};

/// Two tasks are cancelled at most in a big program, and one in a small one.
async fn all_ended<T: 'static>(tasks: Vec<Task<T>>) -> usize {
    let mut values = 0;
    for task in tasks {
        values += usize::from(ended(task).await.is_some());
    }
    values
}

// ---- One at a time, or some at a time

/// So many tasks take the lock and visit what it guards.
async fn a_lock_of(tasks: usize) -> usize {
    let shared = Rc::new((Lock::new(), Section::for_at_most(1)));
    let take = |_| {
        spawn("taker", &shared, |shared| async move {
            let _guard = shared.0.acquire().await;
            shared.1.visit().await;
        })
    };
    let values = all_ended((0..tasks).map(take).collect()).await;
    let (lock, section) = &*shared;
    section.is_empty();
    assert_eq!(section.visits.get(), values, "one that has its value was inside");
    assert!(!lock.is_locked() && lock.waiting() == 0, "it is free again");
    drop(lock.acquire_nowait().unwrap());
    values
}

#[test]
fn a_lock_is_given_back_and_on() {
    let summary = proves(|| a_lock_of(3));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["2", "3"]);
    samples(|| a_lock_of(8));
}

/// One permit, two, one: of two. The second has to wait for both, and the third may not overtake it.
async fn permits(sizes: &[usize]) -> usize {
    let shared = Rc::new((Semaphore::new(2), Section::for_at_most(2)));
    let take = |&size: &usize| {
        spawn("taker", &shared, move |shared| async move {
            let _permits = shared.0.acquire_many(size).await;
            shared.1.visit().await;
        })
    };
    let values = all_ended(sizes.iter().map(take).collect()).await;
    shared.1.is_empty();
    assert_eq!(shared.0.available(), 2, "each permit is back");
    assert_eq!(shared.0.waiting(), 0);
    values
}

#[test]
fn a_semaphore_loses_no_permit() {
    proves(|| permits(&[1, 2, 1]));
    proves(|| permits(&[2, 1, 1]));
    samples(|| permits(&[1, 2, 1, 1, 2, 2, 1, 1]));
}

/// Permits that outlive the task that took them, given back by hand and by their destructor.
async fn owned_permits(tasks: usize) -> usize {
    let permits = Rc::new(BoundedSemaphore::new(1));
    let take = |number: usize| {
        spawn("taker", &permits, move |permits| async move {
            if number.is_multiple_of(2) {
                let permit = permits.clone().acquire_owned().await;
                yield_now().await;
                return drop(permit);
            }
            permits.acquire().await.forget();
            // Nothing is awaited between the two, so no cancel comes between them.
            permits.release().unwrap();
        })
    };
    let values = all_ended((0..tasks).map(take).collect()).await;
    assert_eq!((permits.available(), permits.waiting()), (1, 0));
    assert!(permits.release().is_err(), "none was given back twice, and none is missing");
    values
}

#[test]
fn a_bounded_semaphore_has_its_permits_at_the_end_and_no_more() {
    proves(|| owned_permits(3));
    samples(|| owned_permits(8));
}

// ---- Signals

/// Some wait for an event, which is set and cleared at once. Nothing else wakes them: a call that is lost is a deadlock.
async fn an_event_for(tasks: usize) -> usize {
    let event = Rc::new(Event::new());
    let wait = |_| {
        let event = event.clone();
        TaskBuilder::new().eager_start(true).create_task(async move { event.wait().await })
    };
    let tasks: Vec<_> = (0..tasks).map(wait).collect();
    let late = spawn("late", &event, |event| async move { event.wait().await });
    yield_now().await;
    event.set();
    event.clear();
    let values = all_ended(tasks).await;
    event.set();
    let values = values + all_ended(vec![late]).await;
    assert_eq!(event.waiting(), 0);
    values
}

#[test]
fn an_event_that_is_cleared_at_once_has_still_called_all_that_waited() {
    proves(|| an_event_for(3));
    samples(|| an_event_for(7));
}

struct Shop {
    condition: Condition,
    goods: Cell<usize>,
    sold: Cell<usize>,
    is_sold: Event,
}

/// Buyers wait for goods; each delivery notifies one of them. If that one is cancelled, it is another one's.
async fn a_condition_for(buyers: usize, may_be_cancelled: usize) -> usize {
    let shop = Rc::new(Shop {
        condition: Condition::new(),
        goods: Cell::new(0),
        sold: Cell::new(0),
        is_sold: Event::new(),
    });
    let buy = |_| {
        spawn("buyer", &shop, |shop| async move {
            let guard = shop.condition.acquire().await;
            guard.wait_for(|| shop.goods.get() > 0).await;
            shop.goods.set(shop.goods.get() - 1);
            shop.sold.set(shop.sold.get() + 1);
            shop.is_sold.set();
        })
    };
    let tasks: Vec<_> = (0..buyers).map(buy).collect();
    for _ in may_be_cancelled..buyers {
        {
            let guard = shop.condition.acquire().await;
            shop.goods.set(shop.goods.get() + 1);
            guard.notify(1);
        }
        shop.is_sold.wait().await; // one is there that is not cancelled: a notification that is lost is a deadlock
        shop.is_sold.clear();
    }
    {
        let guard = shop.condition.acquire().await;
        shop.goods.set(shop.goods.get() + may_be_cancelled);
        guard.notify(may_be_cancelled);
    }
    let values = all_ended(tasks).await;
    assert_eq!(shop.sold.get(), values);
    assert_eq!(shop.goods.get() + shop.sold.get(), buyers, "what is not sold is there");
    assert!(!shop.condition.is_locked() && shop.condition.waiting() == 0);
    values
}

#[test]
fn a_condition_hands_a_notification_on() {
    proves(|| a_condition_for(3, 1));
    samples(|| a_condition_for(8, 2));
}

/// A promise that is kept twice: one of the two values is everybody's.
async fn a_promise_for(waiters: usize) -> Option<u32> {
    let promise = Rc::new(Promise::new());
    let wait = |_| spawn("waiter", &promise, |promise| async move { promise.wait().await });
    let tasks: Vec<_> = (0..waiters).map(wait).collect();
    let set = |name, value| {
        spawn(name, &promise, move |promise| async move { promise.set(value).is_ok() })
    };
    let setters = [set("first", 1), set("second", 2)];
    let mut kept = Vec::new();
    for setter in setters {
        kept.push(ended(setter).await.unwrap_or(false));
    }
    if !promise.is_set() {
        promise.set(3).unwrap(); // both may have been cancelled
    }
    let value = promise.get().unwrap();
    assert!(match value {
        1 => kept[0] && !kept[1],
        2 => kept[1] && !kept[0],
        _ => !kept[0] && !kept[1],
    });
    for task in tasks {
        assert!(ended(task).await.is_none_or(|seen| seen == value));
    }
    Some(value)
}

#[test]
fn a_promise_is_kept_once_and_each_waiter_has_its_value() {
    let summary = proves(|| a_promise_for(2));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["Some(1)", "Some(2)"]);
    samples(|| a_promise_for(6));
}

/// A barrier for two, and more tasks than two; it is broken when some have passed, and reset.
async fn a_barrier_for(parties: usize, tasks: usize) -> usize {
    let shared = Rc::new((Barrier::new(parties), RefCell::new(Vec::new()), Event::new()));
    let meet = |_| {
        spawn("party", &shared, |shared| async move {
            let (barrier, passed, any_passed) = &*shared;
            match barrier.wait().await {
                Ok(index) => {
                    passed.borrow_mut().push(index);
                    any_passed.set();
                    true
                }
                Err(BrokenBarrier) => false,
            }
        })
    };
    let tasks: Vec<_> = (0..tasks).map(meet).collect();
    let (barrier, passed, any_passed) = &*shared;
    any_passed.wait().await; // of those that are not cancelled enough are there
    barrier.abort().await;
    let mut values = 0;
    for task in tasks {
        values += usize::from(ended(task).await == Some(true));
    }
    assert_eq!(passed.borrow().len(), values);
    assert!(passed.borrow().iter().all(|&index| index < parties));
    assert!(barrier.is_broken() && barrier.waiting() == 0);
    barrier.reset().await;
    assert!(!barrier.is_broken());
    // The next round is whole: main is all its parties.
    let mut indices = join_all((0..parties).map(|_| barrier.wait())).await;
    indices.sort_unstable_by_key(|index| index.unwrap());
    assert_eq!(indices, (0..parties).map(Ok).collect::<Vec<_>>());
    values
}

#[test]
fn a_barrier_goes_on_without_a_party_that_is_cancelled() {
    proves(|| a_barrier_for(1, 2));
    proves(|| a_barrier_for(2, 3));
    samples(|| a_barrier_for(3, 8));
}

// ---- Queues

/// Shuts a queue down when the last producer is gone, however it went.
struct Open<S: Store>(Rc<QueueOf<S>>);

impl<S: Store> Drop for Open<S> {
    fn drop(&mut self) {
        self.0.shutdown(false);
    }
}

/// Some put things; some get them, and so does main, which is not cancelled. Each thing is got, or dropped with a producer that was
/// cancelled, and never both.
async fn a_queue<S>(capacity: usize, producers: usize, each: usize, consumers: usize) -> usize
where
    S: Store<Item = Thing> + 'static,
{
    let things = Things::default();
    let queue = Rc::new(QueueOf::<S>::bounded(capacity));
    let open = Rc::new(Open(queue.clone()));
    let put = |_| {
        let things = things.clone();
        spawn("producer", &open, move |open| async move {
            let mut put = Vec::new();
            for _ in 0..each {
                let thing = things.one();
                let number = thing.number;
                open.0.put(thing).await.unwrap();
                assert!(open.0.len() <= capacity);
                put.push(number);
            }
            put
        })
    };
    let got = Rc::new(RefCell::new(Vec::new()));
    let consume = async |queue: Rc<QueueOf<S>>, got: Rc<RefCell<Vec<usize>>>| {
        while let Ok(thing) = queue.get().await {
            got.borrow_mut().push(thing.number);
            queue.task_done().unwrap();
        }
    };
    let producers: Vec<_> = (0..producers).map(put).collect();
    drop(open);
    let consumers: Vec<_> = (0..consumers)
        .map(|_| spawn("consumer", &queue, |queue| consume(queue, got.clone())))
        .collect();
    consume(queue.clone(), got.clone()).await;
    let mut put = Vec::new();
    for producer in producers {
        put.extend(ended(producer).await.unwrap_or_default());
    }
    all_ended(consumers).await;
    queue.join().await;
    assert!(queue.task_done().is_err(), "each was counted once");
    let got = got.take();
    let distinct: BTreeSet<_> = got.iter().collect();
    assert_eq!(distinct.len(), got.len(), "none comes twice: {got:?}");
    assert!(put.iter().all(|number| distinct.contains(number)), "{put:?} were put, {got:?} came");
    things.are_gone();
    got.len()
}

#[test]
fn queues_lose_nothing_and_double_nothing() {
    proves(|| a_queue::<MinHeap<Thing>>(1, 1, 2, 1));
    proves(|| a_queue::<Vec<Thing>>(1, 2, 1, 1));
    proves(|| a_queue::<VecDeque<Thing>>(1, 1, 1, 2));
    samples(|| a_queue::<VecDeque<Thing>>(2, 3, 4, 2));
    samples(|| a_queue::<MinHeap<Thing>>(1, 3, 4, 2));
    samples(|| a_queue::<Vec<Thing>>(3, 2, 4, 3));
}

/// A queue that is shut down while one waits to put and one waits to get: both hear of it, and the things come back.
async fn a_shutdown(immediate: bool) -> (bool, bool, bool) {
    let things = Things::default();
    let (full, empty) = (Rc::new(Queue::bounded(1)), Rc::new(Queue::<Thing>::bounded(1)));
    full.put_nowait(things.one()).unwrap();
    let thing = things.one();
    let putter = spawn("putter", &full, |full| async move {
        let refused = full.put(thing).await;
        refused.map_err(|PutError(thing)| assert_eq!(thing.number, 1, "it comes back")).is_err()
    });
    let getter = spawn("getter", &empty, |empty| async move {
        assert!(matches!(empty.get().await, Err(QueueShutDown)));
    });
    let shutter = spawn("shutter", &full, {
        let empty = empty.clone();
        move |full| async move {
            full.shutdown(immediate);
            empty.shutdown(immediate);
        }
    });
    let is_shut = ended(shutter).await.is_some();
    full.shutdown(immediate);
    empty.shutdown(immediate);
    let refused = ended(putter).await;
    let heard = ended(getter).await.is_some();
    assert_ne!(refused, Some(false), "it was full all the time");
    assert_eq!(full.get_nowait().is_ok(), !immediate, "what was put is kept, or dropped at once");
    if !immediate {
        full.task_done().unwrap();
    }
    full.join().await;
    things.are_gone();
    (is_shut, refused.is_some(), heard)
}

#[test]
fn a_shutdown_is_heard_by_all() {
    for immediate in [false, true] {
        let summary = proves(|| a_shutdown(immediate));
        assert_eq!(summary.outcomes.len(), 4, "at most one was cancelled: {summary}");
    }
}

/// The items that came, and what is set and cleared at each.
type Got = (RefCell<Vec<(usize, usize)>>, Event);

/// A channel from threads, whose senders are tasks of the same loop. A sender waits until its last item has come: so an item that stays
/// in the channel while a task waits for it is a deadlock.
async fn a_channel(capacity: usize, senders: usize, each: usize, receivers: usize) -> usize {
    let (sender, receiver) = thread_channel(capacity);
    let receiver = Rc::new(receiver);
    let got = Rc::new((RefCell::new(Vec::new()), Event::new()));
    let send = |number| {
        let sender = sender.clone();
        spawn("sender", &got, move |got| async move {
            let mut sent = Vec::new();
            for item in 0..each {
                sender.send_async((number, item)).await.unwrap();
                sent.push((number, item));
            }
            while !got.0.borrow().contains(&(number, each - 1)) {
                got.1.wait().await;
            }
            sent
        })
    };
    let receive = async |receiver: Rc<LoopReceiver<(usize, usize)>>, got: Rc<Got>| {
        while let Some(item) = receiver.recv().await {
            got.0.borrow_mut().push(item);
            got.1.set();
            got.1.clear();
        }
    };
    let senders: Vec<_> = (0..senders).map(send).collect();
    drop(sender);
    let receivers: Vec<_> = (0..receivers)
        .map(|_| spawn("receiver", &receiver, |receiver| receive(receiver, got.clone())))
        .collect();
    receive(receiver, got.clone()).await; // main is not cancelled
    let mut items = Vec::new();
    for sender in senders {
        items.extend(ended(sender).await.unwrap_or_default());
    }
    all_ended(receivers).await;
    let got = got.0.take();
    let distinct: BTreeSet<_> = got.iter().copied().collect();
    assert_eq!(distinct.len(), got.len(), "none comes twice: {got:?}");
    assert!(items.iter().all(|item| distinct.contains(item)), "{items:?} were sent, {got:?} came");
    got.len()
}

#[test]
fn a_channel_loses_nothing_and_doubles_nothing() {
    proves(|| a_channel(1, 1, 2, 1));
    proves(|| a_channel(1, 1, 1, 2));
    samples(|| a_channel(8, 3, 2, 2));
}

/// Who was called and is cancelled has not taken the item: the next in line is called.
#[test]
fn an_item_goes_to_the_next_when_the_receiver_that_was_called_is_cancelled() {
    let main = || async {
        let (sender, receiver) = thread_channel(1);
        let got = Rc::new((receiver, Event::new()));
        let receive = |got: Rc<(LoopReceiver<u32>, Event)>| async move {
            if got.0.recv().await.is_some() {
                got.1.set();
            }
        };
        let _receivers = ["first", "second"].map(|name| spawn(name, &got, receive));
        yield_now().await;
        sender.send_async(7).await.unwrap();
        got.1.wait().await;
    };
    let all = explore::all(1_000).cancels(1).cancels_only("first").must_be_complete();
    all.test(|| TestRun::new().allow_tasks_left()).run(main);
}

// ---- Limits on how many run at once

async fn a_limited_group(limit: usize, tasks: usize) -> usize {
    let section = Rc::new(Section::for_at_most(limit));
    let children = {
        let section = section.clone();
        TaskGroupBuilder::new().limit(limit).scope::<(), _>(async move |group| {
            for _ in 0..tasks {
                let section = section.clone();
                group.create_task(async move { section.visit().await });
            }
        })
    };
    children.await.unwrap(); // a child that is cancelled is no failure
    section.is_empty();
    section.visits.get()
}

async fn a_limited_set(limit: usize, tasks: usize) -> usize {
    let section = Rc::new(Section::for_at_most(limit));
    let mut set = TaskSet::<usize, ()>::with_limit(limit);
    for number in 0..tasks {
        let section = section.clone();
        set.create_task(number, async move { section.visit().await });
    }
    let (mut seen, mut values) = (BTreeSet::new(), 0);
    while let Some((number, outcome)) = set.next().await {
        assert!(seen.insert(number));
        values += usize::from(outcome.is_ok());
    }
    assert_eq!((seen.len(), set.running()), (tasks, 0));
    section.is_empty();
    assert_eq!(section.visits.get(), values);
    values
}

#[test]
fn a_limit_lets_the_next_one_in_when_one_is_cancelled() {
    let summary = proves(|| a_limited_group(1, 3));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["2", "3"]);
    let summary = proves(|| a_limited_set(1, 3));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["2", "3"]);
    samples(|| a_limited_group(2, 8));
    samples(|| a_limited_set(2, 8));
}

//! Tests the cancel of a set of futures of which some wake themselves in every poll: such a set returns before it has polled all that
//! was woken, and each clean-up in it is awaited all the same.

mod common;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{Watchdog, ms};
use futures::StreamExt;
use futures::future::{join_all, select_all};
use futures::stream::{self, FuturesOrdered, FuturesUnordered};
use loopwheel::{
    EventLoop, TaskGroup, VirtualClock, catch_cancel, create_task, finally, now, protect, sleep,
    timeout, wait_for, yield_now,
};

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The time after which the futures would end by themselves.
const LONG: u64 = 300;

/// What all the programs need. Futures that wake themselves keep the loop busy, so time passes by their polls.
#[derive(Clone)]
struct World {
    clock: VirtualClock,
    begun: Rc<Cell<usize>>,
    cleaned: Rc<Cell<usize>>,
}

impl World {
    fn new() -> World {
        let clock = VirtualClock::impatient();
        World { clock, begun: Rc::default(), cleaned: Rc::default() }
    }

    /// Wakes itself in every poll.
    fn restless(&self) -> Boxed {
        let clock = self.clock.clone();
        Box::pin(poll_fn(move |cx| {
            clock.advance(Duration::from_micros(5));
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    /// Cleans up when it is cancelled.
    fn careful(&self) -> Boxed {
        let World { begun, cleaned, .. } = self.clone();
        Box::pin(async move {
            begun.update(|begun| begun + 1);
            finally(sleep(ms(LONG)), async || {
                sleep(ms(3)).await;
                cleaned.update(|cleaned| cleaned + 1);
            })
            .await;
        })
    }

    /// Futures of `make`, with so many restless ones.
    fn mixed(
        &self,
        order: Order,
        restless: usize,
        many: usize,
        make: impl Fn() -> Boxed,
    ) -> Vec<Boxed> {
        let mut futures: Vec<_> = (0..many).map(|_| make()).collect();
        for index in 0..restless {
            match order {
                Order::First => futures.insert(0, self.restless()),
                Order::Last => futures.push(self.restless()),
                Order::Between => {
                    futures.insert((2 * index + 1).min(futures.len()), self.restless());
                }
            }
        }
        futures
    }
}

/// Where the restless futures are in a set.
#[derive(Clone, Copy, Debug)]
enum Order {
    First,
    Last,
    Between,
}

const ORDERS: [Order; 3] = [Order::First, Order::Last, Order::Between];

/// The futures that a task awaits, all of them.
#[derive(Clone, Copy, Debug)]
enum Set {
    Unordered,
    Ordered,
    JoinAll,
    Buffered,
    SelectAll,
}

const SETS: [Set; 5] = [Set::Unordered, Set::Ordered, Set::JoinAll, Set::Buffered, Set::SelectAll];

async fn all_of(set: Set, futures: Vec<Boxed>) {
    match set {
        Set::Unordered => drop(FuturesUnordered::from_iter(futures).collect::<Vec<_>>().await),
        Set::Ordered => drop(FuturesOrdered::from_iter(futures).collect::<Vec<_>>().await),
        Set::JoinAll => drop(join_all(futures).await),
        Set::Buffered => {
            stream::iter(futures).buffer_unordered(1_000).for_each(|()| async {}).await;
        }
        Set::SelectAll => {
            let mut rest = futures;
            while !rest.is_empty() {
                ((), _, rest) = select_all(rest).await;
            }
        }
    }
}

/// How the set is cancelled.
#[derive(Clone, Copy, Debug)]
enum How {
    Limit,
    LimitAroundACatch,
    TwoLimits,
    Task,
    Group,
}

const WAYS: [How; 5] = [How::Limit, How::LimitAroundACatch, How::TwoLimits, How::Task, How::Group];

/// Cancels `all` after so long. True if it was cancelled.
async fn cancelled_after(
    how: How,
    after: Duration,
    all: impl Future<Output = ()> + 'static,
) -> bool {
    match how {
        How::Limit => wait_for(all, after).await.is_err(),
        How::LimitAroundACatch => {
            wait_for(async { catch_cancel(all).await.is_err() }, after).await == Ok(true)
        }
        How::TwoLimits => {
            let limited = timeout(after, async |_| wait_for(all, after).await).await;
            !matches!(limited, Ok(Ok(())))
        }
        How::Task => {
            let task = create_task(all);
            sleep(after).await;
            task.cancel();
            task.await.is_err()
        }
        How::Group => {
            let group = TaskGroup::scope(async |group| {
                drop(group.create_task(async move {
                    sleep(after).await;
                    Err::<(), _>("a child fails")
                }));
                all.await;
                Ok::<_, &str>(())
            });
            group.await.is_err()
        }
    }
}

/// Expects that what had begun has cleaned up, and that the clean-up was waited for and nothing else.
fn each_cleans_up(
    how: How,
    after: Duration,
    all: impl FnOnce(&World) -> Boxed,
    what: impl FnOnce() -> String,
) {
    let world = World::new();
    let mut event_loop = EventLoop::builder().clock(world.clock.clone()).build();
    let all = all(&world);
    let (was_cancelled, took) = event_loop.run(async {
        let began = now();
        let was_cancelled = cancelled_after(how, after, all).await;
        (was_cancelled, now() - began)
    });
    let (begun, cleaned) = (world.begun.get(), world.cleaned.get());
    let is_right = was_cancelled && begun == cleaned && took < ms(LONG / 2);
    assert!(is_right, "{}: {begun} begun, {cleaned} cleaned, {took:?}", what());
}

/// Does this for each kind of set, with some restless futures in it, when all of it has begun and at once.
#[test]
fn in_a_set_with_restless_futures_each_cleans_up() {
    let _watchdog = Watchdog::new("a restless set that is cancelled");
    for (set, how, order) in product(SETS, WAYS, ORDERS) {
        for (restless, many, after) in product([1, 2, 9], [2, 20, 37], [0, 5]) {
            each_cleans_up(
                how,
                ms(after),
                |world| {
                    let all = world.mixed(order, restless, many, || world.careful());
                    Box::pin(all_of(set, all))
                },
                || format!("{set:?} of {many}, {restless} restless {order:?}, {how:?} {after} ms"),
            );
        }
    }
}

/// Does the same for sets in a set, with restless futures in both.
#[test]
fn in_restless_sets_of_sets_each_cleans_up() {
    let _watchdog = Watchdog::new("restless sets of sets that are cancelled");
    for (outer, inner, how) in product(SETS, SETS, WAYS) {
        for (order, (restless, within), after) in product(ORDERS, [(0, 2), (3, 1), (2, 3)], [0, 5])
        {
            each_cleans_up(
                how,
                ms(after),
                |world| {
                    let set = || {
                        let all = world.mixed(order, within, 5, || world.careful());
                        Box::pin(all_of(inner, all)) as Boxed
                    };
                    Box::pin(all_of(outer, world.mixed(order, restless, 4, set)))
                },
                || {
                    format!(
                        "{outer:?} of {inner:?}, {restless}, {within} {order:?}, {how:?} {after} ms"
                    )
                },
            );
        }
    }
}

/// Does the same for sets within something that catches, in a set.
#[test]
fn in_restless_sets_within_frames_each_cleans_up() {
    let _watchdog = Watchdog::new("restless sets within frames");
    for (outer, inner, how) in product(SETS, SETS, WAYS) {
        for (frame, restless, after) in product([Frame::Catch, Frame::Limit], [1, 5], [0, 5]) {
            each_cleans_up(
                how,
                ms(after),
                |world| {
                    let set = || {
                        let all = world.mixed(Order::First, restless, 5, || world.careful());
                        frame.around(all_of(inner, all))
                    };
                    Box::pin(all_of(outer, world.mixed(Order::First, restless, 4, set)))
                },
                || format!("{outer:?} of {inner:?} in {frame:?}, {restless}, {how:?} {after} ms"),
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Catch,
    Limit,
}

impl Frame {
    fn around(self, set: impl Future<Output = ()> + 'static) -> Boxed {
        match self {
            Frame::Catch => Box::pin(async move {
                if let Err(cancelled) = catch_cancel(set).await {
                    cancelled.reraise().await;
                }
            }),
            Frame::Limit => {
                Box::pin(async move { wait_for(set, ms(2 * LONG)).await.unwrap_or(()) })
            }
        }
    }
}

fn product<A: Copy, B: Copy, C: Copy>(
    a: impl IntoIterator<Item = A>,
    b: impl IntoIterator<Item = B> + Clone,
    c: impl IntoIterator<Item = C> + Clone,
) -> impl Iterator<Item = (A, B, C)> {
    a.into_iter().flat_map(move |a| {
        let c = c.clone();
        b.clone().into_iter().flat_map(move |b| c.clone().into_iter().map(move |c| (a, b, c)))
    })
}

/// Expects that a limit of zero asks what its body awaits, and loses no wake-up by that: the set was lent, and goes on when the limit
/// has lost a `select!`.
#[test]
fn a_limit_of_zero_that_loses_leaves_a_set_as_it_was() {
    let _watchdog = Watchdog::new("a limit of zero that loses");
    let world = World::new();
    let mut event_loop = EventLoop::builder().clock(world.clock.clone()).build();
    let cleaned = event_loop.run(async {
        let ends = Rc::new(Cell::new(0));
        let counted = || {
            let ends = ends.clone();
            Box::pin(async move {
                sleep(ms(5)).await;
                ends.update(|ends| ends + 1);
            }) as Boxed
        };
        let mut set: FuturesUnordered<_> =
            world.mixed(Order::First, 2, 4, counted).into_iter().collect();
        let limited = wait_for(set.next(), Duration::ZERO);
        // The limit is polled first, and asks; the other is ready in the same poll.
        futures::select_biased! {
            _ = futures::FutureExt::fuse(Box::pin(limited)) => unreachable!("it asks only"),
            () = futures::future::ready(()) => {}
        }
        for _ in 0..4 {
            set.next().await;
        }
        ends.get()
    });
    assert_eq!(cleaned, 4);
}

/// What has ended by a cancel is still in the set, and lets the next cancel out again.
#[test]
fn each_further_cancel_of_a_restless_set_costs_as_many_polls() {
    let _watchdog = Watchdog::new("a restless set that is cancelled again and again");
    for set in SETS {
        let (world, polls) = (World::new(), Rc::new(Cell::new(0_u64)));
        let counted = polls.clone();
        let mut all = world.mixed(Order::Last, 1, 8, || world.careful());
        all.insert(0, Box::pin(async { _ = protect(sleep(ms(LONG)), ms(LONG)).await }));
        all.insert(0, {
            let mut restless = world.restless();
            Box::pin(poll_fn(move |cx| {
                counted.update(|polls| polls + 1);
                restless.as_mut().poll(cx)
            }))
        });
        let mut event_loop = EventLoop::builder().clock(world.clock.clone()).build();
        let each = event_loop.run(async {
            // `join_all` polls all that is in it again and again, here with the waker of the set around it.
            let inner: Boxed = Box::pin(async { drop(join_all(all).await) });
            let task = create_task(all_of(set, vec![inner, world.restless()]));
            sleep(ms(1)).await;
            let mut each = Vec::new();
            for _ in 0..7 {
                polls.set(0);
                task.cancel();
                yield_now().await;
                yield_now().await;
                each.push(polls.get());
                sleep(ms(5)).await; // what was cancelled first has cleaned up
            }
            each
        });
        assert!(each.iter().all(|polls| (50..500).contains(polls)), "{set:?}: {each:?}");
    }
}

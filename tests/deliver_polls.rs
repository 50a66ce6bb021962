//! What it costs to deliver a cancel: a table of how often each branch is polled, and of when each has cleaned up.
//!
//! A set of futures polls only what was woken, so a cancel that is to reach all that a task awaits takes some polls (`src/scope`):
//! few for a branch, and none without end. Nothing that cleans up is dropped before its end. A change of the engine that changes a
//! number in the table is to be understood: more polls are a cost, and an end that is missing is a fault. (The numbers are also
//! those of the sets, which are of the crate `futures`.)

mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::future::{Future, pending, poll_fn};
use std::iter::Peekable;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::str::SplitWhitespace;
use std::task::Poll;
use std::time::Duration;

use common::ms;
use futures::StreamExt;
use futures::channel::oneshot;
use futures::future::{Either, join_all, select, select_all};
use futures::stream::{self, FuturesOrdered, FuturesUnordered};
use loopwheel::{
    EventLoop, Instant, TaskGroup, VirtualClock, call_later, catch_cancel, create_task, finally,
    gather, now, protect, sleep, timeout, wait_for, yield_now,
};

/// Each line: how often or by what it is cancelled, and what is awaited then; the polls of each branch, in order; and after how many
/// milliseconds each has cleaned up, and the whole has ended. What the words mean is said where they are read.
const TABLE: &str = "
limit_around_a_catch join_all( protect( fails ) buffered( careful ) protected ) | 48 8 47 | 7 3 5; 7
2x buffered( restless yields ) | 720 78 | 4.2; 9.4
limit_0 unordered( fails group( select_all( yields foreign ) ) group( select_all( yields foreign ) ) ) | 8 87 87 103 103 | 2 0 0; 2
two_limits select_all( reraises ) | 69 | 3; 3
2x select_all( restless limit_up( careful ) ) | 318 319 |; 1.36
limit join_all( yields yields yields ) | 16 16 16 | 0 0 0; 0
1x unordered( alien ) | 4 | 3; 3
5x unordered( restless sleep 5*restless ) | 109 3 5*109 |; 11.08
2x join_all( protected ) | 6 | 5; 5
2x join_all( restless gather( reraises ) ) | 318 3 |; 1.36
2x ordered( careful sleep ) | 6 5 |; 1
5x ordered( yields joined ) | 148 8 | 0; 4
group ordered( slow careful joined ) | 5 4 4 | 6 3 3; 6
1x join_all( restless task( careful ) ) | 445 3 | 3.88; 3.9
limit_0 ordered( limit_up( careful ) restless ) | 10 667 |; 13.34
limit_0 buffered( restless careful task( reraises_at_once ) ) | 953 5 0 | 13.56; 19.06
2x limit( buffered( finally( select_all( yields reraises_at_once ) ) alien ) ) | 306 306 4 | 0 0; 1
1x ordered( foreign foreign limit_up( unordered( slow careful restless restless ) ) ) | 1 1 5 5 408 408 |; 11.32
group join_all( twofold swallow( ordered( yields ) ) joined ) | 88 139 88 | 4 0 3; 4
2x catch( buffered( yields limit( finally( select_all( twofold yields ) ) ) ) ) | 143 180 180 | 0 3 0; 5
limit ordered( swallow( unordered( reraises catches_twice restless 40*restless ) ) ) | 5 5 28*21 13*20 | 9.92 3.86; 11.96
";

/// The milliseconds after which what is not cancelled would end.
const LONG: u64 = 100;

/// A restless future gives up then, so that a fault does not poll for ever.
const MOST_POLLS: u32 = 20_000;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The words of a line that are not read yet.
type Words<'a> = Peekable<SplitWhitespace<'a>>;

/// A program, and what is noted of its branches.
#[derive(Clone)]
struct World {
    clock: VirtualClock,
    polls: Rc<RefCell<Vec<u32>>>,
    cleaned_up: Rc<RefCell<Vec<Option<Duration>>>>,
    cancelled_at: Rc<Cell<Instant>>,
}

/// A branch, by its place in the line.
struct Branch(World, usize);

impl Branch {
    fn has_cleaned_up(&self) {
        let Branch(world, index) = self;
        world.cleaned_up.borrow_mut()[*index] = Some(now() - world.cancelled_at.get());
    }

    /// Waits, and when it is cancelled so long in its clean-up.
    async fn careful(self, millis: u64) {
        finally(sleep(ms(LONG)), async || {
            sleep(ms(millis)).await;
            self.has_cleaned_up();
        })
        .await;
    }
}

impl World {
    fn new() -> World {
        World {
            clock: VirtualClock::impatient(),
            polls: Rc::default(),
            cleaned_up: Rc::default(),
            cancelled_at: Rc::new(Cell::new(Instant::START)),
        }
    }

    /// Wakes itself in each poll. Such futures keep the loop busy, so time passes by their polls.
    fn restless(&self) -> Boxed {
        let World { clock, polls, .. } = self.clone();
        Box::pin(poll_fn(move |cx| {
            clock.advance(Duration::from_micros(20));
            let is_too_late = clock.now() > Instant::START + ms(2 * LONG);
            if is_too_late || polls.borrow().iter().sum::<u32>() > MOST_POLLS {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    fn branch(&self, word: &str) -> Boxed {
        let index = self.polls.borrow().len();
        self.polls.borrow_mut().push(0);
        self.cleaned_up.borrow_mut().push(None);
        let branch = Branch(self.clone(), index);
        let mut future: Boxed = match word {
            "sleep" => Box::pin(sleep(ms(LONG))),
            "foreign" => Box::pin(pending()),
            "restless" => self.restless(),
            "careful" => Box::pin(branch.careful(3)),
            "slow" => Box::pin(branch.careful(6)),
            // In another task.
            "joined" => {
                let task = create_task(branch.careful(3));
                Box::pin(async move { drop(task.await) })
            }
            "yields" => Box::pin(finally(sleep(ms(LONG)), async move || {
                for _ in 0..5 {
                    yield_now().await;
                }
                branch.has_cleaned_up();
            })),
            // Waits in its clean-up for foreign code.
            "alien" => Box::pin(finally(sleep(ms(LONG)), async move || {
                let (sender, receiver) = oneshot::channel::<()>();
                call_later(ms(3), move || drop(sender));
                _ = receiver.await;
                branch.has_cleaned_up();
            })),
            "twofold" => Box::pin(async move {
                let first = finally(sleep(ms(LONG)), async || sleep(ms(2)).await);
                let second = async || {
                    sleep(ms(2)).await;
                    branch.has_cleaned_up();
                };
                finally(first, second).await;
            }),
            "reraises" | "reraises_at_once" => {
                let is_slow = word == "reraises";
                Box::pin(async move {
                    let Err(cancelled) = catch_cancel(sleep(ms(LONG))).await else { return };
                    if is_slow {
                        sleep(ms(3)).await;
                    }
                    branch.has_cleaned_up();
                    cancelled.reraise().await;
                })
            }
            // Lets the cancel that it has caught go on inside a protection, and catches it there.
            "catches_twice" => Box::pin(async move {
                let Err(cancelled) = catch_cancel(sleep(ms(LONG))).await else { return };
                let inside = protect(async { cancelled.reraise().await }, ms(LONG));
                drop(catch_cancel(inside).await);
                branch.has_cleaned_up();
                sleep(ms(2)).await;
            }),
            "protected" => Box::pin(async move {
                let inside = async {
                    sleep(ms(10)).await;
                    branch.has_cleaned_up();
                };
                _ = protect(inside, ms(LONG)).await;
            }),
            // A group, of which a child fails when it is cancelled. The cancel goes on behind the error.
            "fails" => Box::pin(async move {
                let group = TaskGroup::scope(async |group| {
                    drop(group.create_task(async {
                        drop(catch_cancel(sleep(ms(LONG))).await);
                        Err::<(), _>("it fails")
                    }));
                    sleep(ms(LONG)).await;
                    Ok::<_, &str>(())
                });
                drop(group.await);
                branch.careful(2).await;
            }),
            _ => panic!("what is {word}?"),
        };
        let polls = self.polls.clone();
        Box::pin(poll_fn(move |cx| {
            polls.borrow_mut()[index] += 1;
            future.as_mut().poll(cx)
        }))
    }

    /// The next that is in a line: a branch, or something around others.
    fn next(&self, words: &mut Words<'_>) -> Boxed {
        let word = words.next().expect("each parenthesis is closed");
        let Some(around) = word.strip_suffix('(') else { return self.branch(word) };
        let mut inner = Vec::new();
        while words.next_if_eq(&")").is_none() {
            let many = words.next_if(|word| word.contains('*')).and_then(|it| it.split_once('*'));
            match many {
                Some((many, word)) => {
                    inner.extend((0..many.parse().unwrap()).map(|_| self.branch(word)));
                }
                None => inner.push(self.next(words)),
            }
        }
        Box::pin(awaits(around.to_owned(), inner))
    }
}

async fn awaits(around: String, mut inner: Vec<Boxed>) {
    match &*around {
        "unordered" => drop(FuturesUnordered::from_iter(inner).collect::<Vec<_>>().await),
        "ordered" => drop(FuturesOrdered::from_iter(inner).collect::<Vec<_>>().await),
        "join_all" => drop(join_all(inner).await),
        "gather" => drop(gather(inner).await),
        "buffered" => stream::iter(inner).buffer_unordered(1_000).for_each(|()| async {}).await,
        "select_all" => {
            while !inner.is_empty() {
                ((), _, inner) = select_all(inner).await;
            }
        }
        around => {
            for one in inner {
                awaits_one(around, one).await;
            }
        }
    }
}

async fn awaits_one(around: &str, one: Boxed) {
    match around {
        "catch" => {
            if let Err(cancelled) = catch_cancel(one).await {
                cancelled.reraise().await;
            }
        }
        "swallow" => drop(catch_cancel(one).await),
        "finally" => finally(one, async || sleep(ms(2)).await).await,
        "limit" => _ = wait_for(one, ms(2 * LONG)).await,
        // A millisecond after the cancel.
        "limit_up" => _ = wait_for(one, ms(6)).await,
        "protect" => _ = protect(one, ms(10)).await,
        "task" => drop(create_task(one).await),
        "group" => {
            let body = async |_: &TaskGroup<&str>| {
                one.await;
                Ok::<_, &str>(())
            };
            drop(TaskGroup::scope(body).await);
        }
        _ => panic!("what is {around}?"),
    }
}

/// Awaits `all`, and cancels it after five milliseconds.
async fn cancelled(how: &str, world: &World, all: Boxed) {
    let after = if how == "limit_0" { Duration::ZERO } else { ms(5) };
    world.cancelled_at.set(now() + after);
    match how {
        "limit" | "limit_0" => _ = wait_for(all, after).await,
        "limit_around_a_catch" => {
            _ = wait_for(async { drop(catch_cancel(all).await) }, after).await;
        }
        "two_limits" => _ = timeout(after, async |_| wait_for(all, after).await).await,
        "group" => {
            let scope = TaskGroup::scope(async |group| {
                drop(group.create_task(async move {
                    sleep(after).await;
                    Err::<(), _>("a child fails")
                }));
                all.await;
                Ok::<_, &str>(())
            });
            drop(scope.await);
        }
        times => {
            let task = create_task(all);
            sleep(after).await;
            for time in 0..times.strip_suffix('x').expect("a number").parse().unwrap() {
                if time > 0 {
                    sleep(ms(1)).await;
                }
                task.cancel();
            }
            drop(task.await);
        }
    }
}

/// The program of a line, with what is seen when it runs.
fn measured(program: &str) -> String {
    let mut words = program.split_whitespace().peekable();
    let (how, world) = (words.next().unwrap().to_owned(), World::new());
    let mut event_loop = EventLoop::builder().clock(world.clock.clone()).build();
    let took = event_loop.run(async {
        let all = world.next(&mut words);
        let of_task = world.clone();
        let task = create_task(async move { cancelled(&how, &of_task, all).await });
        match select(task, pin!(sleep(ms(10 * LONG)))).await {
            Either::Left(_) => Some(now() - world.cancelled_at.get()),
            Either::Right(_) => None,
        }
    });
    let mut line = format!("{program} |");
    // Equal ones are counted.
    let polls = world.polls.borrow();
    for equal in polls.chunk_by(|one, next| one == next) {
        match equal.len() {
            many @ 5.. => write!(line, " {many}*{}", equal[0]).unwrap(),
            _ => equal.iter().for_each(|polls| write!(line, " {polls}").unwrap()),
        }
    }
    line += " |";
    let cleaned_up = world.cleaned_up.borrow();
    for after in cleaned_up.iter().flatten() {
        write!(line, " {}", millis(*after)).unwrap();
    }
    line + "; " + &took.map_or("never".to_owned(), millis)
}

fn millis(time: Duration) -> String {
    let micros = u32::try_from(time.as_micros()).expect("an hour at most");
    (f64::from(micros) / 1_000.0).to_string()
}

#[test]
fn a_cancel_costs_each_branch_so_many_polls_and_drops_no_clean_up() {
    let lines = || TABLE.lines().filter(|line| !line.is_empty());
    let expected: Vec<&str> = lines().collect();
    let seen: Vec<String> = lines().map(|it| measured(it.split(" |").next().unwrap())).collect();
    assert!(seen == expected, "the table is another one:\n{}", seen.join("\n"));
}

//! The state that a reader folds from the events is the state that the loop has: after every turn, in random programs.
//!
//! `docs/trace.md` says how to fold. A viewer of a run has nothing else, so what it shows is right if this is.

mod common;
#[path = "common/dice.rs"]
mod dice;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::ms;
use dice::Dice;
use loopwheel::sync::{Event as Flag, Lock, Queue, Semaphore};
use loopwheel::trace::{Event, Id, Wait, What};
use loopwheel::{
    Budget, EventLoop, Holder, Next, TaskState, VirtualClock, WaitsFor, catch_cancel, create_task,
    gather, sleep, wait_for, yield_now,
};

/// What a reader knows after the events so far.
#[derive(Default)]
struct Fold {
    ready: Vec<Id>,
    waits: BTreeMap<Id, Vec<Wait<'static>>>,
    alive: BTreeSet<Id>,
    timers: BTreeMap<u32, u64>,
    objects: BTreeMap<u32, Object>,
}

#[derive(Default)]
struct Object {
    items: Option<usize>,
    free: Option<usize>,
    holders: Vec<Id>,
}

impl Fold {
    fn add(&mut self, event: &Event<'_>) {
        match event.clone().into_owned().what {
            What::Spawned { task, .. } => _ = self.alive.insert(task),
            What::Woken { task, again: false } => self.ready.push(task),
            What::PollBegan { task, .. } => {
                self.ready.retain(|ready| *ready != task);
                self.waits.remove(&task);
            }
            What::Waits { on } => {
                let waits = self.waits.entry(event.by.expect("a task waits")).or_default();
                if !waits.contains(&on) {
                    waits.push(on);
                }
            }
            What::Ended { task, .. } => {
                self.ready.retain(|ready| *ready != task);
                self.waits.remove(&task);
                self.alive.remove(&task);
            }
            What::TimerSet { timer, deadline, .. } => {
                self.timers.insert(timer, deadline.as_nanos());
            }
            What::TimerFired { timer, .. } | What::TimerRemoved { timer } => {
                self.timers.remove(&timer);
            }
            What::Held { object, free } => {
                let entry = self.objects.entry(object).or_default();
                entry.free = free;
                entry.holders.extend(event.by);
            }
            What::Released { object, free } => {
                let entry = self.objects.entry(object).or_default();
                entry.free = free;
                let own = entry.holders.iter().position(|holder| Some(*holder) == event.by);
                if !entry.holders.is_empty() {
                    entry.holders.remove(own.unwrap_or(0));
                }
            }
            What::Put { object, items } | What::Got { object, items } => {
                self.objects.entry(object).or_default().items = Some(items);
            }
            _ => {}
        }
    }

    /// Compares what is known with a dump of the loop.
    fn check(&self, event_loop: &EventLoop) {
        let dump = event_loop.dump();
        let alive = |id: &&Id| matches!(id, Id::Task(_));
        let mut tasks: Vec<_> = dump.tasks.iter().map(|task| Id::Task(task.task.number)).collect();
        tasks.sort();
        assert_eq!(self.alive.iter().filter(alive).copied().collect::<Vec<_>>(), tasks);
        assert_eq!(self.ready.len(), event_loop.ready_tasks(), "{:?}", self.ready);
        assert_eq!(self.timers.len(), dump.timers, "{:?}", self.timers);
        assert_eq!(
            self.timers.values().min().copied(),
            dump.next_timer.map(loopwheel::Instant::as_nanos)
        );
        for task in &dump.tasks {
            let id = Id::Task(task.task.number);
            assert_eq!(self.ready.contains(&id), task.state == TaskState::Ready, "{id}: {dump}");
            if task.state != TaskState::Waiting {
                continue;
            }
            let known = self.waits.get(&id).map(Vec::as_slice).unwrap_or_default();
            for waits_for in &task.waits_for {
                let is_known = known.iter().any(|wait| matches(wait, waits_for));
                assert!(is_known || is_limit(waits_for), "{id}: {waits_for} is not in {known:?}");
            }
        }
        for object in dump.objects.iter().filter(|object| object.number > 0) {
            let Some(known) = self.objects.get(&object.number) else { continue };
            let mut holders: Vec<_> = object
                .holders
                .iter()
                .filter_map(|holder| match holder {
                    Holder::Task(task) | Holder::Ended(task) => Some(Id::Task(task.number)),
                    _ => None,
                })
                .collect();
            let mut held = known.holders.clone();
            holders.sort();
            held.sort();
            assert_eq!(held, holders, "{dump}");
            if let (Some(known), Some(items)) = (known.items, object.items) {
                assert_eq!(known, items, "{dump}");
            }
        }
    }
}

fn is_limit(waits_for: &WaitsFor) -> bool {
    matches!(waits_for, WaitsFor::Limit(_))
}

/// Whether the trace and the dump say the same of a wait.
fn matches(wait: &Wait<'_>, waits_for: &WaitsFor) -> bool {
    match (wait, waits_for) {
        (Wait::Sleep { until }, WaitsFor::Sleep(moment)) => until == moment,
        (Wait::Task { task }, WaitsFor::Task(name)) => *task == Id::Task(name.number),
        (Wait::Tasks { tasks, .. }, WaitsFor::Task(name)) => tasks.contains(&Id::Task(name.number)),
        (Wait::Object { object, of, .. }, WaitsFor::Object { part, object: dumped }) => {
            *object == dumped.number && of == part
        }
        _ => false,
    }
}

struct World {
    lock: Lock,
    permits: Semaphore,
    queue: Queue<u64>,
    flag: Flag,
}

/// A task that does a few things that the dice choose.
async fn act(mut dice: Dice, world: Rc<World>, depth: u32) {
    for _ in 0..3 {
        match dice.below(if depth > 0 { 11 } else { 9 }) {
            0 => sleep(ms(dice.number_below(5))).await,
            1 => yield_now().await,
            2 => {
                let _guard = world.lock.acquire().await;
                sleep(ms(1)).await;
            }
            3 => {
                let _permit = world.permits.acquire().await;
                yield_now().await;
            }
            4 => _ = world.queue.put_nowait(1),
            5 => _ = wait_for(world.queue.get(), ms(3)).await,
            6 => {
                world.flag.set();
                world.flag.clear();
            }
            7 => _ = wait_for(world.flag.wait(), ms(2)).await,
            8 => {
                if catch_cancel(sleep(ms(2))).await.is_err() {
                    yield_now().await;
                }
            }
            9 => {
                let child = Dice::new(dice.next());
                let task = create_task(Box::pin(act(child, world.clone(), depth - 1)));
                if dice.below(2) == 0 {
                    yield_now().await;
                    task.cancel();
                }
                let _ = task.await;
            }
            _ => {
                let children: Vec<_> = (0..3).map(|_| Dice::new(dice.next())).collect();
                let world = world.clone();
                let children = children.into_iter().map(|dice| {
                    Box::pin(act(dice, world.clone(), depth - 1))
                        as std::pin::Pin<Box<dyn Future<Output = ()>>>
                });
                gather(children).await;
            }
        }
    }
}

#[test]
fn what_is_folded_from_the_events_is_what_a_dump_says_after_every_turn() {
    for seed in 0..150 {
        let fold: Rc<RefCell<Fold>> = Rc::default();
        let told = fold.clone();
        let mut event_loop = EventLoop::builder()
            .clock(VirtualClock::new())
            .trace(move |event: &Event<'_>| told.borrow_mut().add(event))
            .build();
        let tasks: Vec<_> = event_loop.enter_world(seed);
        let mut turns = 0;
        loop {
            let next = event_loop.turn(Budget::unlimited());
            fold.borrow().check(&event_loop);
            turns += 1;
            assert!(turns < 10_000, "seed {seed}");
            match next {
                Next::Ready => {}
                Next::At(_) => assert!(event_loop.jump_to_next_deadline()),
                Next::Idle => break,
            }
        }
        assert!(turns > 3, "seed {seed}: {turns} turns");
        drop(tasks);
    }
}

trait EnterWorld {
    fn enter_world(&self, seed: u64) -> Vec<loopwheel::Task<()>>;
}

impl EnterWorld for EventLoop {
    /// Spawns a few tasks that share objects.
    fn enter_world(&self, seed: u64) -> Vec<loopwheel::Task<()>> {
        let world = Rc::new(World {
            lock: Lock::new(),
            permits: Semaphore::new(2),
            queue: Queue::bounded(4),
            flag: Flag::new(),
        });
        let spawn = |number| self.create_task(act(Dice::new(seed * 16 + number), world.clone(), 2));
        (0..4).map(spawn).collect()
    }
}

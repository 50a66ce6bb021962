//! The state that a reader folds from the events is the state that the loop has: after every turn, in random programs.
//!
//! `docs/trace.md` says how to fold. A viewer of a run has nothing else, so what it shows is right if this is.

mod common;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/random.rs"]
mod random;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::{Trace, ms};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::dump::{Dump, Holder, TaskState, WaitsFor};
use loopwheel::trace::{Event, Id, Wait, What};
use loopwheel::{Budget, EventLoop, Next, VirtualClock, as_completed, create_task, sleep};
use random::{World, program};

/// What a reader knows after the events so far.
#[derive(Default)]
struct Fold {
    ready: Vec<Id>,
    waits: BTreeMap<Id, Vec<Wait<'static>>>,
    /// The last wait of each task for several.
    sets: BTreeMap<Id, Wait<'static>>,
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
            What::TurnBegan { ready } => assert_eq!(self.ready.len(), ready, "{event}"),
            What::PollBegan { task, .. } => {
                self.ready.retain(|ready| *ready != task);
                self.waits.remove(&task);
            }
            What::Waits { on } => {
                let by = event.by.expect("a task waits");
                let on = match on {
                    Wait::Other { what: "the rest of the tasks" } => self.sets[&by].clone(),
                    on => on,
                };
                if let Wait::Tasks { .. } = on {
                    self.sets.insert(by, on.clone());
                }
                let waits = self.waits.entry(by).or_default();
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

    fn check_queue(&self, dump: &Dump) {
        assert_eq!(self.ready.len(), dump.ready, "{:?}", self.ready);
        for task in &dump.tasks {
            let is_ready = self.ready.contains(&Id::Task(task.task.number));
            assert_eq!(is_ready, task.state == TaskState::Ready, "{}: {dump}", task.task);
        }
    }

    /// Compares what is known with a dump of the loop.
    fn check(&self, event_loop: &EventLoop) {
        let dump = event_loop.dump();
        let alive = |id: &&Id| matches!(id, Id::Task(_));
        let mut tasks: Vec<_> = dump.tasks.iter().map(|task| Id::Task(task.task.number)).collect();
        tasks.sort();
        assert_eq!(self.alive.iter().filter(alive).copied().collect::<Vec<_>>(), tasks);
        self.check_queue(&dump);
        assert_eq!(self.timers.len(), dump.timers, "{:?}", self.timers);
        assert_eq!(
            self.timers.values().min().copied(),
            dump.next_timer.map(loopwheel::Instant::as_nanos)
        );
        for task in &dump.tasks {
            let id = Id::Task(task.task.number);
            if task.state != TaskState::Waiting {
                continue;
            }
            let known = self.waits.get(&id).map(Vec::as_slice).unwrap_or_default();
            for waits_for in &task.waits_for {
                let is_known = known.iter().any(|wait| matches(wait, waits_for));
                assert!(is_known || is_untold(waits_for), "{id}: {waits_for} is not in {known:?}");
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

/// What an observer is not told of.
fn is_untold(waits_for: &WaitsFor) -> bool {
    matches!(waits_for, WaitsFor::Limit(_) | WaitsFor::ForeignCode)
}

/// Whether the trace and the dump say the same of a wait.
fn matches(wait: &Wait<'_>, waits_for: &WaitsFor) -> bool {
    match (wait, waits_for) {
        (Wait::Sleep { until }, WaitsFor::Sleep(moment)) => until == moment,
        (Wait::Task { task }, WaitsFor::Task(name)) => *task == Id::Task(name.number),
        (Wait::Other { what: "the tasks of a group" }, WaitsFor::Task(_)) => true,
        (Wait::Other { what: "the tasks of a group" }, WaitsFor::Object { object, .. }) => {
            object.kind == "group"
        }
        (Wait::Tasks { tasks, .. }, WaitsFor::Task(name)) => tasks.contains(&Id::Task(name.number)),
        (Wait::Object { object, of, .. }, WaitsFor::Object { part, object: dumped }) => {
            *object == dumped.number && of == part
        }
        _ => false,
    }
}

/// A loop whose events are folded.
fn folded() -> (EventLoop, Rc<RefCell<Fold>>) {
    let fold: Rc<RefCell<Fold>> = Rc::default();
    let told = fold.clone();
    let observer = move |event: &Event<'_>| told.borrow_mut().add(event);
    (EventLoop::builder().clock(VirtualClock::impatient()).trace(observer).build(), fold)
}

/// Takes a turn, or lets time pass if there is nothing to do. False if nothing more happens.
fn go_on(event_loop: &mut EventLoop) -> bool {
    match event_loop.turn(Budget::unlimited()) {
        Next::Ready => true,
        Next::At(_) => event_loop.jump_to_next_deadline(),
        Next::Idle => false,
    }
}

#[test]
fn what_is_folded_from_the_events_is_what_a_dump_says_after_every_turn() {
    for (seed, has_sets) in (0..150).flat_map(|seed| [(seed, false), (seed, true)]) {
        let _trace = Trace(format!("seed {seed}, sets: {has_sets}"));
        let (mut event_loop, fold) = folded();
        let tasks = program(seed, &World::new(has_sets), |task| event_loop.create_task(task));
        let mut turns = 0;
        while go_on(&mut event_loop) {
            if has_sets {
                fold.borrow().check_queue(&event_loop.dump());
            } else {
                fold.borrow().check(&event_loop);
            }
            turns += 1;
            assert!(turns < 10_000);
        }
        assert!(turns > 3, "{turns} turns");
        drop(tasks);
    }
}

#[test]
fn what_is_left_of_many_tasks_is_folded_from_their_list() {
    let (mut event_loop, fold) = folded();
    let _task = event_loop.create_task(async {
        let tasks: Vec<_> = (0..200).map(|n| create_task(sleep(ms(n)))).collect();
        let mut completed = as_completed(tasks);
        while completed.next().await.is_some() {}
    });
    while go_on(&mut event_loop) {
        fold.borrow().check(&event_loop);
    }
}

#[test]
fn a_task_that_awaits_a_set_of_futures_tells_what_those_wait_for_that_it_polls() {
    let (mut event_loop, fold) = folded();
    let task = event_loop.create_task(async {
        let set: FuturesUnordered<_> = [1, 5, 9].map(|n| sleep(ms(n))).into_iter().collect();
        set.collect::<Vec<_>>().await;
    });
    let id = Id::Task(1);
    go_on(&mut event_loop);
    fold.borrow().check(&event_loop);
    assert_eq!(fold.borrow().waits[&id].len(), 3);
    go_on(&mut event_loop); // the set is polled once more; none of the three was woken
    assert!(!fold.borrow().waits.contains_key(&id));
    assert_eq!(task.waiting_for().len(), 3, "a dump knows them");
}

//! How a dump is collected: everything that keeps wakers is asked which tasks they wake.
//!
//! No foreign code runs here, except for a clock of the host's, which is read first. So no task ends meanwhile, and nothing that is
//! cloned here is dropped as the last reference.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Dump, Holder, LineDump, ObjectDump, TaskDump, TaskName, TaskState, WaitsFor};
use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::join::{FirstJoiner, Joiner};
use crate::kept_waker::{GuardedWaker, KeptWaker};
use crate::kernel::record::{Flag, RecordRef, Stage};
use crate::object::{GROUP, HeldBy, Line, State, lines_of_thread};
use crate::time::TimerAction;

impl Engine {
    /// What the tasks of the loop do and wait for.
    pub(crate) fn dump(&self) -> Dump {
        crate::cells::look_at_everything();
        let now = self.time.clock.now().max(self.latest()); // first: a host's clock may run any code
        self.note_channels();
        let mut collecting = Collecting::of(self);
        collecting.note_joiners();
        collecting.note_objects();
        collecting.note_work();
        collecting.note_timers();
        collecting.note_groups();
        collecting.note_the_rest();
        let Collecting { tasks, objects, timers, next_timer, .. } = collecting;
        let runner = self.runner();
        let is_scheduled = |record: &&RecordRef| {
            !record.is_task() && !record.has(Stage::LENT) && Some(record.id) != runner
        };
        Dump {
            loop_name: self.name().to_owned(),
            now,
            tasks,
            objects,
            ready: self.tasks.table.borrow().iter().filter(|record| record.is_queued()).count(),
            callbacks: self.tasks.table.borrow().iter().filter(is_scheduled).count(),
            timers,
            next_timer,
            work_on_threads: self.work_out(),
        }
    }
}

struct Collecting<'a> {
    engine: &'a Engine,
    records: Vec<RecordRef>,
    tasks: Vec<TaskDump>,
    objects: Vec<Arc<ObjectDump>>,
    /// From the word of a task's id to its index.
    by_id: HashMap<usize, usize>,
    /// From the address of a foreign waker that a checkpoint of a task keeps, to the index of that task.
    by_waker: HashMap<*const GuardedWaker, usize>,
    timers: usize,
    next_timer: Option<Instant>,
}

impl Collecting<'_> {
    fn of(engine: &Engine) -> Collecting<'_> {
        let records = engine.tasks();
        let tasks = records.iter().map(task_of).collect();
        let by_id = records.iter().enumerate().map(|(index, it)| (it.id.word(), index)).collect();
        let mut by_waker = HashMap::new();
        for (index, record) in records.iter().enumerate() {
            let Some(cold) = record.cold_if_any() else { continue };
            for waker in cold.foreign_wakers.borrow().alive() {
                if let KeptWaker::Foreign(waker) = waker {
                    by_waker.insert(Arc::as_ptr(&waker), index);
                }
            }
        }
        let (objects, timers, next_timer) = (Vec::new(), 0, None);
        Collecting { engine, records, tasks, objects, by_id, by_waker, timers, next_timer }
    }

    fn by_id(&self, id: TaskId) -> Option<usize> {
        self.by_id.get(&id.word()).copied()
    }

    /// The index of the task that the waker wakes.
    fn woken_by(&self, waker: &KeptWaker) -> Option<usize> {
        match waker {
            KeptWaker::Ours(id) => self.by_id(*id),
            KeptWaker::Foreign(waker) => {
                let of_checkpoint = self.by_waker.get(&Arc::as_ptr(waker)).copied();
                of_checkpoint.or_else(|| self.by_id(TaskId::of(waker.waker())?))
            }
        }
    }

    /// The task waits for this. One that is ready or running does not wait: it was woken already.
    fn add(&mut self, index: Option<usize>, waits_for: impl FnOnce() -> WaitsFor) {
        let Some(task) = index.and_then(|index| self.tasks.get_mut(index)) else { return };
        if task.state == TaskState::Waiting {
            task.waits_for.push(waits_for());
        }
    }

    /// The joiners of each task wait for it.
    fn note_joiners(&mut self) {
        for awaited in 0..self.records.len() {
            let joiners = joiners_of(&self.records[awaited]);
            let mut seen = HashSet::new(); // a `join!` of two handles of one task awaits it once
            for waker in joiners {
                let index = self.woken_by(&waker);
                if seen.insert(index) {
                    let name = self.tasks[awaited].task.clone();
                    self.add(index, || WaitsFor::Task(name));
                }
            }
        }
        // The tasks of other loops are not in this table. The notes of the last poll have one of them.
        for index in 0..self.records.len() {
            let noted = &self.records[index].awaited;
            let awaited = noted.take();
            noted.set(awaited.clone());
            if let Some(awaited) = awaited.filter(|it| it.id.loop_index() != self.loop_index()) {
                self.add(Some(index), || WaitsFor::TaskElsewhere {
                    task: TaskName::of(&awaited),
                    of_loop: awaited.owner.name().to_owned(),
                });
            }
        }
    }

    fn loop_index(&self) -> usize {
        self.engine.loop_index()
    }

    fn note_objects(&mut self) {
        let mut of_objects: HashMap<Option<u32>, Vec<_>> = HashMap::new();
        for line in lines_of_thread() {
            if line.what.kind != GROUP {
                of_objects.entry(line.object()).or_default().push(line);
            }
        }
        let mut of_objects: Vec<_> = of_objects.into_iter().collect();
        for (object, lines) in &mut of_objects {
            lines.sort_by_key(|line| (line.key() != *object, line.what.of));
        }
        of_objects.sort_by_key(|(object, lines)| (lines[0].number_on(self.engine), *object));
        for (_, lines) in of_objects {
            let waiting: Vec<_> = lines.iter().map(|line| self.waiting_in(line)).collect();
            let dumps =
                lines.iter().zip(&waiting).map(|(line, it)| self.line_of(line, it)).collect();
            let Some(object) = self.object_of(&lines[0], dumps) else { continue };
            let object = Arc::new(object);
            for (line, (tasks, _)) in lines.iter().zip(waiting) {
                for index in tasks {
                    let object = object.clone();
                    self.add(Some(index), || WaitsFor::Object { part: line.what.of, object });
                }
            }
            self.objects.push(object);
        }
    }

    fn line_of(&self, line: &Line, (tasks, others): &(Vec<usize>, usize)) -> LineDump {
        let tasks = tasks.iter().map(|index| self.tasks[*index].task.clone()).collect();
        LineDump { part: line.what.of, tasks, others: *others }
    }

    /// The tasks of this loop that are in the line, and how many others are.
    fn waiting_in(&self, line: &Line) -> (Vec<usize>, usize) {
        let waiters = line.in_line();
        let tasks: Vec<_> = waiters.iter().filter_map(|waker| self.woken_by(waker)).collect();
        let others = waiters.len() - tasks.len();
        (tasks, others)
    }
}

fn task_of(record: &RecordRef) -> TaskDump {
    let state = if record.has(Stage::LENT) {
        TaskState::Running
    } else if record.is_queued() {
        TaskState::Ready
    } else {
        TaskState::Waiting
    };
    TaskDump {
        task: TaskName::of(record),
        spawned_at: record.spawned_at,
        state,
        waits_for: Vec::new(),
        cancels: record.cancel_requests() as usize,
        is_held_back: record.cold_if_any().is_some_and(|it| it.cancel.holding_back.get() > 0),
        cancel_reason: (record.cancel_requests() > 0)
            .then(|| record.reason().text().map(str::to_owned))
            .flatten(),
        waker_has_escaped: record.has(Flag::WAKER_ESCAPED),
    }
}

/// The wakers of all that await the task.
fn joiners_of(record: &RecordRef) -> Vec<KeptWaker> {
    let mut wakers = Vec::new();
    match record.first_joiner() {
        FirstJoiner::None => {}
        FirstJoiner::Task(id) => wakers.push(KeptWaker::Ours(id)),
        FirstJoiner::Subscriber { key, .. } => {
            let subscribers = record.owner.subscribers.borrow();
            wakers.extend(subscribers.get(key).and_then(|subscriber| subscriber.waiter()));
        }
    }
    if let Some(cold) = record.cold_if_any() {
        wakers.extend(cold.joiners.borrow().iter().filter_map(|joiner| match joiner {
            Joiner::Waker(waker) => Some(waker.clone()),
            Joiner::Subscriber(subscriber, _) => subscriber.waiter(),
            Joiner::Callback(..) => None,
        }));
    }
    wakers
}

impl Collecting<'_> {
    /// `None` if no task of this loop waits for the object or holds it.
    fn object_of(&self, first: &Line, lines: Vec<LineDump>) -> Option<ObjectDump> {
        let mut holders: Vec<_> =
            first.holders().into_iter().map(|it| self.holder(it.by, it.name.as_deref())).collect();
        // An object that is not watched notes a holder only while tasks wait.
        let by = first.held_by();
        if holders.is_empty() && !first.in_line().is_empty() && !by.is_nothing() {
            holders.push(self.holder(by, None));
        }
        let is_ours = |holder: &Holder| matches!(holder, Holder::Task(_) | Holder::Ended(_));
        if !holders.iter().any(is_ours) && lines.iter().all(|line| line.tasks.is_empty()) {
            return None;
        }
        let (mut free, mut items, mut capacity, mut unfinished) = (None, None, None, None);
        let mut senders = None;
        match first.state() {
            State::Unknown => {}
            State::Free { free: permits, most } => (free, capacity) = (Some(permits), Some(most)),
            State::Items { len, capacity: most, unfinished: items_put } => {
                (items, capacity, unfinished) = (Some(len), Some(most), Some(items_put));
            }
            State::Channel { len, capacity: most, senders: alive } => {
                (items, capacity, senders) = (Some(len), Some(most), Some(alive));
            }
        }
        Some(ObjectDump {
            kind: first.what.kind,
            number: first.number_on(self.engine),
            created_at: first.created_at(),
            name: first.name().map(|name| name.as_ref().to_owned()),
            holders,
            free,
            items,
            capacity: capacity.filter(|most| *most < usize::MAX),
            unfinished,
            senders,
            lines: lines.into_iter().filter(|it| it.others > 0 || !it.tasks.is_empty()).collect(),
        })
    }

    fn holder(&self, by: HeldBy, name: Option<&str>) -> Holder {
        let Some((id, number)) = by.id() else { return Holder::NoTask };
        if let Some(index) = self.by_id(id) {
            return Holder::Task(self.tasks[index].task.clone());
        }
        let default = TaskName::of_number(number);
        let task = name.map_or(default, |name| TaskName { number, name: name.to_owned() });
        if id.loop_index() == self.loop_index() {
            Holder::Ended(task)
        } else {
            Holder::Elsewhere(task)
        }
    }

    fn note_work(&mut self) {
        for (waiter, began_at) in self.engine.waiters_for_work() {
            let index = self.woken_by(&KeptWaker::Foreign(waiter));
            self.add(index, || WaitsFor::Thread(began_at));
        }
    }

    fn note_timers(&mut self) {
        let time = &self.engine.time;
        let mut timers: Vec<_> = time.wheel.borrow().iter().collect();
        timers.sort_by_key(|(deadline, _)| *deadline);
        self.timers = timers.len();
        self.next_timer = timers.first().map(|(deadline, _)| Instant::from_nanos(*deadline));
        for (deadline, action) in timers {
            let when = Instant::from_nanos(deadline);
            let action = self.engine.plain_action(action);
            match action {
                TimerAction::WakeTask { .. } => {
                    let index = self.by_id(action.task(self.loop_index()));
                    self.add(index, || WaitsFor::Sleep(when));
                }
                TimerAction::PollScope { .. } => {
                    let index = self.by_id(action.task(self.loop_index()));
                    self.add(index, || WaitsFor::Limit(when));
                }
                TimerAction::WakeForeign { key } => {
                    let waker = self.engine.time.foreign_wakers.borrow().get(key).cloned();
                    let index = waker.and_then(|waker| self.woken_by(&waker));
                    self.add(index, || WaitsFor::Sleep(when));
                }
                TimerAction::Traced { .. } => {}
            }
        }
    }

    /// The tasks that wait for a group whose children are over: a callback of the group is still to wake them.
    fn note_groups(&mut self) {
        for line in lines_of_thread().iter().filter(|line| line.what.kind == GROUP) {
            let waiting = self.waiting_in(line);
            for &index in &waiting.0 {
                let lines = vec![self.line_of(line, &waiting)];
                if self.tasks[index].waits_for.is_empty()
                    && let Some(object) = self.object_of(line, lines)
                {
                    let object = Arc::new(object);
                    self.add(Some(index), || WaitsFor::Object { part: line.what.of, object });
                }
            }
        }
    }

    /// The tasks that nothing known would wake.
    fn note_the_rest(&mut self) {
        let has_escaped_elsewhere = self.engine.mailbox.has_escaped_waker();
        for task in &mut self.tasks {
            if task.state == TaskState::Waiting && task.waits_for.is_empty() {
                let may_be_woken = task.waker_has_escaped || has_escaped_elsewhere;
                let rest = if may_be_woken { WaitsFor::ForeignCode } else { WaitsFor::Nothing };
                task.waits_for.push(rest);
            }
        }
    }
}

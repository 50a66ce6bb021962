//! Groups of a few statements that belong together, on one slot. By chance alone they would seldom meet.

use crate::generate::Generator;
use crate::program::{
    Body, End, ForeignOp, FrameOp, How, Left, Op, Reflex, SyncOp, Target, TaskOp, TaskSpec, Then,
};

impl Generator {
    pub(crate) fn idiom(&mut self, depth: u8) -> Vec<Op> {
        let slot = self.slot();
        let await_it = |how| Op::Task(TaskOp::Await { slot, how });
        match self.dice.below(9) {
            // A shield that is given up, of a task that fails later.
            0 | 1 => {
                let mut task = self.task(depth);
                if self.dice.coin() {
                    let body = vec![Op::Sleep(2 + self.millis()), Op::Yield];
                    task = TaskSpec { fallible: true, body: body.into(), ..task };
                    task.end = match self.dice.below(3) {
                        0 => End::Panic(self.thrown()),
                        _ => End::Error(self.make()),
                    };
                }
                let how = self.dice.pick(&[How::ShieldedRef, How::ShieldedRef, How::Shielded]);
                let shielded = Body::from(vec![await_it(how)]);
                let limit = Some(self.millis());
                vec![
                    Op::Task(TaskOp::Spawn { slot, task }),
                    Op::Frame(FrameOp::WaitFor { limit, body: shielded }),
                    Op::Sleep(self.millis()),
                ]
            }
            // A task that is cancelled and waited for.
            2 => {
                let task = self.task(depth);
                let whom = Target::Handle(slot);
                vec![
                    Op::Task(TaskOp::Spawn { slot, task }),
                    self.brief_wait(),
                    Op::Task(TaskOp::Cancel { whom, reason: self.dice.coin(), times: 1 }),
                    await_it(How::ByRef),
                ]
            }
            // Items that have to be put in order.
            3 => (0..2 + self.dice.below(2))
                .map(|_| Op::Sync(SyncOp::Put { queue: 2, item: self.make(), now: true }))
                .collect(),
            // Several waiters, the first through a foreign waker, for an event or the end of a task.
            4 if self.foreign && self.switches.by_hand => {
                let task = self.task(depth);
                let waits = match self.dice.below(3) {
                    0 => Op::Sync(SyncOp::EventWait(slot)),
                    1 => Op::Sync(SyncOp::PromiseWait(slot)),
                    _ => await_it(How::ShieldedRef),
                };
                let waker = self.waker();
                let then = Then::Await;
                let by_hand = Op::Foreign(ForeignOp::ByHand {
                    body: vec![waits.clone()].into(),
                    waker,
                    polls: 1,
                    then,
                });
                let other = self.simple_task(vec![by_hand]);
                let another = self.simple_task(vec![waits]);
                let spawn = |slot, task| Op::Task(TaskOp::Spawn { slot, task });
                vec![
                    spawn(slot, task),
                    spawn(slot + 1, other),
                    spawn(slot + 2, another),
                    self.brief_wait(),
                    Op::Sync(SyncOp::EventSet(slot)),
                ]
            }
            // Several in one line; one is called and cancelled at the same moment.
            6 | 7 => self.in_line(slot),
            // A task that awaits another, and is awaited.
            5 => {
                let inner = self.task(depth);
                let outer = self.simple_task(vec![await_it(How::ByValue)]);
                vec![
                    Op::Task(TaskOp::Spawn { slot, task: inner }),
                    Op::Task(TaskOp::Spawn { slot: slot + 1, task: outer }),
                    self.brief_wait(),
                    Op::Task(TaskOp::Await { slot: slot + 1, how: How::ByRef }),
                ]
            }
            _ => {
                let task = self.task(depth);
                vec![
                    Op::Task(TaskOp::Spawn { slot, task }),
                    self.brief_wait(),
                    await_it(self.dice.pick(&[How::ByValue, How::ByRef, How::Shielded])),
                ]
            }
        }
    }

    fn in_line(&mut self, slot: u8) -> Vec<Op> {
        let body = Body::from(vec![Op::Sleep(1)]); // held for a while
        let left = Left::Dropped;
        let (waits, calls) = match self.dice.below(5) {
            0 => (SyncOp::Get { queue: slot, now: false }, None),
            1 => (SyncOp::Put { queue: slot, item: self.make(), now: false }, None),
            2 => (SyncOp::Lock { lock: slot, body, left }, Some(SyncOp::ReleaseLock(slot))),
            3 => (SyncOp::Acquire { semaphore: slot, body, left }, Some(SyncOp::Release(slot))),
            _ => (
                SyncOp::ConditionWait { condition: slot, predicate: None },
                Some(SyncOp::Notify { condition: slot, all: false }),
            ),
        };
        let calls = calls.unwrap_or_else(|| match waits {
            SyncOp::Get { .. } => SyncOp::Put { queue: slot, item: self.make(), now: true },
            _ => SyncOp::Get { queue: slot, now: true },
        });
        let mut ops = vec![];
        for waiter in 0..2 + self.dice.below(3) {
            let task = self.simple_task(vec![Op::Sync(waits.clone())]);
            ops.push(Op::Task(TaskOp::Spawn { slot: slot + waiter, task }));
        }
        ops.push(self.brief_wait());
        let whom = Target::Handle(slot + self.dice.below(2));
        let cancel = Op::Task(TaskOp::Cancel { whom, reason: false, times: 1 });
        let calls = Op::Sync(calls);
        ops.extend(if self.dice.coin() { [calls, cancel] } else { [cancel, calls] });
        ops
    }

    fn brief_wait(&mut self) -> Op {
        if self.dice.coin() { Op::Yield } else { Op::Sleep(self.millis()) }
    }

    fn simple_task(&mut self, body: Vec<Op>) -> TaskSpec {
        let (owns, end) = (Reflex::Nothing, self.end());
        TaskSpec { fallible: true, named: false, owns, body: body.into(), end }
    }
}

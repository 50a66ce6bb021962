//! Chooses the next statement: by chance, the frequent ones more often.

use crate::generate::Generator;
use crate::program::{
    ForeignOp, FrameOp, How, Left, ManyOp, Op, Reflex, SyncOp, Target, TaskOp, Then, ThreadOp,
    Until, WakerSpec,
};

/// Nothing is nested from this depth on.
const DEPTH: u8 = 5;

impl Generator {
    pub(crate) fn op(&mut self, depth: u8) -> Op {
        let is_flat = depth >= DEPTH;
        if self.threads && self.dice.one_in(4) {
            return Op::Thread(self.thread_op());
        }
        match self.dice.below(100) {
            16..=24 => self.other(),
            25..=52 => Op::Task(self.task_op(depth)),
            53..=64 if !is_flat => Op::Frame(self.frame(depth + 1)),
            65..=77 if !is_flat => Op::Many(self.many(depth + 1)),
            78..=84 if self.foreign && !is_flat => {
                self.sets += 1;
                let op = self.foreign_op(depth + 1);
                self.sets -= 1;
                Op::Foreign(op)
            }
            85..=99 => Op::Sync(self.sync(depth + 1)),
            _ => self.simple(), // from 0 on, and what may not stand here
        }
    }

    fn simple(&mut self) -> Op {
        match self.dice.below(8) {
            0..=2 => Op::Yield,
            3..=5 => Op::Sleep(self.millis()),
            6 => Op::SleepUntil(self.millis()),
            _ => Op::Interval { period: self.millis(), ticks: 1 + self.dice.below(3) },
        }
    }

    fn other(&mut self) -> Op {
        let slot = self.slot();
        match self.dice.below(14) {
            0 | 1 => Op::CallSoon(slot, self.reflex()),
            2 | 3 => Op::CallLater(slot, self.millis(), self.reflex()),
            4 => Op::CallAt(slot, self.millis(), self.reflex()),
            5 => Op::Panic(self.thrown()),
            6 if self.foreign => Op::KeepWaker(slot),
            7 | 8 => {
                let mut make = self.make();
                make.drop = match make.drop {
                    thrown if thrown.may_throw() && !self.switches.throwing_locals => {
                        Reflex::Nothing
                    }
                    other => other,
                };
                Op::SetLocal(slot, make)
            }
            9 => Op::GetLocal(slot),
            10 if self.dice.one_in(4) => Op::SetHandler(self.reflex()),
            _ => Op::Act(self.reflex()),
        }
    }

    fn task_op(&mut self, depth: u8) -> TaskOp {
        let slot = self.slot();
        match self.dice.below(30) {
            0..=9 => TaskOp::Spawn { slot, task: self.task(depth) },
            10..=15 => {
                let how =
                    self.dice.pick(&[How::ByValue, How::ByRef, How::Shielded, How::ShieldedRef]);
                TaskOp::Await { slot, how }
            }
            16 => TaskOp::Drop(slot),
            17 if self.switches.forgetting && self.dice.one_in(4) => TaskOp::Forget(slot),
            18 => TaskOp::Share(slot),
            19 => TaskOp::CloneTo { from: slot, to: self.slot() },
            20 => TaskOp::MoveTo { from: slot, to: self.slot() },
            21 => TaskOp::Result(slot),
            22 => TaskOp::Look(slot),
            23 if self.dice.coin() => TaskOp::Rename(slot),
            24 | 25 => TaskOp::DoneCallback(slot, self.reflex()),
            26 => TaskOp::Uncancel(self.target()),
            _ => {
                let times = if self.dice.one_in(4) { 3 } else { 1 };
                TaskOp::Cancel { whom: self.target(), reason: self.dice.coin(), times }
            }
        }
    }

    fn target(&mut self) -> Target {
        match self.dice.below(4) {
            0 => Target::Myself,
            1 => Target::Any(self.dice.below(8)),
            _ => Target::Handle(self.slot()),
        }
    }

    fn frame(&mut self, depth: u8) -> FrameOp {
        match self.dice.below(11) {
            10 => FrameOp::Protect { grace: self.millis(), body: self.body(depth) },
            0..=2 => FrameOp::Catch { body: self.body(depth), reraise: self.dice.coin() },
            3 => FrameOp::Finally { body: self.body(depth), cleanup: self.body(depth) },
            4 => {
                let (body, cleanup) = (self.body(depth), self.body(depth));
                FrameOp::FinallyWithin { grace: self.millis(), body, cleanup }
            }
            5 | 6 => FrameOp::WaitFor { limit: self.limit(), body: self.body(depth) },
            7 => FrameOp::WaitForHandle { limit: self.limit(), slot: self.slot() },
            _ => FrameOp::Timeout {
                limit: self.limit(),
                at: self.dice.one_in(3),
                moved_to: self.dice.one_in(3).then(|| self.millis()),
                body: self.body(depth),
            },
        }
    }

    fn slots(&mut self) -> Vec<u8> {
        (0..self.dice.below(5)).map(|_| self.slot()).collect()
    }

    fn many(&mut self, depth: u8) -> ManyOp {
        let exceptions = self.dice.coin();
        match self.dice.below(26) {
            20..=22 => ManyOp::Race {
                fallible: self.dice.coin(),
                waits: !self.dice.one_in(3),
                children: self.tasks(depth, 4),
            },
            23..=25 => ManyOp::TaskSet {
                limit: self.dice.coin().then(|| 1 + self.dice.below(3)),
                children: self.tasks(depth, 4),
                at_most: self.dice.below(5),
                shutdown: self.dice.coin(),
            },
            0..=4 => ManyOp::Gather {
                fallible: self.dice.coin(),
                exceptions,
                tuple: self.dice.one_in(3),
                children: self.tasks(depth, 4),
            },
            5 => ManyOp::GatherHandles { exceptions, slots: self.slots() },
            6..=10 => ManyOp::Group {
                limit: self.dice.one_in(4).then(|| self.dice.below(3)),
                body: self.body(depth),
                end: self.end(),
            },
            11..=13 => {
                let slot = self.dice.coin().then(|| self.slot());
                ManyOp::GroupSpawn { slot, task: self.task(depth) }
            }
            14 => ManyOp::Subgroup { body: self.body(depth), end: self.end() },
            15 => ManyOp::GroupCancel,
            16 | 17 => ManyOp::Wait {
                slots: self.slots(),
                until: self.dice.pick(&[
                    Until::FirstCompleted,
                    Until::FirstException,
                    Until::AllCompleted,
                ]),
                limit: self.dice.one_in(3).then(|| self.millis()),
                by_ref: self.dice.coin(),
            },
            _ => ManyOp::AsCompleted {
                slots: self.slots(),
                limit: self.dice.coin().then(|| self.millis()),
                at_most: self.dice.below(5),
            },
        }
    }

    fn sync(&mut self, depth: u8) -> SyncOp {
        let slot = self.slot();
        let left = match self.dice.below(8) {
            0 => Left::Kept,
            1 if self.switches.forgetting => Left::MemForgotten,
            _ => Left::Dropped,
        };
        // Barriers wait on a condition.
        let no_conditions = self.sets > 0 && !self.switches.conditions_in_sets;
        match self.dice.below(40) {
            18..=25 if no_conditions => SyncOp::EventWait(slot),
            0..=3 => SyncOp::Lock { lock: slot, body: self.body(depth), left },
            4 => SyncOp::TryLock { lock: slot, body: self.body(depth) },
            5 => SyncOp::ReleaseLock(slot),
            6..=9 => SyncOp::Acquire { semaphore: slot, body: self.body(depth), left },
            10 => SyncOp::TryAcquire { semaphore: slot, body: self.body(depth) },
            11 => SyncOp::Release(slot),
            12..=14 => SyncOp::EventWait(slot),
            15 | 16 => SyncOp::EventSet(slot),
            17 => SyncOp::EventClear(slot),
            18 | 19 => {
                let predicate = self.dice.coin().then(|| self.reflex());
                SyncOp::ConditionWait { condition: slot, predicate }
            }
            20 | 21 => SyncOp::Notify { condition: slot, all: self.dice.coin() },
            22 | 23 => SyncOp::BarrierWait(slot),
            24 => SyncOp::BarrierReset(slot),
            25 => SyncOp::BarrierAbort(slot),
            26..=29 => SyncOp::Put { queue: slot, item: self.make(), now: self.dice.coin() },
            30..=32 => SyncOp::Get { queue: slot, now: self.dice.coin() },
            33 => SyncOp::TaskDone(slot),
            34 => SyncOp::JoinQueue(slot),
            35 => SyncOp::Shutdown { queue: slot, immediate: self.dice.coin() },
            36 | 37 => SyncOp::PromiseSet(slot, self.make()),
            _ => SyncOp::PromiseWait(slot),
        }
    }

    fn foreign_op(&mut self, depth: u8) -> ForeignOp {
        let at_most = self.dice.below(4);
        match self.dice.below(16) {
            0 | 1 => ForeignOp::Join(self.body(depth), self.body(depth)),
            2 => ForeignOp::JoinAll(self.bodies(depth, 4)),
            3 if self.dice.one_in(4) => {
                self.left = self.left.min(4);
                ForeignOp::JoinMany(31 + self.dice.below(8), self.body(depth))
            }
            4..=6 => ForeignOp::Select(self.body(depth), self.body(depth)),
            7 | 8 => ForeignOp::Unordered { bodies: self.bodies(depth, 4), at_most },
            9 => ForeignOp::Ordered { bodies: self.bodies(depth, 4), at_most },
            10 => ForeignOp::Abortable { body: self.body(depth), after: self.millis() },
            _ if !self.switches.by_hand => ForeignOp::Select(self.body(depth), self.body(depth)),
            _ => {
                let waker = self.waker();
                let then = match self.dice.below(6) {
                    0 if self.switches.forgetting => Then::Forget,
                    1 | 2 => Then::Drop,
                    _ => Then::Await,
                };
                let polls = self.dice.below(4);
                let body = self.body(depth);
                ForeignOp::ByHand { body, waker, polls, then }
            }
        }
    }

    pub(crate) fn waker(&mut self) -> WakerSpec {
        let (wakes, clones) = (self.switches.throwing_wakes, self.switches.throwing_waker_clones);
        let mut reflex = |may_throw: bool| match self.reflex() {
            thrown if thrown.may_throw() && !may_throw => Reflex::Nothing,
            reflex => reflex,
        };
        let (wake, clone, drop) = (reflex(wakes), reflex(clones), reflex(clones));
        WakerSpec { passes_on: self.dice.coin(), wake, clone, drop }
    }

    fn thread_op(&mut self) -> ThreadOp {
        match self.dice.below(6) {
            0..=2 => ThreadOp::ToThread { panics: self.dice.one_in(3), awaited: self.dice.coin() },
            3 => ThreadOp::RemoteCall { panics: self.dice.one_in(3) },
            4 => ThreadOp::RemoteTask {
                sleeps: self.millis(),
                cancelled: self.dice.one_in(3),
                waits: self.dice.coin(),
            },
            _ => ThreadOp::RemoteWake(self.slot()),
        }
    }
}

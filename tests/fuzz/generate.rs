//! Generates programs from seeds: the host's steps, and the tasks. `statements.rs` chooses the statements.

use std::mem;

use crate::dice::Dice;
use crate::program::{
    Body, Deep, End, HostStep, Make, Op, Program, Reflex, Settings, TaskSpec, Thrown,
};
use crate::reflex::SLOTS;
use crate::switches::Switches;

/// One program in so many uses other threads.
const THREADS_ONE_IN: u64 = 50;
const DEEP_ONE_IN: u64 = 2_500;

pub(crate) struct Generator {
    pub(crate) dice: Dice,
    pub(crate) switches: Switches,
    /// Counts the statements that may still be made.
    pub(crate) left: usize,
    /// One statement in so many is hostile.
    pub(crate) hostile_one_in: u64,
    pub(crate) threads: bool,
    /// Counts the foreign sets around this place in the same task.
    pub(crate) sets: u8,
    /// Wakers may be handed to foreign code. Then a deadlock cannot be detected.
    pub(crate) foreign: bool,
}

pub(crate) fn program(seed: u64, switches: Switches) -> Program {
    let mut dice = Dice::new(seed);
    if switches.deep && dice.one_in(DEEP_ONE_IN) {
        return deep_program(seed, &mut dice);
    }
    let threads = switches.threads && dice.one_in(THREADS_ONE_IN);
    let janitor = threads || !dice.one_in(8);
    let foreign = janitor;
    let left = 4 + usize::from(dice.below(40));
    let hostile_one_in = dice.pick(&[2, 3, 4, 8, 1_000_000]);
    let mut generator =
        Generator { dice, switches, left, hostile_one_in, threads, sets: 0, foreign };
    generator.program(seed, janitor)
}

impl Generator {
    fn program(&mut self, seed: u64, janitor: bool) -> Program {
        let host_clock = !self.threads && self.dice.one_in(10);
        let handler = if self.dice.one_in(4) { self.reflex() } else { Reflex::Nothing };
        let settings = Settings {
            handler,
            handler_throws: self.dice.one_in(12),
            janitor,
            host_clock,
            handles_outlive_loop: self.dice.coin(),
            dropped_midway: self.dice.one_in(4),
            watches_slow_polls: self.dice.one_in(15),
            threads: self.threads,
        };
        let by_hand = host_clock || self.dice.one_in(3);
        let mut host = Vec::new();
        let steps = if by_hand { 3 + self.dice.below(10) } else { 1 + self.dice.below(3) };
        for _ in 0..steps {
            let step = if by_hand { self.step_by_hand() } else { self.step() };
            host.push(step);
        }
        Program { seed, settings, host }
    }

    fn step(&mut self) -> HostStep {
        match self.dice.below(12) {
            0 => HostStep::RunUntilComplete(self.body(0)),
            1 => HostStep::Drive { main: self.body(0), polls: 0 },
            2 => HostStep::Drive { main: self.body(0), polls: 1 + self.dice.below(20) },
            3 => HostStep::Spawn { slot: self.slot(), task: self.task(0) },
            _ => HostStep::Run(self.body(0)),
        }
    }

    fn step_by_hand(&mut self) -> HostStep {
        match self.dice.below(20) {
            0..=5 => HostStep::Spawn { slot: self.slot(), task: self.task(0) },
            6 => HostStep::CallSoon(self.reflex()),
            7 => HostStep::CallLater(self.millis(), self.reflex()),
            8..=10 => HostStep::Turn { polls: self.dice.below(4), times: 1 + self.dice.below(9) },
            11 => HostStep::TurnFor(self.millis()),
            12 => HostStep::RunUntilStalled,
            13 => HostStep::Advance(self.millis()),
            14 => HostStep::Jump,
            15 => HostStep::CancelEach,
            16 => HostStep::CancelAll,
            17 => HostStep::Act(self.reflex()),
            18 if self.dice.coin() => HostStep::NewLoop,
            _ => HostStep::RunUntilComplete(self.body(0)),
        }
    }

    pub(crate) fn body(&mut self, depth: u8) -> Body {
        let len = 1 + self.dice.below(if depth == 0 { 8 } else { 4 });
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..len {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            if depth < 3 && self.left > 3 && self.dice.one_in(8) {
                let idiom = self.idiom(depth + 1);
                self.left = self.left.saturating_sub(idiom.len());
                ops.extend(idiom);
            } else {
                ops.push(self.op(depth));
            }
        }
        Body::from(ops)
    }

    pub(crate) fn bodies(&mut self, depth: u8, at_most: u8) -> Vec<Body> {
        (0..=self.dice.below(at_most)).map(|_| self.body(depth)).collect()
    }

    pub(crate) fn task(&mut self, depth: u8) -> TaskSpec {
        let sets = mem::take(&mut self.sets);
        let task = TaskSpec {
            fallible: !self.dice.one_in(4),
            named: self.dice.one_in(5),
            owns: self.reflex(),
            body: self.body(depth + 1),
            end: self.end(),
        };
        self.sets = sets;
        task
    }

    pub(crate) fn tasks(&mut self, depth: u8, at_most: u8) -> Vec<TaskSpec> {
        (0..self.dice.below(at_most + 1)).map(|_| self.task(depth)).collect()
    }

    pub(crate) fn end(&mut self) -> End {
        match self.dice.below(10) {
            0..=5 => End::Value(self.make()),
            6..=8 => End::Error(self.make()),
            _ => End::Panic(self.thrown()),
        }
    }

    pub(crate) fn thrown(&mut self) -> Thrown {
        if self.dice.coin() { Thrown::Text } else { Thrown::Parcel(self.make()) }
    }

    pub(crate) fn slot(&mut self) -> u8 {
        self.dice.below(SLOTS)
    }

    /// Chooses among values that lie close together, so that deadlines meet.
    pub(crate) fn millis(&mut self) -> u8 {
        self.dice.pick(&[0, 1, 1, 2, 3, 5, 10, 20])
    }

    pub(crate) fn limit(&mut self) -> Option<u8> {
        (!self.dice.one_in(8)).then(|| self.millis())
    }

    pub(crate) fn make(&mut self) -> Make {
        // What is lent there could be freed by this most easily.
        let hostile = |generator: &mut Generator, is_on: bool| {
            if !is_on || !generator.dice.one_in(generator.hostile_one_in) {
                return Reflex::Nothing;
            }
            if generator.dice.coin() { Reflex::DropHandles } else { generator.reflex() }
        };
        Make {
            drop: self.reflex(),
            debug: hostile(self, self.switches.hostile_debug),
            clone: hostile(self, self.switches.hostile_clone),
            compare: hostile(self, self.switches.hostile_order),
            order: self.dice.below(4),
        }
    }

    pub(crate) fn reflex(&mut self) -> Reflex {
        if !self.dice.one_in(self.hostile_one_in) {
            return Reflex::Nothing;
        }
        let slot = self.slot();
        match self.dice.below(24) {
            0..=4 => Reflex::Throw,
            5 | 6 => Reflex::Spawn,
            7 if self.switches.spawning_again && self.dice.one_in(8) => Reflex::SpawnAgain,
            7 | 8 => Reflex::Wake(slot),
            9 => Reflex::DropWaker(slot),
            10 | 11 => Reflex::Cancel(slot),
            12 | 13 => Reflex::DropHandle(slot),
            14 => Reflex::DropHandles,
            15 => Reflex::Look,
            16 => Reflex::ArmSleep,
            17 => Reflex::SetEvent(slot),
            18 => Reflex::CallSoon,
            19 => Reflex::CancelCallback(slot),
            20 => Reflex::Put(slot),
            21 => Reflex::Get(slot),
            22 => Reflex::ReleaseLock(slot),
            _ => Reflex::SetLocal,
        }
    }
}

/// Generates a program so deep that recursion would overflow the stack.
fn deep_program(seed: u64, dice: &mut Dice) -> Program {
    let depth = 20_000 + 10_000 * u32::from(dice.below(4));
    let of = dice.pick(&[Deep::Groups, Deep::Groups, Deep::Joins, Deep::Gathers]);
    let begin = TaskSpec {
        fallible: false,
        named: false,
        owns: Reflex::Nothing,
        body: Body::from(vec![Op::Deep { depth, of }]),
        end: End::Value(Make::default()),
    };
    let settings = Settings {
        handler: Reflex::Nothing,
        handler_throws: false,
        janitor: true,
        host_clock: false,
        handles_outlive_loop: dice.coin(),
        dropped_midway: !dice.one_in(4),
        watches_slow_polls: false,
        threads: false,
    };
    let host = vec![HostStep::Spawn { slot: 0, task: begin }, HostStep::RunUntilStalled];
    Program { seed, settings, host }
}

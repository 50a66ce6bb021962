//! **Reduction**: of orders that differ only in steps that do not concern each other, one.
//!
//! Of two polls that use nothing in common it does not matter which comes first. To recognise equal states would find that too, but the
//! state of a future cannot be compared. *Sleep sets* (Godefroid, 1996) need only the *footprints* of the polls: the tasks that were woken,
//! cancelled, awaited, and the primitives that were used.
//!
//! ```text
//!        ●  ready: a, b                 a was explored first. If b is taken, a sleeps: to take it right after b leads where "a, b" led,
//!    a ╱   ╲ b                          if they do not concern each other. It sleeps until a poll that uses something that it uses.
//!     ●     ●  asleep: a                A run in which all that is ready sleeps is cut short: its end was seen.
//! ```
//!
//! What it relies on: that tasks influence each other only by what leaves a footprint.

use std::cell::RefCell;
use std::rc::Rc;

use super::strategy::{Asked, Follow, Strategy};
use super::text::Point;
use crate::cells::{ENDS, Footprint, note, note_all, take_noted};
use crate::choices::{Candidate, Kind};
use crate::object::WAITS_FOR_A_GROUP;
use crate::trace::{Event, Id, Wait, What};

/// A task that is the same in each run that has begun in the same way.
type Key = u64;

fn key(candidate: &Candidate) -> Key {
    match candidate.serial {
        0 => u64::from(candidate.id.slot()) * 2 + 1,
        serial => u64::from(serial) * 2,
    }
}

/// A poll that was explored already, in place of another one.
#[derive(Clone)]
struct Asleep {
    task: Key,
    footprint: Footprint,
}

/// The options of a decision that are worth exploring.
enum Awake {
    /// All: it is not about polls. They may be very many, so they are not listed.
    All,
    /// Those of these indices, in order.
    These(Vec<usize>),
}

impl Awake {
    /// The first one that is not before this one, of so many options.
    fn from(&self, index: usize, options: usize) -> Option<usize> {
        match self {
            Awake::All => Some(index).filter(|index| *index < options),
            Awake::These(indices) => indices.iter().copied().find(|it| *it >= index),
        }
    }
}

/// A decision of the run that was made last.
struct Node {
    point: Point,
    awake: Awake,
    /// Those that were explored before.
    done: Vec<Asleep>,
    /// That of the poll which the choice has led to.
    footprint: Option<Footprint>,
}

/// The decisions of the run that was made last: what is left to be explored.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The next run: its last choice is another one. False if there is none.
    pub(crate) fn next(&mut self) -> bool {
        while let Some(node) = self.nodes.last_mut() {
            let Node { point, awake, done, footprint } = node;
            if let (Kind::Ready, Some(task)) = (point.kind, point.candidates.get(point.chosen)) {
                let footprint = footprint.take().unwrap_or_default();
                done.push(Asleep { task: key(task), footprint });
            }
            if let Some(next) = awake.from(point.chosen + 1, point.options) {
                point.chosen = next;
                return true;
            }
            self.nodes.pop();
        }
        false
    }
}

/// Follows a tree, and adds to it.
pub(crate) struct Reduced {
    tree: Rc<RefCell<Tree>>,
    /// How many decisions are known from the runs before.
    known: usize,
    asleep: Vec<Asleep>,
    /// The decision that has led to the poll that is going on.
    current: Option<usize>,
    is_cut: bool,
}

impl Reduced {
    pub(crate) fn along(tree: &Rc<RefCell<Tree>>) -> Reduced {
        let known = tree.borrow().nodes.len();
        let tree = tree.clone();
        Reduced { tree, known, asleep: Vec::new(), current: None, is_cut: false }
    }

    fn sleeps(&self, candidate: &Candidate) -> bool {
        self.asleep.iter().any(|asleep| asleep.task == key(candidate))
    }
}

impl Strategy for Reduced {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        let Asked { number, kind, options, candidates, .. } = *asked;
        let is_about_polls = kind == Kind::Ready;
        if !is_about_polls {
            note_all(); // the poll in which it is asked is not one but several
        }
        if number >= self.known {
            let is_awake = |index: &usize| !self.sleeps(&candidates[*index]);
            let awake = match kind {
                Kind::Ready => Awake::These((0..options).filter(is_awake).collect()),
                _ => Awake::All,
            };
            let chosen = awake.from(0, options);
            self.is_cut = chosen.is_none();
            let chosen = chosen.unwrap_or(0);
            let point = Point { kind, options, chosen, candidates: candidates.to_vec() };
            let node = Node { point, awake, done: Vec::new(), footprint: None };
            self.tree.borrow_mut().nodes.push(node);
        }
        let tree = self.tree.borrow();
        let node = &tree.nodes[number];
        let chosen = Follow::compare(&node.point, asked)?;
        if is_about_polls {
            self.current = Some(number);
            self.asleep.extend(node.done.iter().cloned());
        }
        Ok(chosen)
    }

    fn steps(&mut self, candidate: &Candidate, _is_poll: bool, _polls: u64) {
        self.is_cut |= self.sleeps(candidate);
    }

    fn step_is_over(&mut self) {
        let footprint = take_noted();
        self.asleep.retain(|asleep| !asleep.footprint.meets(&footprint));
        if let Some(current) = self.current.take() {
            self.tree.borrow_mut().nodes[current].footprint = Some(footprint);
        }
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn ends(&self, taken: usize) -> Result<(), String> {
        Follow::compare_end(self.known, taken)
    }
}

fn number(id: Id) -> u64 {
    match id {
        Id::Task(number) => u64::from(number) * 4 + 1,
        Id::Callback(number) => (u64::from(number) + (1 << 40)) * 4 + 1,
    }
}

/// The observer of a run: notes the tasks that are concerned.
pub(crate) fn note_event(event: &Event<'_>) {
    match &event.what {
        // With the main task the run ends; and what comes from outside may be anything.
        What::Ended { task: Id::Task(1), .. } | What::RemoteWake { .. } | What::Reported { .. } => {
            note_all();
        }
        What::Ended { .. } => note(ENDS),
        What::PollBegan { task, .. }
        | What::Woken { task, .. }
        | What::CancelRequested { task, .. }
        | What::CancelTakenBack { task, .. }
        | What::CancelForwarded { to: task, .. } => note(number(*task)),
        What::Waits { on } => match on {
            Wait::Task { task } => note(number(*task)),
            Wait::Tasks { tasks, .. } => {
                note(ENDS);
                tasks.iter().for_each(|task| note(number(*task)));
            }
            // The event on which a group waits is a primitive like any other.
            Wait::Other { what: WAITS_FOR_A_GROUP }
            | Wait::Sleep { .. }
            | Wait::NextTurn
            | Wait::Object { .. } => {}
            Wait::Other { .. } => note_all(),
        },
        _ => {}
    }
}

//! Programs in which tasks await several things at once, keep futures, and are cancelled.

use std::fmt;
use std::rc::Rc;

/// Names what a line of the log is about.
pub(crate) type Id = u32;
/// A duration or a moment. Both are so fine, and drawn from so many, that no two things happen in the same moment by chance.
pub(crate) type Micros = u64;

/// What a task awaits.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Sleep(Id, Micros),
    Seq(Vec<Rc<Node>>),
    /// A `join!`, or a set of futures: they differ in what is polled, and in nothing else.
    Join(Kind, Vec<Rc<Node>>),
    /// The first that ends wins. `Loser` says what becomes of the other one.
    Select(Id, Rc<Node>, Rc<Node>, Loser),
    /// Awaits what was kept in this place, if there is something.
    Take(Id, usize),
    Limit(Id, Micros, Rc<Node>),
    /// The second runs if the first is cancelled. The flag says whether the cancel goes on then.
    Catch(Id, Rc<Node>, Rc<Node>, bool),
    Finally(Id, Rc<Node>, Rc<Node>),
    Spawn(usize),
    /// Awaits a task, if it has been spawned.
    Await(Id, usize),
    Shield(Id, usize),
    Cancel(usize),
    /// The group's own tasks, and what its body awaits.
    Group(Id, Vec<usize>, Rc<Node>),
    Gather(Id, Vec<usize>),
    /// The first that ends wins, and the others are waited for.
    Race(Id, Vec<usize>),
    /// Nothing interrupts the inner one for so long.
    Protect(Id, Micros, Rc<Node>),
    /// Takes the lock, and holds it while the inner one is awaited.
    Lock(Id, Rc<Node>),
    Put,
    Get(Id),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Join,
    Unordered,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loser {
    Dropped,
    Kept(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) node: Rc<Node>,
    /// The body fails at its end. Only a group's child does.
    pub(crate) fails: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) tasks: Vec<Body>,
    /// The tasks that main spawns.
    pub(crate) roots: Vec<usize>,
    /// When main cancels each task.
    pub(crate) cancels: Vec<(Micros, usize)>,
}

/// The number of places for what is kept.
pub(crate) const SLOTS: usize = 2;

/// An event that is seen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Slept,
    First,
    Second,
    Nothing,
    InTime,
    TimedOut,
    Caught,
    CleansUp,
    CleanedUp,
    Value,
    Cancelled,
    GroupEnded,
    GroupFailed,
    Gathered,
    Raced,
    Locked,
    Got,
    /// The future of a task is gone.
    Ended,
}

/// When it happened, to what, and what it was, in the order of time. What happens in one moment is in no order.
pub(crate) type Log = Vec<(Micros, Id, What)>;

/// The name of a task in the log.
pub(crate) fn id_of_task(task: usize) -> Id {
    1_000_000 + task as Id
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[Rc<Node>]| {
            nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Node::Sleep(id, micros) => write!(f, "{id}:sleep({micros})"),
            Node::Seq(nodes) => write!(f, "{{ {} }}", list(nodes)),
            Node::Join(kind, nodes) => write!(f, "{kind:?}[{}]", list(nodes)),
            Node::Select(id, one, other, loser) => {
                write!(f, "{id}:select({one}, {other}; {loser:?})")
            }
            Node::Take(id, slot) => write!(f, "{id}:take({slot})"),
            Node::Limit(id, micros, inner) => write!(f, "{id}:limit({micros}, {inner})"),
            Node::Catch(id, inner, cleanup, goes_on) => {
                let then = if *goes_on { "go on" } else { "end" };
                write!(f, "{id}:catch({inner}; {cleanup}, {then})")
            }
            Node::Finally(id, inner, cleanup) => write!(f, "{id}:finally({inner}; {cleanup})"),
            Node::Spawn(task) => write!(f, "spawn {task}"),
            Node::Await(id, task) => write!(f, "{id}:await {task}"),
            Node::Shield(id, task) => write!(f, "{id}:shield {task}"),
            Node::Cancel(task) => write!(f, "cancel {task}"),
            Node::Group(id, children, inner) => write!(f, "{id}:group({children:?}, {inner})"),
            Node::Gather(id, children) => write!(f, "{id}:gather {children:?}"),
            Node::Race(id, children) => write!(f, "{id}:race {children:?}"),
            Node::Protect(id, micros, inner) => write!(f, "{id}:protect({micros}, {inner})"),
            Node::Lock(id, inner) => write!(f, "{id}:lock({inner})"),
            Node::Put => write!(f, "put"),
            Node::Get(id) => write!(f, "{id}:get"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Body { node, fails }) in self.tasks.iter().enumerate() {
            writeln!(f, "task {number}{}: {node}", if *fails { " fails" } else { "" })?;
        }
        writeln!(f, "spawned: {:?}", self.roots)?;
        for (micros, task) in &self.cancels {
            writeln!(f, "at {micros} task {task} is cancelled")?;
        }
        Ok(())
    }
}

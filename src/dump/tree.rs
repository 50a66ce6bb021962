//! **The await tree**: a dump as a tree, and its cycles.
//!
//! What tasks wait for is a graph: several may wait for one, and some for each other. To print it by recursion would print a shared
//! task once for each way to it, which may be exponentially many, and overflow the stack at a long chain. So the walk keeps a list of
//! open lines in place of the stack, and prints the lines below a task or an object once: at its first mention.
//!
//! It stands on `dump/facts`.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::mem;
use std::ptr;
use std::sync::Arc;

use crate::dump::facts::words::count;
use crate::dump::facts::{Dump, Holder, ObjectDump, TaskDump, TaskName, WaitsFor};

/// Lines deeper than this are not indented further: the text of a long chain of tasks would be quadratic in its length.
const DEEPEST: usize = 30;

/// The tasks of a loop as a tree: [`Display`] prints it. Below each task is what it waits for, and below a lock or a semaphore are
/// the tasks that hold it. At the top are the tasks that no other one waits for.
///
/// Many tasks that were created at one place and wait for one thing are printed as one. What is below a task is printed once. Where the task is mentioned again it is marked `(see above)`, and where it is mentioned
/// below itself, `(a cycle)`.
///
/// # In asyncio
/// `python -m asyncio pstree PID`, which fails if there is a cycle.
#[derive(Debug, Clone)]
pub struct AwaitTree {
    tasks: Vec<TaskDump>,
    /// From a task's number to its index.
    by_number: HashMap<u32, usize>,
}

/// One line of the tree, still to be printed.
enum Open<'a> {
    Task(usize, Line),
    /// Roots that are printed as one.
    Alike(&'a [usize]),
    Waits(&'a WaitsFor, Line),
    Holder(&'a Holder, Line),
    /// The lines below this task have been printed.
    Leave(usize),
}

/// Where a line is.
#[derive(Clone, Copy)]
struct Line {
    depth: usize,
    /// For each depth, as a bit: there are more lines at that depth further down.
    more: u32,
}

const ROOT: Line = Line { depth: 0, more: 0 };

/// So many tasks that are alike are printed as one.
const FEWEST_ALIKE: usize = 3;

impl Line {
    /// The line below, which is the last of its parent's or not.
    fn below(self, is_last: bool) -> Line {
        let depth = (self.depth + 1).min(DEEPEST);
        let bit = 1 << depth;
        Line { depth, more: if is_last { self.more & !bit } else { self.more | bit } }
    }
}

/// The line's indentation.
impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let has_more = |depth: usize| self.more & 1 << depth != 0;
        for depth in 1..self.depth {
            f.write_str(if has_more(depth) { "│  " } else { "   " })?;
        }
        f.write_str(match self.depth {
            0 => "",
            depth if has_more(depth) => "├─ ",
            _ => "└─ ",
        })
    }
}

impl Dump {
    /// The tasks as a tree: below each task what it waits for, and below that the tasks that hold it.
    pub fn await_tree(&self) -> AwaitTree {
        AwaitTree::of(self)
    }
}

impl AwaitTree {
    fn of(dump: &Dump) -> AwaitTree {
        let tasks = dump.tasks.clone();
        let numbers = tasks.iter().enumerate();
        let by_number = numbers.map(|(index, task)| (task.task.number, index)).collect();
        AwaitTree { tasks, by_number }
    }

    fn index_of(&self, holder: &Holder) -> Option<usize> {
        match holder {
            Holder::Task(task) => self.by_number.get(&task.number).copied(),
            Holder::Ended(_) | Holder::Elsewhere(_) | Holder::NoTask => None,
        }
    }

    /// The tasks that would have to do something for this: the awaited task, or the holders.
    fn behind(&self, waits_for: &WaitsFor) -> Vec<usize> {
        match waits_for {
            WaitsFor::Task(task) => self.by_number.get(&task.number).copied().into_iter().collect(),
            other => other.holders().iter().filter_map(|holder| self.index_of(holder)).collect(),
        }
    }

    /// The tasks that no other one waits for, oldest first.
    fn roots(&self) -> Vec<usize> {
        let mut is_behind = vec![false; self.tasks.len()];
        let mut expanded = HashSet::new();
        for (index, task) in self.tasks.iter().enumerate() {
            for waits_for in &task.waits_for {
                let has_several = waits_for.holders().len() > 1;
                if has_several && !expanded.insert(waits_for.object_address()) {
                    continue; // its holders are known to be behind it
                }
                // A task that waits for what it holds is a root all the same.
                for behind in self.behind(waits_for).into_iter().filter(|it| *it != index) {
                    is_behind[behind] = true;
                }
            }
        }
        (0..self.tasks.len()).filter(|index| !is_behind[*index]).collect()
    }

    /// How many of these tasks, from the first on, only differ in their numbers: they have no names, were created at one place, and
    /// wait for one thing.
    fn alike(&self, tasks: &[usize]) -> usize {
        let looks = |index: &usize| {
            let task = &self.tasks[*index];
            let [WaitsFor::Object { part, object }] = &task.waits_for[..] else { return None };
            let is_plain = task.cancels == 0 && task.task == TaskName::of_number(task.task.number);
            is_plain.then_some((task.spawned_at, task.state, *part, Arc::as_ptr(object)))
        };
        let first = tasks.first().and_then(looks);
        tasks.iter().take_while(|index| first.is_some() && looks(index) == first).count()
    }

    /// The cycles: each task of one waits for the next, and the last one for the first. Of cycles that share a task, one.
    ///
    /// Of the holders of a semaphore only one may have to go on, and of a task that waits for several things only one may have to
    /// come: so a cycle is no proof that its tasks can never go on.
    pub(crate) fn cycles(&self) -> Vec<Cycle<'_>> {
        let mut cycles = Cycles {
            tree: self,
            found: Vec::new(),
            is_in_one: vec![false; self.tasks.len()],
            is_done: vec![false; self.tasks.len()],
            place_on_path: vec![None; self.tasks.len()],
            expanded: HashSet::new(),
        };
        (0..self.tasks.len()).for_each(|start| cycles.search_from(start));
        cycles.found
    }
}

/// The search for cycles: a walk in depth, with the path in place of the stack. It enters each task once.
struct Cycles<'a> {
    tree: &'a AwaitTree,
    found: Vec<Cycle<'a>>,
    is_in_one: Vec<bool>,
    is_done: Vec<bool>,
    place_on_path: Vec<Option<usize>>,
    /// Objects of several holders. Those are entered once: each task that waits for the object would find the same.
    expanded: HashSet<*const ObjectDump>,
}

/// A task on the path, the ways on from it that are still to be gone, and the one that is being gone.
struct Step<'a> {
    index: usize,
    ways_left: Vec<(&'a WaitsFor, usize)>,
    goes_by: Option<&'a WaitsFor>,
}

impl<'a> Cycles<'a> {
    fn search_from(&mut self, start: usize) {
        let mut path = Vec::new();
        self.enter(start, &mut path);
        while let Some(step) = path.last_mut() {
            let Some((waits_for, next)) = step.ways_left.pop() else {
                self.place_on_path[step.index] = None;
                self.is_done[step.index] = true;
                path.pop();
                continue;
            };
            step.goes_by = Some(waits_for);
            match self.place_on_path[next] {
                Some(place) => self.note_cycle(&path[place..]),
                None => self.enter(next, &mut path),
            }
        }
    }

    fn enter(&mut self, index: usize, path: &mut Vec<Step<'a>>) {
        if self.is_done[index] {
            return;
        }
        self.place_on_path[index] = Some(path.len());
        let tree = self.tree;
        let mut ways_left = Vec::new();
        for waits_for in tree.tasks[index].waits_for.iter().rev() {
            let has_several = waits_for.holders().len() > 1;
            if has_several && !self.expanded.insert(waits_for.object_address()) {
                continue;
            }
            let behind = tree.behind(waits_for).into_iter().rev();
            ways_left.extend(behind.map(|next| (waits_for, next)));
        }
        path.push(Step { index, ways_left, goes_by: None });
    }

    fn note_cycle(&mut self, path: &[Step<'a>]) {
        if path.iter().any(|step| self.is_in_one[step.index]) {
            return;
        }
        for step in path {
            self.is_in_one[step.index] = true;
        }
        let of_step = |step: &Step<'a>| Some((&self.tree.tasks[step.index], step.goes_by?));
        self.found.push(Cycle { steps: path.iter().filter_map(of_step).collect() });
    }
}

impl WaitsFor {
    /// The address of the object, if it is one.
    fn object_address(&self) -> *const ObjectDump {
        match self {
            WaitsFor::Object { object, .. } => Arc::as_ptr(object),
            _ => ptr::null(),
        }
    }
}

/// Tasks that wait for each other, each with what it waits for.
pub(crate) struct Cycle<'a> {
    steps: Vec<(&'a TaskDump, &'a WaitsFor)>,
}

/// `Task-2 waits for lock 1, held by Task-3, which waits for Task-2`.
impl Display for Cycle<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let most = 20;
        for (index, (task, waits_for)) in self.steps.iter().take(most).enumerate() {
            match index {
                0 => write!(f, "{} waits for {waits_for}", task.task)?,
                _ => write!(f, ", which waits for {waits_for}")?,
            }
        }
        match self.steps.len().saturating_sub(most) {
            0 if self.steps.len() == 1 => {
                write!(f, ": it waits for itself, so let it drop its guard first")
            }
            0 => Ok(()),
            more => write!(f, ", and so on through {} more", count(more, "task")),
        }
    }
}

impl Display for AwaitTree {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut printing = Printing {
            tree: self,
            printed: vec![false; self.tasks.len()],
            on_path: vec![false; self.tasks.len()],
            objects: HashSet::new(),
            is_first: true,
        };
        let roots = self.roots();
        let mut rest = &roots[..];
        while let [root, ..] = rest {
            let (alike, others) = rest.split_at(self.alike(rest));
            if alike.len() < FEWEST_ALIKE {
                printing.print_from(Open::Task(*root, ROOT), f)?;
                rest = &rest[1..];
            } else {
                printing.print_from(Open::Alike(alike), f)?;
                rest = others;
            }
        }
        // What is left is in a cycle, or behind one.
        for index in 0..self.tasks.len() {
            if !printing.printed[index] {
                printing.print_from(Open::Task(index, ROOT), f)?;
            }
        }
        Ok(())
    }
}

struct Printing<'a> {
    tree: &'a AwaitTree,
    printed: Vec<bool>,
    on_path: Vec<bool>,
    objects: HashSet<*const ObjectDump>,
    is_first: bool,
}

impl<'a> Printing<'a> {
    fn print_from(&mut self, root: Open<'a>, f: &mut Formatter<'_>) -> fmt::Result {
        let mut open = vec![root];
        while let Some(next) = open.pop() {
            if let Open::Leave(index) = next {
                self.on_path[index] = false;
                continue;
            }
            if !mem::take(&mut self.is_first) {
                f.write_str("\n")?;
            }
            match next {
                Open::Task(index, line) => {
                    write!(f, "{line}")?;
                    self.print_task(index, line, f, &mut open)?;
                }
                Open::Alike(tasks) => self.print_alike(tasks, f, &mut open)?,
                Open::Waits(waits_for, line) => self.print_wait(waits_for, line, f, &mut open)?,
                Open::Holder(holder, line) => write!(f, "{line}{holder}")?,
                Open::Leave(_) => {}
            }
        }
        Ok(())
    }

    fn print_task(
        &mut self,
        index: usize,
        line: Line,
        f: &mut Formatter<'_>,
        open: &mut Vec<Open<'a>>,
    ) -> fmt::Result {
        let tree: &'a AwaitTree = self.tree;
        let task = &tree.tasks[index];
        if self.on_path[index] {
            return write!(f, "{} (a cycle)", task.task);
        }
        if self.printed[index] {
            return write!(f, "{} (see above)", task.task);
        }
        self.printed[index] = true;
        self.on_path[index] = true;
        write!(f, "{task}")?;
        open.push(Open::Leave(index));
        let count = task.waits_for.len();
        for (place, waits_for) in task.waits_for.iter().enumerate().rev() {
            open.push(Open::Waits(waits_for, line.below(place + 1 == count)));
        }
        Ok(())
    }

    /// Roots that only differ in their numbers.
    fn print_alike(
        &mut self,
        tasks: &[usize],
        f: &mut Formatter<'_>,
        open: &mut Vec<Open<'a>>,
    ) -> fmt::Result {
        let tree: &'a AwaitTree = self.tree;
        for index in tasks {
            self.printed[*index] = true;
        }
        let [first, .., last] = tasks else { return Ok(()) };
        let (first, last) = (&tree.tasks[*first], &tree.tasks[*last]);
        let tasks = count(tasks.len(), "task");
        write!(f, "{} … {} ({tasks}), {}, spawned at ", first.task, last.task, first.state)?;
        write!(f, "{}", first.spawned_at)?;
        open.extend(first.waits_for.iter().map(|it| Open::Waits(it, ROOT.below(true))));
        Ok(())
    }

    fn print_wait(
        &mut self,
        waits_for: &'a WaitsFor,
        line: Line,
        f: &mut Formatter<'_>,
        open: &mut Vec<Open<'a>>,
    ) -> fmt::Result {
        if let WaitsFor::Task(_) = waits_for
            && let [index] = self.tree.behind(waits_for)[..]
        {
            write!(f, "{line}")?;
            return self.print_task(index, line, f, open);
        }
        write!(f, "{line}{waits_for}")?;
        let holders = waits_for.holders();
        if holders.len() > 1 && !self.objects.insert(waits_for.object_address()) {
            return f.write_str(" (see above)");
        }
        let count = holders.len();
        for (place, holder) in holders.iter().enumerate().rev() {
            let line = line.below(place + 1 == count);
            open.push(match self.tree.index_of(holder) {
                Some(index) => Open::Task(index, line),
                None => Open::Holder(holder, line),
            });
        }
        Ok(())
    }
}

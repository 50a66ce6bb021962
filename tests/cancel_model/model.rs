//! The rule as a small interpreter that is slow and easy to read.
//!
//! What a task awaits is a tree. A cancel walks down the tree of its task and takes every wait out of it. A wait for another
//! task is not taken out: the cancel cancels that task. What can catch (a task, a limit, `catch_cancel`, `finally`, a group's
//! body) looks at what is in it: if *something was taken out, and nothing is alive there*, it catches. What is kept is in no tree.
//!
//! Time is virtual, and so fine that no two things happen in one moment by chance. If they do, the model says nothing.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use crate::program::{Id, Kind, Log, Loser, Micros, Node, Program, SLOTS, What, id_of_task};

pub(crate) enum Verdict {
    Says(Log),
    /// Two things happened at once, or what was kept had been cancelled in part.
    SaysNothing,
}

/// What is being awaited.
enum Tree {
    New(Rc<Node>),
    Done,
    /// It was interrupted, and a cancel comes out of it.
    Out,
    Sleep {
        id: Id,
        until: Micros,
    },
    Seq {
        nodes: Vec<Rc<Node>>,
        at: usize,
        now: Box<Tree>,
    },
    Join(Kind, Vec<Tree>),
    Select {
        id: Id,
        one: Box<Tree>,
        other: Box<Tree>,
        loser: Loser,
    },
    /// `cut` says that a cancel from outside has passed through it.
    Limit {
        id: Id,
        until: Micros,
        is_up: bool,
        cut: bool,
        body: Box<Tree>,
    },
    Catch {
        id: Id,
        body: Box<Tree>,
        cleanup: Rc<Node>,
        goes_on: bool,
    },
    Finally {
        id: Id,
        body: Box<Tree>,
        cleanup: Rc<Node>,
    },
    /// What runs after `Catch` or `Finally`, and the `id` of the line that it logs in the end.
    Cleanup {
        id: Option<Id>,
        cleanup: Box<Tree>,
        goes_on: bool,
    },
    /// With `told`, it has passed a cancel on to the task.
    Await {
        id: Id,
        task: usize,
        told: bool,
    },
    Shield {
        id: Id,
        task: usize,
    },
    Group(Group),
    Gather {
        id: Id,
        children: Vec<usize>,
        told: bool,
    },
    /// With `told`, it was cancelled. `is_won`: the losers are waited for.
    Race {
        id: Id,
        children: Vec<usize>,
        is_won: bool,
        told: bool,
    },
    /// `held` says that a cancel from outside is held back.
    Protect {
        id: Id,
        until: Micros,
        is_up: bool,
        held: bool,
        body: Box<Tree>,
    },
    Lock {
        id: Id,
        ticket: u32,
        inner: Rc<Node>,
        held: Option<Box<Tree>>,
    },
    Get {
        id: Id,
        ticket: u32,
    },
}

/// The state that the children of a group share.
struct Bond {
    children: Vec<usize>,
    /// The children have been cancelled.
    aborts: Cell<bool>,
    /// One of the children failed before that, so the group cancels its own body.
    own: Cell<bool>,
}

struct Group {
    id: Id,
    body: Box<Tree>,
    body_is_over: bool,
    bond: Rc<Bond>,
    /// The group has yet to cancel its own body.
    own_to_come: bool,
    /// A cancel from outside has passed through it.
    cut: bool,
    /// The group must let a cancel go on.
    cancelled: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Value,
    Failed,
    Cancelled,
}

#[derive(Default)]
struct Task {
    tree: Option<Tree>,
    is_spawned: bool,
    has_begun: bool,
    began_at: Option<Micros>,
    is_dropped: bool,
    can_be_awaited: bool,
    can_be_cancelled: bool,
    bond: Option<Rc<Bond>>,
    end: Option<End>,
    ended_at: Option<Micros>,
    cancelled_at: Option<Micros>,
    /// Counts the cancels that were requested and not taken back.
    requests: usize,
}

struct Model<'a> {
    program: &'a Program,
    /// Reverses the order in which the tasks are polled.
    is_backwards: bool,
    now: Micros,
    tasks: Vec<Task>,
    /// The trees that are kept, and the task that kept each.
    slots: [Option<(usize, Tree)>; SLOTS],
    tickets: u32,
    lock_holder: Option<u32>,
    lock_line: VecDeque<u32>,
    items: usize,
    get_line: VecDeque<u32>,
    log: Log,
    /// Something has happened in this moment.
    is_changed: bool,
    /// When a waiter in a line was last interrupted, and when something was last given to a line. If both are one moment, the rule
    /// does not say which comes first.
    cut_in_line: Option<Micros>,
    given_to_line: Option<Micros>,
    says_nothing: bool,
}

pub(crate) fn run(program: &Program) -> Verdict {
    // The rule does not say what depends on the order within one moment.
    let [one, other] = [false, true].map(|is_backwards| run_in_order(program, is_backwards));
    match (one, other) {
        (Some(one), Some(other)) if one == other => Verdict::Says(one),
        _ => Verdict::SaysNothing,
    }
}

fn run_in_order(program: &Program, is_backwards: bool) -> Option<Log> {
    let mut model = Model {
        program,
        is_backwards,
        now: 0,
        tasks: program.tasks.iter().map(|_| Task::default()).collect(),
        slots: Default::default(),
        tickets: 0,
        lock_holder: None,
        lock_line: VecDeque::new(),
        items: 0,
        get_line: VecDeque::new(),
        log: Vec::new(),
        is_changed: false,
        cut_in_line: None,
        given_to_line: None,
        says_nothing: false,
    };
    model.run();
    model.log.sort_unstable();
    (!model.says_nothing).then_some(model.log)
}

/// How much in a tree has been taken out, and how much is alive.
fn counts(tree: &Tree) -> (usize, usize) {
    let sum = |(out, alive): (usize, usize), tree: &Tree| {
        let (more_out, more_alive) = counts(tree);
        (out + more_out, alive + more_alive)
    };
    match tree {
        Tree::Done => (0, 0),
        Tree::Out => (1, 0),
        Tree::Seq { now, .. } => counts(now),
        Tree::Cleanup { cleanup, .. } => counts(cleanup),
        Tree::Limit { is_up: false, body, .. } => counts(body), // it catches its own cancel, and no other
        Tree::Join(_, trees) => trees.iter().fold((0, 0), sum),
        Tree::Select { one, other, .. } => sum(counts(one), other),
        Tree::Lock { held: Some(held), .. } => counts(held),
        _ => (0, 1),
    }
}

/// Whether what is in a scope is to be caught.
fn is_out(tree: &Tree) -> bool {
    let (out, alive) = counts(tree);
    out > 0 && alive == 0
}

fn is_done(tree: &Tree) -> bool {
    matches!(tree, Tree::Done)
}

impl Model<'_> {
    fn run(&mut self) {
        for &root in &self.program.roots {
            self.spawn(root, true, true);
        }
        let mut cancels = self.program.cancels.clone();
        cancels.sort_unstable();
        cancels.reverse();
        loop {
            self.settle();
            let given = self.given_to_line == Some(self.now);
            self.says_nothing |= given && self.cut_in_line == Some(self.now);
            let mut next: Vec<Micros> = Vec::new();
            for task in &self.tasks {
                task.tree.iter().for_each(|tree| moments(tree, &mut next));
            }
            next.extend(cancels.last().map(|(when, _)| *when));
            let Some(when) = next.iter().copied().min() else { return };
            let at_once = next.iter().filter(|moment| **moment == when).count();
            if at_once > 1 || self.says_nothing {
                self.says_nothing = true;
                return;
            }
            self.now = when;
            if cancels.last().is_some_and(|cancel| cancel.0 == when) {
                let (_, task) = cancels.pop().expect("it is there");
                self.cancel_if_it_can_be(task);
            }
        }
    }

    /// Polls every task until nothing more happens in this moment.
    fn settle(&mut self) {
        loop {
            self.is_changed = false;
            let last = self.tasks.len() - 1;
            for task in 0..=last {
                self.poll_task(if self.is_backwards { last - task } else { task });
            }
            if !self.is_changed || self.says_nothing {
                return;
            }
        }
    }

    fn log(&mut self, id: Id, what: What) {
        self.is_changed = true;
        self.log.push((self.now, id, what));
    }

    // ---- Tasks

    fn spawn(&mut self, task: usize, can_be_awaited: bool, can_be_cancelled: bool) {
        let tree = Tree::New(self.program.tasks[task].node.clone());
        self.is_changed = true;
        self.tasks[task] = Task {
            tree: Some(tree),
            is_spawned: true,
            can_be_awaited,
            can_be_cancelled,
            ..Task::default()
        };
    }

    fn poll_task(&mut self, task: usize) {
        let Some(mut tree) = self.tasks[task].tree.take() else { return };
        self.tasks[task].has_begun = true;
        self.tasks[task].began_at.get_or_insert(self.now);
        self.poll(&mut tree, task);
        if is_done(&tree) {
            let how = if self.program.tasks[task].fails { End::Failed } else { End::Value };
            return self.end(task, how);
        }
        if is_out(&tree) || self.tasks[task].is_dropped {
            self.drop(tree);
            return self.end(task, End::Cancelled);
        }
        self.tasks[task].tree = Some(tree);
    }

    fn end(&mut self, task: usize, how: End) {
        self.tasks[task].end = Some(how);
        self.tasks[task].ended_at = Some(self.now);
        self.log(id_of_task(task), What::Ended);
        let bond = self.tasks[task].bond.take();
        if let Some(bond) = bond.filter(|bond| how == End::Failed && !bond.aborts.get()) {
            bond.own.set(true);
            self.abort(&bond);
        }
    }

    fn is_over(&self, task: usize) -> bool {
        self.tasks[task].end.is_some()
    }

    fn cancel_if_it_can_be(&mut self, task: usize) {
        if self.tasks[task].can_be_cancelled {
            self.cancel(task);
        }
    }

    fn cancel(&mut self, task: usize) {
        if self.is_over(task) || !self.tasks[task].is_spawned {
            return;
        }
        self.is_changed = true;
        self.tasks[task].requests += 1;
        // Of two cancels in one moment the second comes before the task goes on, and is one with the first, or after.
        self.says_nothing |= self.tasks[task].cancelled_at.replace(self.now) == Some(self.now);
        let Some(mut tree) = self.tasks[task].tree.take() else {
            self.says_nothing = true; // it is being polled, and what it spawns may begin before the cancel comes
            return;
        };
        if !self.tasks[task].has_begun {
            return self.end(task, End::Cancelled);
        }
        self.interrupt(&mut tree);
        self.tasks[task].tree = Some(tree);
    }

    /// Hard: its future is dropped.
    fn drop_task(&mut self, task: usize) {
        if let Some(tree) = self.tasks[task].tree.take() {
            // Before it is dropped, or not.
            let Task { cancelled_at, began_at, .. } = self.tasks[task];
            let is_of_now = [cancelled_at, began_at].contains(&Some(self.now));
            self.says_nothing |= is_of_now || self.may_go_on_now(&tree);
            self.drop(tree);
            self.end(task, End::Cancelled);
        } else {
            self.tasks[task].is_dropped = true; // it is being polled, or over
        }
    }

    /// Whether it waits for a task that has ended in this moment.
    fn may_go_on_now(&self, tree: &Tree) -> bool {
        let has_ended = |task: &usize| self.tasks[*task].ended_at == Some(self.now);
        match tree {
            Tree::Await { task, .. } | Tree::Shield { task, .. } => has_ended(task),
            Tree::Gather { children, .. } | Tree::Race { children, .. } => {
                children.iter().any(has_ended)
            }
            Tree::Seq { now, .. } => self.may_go_on_now(now),
            Tree::Join(_, trees) => trees.iter().any(|tree| self.may_go_on_now(tree)),
            Tree::Select { one, other, .. } => self.may_go_on_now(one) || self.may_go_on_now(other),
            Tree::Limit { body, .. }
            | Tree::Catch { body, .. }
            | Tree::Finally { body, .. }
            | Tree::Protect { body, .. } => self.may_go_on_now(body),
            Tree::Cleanup { cleanup, .. } => self.may_go_on_now(cleanup),
            Tree::Group(group) => {
                group.bond.children.iter().any(has_ended) || self.may_go_on_now(&group.body)
            }
            Tree::Lock { held: Some(held), .. } => self.may_go_on_now(held),
            _ => false,
        }
    }

    // ---- A cancel goes down

    fn interrupt(&mut self, tree: &mut Tree) {
        self.is_changed = true;
        match tree {
            Tree::Done | Tree::Out => {}
            Tree::New(_) | Tree::Sleep { .. } | Tree::Shield { .. } => *tree = Tree::Out,
            Tree::Seq { now, .. } => self.interrupt(now),
            Tree::Join(_, trees) => trees.iter_mut().for_each(|tree| self.interrupt(tree)),
            Tree::Select { one, other, .. } => {
                self.interrupt(one);
                self.interrupt(other);
            }
            Tree::Limit { cut, body, .. } => {
                *cut = true;
                self.interrupt(body);
            }
            Tree::Catch { body, .. } | Tree::Finally { body, .. } => self.interrupt(body),
            Tree::Cleanup { cleanup, .. } => self.interrupt(cleanup),
            Tree::Await { task, .. } if self.is_over(*task) => *tree = Tree::Out,
            Tree::Await { task, told, .. } => {
                *told = true;
                self.cancel(*task);
            }
            Tree::Group(group) => self.interrupt_group(group),
            Tree::Gather { children, told, .. } => {
                *told = true;
                children.clone().into_iter().for_each(|child| self.cancel(child));
            }
            Tree::Race { children, told, .. } => {
                *told = true;
                let children = children.clone();
                let has_ended = |child: &usize| self.tasks[*child].ended_at == Some(self.now);
                self.says_nothing |= children.iter().any(has_ended); // before it has won, or after
                for child in children {
                    self.cancel(child);
                }
            }
            Tree::Protect { is_up, held, body, .. } => {
                *held = true;
                if *is_up {
                    self.interrupt(body);
                }
            }
            Tree::Lock { held: Some(held), .. } => self.interrupt(held),
            Tree::Lock { ticket, held: None, .. } => {
                self.lock_line.retain(|waits| waits != ticket);
                self.cut_in_line = Some(self.now);
                *tree = Tree::Out;
            }
            Tree::Get { ticket, .. } => {
                self.get_line.retain(|waits| waits != ticket);
                self.cut_in_line = Some(self.now);
                *tree = Tree::Out;
            }
        }
    }

    fn interrupt_group(&mut self, group: &mut Group) {
        group.cut = true;
        if !group.body_is_over {
            self.interrupt(&mut group.body);
        } else if !group.bond.aborts.get() {
            group.cancelled = true;
            self.abort(&group.bond);
        }
    }

    fn abort(&mut self, bond: &Bond) {
        bond.aborts.set(true);
        bond.children.iter().for_each(|child| self.cancel(*child));
    }

    // ---- What goes on

    fn poll(&mut self, tree: &mut Tree, task: usize) {
        match tree {
            Tree::Done | Tree::Out => {}
            Tree::New(node) => {
                let node = node.clone();
                *tree = self.enter(&node, task);
                self.poll(tree, task);
            }
            Tree::Sleep { id, until } => {
                if self.now >= *until {
                    let id = *id;
                    *tree = Tree::Done;
                    self.log(id, What::Slept);
                }
            }
            Tree::Seq { nodes, at, now } => {
                self.poll(now, task);
                while is_done(now) {
                    *at += 1;
                    let Some(next) = nodes.get(*at) else {
                        *tree = Tree::Done;
                        return;
                    };
                    **now = Tree::New(next.clone());
                    self.poll(now, task);
                }
            }
            Tree::Join(kind, trees) => {
                if self.is_backwards && *kind == Kind::Unordered {
                    trees.iter_mut().rev().for_each(|tree| self.poll(tree, task));
                } else {
                    for tree in trees.iter_mut() {
                        self.poll(tree, task);
                    }
                }
                if trees.iter().all(is_done) {
                    *tree = Tree::Done;
                }
            }
            Tree::Select { id, one, other, loser } => {
                let (id, loser) = (*id, *loser);
                self.poll(one, task);
                let winner = if is_done(one) {
                    What::First
                } else {
                    self.poll(other, task);
                    if !is_done(other) {
                        return;
                    }
                    What::Second
                };
                let left = if winner == What::First { other } else { one };
                let left = mem::replace(&mut **left, Tree::Done);
                *tree = Tree::Done;
                self.log(id, winner);
                match loser {
                    Loser::Dropped => self.drop(left),
                    Loser::Kept(slot) => self.keep(left, task, slot),
                }
            }
            Tree::Await { id, task: other, told } => {
                let (id, told) = (*id, *told);
                if let Some(end) = self.tasks[*other].end {
                    self.is_changed = true;
                    if told && end == End::Cancelled {
                        *tree = Tree::Out;
                    } else {
                        *tree = Tree::Done;
                        self.log_end(id, end);
                    }
                }
            }
            Tree::Shield { id, task: other } => {
                let id = *id;
                if let Some(end) = self.tasks[*other].end {
                    *tree = Tree::Done;
                    self.log_end(id, end);
                }
            }
            Tree::Gather { id, children, told } => {
                let (id, told) = (*id, *told);
                let ends = || children.iter().map(|child| self.tasks[*child].end);
                if ends().any(|end| end == Some(End::Cancelled))
                    || told && ends().all(|end| end.is_some())
                {
                    *tree = Tree::Out;
                    self.is_changed = true;
                } else if ends().all(|end| end.is_some()) {
                    *tree = Tree::Done;
                    self.log(id, What::Gathered);
                }
            }
            Tree::Race { .. } => self.poll_race(tree),
            Tree::Lock { id, ticket, inner, held } => {
                let (id, ticket) = (*id, *ticket);
                if held.is_none() {
                    if self.lock_holder.is_some() || self.lock_line.front() != Some(&ticket) {
                        return;
                    }
                    self.lock_line.pop_front();
                    self.lock_holder = Some(ticket);
                    *held = Some(Box::new(Tree::New(inner.clone())));
                    self.log(id, What::Locked);
                }
                let held = held.as_mut().expect("it is held now");
                self.poll(held, task);
                if is_done(held) {
                    self.release();
                    *tree = Tree::Done;
                }
            }
            Tree::Get { id, ticket } => {
                let id = *id;
                if self.items > 0 && self.get_line.front() == Some(ticket) {
                    self.get_line.pop_front();
                    self.items -= 1;
                    *tree = Tree::Done;
                    self.log(id, What::Got);
                }
            }
            _ => self.poll_scope(tree, task),
        }
    }

    fn poll_race(&mut self, tree: &mut Tree) {
        let Tree::Race { id, children, is_won, told } = tree else { return };
        let ends: Vec<_> = children.iter().map(|child| self.tasks[*child].end).collect();
        if !*is_won && !*told && ends.contains(&Some(End::Value)) {
            *is_won = true;
            let won = ends.iter().filter(|end| **end == Some(End::Value)).count();
            self.says_nothing |= won > 1;
            for child in children.clone() {
                self.cancel(child);
            }
        }
        if !children.iter().all(|child| self.is_over(*child)) {
            return;
        }
        let (id, is_over) = (*id, *is_won && !*told);
        *tree = if is_over { Tree::Done } else { Tree::Out };
        self.is_changed = true;
        if is_over {
            self.log(id, What::Raced);
        }
    }

    fn release(&mut self) {
        self.lock_holder = None;
        self.given_to_line = Some(self.now);
        self.is_changed = true;
    }

    fn log_end(&mut self, id: Id, end: End) {
        self.log(id, if end == End::Cancelled { What::Cancelled } else { What::Value });
    }

    /// What can catch.
    fn poll_scope(&mut self, tree: &mut Tree, task: usize) {
        match tree {
            Tree::Limit { id, until, is_up, cut, body } => {
                if !*is_up && self.now >= *until {
                    *is_up = true;
                    self.tasks[task].requests += 1;
                    self.interrupt(body);
                }
                self.poll(body, task);
                let (id, is_up, cut) = (*id, *is_up, *cut);
                let (is_done, is_out) = (is_done(body), is_out(body));
                if !(is_done || is_up && is_out) {
                    return;
                }
                if is_up {
                    self.tasks[task].requests -= 1;
                }
                let before = mem::replace(tree, Tree::Done);
                self.drop(before);
                if is_done {
                    self.log(id, What::InTime);
                } else if is_up && !cut {
                    self.log(id, What::TimedOut);
                } else {
                    *tree = Tree::Out;
                    self.is_changed = true;
                }
            }
            Tree::Protect { id, until, is_up, held, body } => {
                if !*is_up && self.now >= *until {
                    *is_up = true;
                    self.tasks[task].requests += 1;
                    self.interrupt(body);
                }
                self.poll(body, task);
                let (id, is_up, held) = (*id, *is_up, *held);
                let (is_done, is_out) = (is_done(body), is_out(body));
                if !is_done && !is_out {
                    return;
                }
                if is_up {
                    self.tasks[task].requests -= 1;
                }
                let goes_on = held || is_out && !is_up;
                let before = mem::replace(tree, if goes_on { Tree::Out } else { Tree::Done });
                self.drop(before);
                self.is_changed = true;
                if !goes_on {
                    self.log(id, if is_done { What::InTime } else { What::TimedOut });
                }
            }
            Tree::Catch { id, body, cleanup, goes_on } => {
                self.poll(body, task);
                if is_done(body) {
                    *tree = Tree::Done;
                } else if is_out(body) {
                    let (id, cleanup, goes_on) = (*id, Tree::New(cleanup.clone()), *goes_on);
                    let cleanup = Tree::Cleanup { id: None, cleanup: Box::new(cleanup), goes_on };
                    let before = mem::replace(tree, cleanup);
                    self.drop(before);
                    self.log(id, What::Caught);
                    self.poll(tree, task);
                }
            }
            Tree::Finally { id, body, cleanup } => {
                self.poll(body, task);
                let goes_on = is_out(body);
                if is_done(body) || goes_on {
                    let (id, cleanup) = (*id, Tree::New(cleanup.clone()));
                    let cleanup =
                        Tree::Cleanup { id: Some(id), cleanup: Box::new(cleanup), goes_on };
                    let before = mem::replace(tree, cleanup);
                    self.drop(before);
                    self.log(id, What::CleansUp);
                    self.poll(tree, task);
                }
            }
            Tree::Cleanup { id, cleanup, goes_on } => {
                self.poll(cleanup, task);
                if is_done(cleanup) {
                    let id = *id;
                    *tree = if *goes_on { Tree::Out } else { Tree::Done };
                    self.is_changed = true;
                    if let Some(id) = id {
                        self.log(id, What::CleanedUp);
                    }
                }
            }
            Tree::Group(group) => {
                if let Some(after) = self.poll_group(group, task) {
                    *tree = after;
                }
            }
            _ => unreachable!("it is polled elsewhere"),
        }
    }

    fn poll_group(&mut self, group: &mut Group, task: usize) -> Option<Tree> {
        if group.bond.own.get() && mem::take(&mut group.own_to_come) {
            self.tasks[task].requests += 1;
            if !group.body_is_over {
                self.interrupt(&mut group.body);
            }
        }
        self.poll_body(group, task);
        let children = &group.bond.children;
        if !group.body_is_over || !children.iter().all(|child| self.is_over(*child)) {
            return None;
        }
        let failures =
            children.iter().filter(|child| self.tasks[**child].end == Some(End::Failed)).count();
        self.is_changed = true;
        if group.bond.own.get() {
            self.tasks[task].requests -= 1;
        }
        if failures > 0 {
            self.log(group.id, What::GroupFailed);
            // A cancel from outside is raised again then, at the next await. Which cancel it is depends on counting requests.
            self.says_nothing |= self.tasks[task].requests > 0;
            return Some(Tree::Done);
        }
        if group.cancelled {
            return Some(Tree::Out);
        }
        self.log(group.id, What::GroupEnded);
        Some(Tree::Done)
    }

    fn poll_body(&mut self, group: &mut Group, task: usize) {
        if group.body_is_over {
            return;
        }
        self.poll(&mut group.body, task);
        if is_done(&group.body) {
            group.body_is_over = true;
        } else if is_out(&group.body) {
            let body = mem::replace(&mut *group.body, Tree::Done);
            self.drop(body);
            group.body_is_over = true;
            group.cancelled = group.cut || !group.bond.own.get();
            if !group.bond.aborts.get() {
                self.abort(&group.bond);
            }
        }
    }

    fn ticket(&mut self) -> u32 {
        self.tickets += 1;
        self.tickets
    }

    fn enter(&mut self, node: &Rc<Node>, task: usize) -> Tree {
        self.is_changed = true;
        let new = |node: &Rc<Node>| Tree::New(node.clone());
        let boxed = |node: &Rc<Node>| Box::new(Tree::New(node.clone()));
        match &**node {
            Node::Sleep(id, micros) => Tree::Sleep { id: *id, until: self.now + micros },
            Node::Seq(nodes) => Tree::Seq { now: boxed(&nodes[0]), nodes: nodes.clone(), at: 0 },
            Node::Join(kind, nodes) => Tree::Join(*kind, nodes.iter().map(new).collect()),
            Node::Select(id, one, other, loser) => {
                Tree::Select { id: *id, one: boxed(one), other: boxed(other), loser: *loser }
            }
            Node::Take(id, slot) => match self.slots[*slot].take() {
                Some((from, mut tree)) => {
                    self.says_nothing |= lowest(&tree) <= task; // it may wait for itself
                    // Which cancel comes out of a limit that was begun elsewhere depends on counting requests.
                    self.says_nothing |= self.tasks[task].requests > 0;
                    if from != task {
                        self.says_nothing |= has_sets(&tree);
                        forget_cuts(&mut tree);
                    }
                    tree
                }
                None => self.nothing(*id),
            },
            Node::Limit(id, micros, inner) => {
                let until = self.now + micros;
                Tree::Limit { id: *id, until, is_up: false, cut: false, body: boxed(inner) }
            }
            Node::Catch(id, inner, cleanup, goes_on) => {
                let (cleanup, goes_on) = (cleanup.clone(), *goes_on);
                Tree::Catch { id: *id, body: boxed(inner), cleanup, goes_on }
            }
            Node::Finally(id, inner, cleanup) => {
                Tree::Finally { id: *id, body: boxed(inner), cleanup: cleanup.clone() }
            }
            Node::Spawn(task) => {
                self.spawn(*task, true, true);
                Tree::Done
            }
            Node::Cancel(task) => {
                self.cancel_if_it_can_be(*task);
                Tree::Done
            }
            Node::Await(id, task) if self.tasks[*task].can_be_awaited => {
                Tree::Await { id: *id, task: *task, told: false }
            }
            Node::Shield(id, task) if self.tasks[*task].can_be_awaited => {
                Tree::Shield { id: *id, task: *task }
            }
            Node::Await(id, _) | Node::Shield(id, _) => self.nothing(*id),
            Node::Group(id, children, inner) => {
                let (aborts, own) = (Cell::new(false), Cell::new(false));
                let bond = Rc::new(Bond { children: children.clone(), aborts, own });
                for &child in children {
                    self.spawn(child, false, true);
                    self.tasks[child].bond = Some(bond.clone());
                }
                Tree::Group(Group {
                    id: *id,
                    body: boxed(inner),
                    body_is_over: false,
                    bond,
                    own_to_come: true,
                    cut: false,
                    cancelled: false,
                })
            }
            Node::Gather(id, children) => {
                for &child in children {
                    self.spawn(child, false, false);
                }
                Tree::Gather { id: *id, children: children.clone(), told: false }
            }
            Node::Race(id, children) => {
                for &child in children {
                    self.spawn(child, false, false);
                }
                let children = children.clone();
                Tree::Race { id: *id, children, is_won: false, told: false }
            }
            Node::Protect(id, grace, inner) => {
                let (until, body) = (self.now + grace, boxed(inner));
                Tree::Protect { id: *id, until, is_up: false, held: false, body }
            }
            Node::Lock(id, inner) => {
                let ticket = self.ticket();
                self.lock_line.push_back(ticket);
                Tree::Lock { id: *id, ticket, inner: inner.clone(), held: None }
            }
            Node::Put => {
                self.items += 1;
                self.given_to_line = Some(self.now);
                Tree::Done
            }
            Node::Get(id) => {
                let ticket = self.ticket();
                self.get_line.push_back(ticket);
                Tree::Get { id: *id, ticket }
            }
        }
    }

    fn nothing(&mut self, id: Id) -> Tree {
        self.log(id, What::Nothing);
        Tree::Done
    }

    // ---- What is kept, and what is dropped

    fn keep(&mut self, tree: Tree, task: usize, slot: usize) {
        self.says_nothing |= is_being_cancelled(&tree);
        if let Some((_, before)) = self.slots[slot].replace((task, tree)) {
            self.drop(before);
        }
    }

    fn drop(&mut self, tree: Tree) {
        match tree {
            Tree::Seq { now, .. } => self.drop(*now),
            Tree::Join(_, trees) => trees.into_iter().for_each(|tree| self.drop(tree)),
            Tree::Select { one, other, .. } => {
                self.drop(*one);
                self.drop(*other);
            }
            Tree::Limit { body, .. }
            | Tree::Catch { body, .. }
            | Tree::Finally { body, .. }
            | Tree::Protect { body, .. } => self.drop(*body),
            Tree::Race { children, .. } => {
                for child in children {
                    self.drop_task(child);
                }
            }
            Tree::Cleanup { cleanup, .. } => self.drop(*cleanup),
            Tree::Group(group) => {
                self.drop(*group.body);
                group.bond.children.iter().for_each(|child| self.drop_task(*child));
            }
            Tree::Gather { children, told: false, .. } => {
                for child in children {
                    self.cancel(child);
                }
            }
            Tree::Lock { held: Some(held), .. } => {
                self.drop(*held);
                self.release();
            }
            Tree::Lock { ticket, held: None, .. } => {
                self.lock_line.retain(|waits| *waits != ticket);
            }
            Tree::Get { ticket, .. } => self.get_line.retain(|waits| *waits != ticket),
            _ => {}
        }
    }
}

/// When something happens in a tree of itself.
fn moments(tree: &Tree, moments_of: &mut Vec<Micros>) {
    match tree {
        Tree::Sleep { until, .. } => moments_of.push(*until),
        Tree::Seq { now, .. } => moments(now, moments_of),
        Tree::Join(_, trees) => trees.iter().for_each(|tree| moments(tree, moments_of)),
        Tree::Select { one, other, .. } => {
            moments(one, moments_of);
            moments(other, moments_of);
        }
        Tree::Limit { until, is_up, body, .. } | Tree::Protect { until, is_up, body, .. } => {
            if !is_up {
                moments_of.push(*until);
            }
            moments(body, moments_of);
        }
        Tree::Catch { body, .. } | Tree::Finally { body, .. } => moments(body, moments_of),
        Tree::Cleanup { cleanup, .. } => moments(cleanup, moments_of),
        Tree::Group(group) => moments(&group.body, moments_of),
        Tree::Lock { held: Some(held), .. } => moments(held, moments_of),
        _ => {}
    }
}

/// The lowest number of a task that a tree waits for, or will.
fn lowest(tree: &Tree) -> usize {
    match tree {
        Tree::New(node) => lowest_in(node),
        Tree::Done | Tree::Out | Tree::Sleep { .. } | Tree::Get { .. } => usize::MAX,
        Tree::Seq { nodes, at, now } => {
            let later = nodes[*at..].iter().map(|node| lowest_in(node));
            later.fold(lowest(now), usize::min)
        }
        Tree::Join(_, trees) => trees.iter().map(lowest).fold(usize::MAX, usize::min),
        Tree::Select { one, other, .. } => lowest(one).min(lowest(other)),
        Tree::Limit { body, .. } | Tree::Protect { body, .. } => lowest(body),
        Tree::Catch { body, cleanup, .. } | Tree::Finally { body, cleanup, .. } => {
            lowest(body).min(lowest_in(cleanup))
        }
        Tree::Cleanup { cleanup, .. } => lowest(cleanup),
        Tree::Await { task, .. } | Tree::Shield { task, .. } => *task,
        Tree::Group(group) => {
            group.bond.children.iter().copied().fold(lowest(&group.body), usize::min)
        }
        Tree::Gather { children, .. } | Tree::Race { children, .. } => {
            children.iter().copied().fold(usize::MAX, usize::min)
        }
        Tree::Lock { inner, held, .. } => {
            held.as_ref().map_or_else(|| lowest_in(inner), |held| lowest(held))
        }
    }
}

fn lowest_in(node: &Node) -> usize {
    let all =
        |nodes: &[Rc<Node>]| nodes.iter().map(|node| lowest_in(node)).fold(usize::MAX, usize::min);
    match node {
        Node::Seq(nodes) | Node::Join(_, nodes) => all(nodes),
        Node::Select(_, one, other, _) => lowest_in(one).min(lowest_in(other)),
        Node::Limit(_, _, inner) | Node::Lock(_, inner) | Node::Protect(_, _, inner) => {
            lowest_in(inner)
        }
        Node::Catch(_, inner, cleanup, _) | Node::Finally(_, inner, cleanup) => {
            lowest_in(inner).min(lowest_in(cleanup))
        }
        Node::Spawn(task) | Node::Await(_, task) | Node::Shield(_, task) | Node::Cancel(task) => {
            *task
        }
        Node::Group(_, children, inner) => {
            children.iter().copied().fold(lowest_in(inner), usize::min)
        }
        Node::Gather(_, children) | Node::Race(_, children) => {
            children.iter().copied().fold(usize::MAX, usize::min)
        }
        Node::Take(..) => 0, // whatever is there then
        Node::Sleep(..) | Node::Put | Node::Get(_) => usize::MAX,
    }
}

/// Whether a set in it has been polled: that knows the wakers of the task it was polled in, and not of another one.
fn has_sets(tree: &Tree) -> bool {
    match tree {
        Tree::Join(Kind::Unordered, _) => true,
        Tree::Join(Kind::Join, trees) => trees.iter().any(has_sets),
        Tree::Seq { now, .. } => has_sets(now),
        Tree::Select { one, other, .. } => has_sets(one) || has_sets(other),
        Tree::Limit { body, .. }
        | Tree::Catch { body, .. }
        | Tree::Finally { body, .. }
        | Tree::Protect { body, .. } => has_sets(body),
        Tree::Cleanup { cleanup, .. } => has_sets(cleanup),
        Tree::Group(group) => has_sets(&group.body),
        _ => false,
    }
}

/// In another task no cancel has come by there.
fn forget_cuts(tree: &mut Tree) {
    match tree {
        Tree::Limit { cut, body, .. } => {
            *cut = false;
            forget_cuts(body);
        }
        Tree::Protect { held, body, .. } => {
            *held = false;
            forget_cuts(body);
        }
        Tree::Seq { now, .. } => forget_cuts(now),
        Tree::Join(_, trees) => trees.iter_mut().for_each(forget_cuts),
        Tree::Select { one, other, .. } => {
            forget_cuts(one);
            forget_cuts(other);
        }
        Tree::Catch { body, .. } | Tree::Finally { body, .. } => forget_cuts(body),
        Tree::Cleanup { cleanup, .. } => forget_cuts(cleanup),
        Tree::Group(group) => {
            group.cut = false;
            forget_cuts(&mut group.body);
        }
        _ => {}
    }
}

/// Whether something in it has been cancelled, or stands in a line: to keep that is out of the ordinary.
fn is_being_cancelled(tree: &Tree) -> bool {
    match tree {
        Tree::Out | Tree::Cleanup { .. } | Tree::Lock { .. } | Tree::Get { .. } => true,
        Tree::Seq { now, .. } => is_being_cancelled(now),
        Tree::Join(_, trees) => trees.iter().any(is_being_cancelled),
        Tree::Select { one, other, .. } => is_being_cancelled(one) || is_being_cancelled(other),
        Tree::Limit { is_up, body, .. } => *is_up || is_being_cancelled(body),
        Tree::Catch { body, .. } | Tree::Finally { body, .. } => is_being_cancelled(body),
        Tree::Await { told, .. } | Tree::Gather { told, .. } => *told,
        Tree::Race { is_won, told, .. } => *is_won || *told,
        Tree::Protect { is_up, held, body, .. } => *is_up || *held || is_being_cancelled(body),
        Tree::Group(group) => group.bond.aborts.get() || is_being_cancelled(&group.body),
        _ => false,
    }
}

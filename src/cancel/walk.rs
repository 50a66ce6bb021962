//! **The walk of a cancel**: the tasks that it reaches, and by how many ways.
//!
//! A cancel may reach a task by several ways (`gather(v, v)`, a diamond of awaits), and counts as often. To follow each way by
//! recursion would be simple, but a ladder of forty diamonds has 2⁴⁰ ways, and a chain of awaits may be longer than the stack is
//! deep. So the walk enters each task once, with a list of open tasks in place of the stack, and counts the ways afterwards.

use std::collections::HashMap;
use std::mem;

use crate::kernel::record::RecordRef;

/// The tasks that a cancel reaches, and by how many ways.
pub(super) struct Walk {
    /// In the order in which they are first reached. The start is the first.
    reached: Vec<Reached>,
    /// From a task's address to its index in `reached`.
    indices: HashMap<usize, usize>,
    /// Indices, each after those of all tasks that it forwards to, except in a circle.
    finished: Vec<usize>,
    /// The cancel reaches a task that cannot forward it, and so takes it.
    pub(super) reaches_something: bool,
}

struct Reached {
    task: RecordRef,
    /// The index of the task from which it was reached first. The start is its own.
    from: usize,
    /// Indices; taken by `count_ways`.
    forwards_to: Vec<usize>,
    ways: u32,
}

impl Walk {
    /// Walks from `start` to its `targets` and so on, but not to `except`.
    pub(super) fn from(
        start: &RecordRef,
        targets: Vec<RecordRef>,
        except: Option<&RecordRef>,
    ) -> Walk {
        let (reached, indices, finished) = (Vec::new(), HashMap::new(), Vec::new());
        let mut walk = Walk { reached, indices, finished, reaches_something: false };
        // Each task that was entered and not left, with the targets still to be entered from there.
        let mut open = vec![(walk.enter(start, 0), targets.into_iter())];
        while let Some((index, targets)) = open.last_mut() {
            let index = *index;
            let Some(next) = targets.next() else {
                walk.finished.push(index);
                open.pop();
                continue;
            };
            if except == Some(&next) {
                continue;
            }
            if let Some(&known) = walk.indices.get(&next.address()) {
                walk.reached[index].forwards_to.push(known);
                continue;
            }
            let entered = walk.enter(&next, index);
            walk.reached[index].forwards_to.push(entered);
            let targets = next.targets();
            walk.reaches_something |= targets.is_empty();
            open.push((entered, targets.into_iter()));
        }
        walk.count_ways();
        walk
    }

    fn enter(&mut self, task: &RecordRef, from: usize) -> usize {
        let index = self.reached.len();
        self.indices.insert(task.address(), index);
        self.reached.push(Reached { task: task.clone(), from, forwards_to: Vec::new(), ways: 0 });
        index
    }

    /// Adds up the ways from the start on, each task before those that it forwards to.
    fn count_ways(&mut self) {
        let mut is_finished = vec![false; self.reached.len()];
        self.reached[0].ways = 1;
        for &index in self.finished.iter().rev() {
            is_finished[index] = true;
            let ways = self.reached[index].ways;
            for next in mem::take(&mut self.reached[index].forwards_to) {
                // A target that was counted before closes a circle: that is no way.
                if !is_finished[next] {
                    let next = &mut self.reached[next];
                    next.ways = next.ways.saturating_add(ways);
                }
            }
        }
    }

    /// Each task, the one from which it is reached first, by how many ways it is reached, and whether the cancel ends there.
    ///
    /// The last is asked only when the caller comes to the task: it has woken others meanwhile. If one is of another loop, that
    /// loop's wake hook has run, which may end tasks that the next ones await.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&RecordRef, &RecordRef, u32, bool)> {
        self.reached.iter().map(|it| {
            let from = &self.reached[it.from].task;
            (&it.task, from, it.ways, it.task.targets().is_empty())
        })
    }
}

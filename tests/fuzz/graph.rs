//! Records which task awaits which. Tasks may await each other in a circle, which a cancel breaks. But a group waits for its
//! children even if it is cancelled: a child that awaits its own parent, perhaps through others, waits for ever, in asyncio too.
//! So a program does not begin a wait that would close a circle through a group.

use std::cell::RefCell;

use crate::world::World;

#[derive(Clone, Copy, PartialEq)]
struct Edge {
    from: u32,
    to: u32,
    by_group: bool,
}

#[derive(Default)]
pub(crate) struct Graph {
    edges: RefCell<Vec<Edge>>,
}

/// One task awaits another until this is dropped.
pub(crate) struct Awaiting(Edge);

impl Graph {
    /// Notes that a group or gathering of `from` has made the task `to`.
    pub(crate) fn has_child(&self, from: u32, to: u32, by_group: bool) {
        self.edges.borrow_mut().push(Edge { from, to, by_group });
    }

    /// Notes that the task `from` is about to await `to`. Returns `None` if that could never end.
    pub(crate) fn awaits(&self, from: u32, to: u32) -> Option<Awaiting> {
        if self.reaches_through_group(to, from) {
            return None;
        }
        let edge = Edge { from, to, by_group: false };
        self.edges.borrow_mut().push(edge);
        Some(Awaiting(edge))
    }

    fn reaches_through_group(&self, from: u32, to: u32) -> bool {
        let edges = self.edges.borrow();
        let mut reached = vec![(from, false)];
        let mut looked_at = 0;
        while let Some(&(task, through_group)) = reached.get(looked_at) {
            if task == to && through_group {
                return true;
            }
            looked_at += 1;
            for edge in edges.iter().filter(|edge| edge.from == task) {
                let next = (edge.to, through_group || edge.by_group);
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
        false
    }

    pub(crate) fn clear(&self) {
        self.edges.take();
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        let Some(world) = World::current() else { return };
        let mut edges = world.graph.edges.borrow_mut();
        if let Some(place) = edges.iter().position(|edge| *edge == self.0) {
            edges.swap_remove(place);
        }
    }
}

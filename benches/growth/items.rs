//! Many items in one queue.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use loopwheel::sync::Queue;

use crate::table::Growth;

/// Puts all items, then gets all of them. Nothing waits.
pub(crate) fn queued(growth: &mut Growth) {
    let mut group = growth.group("items put into a queue and got");
    group.row("Queue", async |size| {
        let queue = Queue::unbounded();
        let begun = Instant::now();
        for item in 0..size {
            queue.put(item).await.expect("it is open");
        }
        for item in 0..size {
            assert_eq!(queue.get().await, Ok(item));
        }
        begun.elapsed()
    });
    group.bare("bare work (a VecDeque)", |size| {
        let mut queue = VecDeque::new();
        let begun = Instant::now();
        for item in 0..size {
            black_box(&mut queue).push_back(item);
        }
        for item in 0..size {
            assert_eq!(black_box(&mut queue).pop_front(), Some(item));
        }
        begun.elapsed()
    });
}

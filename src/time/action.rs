//! **Timer actions**: what a timer does when it fires, in eight bytes.
//!
//! With many timers the cost of one is its cache misses, so an entry of the wheel is as small as possible. A `TaskId` alone has
//! eight bytes, and a `Waker` sixteen. But an action concerns a task of its own loop: it needs no loop index, and three bytes are
//! enough for a generation. That leaves a byte for the kind of action.

use crate::base::id::TaskId;

/// The payload of an entry of the wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimerAction {
    /// Wake this task.
    WakeTask { generation: [u8; 3], slot: u32 },
    /// Poll this task, because a time limit in it is up and cancels its body.
    PollScope { generation: [u8; 3], slot: u32 },
    /// Wake the foreign waker with this key.
    WakeForeign { key: u32 },
    /// Tell an observer, and do the action that the traced timer with this key has.
    Traced { key: u32 },
}

const _: () = assert!(size_of::<TimerAction>() == 8);

impl TimerAction {
    pub(crate) fn wake(id: TaskId) -> TimerAction {
        TimerAction::WakeTask { generation: Self::three_bytes(id), slot: id.slot() }
    }

    pub(crate) fn poll_scope(id: TaskId) -> TimerAction {
        TimerAction::PollScope { generation: Self::three_bytes(id), slot: id.slot() }
    }

    /// The id of the task that it concerns.
    ///
    /// # Panics
    /// If it names no task.
    pub(crate) fn task(self, loop_index: usize) -> TaskId {
        match self {
            TimerAction::WakeTask { generation: [a, b, c], slot }
            | TimerAction::PollScope { generation: [a, b, c], slot } => {
                TaskId::new(loop_index, slot, u32::from_le_bytes([a, b, c, 0]))
            }
            TimerAction::WakeForeign { .. } | TimerAction::Traced { .. } => {
                unreachable!("a key names no task")
            }
        }
    }

    /// Whether it names a task of its loop, and nothing that is kept beside the wheel.
    #[inline]
    pub(crate) fn concerns_one_task(self) -> bool {
        matches!(self, TimerAction::WakeTask { .. } | TimerAction::PollScope { .. })
    }

    fn three_bytes(id: TaskId) -> [u8; 3] {
        let [a, b, c, _] = id.generation().to_le_bytes();
        [a, b, c]
    }
}

//! What a timer does when its time has come, in eight bytes.
//!
//! A wheel entry is as small as it can be, for large sets of timers are cache misses. An alarm is about a
//! task of its own loop, so it needs no loop's number; three bytes are enough for a generation.

use super::foreign::KeptWaker;
use super::waker::TaskId;

/// The payload of a wheel entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    /// Wake this task.
    Wake { generation: [u8; 3], slot: u32 },
    /// The time of a limit that this task has polled is up: poll it.
    Cancel { generation: [u8; 3], slot: u32 },
    /// Wake a waker that is not ours, by its place among the strangers.
    Stranger { place: u32 },
}

const _: () = assert!(size_of::<Alarm>() == 8);

impl Alarm {
    pub(crate) fn wake(id: TaskId) -> Alarm {
        Alarm::Wake { generation: Self::three_bytes(id), slot: id.slot() }
    }

    pub(crate) fn cancel(id: TaskId) -> Alarm {
        Alarm::Cancel { generation: Self::three_bytes(id), slot: id.slot() }
    }

    /// Whom it is about.
    ///
    /// # Panics
    /// If it is about a stranger.
    pub(crate) fn task(self, loop_index: usize) -> TaskId {
        match self {
            Alarm::Wake { generation: [a, b, c], slot }
            | Alarm::Cancel { generation: [a, b, c], slot } => {
                TaskId::new(loop_index, slot, u32::from_le_bytes([a, b, c, 0]))
            }
            Alarm::Stranger { .. } => unreachable!("a stranger is no task"),
        }
    }

    fn three_bytes(id: TaskId) -> [u8; 3] {
        let [a, b, c, _] = id.generation().to_le_bytes();
        [a, b, c]
    }
}

/// Wakers that are not ours (of a foreign `FuturesUnordered`, say) and wait for a timer.
#[derive(Default)]
pub(crate) struct Strangers {
    wakers: Vec<Option<KeptWaker>>,
    free: Vec<u32>,
}

impl Strangers {
    pub(crate) fn admit(&mut self, waker: KeptWaker) -> Alarm {
        let place = self.free.pop().unwrap_or_else(|| {
            let place = u32::try_from(self.wakers.len());
            let place = place.expect("more than four billion foreign wakers");
            self.wakers.push(None);
            place
        });
        self.wakers[place as usize] = Some(waker);
        Alarm::Stranger { place }
    }

    pub(crate) fn at(&self, place: u32) -> Option<&KeptWaker> {
        self.wakers[place as usize].as_ref()
    }

    /// Takes the waker for waking; its place is kept until it is dismissed.
    pub(crate) fn take(&mut self, place: u32) -> Option<KeptWaker> {
        self.wakers[place as usize].take()
    }

    /// Hands the waker back: dropping it may run code of others.
    pub(crate) fn dismiss(&mut self, place: u32) -> Option<KeptWaker> {
        self.free.push(place);
        self.wakers[place as usize].take()
    }
}

//! **Other threads**: how they call functions and run tasks on a loop.
//!
//! A loop and its tasks belong to one thread, so another thread cannot touch them. The naive way is a lock around the loop, which
//! each turn would pay for; or a second channel, with its own way to wake a loop that is parked. A [`Handle`] needs neither. It
//! pushes a call into the loop's [call queue](CallQueue), under a lock that only senders and the runner take, and wakes the
//! *runner*: a callback of the loop that takes the calls out of the queue. The runner has an id, so it is woken as any task is,
//! through the mailbox, and what is checked of remote wake-ups (`tests/loom.rs`) holds for calls too. A handle does not keep its
//! loop alive: a call that the loop no longer runs is lost, and the sender, or the exception handler, is told. A sender of a channel
//! (`thread_channel/`) *pokes* it by the same runner, which lets it look.
//!
//! In `handle` are the call queue, its runner, and the handle; in `remote` a task that was sent to a loop, and its outcome's way back.
//!
//! It stands on `base`, `cells`, `foreign`, `reason`, `error`, the kernel, `trace`, `kept_waker`, `mailbox`, `task_local`, `delivery`, `cancel`,
//! `join`, `task`, `spawning`, `report` and `callback`.

mod handle;
mod remote;

use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::base::id::TaskId;
use crate::base::slab::Slab;
use crate::engine::Engine;
use crate::foreign::drop_reported;

pub(crate) use handle::{Call, CallQueue, IfLost, drop_catching};
pub use handle::{Handle, LoopGone, Reservation};
pub use remote::{RemoteError, RemoteTask};

/// What a loop keeps for other threads.
#[derive(Default)]
pub(crate) struct Threads {
    /// Created with the first handle, or the first work on another thread.
    call_queue: OnceCell<Arc<CallQueue>>,
    channels: RefCell<Slab<Weak<dyn ChannelEnd>>>,
}

/// The loop's end of a channel from other threads.
pub(crate) trait ChannelEnd {
    /// Calls the tasks that can go on, because items have come, or no more will come.
    fn poked(&self);
    /// Notes the state of the channel, for a dump.
    fn note(&self);
    /// The loop has ended: senders are refused from now on.
    fn close(&self);
}

impl Threads {
    pub(crate) fn add_channel(&self, channel: Weak<dyn ChannelEnd>) -> u32 {
        self.channels.borrow_mut().insert(channel)
    }

    pub(crate) fn remove_channel(&self, key: u32) {
        self.channels.borrow_mut().remove(key);
    }

    fn poke(&self, key: u32) {
        let channel = self.channels.borrow().get(key).and_then(Weak::upgrade);
        if let Some(channel) = channel {
            channel.poked();
            drop_reported(channel); // a foreign waker may have dropped the receiver meanwhile
        }
    }

    fn each_channel(&self, run: impl Fn(&dyn ChannelEnd)) {
        let channels: Vec<Rc<_>> =
            self.channels.borrow().iter().filter_map(Weak::upgrade).collect();
        for channel in channels {
            run(&*channel);
            drop_reported(channel);
        }
    }
}

impl Engine {
    fn call_queue_or_else(&self, create: impl FnOnce() -> Arc<CallQueue>) -> Arc<CallQueue> {
        self.threads.call_queue.get_or_init(create).clone()
    }

    /// Whether there is a handle to the loop, on any thread.
    pub(crate) fn has_handles(&self) -> bool {
        self.threads.call_queue.get().is_some_and(|queue| queue.has_handles())
    }

    /// The callback of the loop that takes calls from other threads. It is always there, and is no callback of the user's.
    pub(crate) fn runner(&self) -> Option<TaskId> {
        self.threads.call_queue.get()?.runner()
    }

    /// The channels from other threads note their state, because a dump is made.
    pub(crate) fn note_channels(&self) {
        self.threads.each_channel(|channel| channel.note());
    }

    /// The loop has ended: the calls that are left in the queue are lost, and channels take nothing more.
    pub(crate) fn close_call_queue(&self) {
        self.threads.each_channel(|channel| channel.close());
        if let Some(queue) = self.threads.call_queue.get() {
            queue.close();
        }
    }
}

//! Model checks of what crosses threads: the wake-up protocols (`src/mailbox/inbox.rs`, `src/mailbox/notifier.rs`), and the channel
//! from threads to the loop (`src/thread_channel/shared.rs`).
//!
//! A stress test sees the interleavings that its machine happens to produce. Loom runs each model below under *every* interleaving
//! of its threads, up to a number of preemptions, and under every order in which weak memory lets the threads see each other's
//! writes. `LOOM_MAX_PREEMPTIONS=3 cargo test --test loom` allows one preemption more than most models here, and takes some
//! minutes.
//!
//! The files themselves are checked, not copies. They take everything that crosses threads from `crate::base::sync`. Here that
//! module has loom's atomics and loom's mutex. No `--cfg loom` is needed.
//!
//! **The promise.** If a thread writes something and then wakes a task, a later poll of the task sees the write. The model of a
//! loop below takes a turn and parks, as the real one does: it takes wake-ups until there are none, polls the task once if one of
//! them was for it, and parks if none was. It ends when a poll has seen everything. If a wake-up is lost, it sleeps for ever, and
//! loom reports a deadlock.
//!
//! **What a model cannot show.** Loom never lets a load see a store that is made later. So it would not notice if the loop cleared
//! a mark without releasing what it had read of the entry before (`Entry::below`).
#![cfg(not(loopwheel_traced))] // there is no loop to observe

mod base {
    pub(crate) mod sync {
        use std::time::Duration;

        pub(crate) use loom::sync::MutexGuard;
        use loom::sync::{Condvar, Mutex as LoomMutex};

        /// std's, because loom's cannot hold a trait object, which a host's callback is. Its count is not part of what is checked.
        pub(crate) use std::sync::Arc;

        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};

        /// std's `park`, made of loom's mutex: loom's own `unpark` also wakes a thread that joins another.
        #[derive(Clone)]
        pub(crate) struct Thread(Arc<(LoomMutex<bool>, Condvar)>);

        loom::thread_local! {
            static THIS: Thread = Thread(Arc::new((LoomMutex::new(false), Condvar::new())));
        }

        pub(crate) fn current() -> Thread {
            THIS.with(Thread::clone)
        }

        pub(crate) fn park() {
            let Thread(this) = current();
            let mut token = this.0.lock().unwrap();
            while !*token {
                token = this.1.wait(token).unwrap();
            }
            *token = false;
        }

        impl Thread {
            pub(crate) fn unpark(&self) {
                *self.0.0.lock().unwrap() = true;
                self.0.1.notify_one();
            }
        }

        /// A model has no time: the timeout never passes.
        pub(crate) fn park_timeout(_timeout: Duration) {
            park();
        }

        #[derive(Debug, Default)]
        pub(crate) struct Mutex<T>(LoomMutex<T>);

        impl<T> Mutex<T> {
            pub(crate) fn new(value: T) -> Mutex<T> {
                Mutex(LoomMutex::new(value))
            }

            pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
                self.0.lock().unwrap()
            }
        }
    }

    pub(crate) mod segments {
        /// It has all the slots that the models use from the start. The real one uses std's `OnceLock`, which is not checked.
        #[derive(Debug)]
        pub(crate) struct Segments<T>([T; 2]);

        impl<T: Default> Segments<T> {
            pub(crate) fn new() -> Segments<T> {
                Segments([T::default(), T::default()])
            }

            pub(crate) fn get(&self, index: usize) -> &T {
                &self.0[index]
            }
        }
    }

    pub(crate) mod id {
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub(crate) struct TaskId {
            pub(crate) slot: u32,
            pub(crate) generation: u32,
        }

        impl TaskId {
            pub(crate) fn slot(self) -> u32 {
                self.slot
            }

            pub(crate) fn generation(self) -> u32 {
                self.generation
            }
        }
    }
}

/// What is noted for an exploration is not checked.
mod cells {
    pub(crate) fn look_at_everything() {}
}

/// A task's waker, which unparks the thread that plays the executor.
mod kept_waker {
    use crate::base::sync::{Arc, Thread};

    pub(crate) struct GuardedWaker(pub(crate) Thread);

    impl GuardedWaker {
        #[allow(clippy::needless_pass_by_value)] // as that of the crate
        pub(crate) fn wake(this: Arc<GuardedWaker>) {
            this.0.unpark();
        }
    }
}

#[path = "../src/mailbox/inbox.rs"]
mod inbox;
#[path = "../src/mailbox/notifier.rs"]
mod notifier;
#[path = "../src/thread_channel/shared.rs"]
#[allow(dead_code)] // what a dump asks
mod shared;

use std::iter;
use std::time::Duration;

use base::id::TaskId;
use base::sync::{AtomicBool, Ordering, current, park};
use inbox::{Inbox, Wake};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use notifier::Notifier;
use shared::{IsAwaited, Nothing, Placed, Refused, Shared, Wakes};

const TASK: TaskId = TaskId { slot: 1, generation: 1 };
/// The task that was in the slot before.
const EARLIER_TASK: TaskId = TaskId { slot: 1, generation: 7 };
const EARLIEST_TASK: TaskId = TaskId { slot: 1, generation: 8 };
const NEIGHBOUR: TaskId = TaskId { slot: 0, generation: 1 };

/// Several threads write the notes, and a task reads them. All accesses are relaxed: the only order is that of the inbox.
#[derive(Clone)]
struct Notes(Arc<Vec<AtomicBool>>);

impl Notes {
    fn new(len: usize) -> Notes {
        Notes(Arc::new((0..len).map(|_| AtomicBool::new(false)).collect()))
    }

    fn write(&self, index: usize) {
        self.0[index].store(true, Ordering::Relaxed);
    }

    /// A poll of the task: true if it sees all notes.
    fn poll(&self) -> bool {
        self.0.iter().all(|note| note.load(Ordering::Relaxed))
    }
}

/// An inbox and a notifier, as in `src/mailbox/registry.rs`.
#[derive(Default)]
struct Mailbox {
    inbox: Inbox,
    notifier: Notifier,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.notifier.clear();
    }
}

impl Mailbox {
    fn post(&self, id: TaskId) {
        if self.inbox.post(id) {
            self.notifier.notify().unwrap();
        }
    }

    /// Parks. Returns the wake-up that was in the inbox, if there was one: then it has not slept.
    fn park(&self, timeout: Option<Duration>) -> Option<TaskId> {
        let mut wake = None;
        self.notifier.park(timeout, || {
            wake = self.take();
            wake.is_some()
        });
        wake
    }

    fn take(&self) -> Option<TaskId> {
        self.inbox.take().map(|Wake { slot, generation }| TaskId { slot, generation })
    }
}

/// The loop takes turns, and parks between them, until a poll of `task` has seen all notes.
fn run(mailbox: &Mailbox, task: TaskId, notes: &Notes, timeout: Option<Duration>) {
    loop {
        let mut is_ready = false;
        while let Some(id) = mailbox.take() {
            is_ready |= id == task;
        }
        if !is_ready {
            is_ready = mailbox.park(timeout) == Some(task);
        }
        if is_ready && notes.poll() {
            return;
        }
    }
}

/// A thread that, for each index, writes that note and wakes the task.
fn writer(
    mailbox: &Arc<Mailbox>,
    notes: &Notes,
    indices: std::ops::Range<usize>,
) -> JoinHandle<()> {
    let (mailbox, notes) = (mailbox.clone(), notes.clone());
    thread::spawn(move || {
        for index in indices {
            notes.write(index);
            mailbox.post(TASK);
        }
    })
}

/// A thread that wakes a task.
fn poster(mailbox: &Arc<Mailbox>, id: TaskId) -> JoinHandle<()> {
    let mailbox = mailbox.clone();
    thread::spawn(move || mailbox.post(id))
}

fn join_all(threads: [JoinHandle<()>; 2]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn open_mailbox() -> Arc<Mailbox> {
    let mailbox = Mailbox::default();
    mailbox.inbox.open();
    Arc::new(mailbox)
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

#[test]
fn two_threads_wake_one_task_and_neither_is_lost() {
    check(3, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(2));
        let writers = [writer(&mailbox, &notes, 0..1), writer(&mailbox, &notes, 1..2)];
        run(&mailbox, TASK, &notes, None);
        join_all(writers);
    });
}

#[test]
fn threads_that_wake_again_and_again_are_not_lost() {
    check(2, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(4));
        let writers = [writer(&mailbox, &notes, 0..2), writer(&mailbox, &notes, 2..4)];
        run(&mailbox, TASK, &notes, None);
        join_all(writers);
    });
}

#[test]
fn a_stale_waker_of_the_slot_loses_no_wake_up() {
    check(2, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(2));
        let writers = [writer(&mailbox, &notes, 0..1), writer(&mailbox, &notes, 1..2)];
        let stale = poster(&mailbox, EARLIER_TASK);
        run(&mailbox, TASK, &notes, None);
        join_all(writers);
        stale.join().unwrap();
    });
}

#[test]
fn a_wake_up_of_another_slot_loses_no_wake_up() {
    check(2, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(2));
        let writers = [writer(&mailbox, &notes, 0..1), writer(&mailbox, &notes, 1..2)];
        let neighbour = poster(&mailbox, NEIGHBOUR);
        run(&mailbox, TASK, &notes, None);
        join_all(writers);
        neighbour.join().unwrap();
    });
}

/// A wake-up that displaces another carries it on.
#[test]
fn wake_ups_of_three_generations_of_a_slot_are_all_taken_and_none_is_made_up() {
    check(2, || {
        let mailbox = open_mailbox();
        let threads = [poster(&mailbox, EARLIER_TASK), poster(&mailbox, EARLIEST_TASK)];
        mailbox.post(TASK);
        let mut taken: Vec<_> = iter::from_fn(|| mailbox.take()).collect();
        join_all(threads);
        taken.extend(iter::from_fn(|| mailbox.take()));
        taken.sort_by_key(|id| id.generation);
        assert_eq!(taken, [TASK, EARLIER_TASK, EARLIEST_TASK]);
    });
}

#[test]
fn a_displaced_wake_up_brings_what_its_sender_wrote() {
    check(3, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(1));
        let threads = [writer(&mailbox, &notes, 0..1), poster(&mailbox, EARLIER_TASK)];
        while mailbox.take().or_else(|| mailbox.park(None)) != Some(TASK) {}
        assert!(notes.poll());
        join_all(threads);
    });
}

/// Two tasks are woken again and again by two threads: entries are pushed while the loop takes and reverses the stack, and are
/// pushed anew as soon as they are open.
#[test]
fn two_threads_wake_two_tasks_and_every_wake_up_is_taken() {
    check(2, || {
        let (mailbox, notes) = (open_mailbox(), [Notes::new(2), Notes::new(2)]);
        let threads = [0, 1].map(|index| {
            let (mailbox, notes) = (mailbox.clone(), notes.clone());
            thread::spawn(move || {
                for (task, notes) in [TASK, NEIGHBOUR].into_iter().zip(&notes) {
                    notes.write(index);
                    mailbox.post(task);
                }
            })
        });
        let mut done = [false; 2];
        while done != [true; 2] {
            let Some(id) = mailbox.take().or_else(|| mailbox.park(None)) else { continue };
            let index = usize::from(id == NEIGHBOUR);
            done[index] |= notes[index].poll();
        }
        join_all(threads);
    });
}

#[test]
fn wake_ups_are_taken_oldest_first() {
    check(3, || {
        let mailbox = open_mailbox();
        let thread = thread::spawn({
            let mailbox = mailbox.clone();
            move || [NEIGHBOUR, TASK].map(|id| mailbox.post(id))
        });
        let mut taken: Vec<_> = mailbox.take().into_iter().collect();
        thread.join().unwrap();
        mailbox.post(NEIGHBOUR); // coalesced if it has not been taken, or the last one
        let was_taken = !taken.is_empty();
        taken.extend(iter::from_fn(|| mailbox.take()));
        let expected: &[_] =
            if was_taken { &[NEIGHBOUR, TASK, NEIGHBOUR] } else { &[NEIGHBOUR, TASK] };
        assert_eq!(taken, expected);
    });
}

/// What a busy loop relies on to hear of a wake-up before its next check.
#[test]
fn what_was_posted_and_not_taken_shows_at_a_glance() {
    check(3, || {
        let mailbox = open_mailbox();
        let posters = [poster(&mailbox, TASK), poster(&mailbox, NEIGHBOUR)];
        let early: Vec<_> = iter::from_fn(|| mailbox.take()).collect();
        join_all(posters);
        assert_eq!(mailbox.inbox.has_posted(), early.len() < 2);
        let late = iter::from_fn(|| mailbox.take()).count();
        assert_eq!(early.len() + late, 2);
        assert!(!mailbox.inbox.has_more());
    });
}

/// A loop is dropped and another takes over its mailbox, while `earlier`, a task of the first loop, is woken.
fn a_loop_takes_over(earlier: TaskId) {
    check(2, move || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(2));
        let late = poster(&mailbox, earlier);
        mailbox.post(earlier); // a wake-up that the first loop never took
        mailbox.inbox.close();
        mailbox.inbox.open();
        // There are no wakers of the new task before this.
        let writer = writer(&mailbox, &notes, 0..2);
        run(&mailbox, TASK, &notes, None);
        writer.join().unwrap();
        late.join().unwrap();
    });
}

#[test]
fn a_new_loop_loses_nothing_while_wakers_of_the_last_one_are_used() {
    a_loop_takes_over(EARLIER_TASK);
}

/// When generations wrap around, no wake-up is lost either.
#[test]
fn a_new_loop_loses_nothing_even_if_its_task_has_an_id_that_was_used_before() {
    a_loop_takes_over(TASK);
}

#[test]
fn a_closed_inbox_drops_wakes() {
    check(2, || {
        let mailbox = open_mailbox();
        mailbox.inbox.close();
        poster(&mailbox, TASK).join().unwrap();
        assert_eq!(mailbox.inbox.take(), None);
    });
}

#[test]
fn a_park_with_a_time_limit_takes_wakes_like_any_other() {
    check(2, || {
        let (mailbox, notes) = (open_mailbox(), Notes::new(2));
        let writer = writer(&mailbox, &notes, 0..2);
        run(&mailbox, TASK, &notes, Some(Duration::from_secs(1)));
        writer.join().unwrap();
    });
}

/// A host that drives a loop: it takes a turn, and sleeps until the notifier calls it. It must not sleep beside a wake-up.
///
/// The wake-ups are relaxed flags without an inbox: the notifier may not rely on an order that the inbox gives.
#[test]
fn a_host_never_sleeps_beside_a_wake_up() {
    check(3, || {
        let (notifier, wakes) = (Arc::new(Notifier::default()), Notes::new(2));
        let host = std::sync::Arc::new(Host::default());
        let called = host.clone();
        notifier.set_host(std::sync::Arc::new(move || called.call()));
        let senders = [0, 1].map(|index| {
            let (notifier, wakes) = (notifier.clone(), wakes.clone());
            thread::spawn(move || {
                wakes.write(index);
                notifier.notify().unwrap();
            })
        });
        let (mut turns, mut answered) = (0, 0);
        loop {
            turns += 1;
            notifier.arm();
            if wakes.poll() {
                break;
            }
            host.sleep(&mut answered);
        }
        join_all(senders);
        assert!(*host.calls.lock().unwrap() <= turns, "at most once until the next turn");
    });
}

/// The host's side of the notifier: it counts the calls.
#[derive(Default)]
struct Host {
    calls: loom::sync::Mutex<u32>,
    came: loom::sync::Condvar,
}

impl Host {
    fn call(&self) {
        *self.calls.lock().unwrap() += 1;
        self.came.notify_one();
    }

    /// Sleeps until it was called more often than `answered` says.
    fn sleep(&self, answered: &mut u32) {
        let mut calls = self.calls.lock().unwrap();
        while *calls == *answered {
            calls = self.came.wait(calls).unwrap();
        }
        *answered = *calls;
    }
}

/// A channel from threads, and a loop with one task that receives. A poke is a flag that the loop waits for: what a poke has to
/// bring about is checked by the models above.
struct Channel {
    shared: Shared<u32>,
    pokes: Host,
}

impl Channel {
    /// With so many senders.
    fn new(capacity: usize, senders: usize) -> Arc<Channel> {
        let channel = Channel { shared: Shared::new(capacity), pokes: Host::default() };
        (1..senders).for_each(|_| channel.shared.add_sender());
        Arc::new(channel)
    }

    fn poke_if(&self, IsAwaited(is_awaited): IsAwaited) {
        if is_awaited {
            self.pokes.call();
        }
    }

    /// A thread that sends these items, blocking. It returns how many were taken.
    fn sender(channel: &Arc<Channel>, items: std::ops::Range<u32>) -> JoinHandle<usize> {
        let channel = channel.clone();
        thread::spawn(move || {
            let sent = items.map_while(|item| channel.shared.push_blocking(item).ok());
            let sent = sent.map(|awaited| channel.poke_if(awaited)).count();
            channel.poke_if(channel.shared.remove_sender());
            sent
        })
    }

    /// A task of another loop that sends these items, and gives the last one up if it has to wait. It returns how many went in.
    fn async_sender(channel: &Arc<Channel>, items: std::ops::Range<u32>) -> JoinHandle<usize> {
        let channel = channel.clone();
        let wakes = || Wakes::Task(base::sync::Arc::new(kept_waker::GuardedWaker(current())));
        thread::spawn(move || {
            let mut sent = 0;
            for item in items.clone() {
                let mut placed = channel.shared.push_or_wait(item, wakes()).unwrap();
                if let Placed::InLine(wait) = placed
                    && item + 1 == items.end
                    && channel.shared.withdraw(wait).is_some()
                {
                    break;
                }
                while let Placed::InLine(wait) = placed {
                    park();
                    placed = channel.shared.look_after(wait, Some(wakes())).unwrap();
                }
                if let Placed::Inside(awaited) = placed {
                    channel.poke_if(awaited);
                }
                sent += 1;
            }
            channel.poke_if(channel.shared.remove_sender());
            sent
        })
    }

    /// The task: it looks, waits in line, and looks again when it is called. It ends when no item will come any more.
    fn receive_all(&self) -> Vec<u32> {
        let (mut received, mut answered) = (Vec::new(), 0);
        loop {
            match self.shared.take() {
                Ok((item, awaited)) => {
                    received.push(item);
                    self.poke_if(awaited);
                }
                Err(Nothing::AnyMore) => return received,
                Err(Nothing::Yet) if self.shared.begin_wait() => assert!(self.is_called()),
                Err(Nothing::Yet) => loop {
                    self.pokes.sleep(&mut answered);
                    if self.is_called() {
                        break;
                    }
                },
            }
        }
    }

    fn is_called(&self) -> bool {
        self.shared.take_arrived() > 0
    }
}

#[test]
fn a_channel_brings_every_item_in_the_order_of_its_thread_and_ends_with_its_senders() {
    check(2, || {
        let channel = Channel::new(1, 2);
        let senders = [0..2, 10..12].map(|items| Channel::sender(&channel, items));
        let received = channel.receive_all();
        for (sender, items) in senders.into_iter().zip([[0, 1], [10, 11]]) {
            assert_eq!(sender.join().unwrap(), 2);
            let own: Vec<_> =
                received.iter().copied().filter(|item| item / 10 == items[0] / 10).collect();
            assert_eq!(own, items);
        }
        assert_eq!(received.len(), 4);
    });
}

#[test]
fn a_task_that_sends_takes_its_turn_and_one_that_gives_up_takes_its_item_away() {
    check(2, || {
        let channel = Channel::new(1, 2);
        let blocking = Channel::sender(&channel, 0..2);
        let giving_up = Channel::async_sender(&channel, 10..12);
        let received = channel.receive_all();
        assert_eq!(blocking.join().unwrap(), 2);
        let sent = giving_up.join().unwrap();
        let own = |from| received.iter().filter(|&&item| item / 10 == from).count();
        assert_eq!((own(0), own(1)), (2, sent), "{received:?}");
        assert!(received.iter().filter(|&&item| item < 10).is_sorted());
        assert!(received.iter().filter(|&&item| item >= 10).is_sorted());
    });
}

#[test]
fn a_channel_that_is_closed_lets_every_blocked_thread_go_on() {
    check(3, || {
        let channel = Channel::new(1, 2);
        let senders = [0..2, 10..12].map(|items| Channel::sender(&channel, items));
        let first = channel.shared.take();
        channel.shared.close();
        let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        let left = channel.shared.take_all().len();
        assert_eq!(sent, left + usize::from(first.is_ok()), "each item is sent, or comes back");
        assert_eq!(channel.shared.push(1), Err(Refused::Closed(1)));
    });
}

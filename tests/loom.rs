//! The wake-up protocols of `src/engine/inbox.rs` and `src/engine/hook.rs`, and the reason of a cancel (`reason.rs`), model-checked: loom runs each model below under every
//! interleaving of its threads in which at most so many times one is torn away from what it is doing, and under every
//! order in which weak memory lets them see each other's writes. `LOOM_MAX_PREEMPTIONS=3 cargo test --test loom` looks
//! further than the two that are usual, for some minutes.
//!
//! It is those very files that are checked. They take what crosses threads from their neighbours; so here they get other
//! neighbours of the same names: loom's atomics, and a channel made of loom's mutex. No `--cfg loom` is needed.
//!
//! **The promise.** Whoever writes something down and then wakes a task can rely on a poll that sees it. The model of
//! a loop below is a turn and a sleep, as in `turn.rs`: it takes letters until there are none, polls the task once if
//! one of them was for it, and sleeps if none was. It ends when a poll has seen everything. A wake-up that is lost
//! leaves it asleep for ever, and loom reports a deadlock.
//!
//! The channel is stronger than the real one in one respect: everybody who uses it passes through one mutex, so a
//! letter brings along the writes of whoever used the channel before. The coalescing cannot lean on that: whose
//! wake-up is coalesced does not touch the channel.

mod sync {
    use std::collections::VecDeque;
    use std::time::Duration;

    use loom::sync::{Condvar, Mutex as LoomMutex, MutexGuard};

    /// std's: what the hook calls is a trait object, which loom's cannot hold. No count of it is in a race here.
    pub(crate) use std::sync::Arc;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

    /// std's `park`, made of loom's mutex: loom's own `unpark` also wakes a thread that is waiting for another's end.
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

    /// A model has no time: the deadline never comes.
    pub(crate) fn park_timeout(_timeout: Duration) {
        park();
    }

    #[derive(Default)]
    pub(crate) struct Mutex<T>(LoomMutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    type Queue<T> = Arc<LoomMutex<VecDeque<T>>>;

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Queue<T>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Queue<T>);

    #[derive(Debug)]
    pub(crate) struct Empty;

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let queue = Queue::default();
        (Sender(queue.clone()), Receiver(queue))
    }

    impl<T> Sender<T> {
        #[allow(clippy::unnecessary_wraps)] // the real one's signature
        pub(crate) fn send(&self, letter: T) -> Result<(), Empty> {
            self.0.lock().unwrap().push_back(letter);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, Empty> {
            self.0.lock().unwrap().pop_front().ok_or(Empty)
        }
    }
}

mod segments {
    /// As many slots as the models use, there from the start: the real table is std's `OnceLock`, not ours to check.
    #[derive(Debug)]
    pub(crate) struct Segments<T>([T; 2]);

    impl<T: Default> Segments<T> {
        pub(crate) fn new() -> Segments<T> {
            Segments([T::default(), T::default()])
        }

        pub(crate) fn get(&self, number: usize) -> &T {
            &self.0[number]
        }
    }
}

mod waker {
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

#[path = "../src/engine/hook.rs"]
mod hook;
#[path = "../src/engine/inbox.rs"]
#[allow(dead_code)] // the flag is a hint, on which nothing rests
mod inbox;
#[path = "../src/engine/reason.rs"]
#[allow(dead_code)] // no task is cancelled here
mod reason;

use std::time::Duration;

use hook::Hook;
use inbox::Inbox;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use sync::{AtomicBool, Ordering};
use waker::TaskId;

const TENANT: TaskId = TaskId { slot: 1, generation: 1 };
/// Who had the tenant's slot before.
const EARLIER_TENANT: TaskId = TaskId { slot: 1, generation: 7 };
const NEIGHBOUR: TaskId = TaskId { slot: 0, generation: 1 };

/// What several threads write down for a task to read. No order but that of the inbox: all accesses are relaxed.
#[derive(Clone)]
struct Notes(Arc<Vec<AtomicBool>>);

impl Notes {
    fn new(len: usize) -> Notes {
        Notes(Arc::new((0..len).map(|_| AtomicBool::new(false)).collect()))
    }

    fn write(&self, which: usize) {
        self.0[which].store(true, Ordering::Relaxed);
    }

    /// The task's poll: true if it finds everything there.
    fn poll(&self) -> bool {
        self.0.iter().all(|note| note.load(Ordering::Relaxed))
    }
}

/// What leads to a loop: inbox and hook, as in `registry.rs`.
#[derive(Default)]
struct Door {
    inbox: Inbox,
    hook: Hook,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.hook.clear();
    }
}

impl Door {
    fn post(&self, id: TaskId) {
        if self.inbox.post(id) {
            self.hook.letter_came().unwrap();
        }
    }

    /// A sleep, with the letter that was there or has woken it, if any.
    fn sleep(&self, timeout: Option<Duration>) -> Option<TaskId> {
        let mut letter = None;
        self.hook.sleep(timeout, || {
            letter = self.inbox.take();
            letter.is_some()
        });
        letter
    }
}

/// The loop: turns, and sleeps between them, until a poll of `tenant` has seen all notes.
fn run(door: &Door, tenant: TaskId, notes: &Notes, timeout: Option<Duration>) {
    loop {
        let mut is_ready = false;
        while let Some(id) = door.inbox.take() {
            is_ready |= id == tenant;
        }
        if !is_ready {
            is_ready = door.sleep(timeout) == Some(tenant);
        }
        if is_ready && notes.poll() {
            return;
        }
    }
}

/// A thread that writes a note and wakes the tenant, for each of `notes`.
fn writer(door: &Arc<Door>, notes: &Notes, which: std::ops::Range<usize>) -> JoinHandle<()> {
    let (door, notes) = (door.clone(), notes.clone());
    thread::spawn(move || {
        for which in which {
            notes.write(which);
            door.post(TENANT);
        }
    })
}

fn poster(door: &Arc<Door>, id: TaskId) -> JoinHandle<()> {
    let door = door.clone();
    thread::spawn(move || door.post(id))
}

fn join_all(threads: [JoinHandle<()>; 2]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn open_door() -> Arc<Door> {
    let door = Door::default();
    door.inbox.open();
    Arc::new(door)
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

#[test]
fn two_threads_wake_one_task_and_neither_is_lost() {
    check(3, || {
        let (door, notes) = (open_door(), Notes::new(2));
        let writers = [writer(&door, &notes, 0..1), writer(&door, &notes, 1..2)];
        run(&door, TENANT, &notes, None);
        join_all(writers);
    });
}

#[test]
fn threads_that_wake_again_and_again_are_not_lost() {
    check(2, || {
        let (door, notes) = (open_door(), Notes::new(4));
        let writers = [writer(&door, &notes, 0..2), writer(&door, &notes, 2..4)];
        run(&door, TENANT, &notes, None);
        join_all(writers);
    });
}

#[test]
fn a_stale_waker_of_the_slot_costs_nobody_a_wake_up() {
    check(2, || {
        let (door, notes) = (open_door(), Notes::new(2));
        let writers = [writer(&door, &notes, 0..1), writer(&door, &notes, 1..2)];
        let stale = poster(&door, EARLIER_TENANT);
        run(&door, TENANT, &notes, None);
        join_all(writers);
        stale.join().unwrap();
    });
}

#[test]
fn a_neighbour_costs_nobody_a_wake_up() {
    check(2, || {
        let (door, notes) = (open_door(), Notes::new(2));
        let writers = [writer(&door, &notes, 0..1), writer(&door, &notes, 1..2)];
        let neighbour = poster(&door, NEIGHBOUR);
        run(&door, TENANT, &notes, None);
        join_all(writers);
        neighbour.join().unwrap();
    });
}

/// One loop leaves, another moves in, and somebody still wakes a task of the first. `left_behind` is whom.
fn a_loop_moves_in(left_behind: TaskId) {
    check(2, move || {
        let (door, notes) = (open_door(), Notes::new(2));
        let late = poster(&door, left_behind);
        door.post(left_behind); // a letter that the first loop never took
        door.inbox.close();
        door.inbox.open();
        // Only now can there be wakers of the new tenant.
        let writer = writer(&door, &notes, 0..2);
        run(&door, TENANT, &notes, None);
        writer.join().unwrap();
        late.join().unwrap();
    });
}

#[test]
fn a_new_loop_loses_nothing_while_wakers_of_the_last_one_are_used() {
    a_loop_moves_in(EARLIER_TENANT);
}

/// Generations return some day: even then nobody is lost.
#[test]
fn a_new_loop_loses_nothing_although_its_task_has_a_number_that_was_used_before() {
    a_loop_moves_in(TENANT);
}

#[test]
fn a_closed_inbox_throws_letters_away() {
    check(2, || {
        let door = open_door();
        door.inbox.close();
        poster(&door, TENANT).join().unwrap();
        assert_eq!(door.inbox.take(), None);
    });
}

#[test]
fn a_sleep_with_a_time_limit_takes_letters_like_any_other() {
    check(2, || {
        let (door, notes) = (open_door(), Notes::new(2));
        let writer = writer(&door, &notes, 0..2);
        run(&door, TENANT, &notes, Some(Duration::from_secs(1)));
        writer.join().unwrap();
    });
}

/// A host that drives a loop: it turns, and sleeps until the hook is called. It must not sleep beside a letter.
///
/// The letters are bare relaxed flags: the promise must not lean on how the inbox orders things.
#[test]
fn a_host_never_sleeps_beside_a_letter() {
    check(3, || {
        let (hook, letters) = (Arc::new(Hook::default()), Notes::new(2));
        let host = std::sync::Arc::new(Host::default());
        let called = host.clone();
        hook.set_host(std::sync::Arc::new(move || called.call()));
        let senders = [0, 1].map(|which| {
            let (hook, letters) = (hook.clone(), letters.clone());
            thread::spawn(move || {
                letters.write(which);
                hook.letter_came().unwrap();
            })
        });
        let (mut turns, mut answered) = (0, 0);
        loop {
            turns += 1;
            hook.arm();
            if letters.poll() {
                break;
            }
            host.sleep(&mut answered);
        }
        join_all(senders);
        assert!(*host.calls.lock().unwrap() <= turns, "at most once until the next turn");
    });
}

/// Two threads ask at once why: the one string is made, read and freed by both.
#[test]
fn a_reason_that_two_threads_read_first_becomes_one_string() {
    loom::model(|| {
        let reason = Arc::new(reason::Reason::own(reason::Own::LimitUp, 7));
        let read = |reason: &reason::Reason| {
            let text = reason.text().unwrap();
            assert_eq!(text, "a time limit is up, in Task-7");
            text.as_ptr().addr()
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let reason = reason.clone();
                thread::spawn(move || {
                    let before = (*reason).clone();
                    let (address, of_clone) = (read(&reason), read(&before));
                    assert_eq!(address, read(&(*reason).clone()), "a clone shares what is there");
                    (address, of_clone)
                })
            })
            .collect();
        let read: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(read[0].0, read[1].0, "there is one string, whoever made it");
    });
}

/// The host's side of the hook: how often it was called.
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

    /// Until it was called more often than `answered` says.
    fn sleep(&self, answered: &mut u32) {
        let mut calls = self.calls.lock().unwrap();
        while *calls == *answered {
            calls = self.came.wait(calls).unwrap();
        }
        *answered = *calls;
    }
}

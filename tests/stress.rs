//! Runs threads against a loop, all at once: they wake, spawn, set timers and cancel. Nothing may be lost or done twice.
//!
//! `cargo test --release --test stress` makes two million wakes and 200,000 spawns. A debug build makes a tenth of that.

mod common;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

use common::{Watchdog, ms};
use loopwheel::errors::RemoteError;
use loopwheel::{
    Handle, RemoteTask, Task, create_task, run, sleep, to_thread, wait_for, yield_now,
};

const THREADS: u64 = 4;
const SPAWNS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
const WAKES_A_SPAWN: u64 = 10;
const WAKES: u64 = SPAWNS * WAKES_A_SPAWN;

/// Tasks that end when they have seen every one of their notes. A note is written, then the task is woken.
const READERS: u64 = 64;

/// Returns the reader that the note belongs to. The notes are well mixed.
fn reader_of(note: u64) -> usize {
    ((note.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % READERS) as usize
}

/// The threads and the loop share this. All accesses are relaxed, so the only order is that of the wake-ups.
struct Shared {
    notes: Arc<Vec<AtomicU64>>,
    wakers: Vec<Waker>,
    /// How often each task that was sent over has run to its end.
    ran: Vec<AtomicU8>,
}

/// Creates the readers on the loop, and their wakers.
fn readers(notes: &Arc<Vec<AtomicU64>>) -> (Vec<Task<u64>>, mpsc::Receiver<Waker>) {
    let (sender, wakers) = mpsc::channel();
    let reader = |reader: usize| {
        let (notes, sender) = (notes.clone(), sender.clone());
        let mut first = Some(sender);
        let all = (0..WAKES).filter(|&note| reader_of(note) == reader).count() as u64;
        create_task(poll_fn(move |cx| {
            if let Some(sender) = first.take() {
                sender.send(cx.waker().clone()).unwrap();
            }
            let seen = notes[reader].load(Ordering::Relaxed);
            if seen < all { Poll::Pending } else { Poll::Ready(seen - all) }
        }))
    };
    ((0..READERS as usize).map(reader).collect(), wakers)
}

/// Sends a task over from a thread: every fourth sleeps a little, and every sixteenth is cancelled at once.
fn send(handle: &Handle, shared: &Arc<Shared>, number: u64) -> RemoteTask<u64> {
    let shared = shared.clone();
    let make = move || async move {
        if number.is_multiple_of(4) {
            sleep(Duration::from_micros(number % 100)).await;
        }
        shared.ran[number as usize].fetch_add(1, Ordering::Relaxed);
        number
    };
    let task = handle.create_task(make).unwrap();
    if number.is_multiple_of(16) {
        task.cancel();
    }
    task
}

/// Runs one of the threads: its share of the spawns, and wakes between them. Returns how many of its tasks were cancelled.
fn attack(handle: &Handle, shared: &Arc<Shared>, thread: u64) -> u64 {
    let numbers = || (thread..SPAWNS).step_by(THREADS as usize);
    let mut tasks = Vec::new();
    for number in numbers() {
        tasks.push(send(handle, shared, number));
        for note in number * WAKES_A_SPAWN..(number + 1) * WAKES_A_SPAWN {
            let reader = reader_of(note);
            shared.notes[reader].fetch_add(1, Ordering::Relaxed);
            shared.wakers[reader].wake_by_ref();
        }
    }
    let mut cancelled = 0;
    for (number, task) in numbers().zip(tasks) {
        match task.wait() {
            Ok(value) => assert_eq!(value, number),
            Err(RemoteError::Cancelled(_)) if number.is_multiple_of(16) => cancelled += 1,
            Err(error) => panic!("task {number}: {error}"),
        }
    }
    cancelled
}

/// The loop does its own work meanwhile: time limits that do not expire, and sleeps that are cancelled.
async fn churn() {
    loop {
        wait_for(yield_now(), ms(10_000)).await.unwrap();
        let victim = create_task(sleep(ms(10_000)));
        yield_now().await;
        victim.cancel();
        assert!(victim.await.unwrap_err().is_cancelled());
    }
}

fn stress(with_churn: bool) {
    let _watchdog = Watchdog::new("the stress");
    run(async {
        let notes: Arc<Vec<_>> = Arc::new((0..READERS).map(|_| AtomicU64::new(0)).collect());
        let (readers, wakers) = readers(&notes);
        yield_now().await;
        let wakers: Vec<_> = wakers.try_iter().collect();
        let ran = (0..SPAWNS).map(|_| AtomicU8::new(0)).collect();
        let shared = Arc::new(Shared { notes, wakers, ran });
        let churn = with_churn.then(|| create_task(churn()));

        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (handle, shared) = (Handle::current(), shared.clone());
                to_thread(move || attack(&handle, &shared, thread))
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await, Ok(0), "so many more notes than were written");
        }
        let mut cancelled = 0;
        for thread in threads {
            cancelled += thread.await.unwrap();
        }
        if let Some(churn) = churn {
            churn.cancel();
            assert!(churn.await.unwrap_err().is_cancelled());
        }

        let ran =
            |times| shared.ran.iter().filter(|ran| ran.load(Ordering::Relaxed) == times).count();
        assert_eq!(ran(0) as u64, cancelled, "cancelled tasks never got to their end");
        assert_eq!(ran(1) as u64, SPAWNS - cancelled, "each of the others did, once");
        println!("{WAKES} wakes, {SPAWNS} spawns, {cancelled} of them cancelled");
    });
}

/// The loop sleeps on its inbox whenever it is through.
#[test]
fn nothing_is_lost_and_nothing_done_twice_while_the_loop_sleeps_between_wakes() {
    stress(false);
}

/// The loop is always busy: it looks at its inbox only now and then.
#[test]
fn nothing_is_lost_and_nothing_done_twice_while_the_loop_has_timers_and_cancels_of_its_own() {
    stress(true);
}

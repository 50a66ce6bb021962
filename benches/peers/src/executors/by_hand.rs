//! The executor that one writes oneself in an afternoon: `async-task` makes the tasks, a `VecDeque` is the queue, and
//! `async_io::block_on` sleeps. Timers, queue and semaphore are those of smol.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use async_task::{Runnable, Task};
use futures::task::AtomicWaker;

use crate::executor::Executor;
use crate::executors::smol_house::{MAKES_NO_TIMER, smol_house, smol_timers};
use crate::peer::Peer;

pub(crate) struct ByHand;

thread_local! {
    static IS_HOME: Cell<bool> = const { Cell::new(false) };
    static IS_ASLEEP: Cell<bool> = const { Cell::new(false) };
    static READY: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
}

/// What other threads have woken.
static INBOX: Mutex<VecDeque<Runnable>> = Mutex::new(VecDeque::new());
/// The loop, which sleeps. A timer wakes a task while it does.
static SLEEPER: AtomicWaker = AtomicWaker::new();

/// So many tasks run before timers and sockets have their turn, as with smol's.
const TURN: usize = 200;

pub(crate) fn peer() -> Peer {
    Peer::executor::<ByHand>("async-task by hand", "async-task")
        .timers::<ByHand>()
        .queue::<ByHand>()
        .semaphore::<ByHand>()
        .remark("timeout", MAKES_NO_TIMER)
        .remark("timeout-10k", MAKES_NO_TIMER)
}

fn schedule(runnable: Runnable) {
    if IS_HOME.get() {
        READY.with_borrow_mut(|ready| ready.push_back(runnable));
        if IS_ASLEEP.take() {
            SLEEPER.wake();
        }
    } else {
        INBOX.lock().unwrap_or_else(PoisonError::into_inner).push_back(runnable);
        SLEEPER.wake();
    }
}

/// Runs a turn of tasks. Whether there may be more.
fn turn() -> bool {
    let woken = take(&mut *INBOX.lock().unwrap_or_else(PoisonError::into_inner));
    READY.with_borrow_mut(|ready| ready.extend(woken));
    for _ in 0..TURN {
        let Some(runnable) = READY.with_borrow_mut(VecDeque::pop_front) else { return false };
        runnable.run();
    }
    true
}

impl Executor for ByHand {
    type Task<T: 'static> = Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        IS_HOME.set(true);
        let mut main = pin!(main);
        let output = async_io::block_on(poll_fn(|context| {
            IS_ASLEEP.set(false);
            SLEEPER.register(context.waker()); // before looking, or a wake is lost
            if let Poll::Ready(output) = main.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            if turn() {
                context.waker().wake_by_ref();
            } else {
                IS_ASLEEP.set(true);
            }
            Poll::Pending
        }));
        while !READY.take().is_empty() {} // what is dropped may wake others
        output
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        let (runnable, task) = async_task::spawn_local(future, schedule);
        runnable.schedule();
        task
    }

    fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> {
        task
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        Self::spawn(future).detach();
    }
}

smol_timers!(ByHand);
smol_house!(ByHand);

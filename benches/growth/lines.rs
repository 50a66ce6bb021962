//! Lines: many tasks wait at one primitive. They are served, or leave from the middle of the line.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopwheel::sync::{Condition, Event, Lock, Queue, Semaphore};
use loopwheel::{Task, create_task, yield_now};

use crate::bare;
use crate::table::Growth;

pub(crate) fn served(growth: &mut Growth) {
    let mut group = growth.group("waiters come and are served");
    group.row("Lock", are_served::<Rc<Lock>>);
    group.row("Semaphore", are_served::<Rc<Semaphore>>);
    group.row("Event", are_served::<Rc<Event>>);
    group.row("Condition", are_served::<Rc<Awaited>>);
    group.row("Queue", are_served::<Rc<Queue<usize>>>);
    group.bare("bare work", bare::made_and_run);
}

pub(crate) fn cancelled(growth: &mut Growth) {
    let mut group = growth.group("waiters are cancelled, from the middle on");
    group.row("Lock", leave::<Rc<Lock>>);
    group.row("Semaphore", leave::<Rc<Semaphore>>);
    group.row("Event", leave::<Rc<Event>>);
    group.row("Condition", leave::<Rc<Awaited>>);
    group.row("Queue", leave::<Rc<Queue<usize>>>);
    group.bare("bare work (a drop)", bare::dropped);
}

/// A primitive at which all tasks wait: how to create it, wait at it, and serve its waiters.
trait Line: Clone + 'static {
    fn new() -> Self;
    async fn wait(&self);
    /// Serves one more. Returns false if that was the last one.
    async fn serve(&self) -> bool;
}

impl Line for Rc<Lock> {
    fn new() -> Self {
        let lock = Lock::new();
        lock.acquire_nowait().expect("it is new").forget();
        Rc::new(lock)
    }
    async fn wait(&self) {
        drop(self.acquire().await);
    }
    async fn serve(&self) -> bool {
        self.release().expect("it was taken");
        false
    }
}

impl Line for Rc<Semaphore> {
    fn new() -> Self {
        Rc::new(Semaphore::new(0))
    }
    async fn wait(&self) {
        self.acquire().await.forget();
    }
    async fn serve(&self) -> bool {
        self.release();
        true
    }
}

impl Line for Rc<Event> {
    fn new() -> Self {
        Rc::new(Event::new())
    }
    async fn wait(&self) {
        Event::wait(self).await;
    }
    async fn serve(&self) -> bool {
        self.set();
        false
    }
}

/// A condition, and whether what is waited for is true.
type Awaited = (Condition, Cell<bool>);

impl Line for Rc<Awaited> {
    fn new() -> Self {
        Rc::default()
    }
    async fn wait(&self) {
        let (condition, is_true) = &**self;
        condition.acquire().await.wait_for(|| is_true.get()).await;
    }
    async fn serve(&self) -> bool {
        let (condition, is_true) = &**self;
        is_true.set(true);
        condition.acquire().await.notify_all();
        false
    }
}

/// Getters of an empty queue.
impl Line for Rc<Queue<usize>> {
    fn new() -> Self {
        Rc::new(Queue::unbounded())
    }
    async fn wait(&self) {
        self.get().await.expect("it is open");
    }
    async fn serve(&self) -> bool {
        self.put_nowait(1).expect("there is room");
        true
    }
}

/// Puts all tasks in line.
async fn line_up<L: Line>(line: &L, size: usize) -> Vec<Task<()>> {
    let tasks = (0..size).map(|_| {
        let line = line.clone();
        create_task(async move { line.wait().await })
    });
    let tasks = tasks.collect();
    yield_now().await;
    tasks
}

/// All tasks come, wait and are served.
async fn are_served<L: Line>(size: usize) -> Duration {
    let line = L::new();
    let begun = Instant::now();
    let tasks = line_up(&line, size).await;
    serve(&line, size).await;
    for task in tasks {
        task.await.expect("it is served");
    }
    begun.elapsed()
}

/// All tasks come, then leave one by one, from the middle outwards.
async fn leave<L: Line>(size: usize) -> Duration {
    let line = L::new();
    let mut tasks = line_up(&line, size).await;
    let mut right = tasks.split_off(size / 2).into_iter();
    let mut left = tasks.into_iter().rev();
    let begun = Instant::now();
    let mut gone = Vec::with_capacity(size);
    while let Some(task) = right.next().or_else(|| left.next()) {
        task.cancel();
        gone.push(task);
        if gone.len() % 64 == 0 {
            yield_now().await;
        }
    }
    for task in gone {
        assert!(task.await.is_err());
    }
    begun.elapsed()
}

async fn serve<L: Line>(line: &L, size: usize) {
    for _ in 0..size {
        if !line.serve().await {
            break;
        }
    }
    yield_now().await;
}

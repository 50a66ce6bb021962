//! How cost grows with the number of those who wait: it must not, beyond what caches cost.
//!
//! `cargo bench --bench growth`. Nanoseconds per item, the median of some repetitions, for crowds of tasks (`gather`,
//! `wait`, `as_completed`) and for waiters in one line, who are served, or leave from the middle of it. Anything quadratic
//! would show as a row that grows a hundredfold from column to column.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopwheel::sync::{Condition, Event, Lock, Queue, Semaphore};
use loopwheel::{
    AllCompleted, EventLoop, Task, VirtualClock, as_completed, create_task, gather, wait, yield_now,
};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Each cell takes about so long.
const BUDGET: Duration = Duration::from_millis(400);

/// The median of what `once` takes, per item. `once` measures the part that counts by itself.
fn median<F: Future<Output = Duration>>(size: usize, once: impl Fn(usize) -> F) -> u128 {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || (begun.elapsed() < BUDGET && times.len() < 1_000) {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        times.push(event_loop.run_until_complete(once(size)));
    }
    times.sort_unstable();
    times[times.len() / 2].as_nanos() / size as u128
}

fn row<F: Future<Output = Duration>>(what: &str, once: impl Fn(usize) -> F) {
    print!("{what:<40}");
    for size in SIZES {
        print!("{:>10}", median(size, &once));
    }
    println!();
}

// ---- Crowds: the tasks are made, run and gathered

async fn child(number: usize) -> usize {
    yield_now().await;
    number
}

async fn gathers(size: usize) -> Duration {
    let begun = Instant::now();
    let numbers = gather((0..size).map(child)).await;
    assert_eq!(numbers.len(), size);
    begun.elapsed()
}

async fn waits(size: usize) -> Duration {
    let begun = Instant::now();
    let tasks = (0..size).map(|number| create_task(child(number)));
    let (done, rest) = wait(tasks, AllCompleted).await;
    assert!(done.len() == size && rest.is_empty());
    begun.elapsed()
}

async fn completes(size: usize) -> Duration {
    let begun = Instant::now();
    let mut completed = as_completed((0..size).map(|number| create_task(child(number))));
    let mut sum = 0;
    while let Some(task) = completed.next().await {
        sum += task.await.expect("it has a value");
    }
    assert_eq!(sum, size * (size - 1) / 2);
    begun.elapsed()
}

async fn awaits_one_by_one(size: usize) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..size).map(|number| create_task(child(number))).collect();
    for task in tasks {
        task.await.expect("it has a value");
    }
    begun.elapsed()
}

// ---- Lines: `size` tasks wait at one primitive

/// Makes a primitive at which everybody waits, who waits there, and what serves them all.
trait Line: Clone + 'static {
    fn new() -> Self;
    async fn wait(&self);
    /// Serves one more; false if that served everybody.
    async fn serve(&self) -> bool;
}

impl Line for Rc<Lock> {
    fn new() -> Self {
        let lock = Lock::new();
        lock.try_acquire().expect("it is new").forget();
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

/// All of them in line.
async fn line_up<L: Line>(line: &L, size: usize) -> Vec<Task<()>> {
    let tasks = (0..size).map(|_| {
        let line = line.clone();
        create_task(async move { line.wait().await })
    });
    let tasks = tasks.collect();
    yield_now().await;
    tasks
}

/// All come, wait and are served.
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

/// All come; then they leave one by one, from the middle outwards.
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

fn main() {
    let begun = Instant::now();
    println!("nanoseconds per item");
    print!("{:<40}", "items");
    for size in SIZES {
        print!("{size:>10}");
    }
    println!();
    row("tasks awaited one by one", awaits_one_by_one);
    row("gather", gathers);
    row("wait(AllCompleted)", waits);
    row("as_completed", completes);
    row("a lock: wait and be served", are_served::<Rc<Lock>>);
    row("a semaphore: wait and be served", are_served::<Rc<Semaphore>>);
    row("an event: wait and be served", are_served::<Rc<Event>>);
    row("a condition: wait and be served", are_served::<Rc<Awaited>>);
    row("a queue: wait and be served", are_served::<Rc<Queue<usize>>>);
    row("a lock: cancelled in the middle", leave::<Rc<Lock>>);
    row("a semaphore: cancelled in the middle", leave::<Rc<Semaphore>>);
    row("an event: cancelled in the middle", leave::<Rc<Event>>);
    row("a condition: cancelled in the middle", leave::<Rc<Awaited>>);
    row("a queue: cancelled in the middle", leave::<Rc<Queue<usize>>>);
    println!("in {:.1} s", begun.elapsed().as_secs_f64());
}

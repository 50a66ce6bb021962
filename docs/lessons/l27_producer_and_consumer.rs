//! # L27: producer and consumer
//!
//! A producer puts twenty items into a queue that holds five; a consumer takes them out and needs 0.1 s for each.
//! When all have been processed the consumer, which would wait for more forever, is cancelled.
//!
//! [`Queue`] works as in asyncio: `put` waits while it is full, `get` while it is empty. `get` says only that a task
//! *has* an item; `task_done` says that the item has been processed, and `join` waits until that has been said of
//! every item.
//!
//! The points to notice: the producer takes no time itself, but still does not finish at once. The full queue holds
//! it back, so never more than five items wait, however fast it is. And `join` is why the cancel is safe: after it
//! neither the queue nor the consumer has an item that could be lost.
//!
//! Step through it: `docs/players/l27_producer_and_consumer.html`, in any browser.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Queue;
use loopwheel::{create_task, now, sleep};

const ITEMS: usize = 20;

/// How often each item has been processed.
type Processed = Rc<RefCell<[u32; ITEMS]>>;

async fn produce(queue: Rc<Queue<usize>>) -> usize {
    let mut longest = 0;
    for item in 0..ITEMS {
        queue.put(item).await.unwrap();
        longest = longest.max(queue.len());
    }
    longest
}

async fn consume(queue: Rc<Queue<usize>>, processed: Processed) {
    while let Ok(item) = queue.get().await {
        sleep(Duration::from_millis(100)).await;
        processed.borrow_mut()[item] += 1;
        queue.task_done().unwrap();
    }
}

/// Passes twenty items through a queue of five.
pub async fn lesson() {
    let start = now();
    let queue = Rc::new(Queue::bounded(5));
    let processed = Processed::default();
    let producer = create_task(produce(queue.clone()));
    let consumer = create_task(consume(queue.clone(), processed.clone()));

    let longest = producer.await.unwrap();
    println!("All have been put after {:.1}s", (now() - start).as_secs_f64());
    println!("Most in the queue: {longest}");

    queue.join().await;
    let secs = (now() - start).as_secs_f64();
    let processed = *processed.borrow();
    println!("Processed {} items in {secs:.1}s", processed.iter().sum::<u32>());
    println!("Each of them once: {}", processed.iter().all(|&times| times == 1));
    println!("Left in the queue: {}", queue.len());

    consumer.cancel();
    match consumer.await {
        Err(error) if error.is_cancelled() => println!("Consumer: cancelled"),
        outcome => println!("Consumer: {outcome:?}"),
    }
}

fn main() {
    loopwheel::run(lesson());
}

//! What the three forms of tokio have in common: its timers, its queue, its semaphore.

/// Timers, queue and semaphore of `tokio` for an executor.
macro_rules! tokio_house {
    ($executor:ty) => {
        impl crate::executor::Timers for $executor {
            fn sleep(duration: std::time::Duration) -> impl Future<Output = ()> + 'static {
                tokio::time::sleep(duration)
            }

            async fn time_out<T>(
                limit: std::time::Duration,
                future: impl Future<Output = T>,
            ) -> Option<T> {
                tokio::time::timeout(limit, future).await.ok()
            }
        }

        impl crate::executor::Queue for $executor {
            type Sender = tokio::sync::mpsc::Sender<u64>;
            type Receiver = tokio::sync::mpsc::Receiver<u64>;

            fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
                tokio::sync::mpsc::channel(capacity)
            }

            async fn put(sender: &mut Self::Sender, item: u64) {
                sender.send(item).await.expect("the receiver lives");
            }

            async fn get(receiver: &mut Self::Receiver) -> u64 {
                receiver.recv().await.expect("the sender lives")
            }
        }

        impl crate::executor::Semaphore for $executor {
            type Semaphore = tokio::sync::Semaphore;

            fn semaphore(permits: usize) -> Self::Semaphore {
                tokio::sync::Semaphore::new(permits)
            }

            async fn acquire(semaphore: &Self::Semaphore) -> impl Sized {
                semaphore.acquire().await.expect("nothing closes it")
            }
        }
    };
}

pub(crate) use tokio_house;

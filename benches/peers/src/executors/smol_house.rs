//! What smol's executors have in common: `async-io`'s timers, `async-channel`, `async-lock`.

/// As smol's documentation writes a time limit, `or` polls the future first, and that was all.
pub(crate) const MAKES_NO_TIMER: &str = "the future was ready: no timer is even made";

/// Timers, queue and semaphore of smol's house for an executor.
macro_rules! smol_house {
    ($executor:ty) => {
        impl crate::executor::Timers for $executor {
            fn sleep(duration: std::time::Duration) -> impl Future<Output = ()> + 'static {
                async move {
                    async_io::Timer::after(duration).await;
                }
            }

            fn time_out<T>(
                limit: std::time::Duration,
                future: impl Future<Output = T>,
            ) -> impl Future<Output = Option<T>> {
                futures_lite::future::or(async { Some(future.await) }, async move {
                    async_io::Timer::after(limit).await;
                    None
                })
            }
        }

        impl crate::executor::Queue for $executor {
            type Sender = async_channel::Sender<u64>;
            type Receiver = async_channel::Receiver<u64>;

            fn queue(capacity: usize) -> (Self::Sender, Self::Receiver) {
                async_channel::bounded(capacity)
            }

            async fn put(sender: &mut Self::Sender, item: u64) {
                sender.send(item).await.expect("the receiver lives");
            }

            async fn get(receiver: &mut Self::Receiver) -> u64 {
                receiver.recv().await.expect("the sender lives")
            }
        }

        impl crate::executor::Semaphore for $executor {
            type Semaphore = async_lock::Semaphore;

            fn semaphore(permits: usize) -> Self::Semaphore {
                async_lock::Semaphore::new(permits)
            }

            fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
                semaphore.acquire()
            }
        }
    };
}

pub(crate) use smol_house;

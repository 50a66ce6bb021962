//! What smol's executors have in common: `async-io`'s timers, `async-channel`, `async-lock`, `async-net`.

/// As smol's documentation writes a time limit, `or` polls the future first, and that was all.
pub(crate) const MAKES_NO_TIMER: &str = "the future was ready: no timer is even made";

/// `async-io`'s timers for an executor.
macro_rules! smol_timers {
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
    };
}

pub(crate) use smol_timers;

/// Queue and semaphore of smol's house for an executor.
macro_rules! smol_house {
    ($executor:ty) => {
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

/// The sockets of `async-net` for an executor.
macro_rules! smol_sockets {
    ($executor:ty) => {
        impl crate::executor::Sockets for $executor {
            type Listener = async_net::TcpListener;
            type Stream = async_net::TcpStream;

            fn listen() -> std::io::Result<(Self::Listener, std::net::SocketAddr)> {
                let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
                let address = listener.local_addr()?;
                Ok((Self::Listener::try_from(listener)?, address))
            }

            async fn accept(listener: &mut Self::Listener) -> std::io::Result<Self::Stream> {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }

            async fn read(
                stream: &mut Self::Stream,
                mut buffer: Vec<u8>,
            ) -> std::io::Result<(usize, Vec<u8>)> {
                let read = futures_lite::AsyncReadExt::read(stream, &mut buffer).await?;
                Ok((read, buffer))
            }

            async fn write_all(
                stream: &mut Self::Stream,
                buffer: Vec<u8>,
                length: usize,
            ) -> std::io::Result<Vec<u8>> {
                futures_lite::AsyncWriteExt::write_all(stream, &buffer[..length]).await?;
                Ok(buffer)
            }
        }

        impl crate::executor::Http for $executor {
            fn for_hyper(
                stream: Self::Stream,
            ) -> impl hyper::rt::Read + hyper::rt::Write + Unpin + 'static {
                smol_hyper::rt::FuturesIo::new(stream)
            }
        }
    };
}

pub(crate) use smol_sockets;

//! What the three forms of tokio have in common: its timers, its queue, its semaphore, its sockets.

/// Timers, queue, semaphore and sockets of `tokio` for an executor, which has a function `run_on` that takes a builder.
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

        impl crate::executor::Sockets for $executor {
            type Listener = tokio::net::TcpListener;
            type Stream = tokio::net::TcpStream;

            fn run_with_sockets<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
                Self::run_on(tokio::runtime::Builder::new_current_thread().enable_all(), main)
            }

            fn listen() -> std::io::Result<(Self::Listener, std::net::SocketAddr)> {
                let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                Ok((Self::Listener::from_std(listener)?, address))
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
                let read = tokio::io::AsyncReadExt::read(stream, &mut buffer).await?;
                Ok((read, buffer))
            }

            async fn write_all(
                stream: &mut Self::Stream,
                buffer: Vec<u8>,
                length: usize,
            ) -> std::io::Result<Vec<u8>> {
                tokio::io::AsyncWriteExt::write_all(stream, &buffer[..length]).await?;
                Ok(buffer)
            }
        }

        impl crate::executor::Http for $executor {
            fn for_hyper(
                stream: Self::Stream,
            ) -> impl hyper::rt::Read + hyper::rt::Write + Unpin + 'static {
                hyper_util::rt::TokioIo::new(stream)
            }
        }
    };
}

pub(crate) use tokio_house;

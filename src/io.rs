//! **Sockets**: a loop that waits in `async-io`'s reactor. Feature `async-io`.
//!
//! The sockets of `async-net`, the processes of `async-process`, and everything else built on `async-io`, also run on
//! [`run`](crate::run()). Then a thread of `async-io` waits for them and wakes the loop's thread. Here the loop's own thread
//! waits for them, which saves two switches of threads for each message. (If several threads wait in `async-io`, one of them
//! waits for all.) Nothing else changes: the same loop, in the same order,
//! with the same errors.
//!
//! ```
//! use async_net::{TcpListener, TcpStream};
//! use futures::{AsyncReadExt, AsyncWriteExt};
//! use loopwheel::create_task;
//!
//! let heard = loopwheel::io::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     drop(create_task(async move {
//!         let (mut stream, _) = listener.accept().await?;
//!         stream.write_all(b"hello").await
//!     }));
//!     let mut heard = String::new();
//!     TcpStream::connect(address).await?.read_to_string(&mut heard).await?;
//!     Ok::<_, std::io::Error>(heard)
//! });
//! assert_eq!(heard.unwrap(), "hello");
//! ```
//!
//! [`builder`] makes a loop with settings. `docs/ecosystem.md` lists the crates that were tried.
//!
//! It stands on `base`, `error`, the kernel, `kept_waker`, `mailbox`, `parking` and `run`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant as StdInstant};

use async_io::Timer;

use crate::error::RunError;
use crate::kept_waker::GuardedWaker;
use crate::kernel::current;
use crate::run::{AfterAWhile, EventLoop, EventLoopBuilder};

/// Runs `main` on a new loop that waits for sockets itself. Otherwise as [`run`](crate::run()).
///
/// # Panics
/// As [`run`](crate::run()).
///
/// # Examples
/// ```
/// use async_net::UdpSocket;
///
/// let heard = loopwheel::io::run(async {
///     let (here, there) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
///     there.send_to(b"hello", here.local_addr()?).await?;
///     let mut buffer = [0; 16];
///     let (length, _) = here.recv_from(&mut buffer).await?;
///     Ok::<_, std::io::Error>(buffer[..length].to_vec())
/// });
/// assert_eq!(heard.unwrap(), b"hello");
/// ```
///
/// # In asyncio
/// `asyncio.run(main())`.
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    builder().build().run(main)
}

/// Like [`run`], with errors in place of the panics.
///
/// # Errors
/// [`RunError`].
#[track_caller]
pub fn try_run<F: Future>(main: F) -> Result<F::Output, RunError> {
    builder().try_build()?.try_run(main)
}

/// A builder for a loop that waits for sockets itself, with settings. When it runs, it replaces the
/// [wake hook](EventLoopBuilder::wake_hook).
///
/// The loop waits in that way in `run`, `run_until_complete`, `cancel_all` and their `try_` forms. A host that turns it, or drives
/// it, waits by itself. On a [`VirtualClock`](crate::VirtualClock) it waits before time jumps, at first
/// for a second, as the page of [`run_virtual`](crate::run_virtual#sockets-and-other-threads) says.
///
/// # Examples
/// ```
/// let mut event_loop = loopwheel::io::builder().name("server").debug(true).build();
/// event_loop.run(async_io::Timer::after(std::time::Duration::from_millis(1)));
/// ```
///
/// # In asyncio
/// `SelectorEventLoop()`.
pub fn builder() -> EventLoopBuilder {
    EventLoop::builder().wait_in(turn_until)
}

/// Turns the loop until `done`, and waits in `async_io::block_on` when there is nothing to do.
fn turn_until(event_loop: &EventLoop, done: &mut dyn FnMut() -> bool) -> Result<(), RunError> {
    let engine = event_loop.engine();
    let (mut waker, mut timer, mut sleeping) = (None, ReactorTimer::default(), None);
    // Outside of the loop: a wake-up by the reactor is one from outside, and calls the hook, which ends the wait.
    current::outside(|| {
        async_io::block_on(poll_fn(|cx| {
            keep_waker(event_loop, &mut waker, cx.waker());
            let turned = engine.enter(|| {
                if let Some(sleeping) = sleeping.take() {
                    engine.end_sleep(&sleeping);
                }
                let turned = event_loop.turn_for_a_while(done);
                if matches!(turned, Ok(AfterAWhile::Sleep { .. })) {
                    sleeping = Some(engine.begin_sleep());
                }
                turned
            });
            match turned {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(AfterAWhile::Done) => return Poll::Ready(Ok(())),
                Ok(AfterAWhile::Sleep { at_most: None }) => {}
                Ok(AfterAWhile::Sleep { at_most: Some(time) })
                    if timer.poll_after(time, cx).is_pending() => {}
                // Not in this poll: `block_on` looks at the sockets first.
                Ok(AfterAWhile::TurnAgain | AfterAWhile::Sleep { .. }) => cx.waker().wake_by_ref(),
            }
            Poll::Pending
        }))
    })
}

/// Makes the wake hook wake this waker from now on.
fn keep_waker(event_loop: &EventLoop, kept: &mut Option<Arc<GuardedWaker>>, waker: &Waker) {
    if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        let to_wake = waker.clone();
        *kept = Some(GuardedWaker::of(waker));
        event_loop.engine().set_on_wake(Arc::new(move || to_wake.wake_by_ref()));
    }
}

/// A timer of the reactor. Setting one costs two system calls. So a timer that fires early enough is kept: firing early does no
/// harm, and a server that renews its limits would otherwise set one for each message.
#[derive(Default)]
struct ReactorTimer(Option<(StdInstant, Timer)>);

impl ReactorTimer {
    /// Ready when so much time has passed, or earlier. Until then the task is woken when it has.
    fn poll_after(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        // The reactor knows no other clock.
        let Some(deadline) = StdInstant::now().checked_add(time) else { return Poll::Pending }; // never
        self.0.take_if(|(set_to, _)| deadline < *set_to);
        let (_, timer) = self.0.get_or_insert_with(|| (deadline, Timer::at(deadline)));
        let polled = Pin::new(timer).poll(cx).map(drop);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

//! Tests what the senders of a `thread_channel` promise that wait for room: their order, and the sends of tasks.

mod common;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{Watchdog, turns};
use loopwheel::errors::{RecvNowaitError, SendError, SendNowaitError};
use loopwheel::{
    EventLoop, LoopReceiver, ThreadSender, catch_cancel, create_task, finally, run, run_virtual,
    thread_channel, yield_now,
};

/// Turns the loop until so many senders wait for room.
async fn until_blocked(receiver: &LoopReceiver<u32>, senders: u32) {
    while !format!("{receiver:?}").contains(&format!("blocked: {senders}")) {
        yield_now().await;
    }
}

fn thread_that_sends(sender: &ThreadSender<u32>, number: u32) -> thread::JoinHandle<()> {
    let sender = sender.clone();
    thread::spawn(move || sender.send(number).unwrap())
}

fn loop_that_sends(sender: &ThreadSender<u32>, number: u32) -> thread::JoinHandle<()> {
    let sender = sender.clone();
    thread::spawn(move || run(async move { sender.send_async(number).await.unwrap() }))
}

#[test]
fn the_first_sender_that_waits_sends_first_thread_or_task_even_if_it_wakes_early() {
    let _watchdog = Watchdog::new("the_first_sender_that_waits_sends_first");
    run(async {
        let (sender, receiver) = thread_channel(1);
        sender.send_nowait(0).unwrap();
        let mut threads = vec![];
        for number in 1..=6 {
            let send = if number % 2 == 0 { loop_that_sends } else { thread_that_sends };
            threads.push(send(&sender, number));
            until_blocked(&receiver, number).await;
        }
        for _ in 0..100 {
            for thread in &threads {
                thread.thread().unpark(); // too early
            }
            yield_now().await;
        }
        for number in 0..=6 {
            assert_eq!(receiver.recv().await, Some(number));
            let passes = sender.send_nowait(99).is_ok();
            assert_eq!(passes, number == 6, "the room belongs to the first in the line");
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_task_that_sends_to_a_full_channel_waits_and_does_not_block_its_loop() {
    let _watchdog = Watchdog::new("a_task_that_sends_to_a_full_channel_waits");
    run(async {
        let (sender, receiver) = thread_channel(2);
        let (to_test, others) = mpsc::channel();
        let thread = thread::spawn(move || {
            run(async move {
                let other = create_task(async move {
                    while to_test.send(()).is_ok() {
                        yield_now().await;
                    }
                });
                for number in 0..100_u32 {
                    sender.send_async(number).await.unwrap();
                }
                drop(sender);
                other.await.unwrap();
            });
        });
        until_blocked(&receiver, 1).await;
        (0..10).for_each(|_| others.recv().unwrap()); // the loop of the sender goes on
        for number in 0..100 {
            assert_eq!(receiver.recv().await, Some(number));
        }
        drop(others);
        assert_eq!(receiver.recv().await, None);
        thread.join().unwrap();
    });
}

#[test]
fn a_task_that_waits_for_room_gets_its_item_back_when_the_receiver_or_the_loop_is_gone() {
    let _watchdog = Watchdog::new("a_task_that_waits_for_room_gets_its_item_back");
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        assert_eq!(sender.send_async("in").await, Ok(()));
        let task = {
            let sender = sender.clone();
            create_task(async move { sender.send_async("waits").await })
        };
        turns(2).await;
        drop(receiver);
        assert_eq!(task.await, Ok(Err(SendError("waits"))));
        assert_eq!(sender.send_async("late").await, Err(SendError("late")));

        let other = EventLoop::new();
        let (sender, receiver) = other.thread_channel(1);
        sender.send_nowait("in").unwrap();
        let task = create_task(async move { sender.send_async("waits").await });
        turns(2).await;
        drop(other);
        assert_eq!(task.await, Ok(Err(SendError("waits"))));
        assert_eq!(receiver.recv_nowait(), Ok("in"));
        assert_eq!(receiver.recv_nowait(), Err(RecvNowaitError::Over), "and not the other");
    });
}

#[test]
fn a_send_that_is_cancelled_in_any_state_loses_its_own_item_at_most_and_keeps_no_place() {
    let _watchdog = Watchdog::new("a_send_that_is_cancelled_in_any_state");
    // The cancel comes so many turns after the room: in the line, let in, done.
    for (after, hard) in (0..4).flat_map(|after| [(after, false), (after, true)]) {
        run_virtual(async {
            let dropped = Arc::new(AtomicUsize::new(0));
            struct Item(u32, Arc<AtomicUsize>);
            impl Drop for Item {
                fn drop(&mut self) {
                    self.1.fetch_add(1, Ordering::SeqCst);
                }
            }
            let item = |number| Item(number, dropped.clone());
            let (sender, receiver) = thread_channel(1);
            assert!(sender.send_nowait(item(0)).is_ok());
            let sends = |number| {
                let (sender, item) = (sender.clone(), item(number));
                async move { sender.send_async(item).await.is_ok() }
            };
            let slot = Rc::new(RefCell::new(Some(Box::pin(sends(1)))));
            let polled = slot.clone();
            let first = create_task(poll_fn(move |cx| {
                let mut slot = polled.borrow_mut();
                slot.as_mut().map_or(Poll::Ready(true), |send| send.as_mut().poll(cx))
            }));
            yield_now().await;
            let second = create_task(sends(2));
            yield_now().await;
            if after > 0 {
                assert_eq!(receiver.recv_nowait().map(|item| item.0), Ok(0));
                turns(after - 1).await;
            }
            if !hard {
                first.cancel();
                yield_now().await;
            }
            drop((slot.take(), sender));
            let mut got = vec![];
            while let Some(item) = receiver.recv().await {
                got.push(item.0);
            }
            let all: &[u32] = if after == 0 { &[0, 2] } else { &[1, 2] };
            assert_eq!(got, all, "{after} {hard}");
            assert_eq!(second.await, Ok(true));
            first.cancel();
            drop(first.await);
            assert_eq!(dropped.load(Ordering::SeqCst), 3, "each once");
        });
    }
}

#[test]
fn a_cancelled_send_gives_its_place_up_before_its_task_has_cleaned_up() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        sender.send_nowait("in").unwrap();
        let (open, opened) = (loopwheel::sync::Promise::new(), loopwheel::sync::Promise::new());
        let wait = opened.clone();
        let task = {
            let sender = sender.clone();
            create_task(async move {
                let cleans_up = finally(std::future::pending::<()>(), async || wait.wait().await);
                futures::join!(sender.send_async("given up"), cleans_up).0
            })
        };
        turns(2).await;
        task.cancel();
        let other = create_task(async move {
            sender.send_async("behind it").await.unwrap();
            open.set(()).unwrap();
        });
        turns(2).await;
        assert_eq!(receiver.recv().await, Some("in"));
        assert_eq!(receiver.recv().await, Some("behind it"));
        other.await.unwrap();
        assert!(!task.is_done());
        opened.set(()).unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn a_task_that_catches_the_cancel_sends_on() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        sender.send_nowait(1).unwrap();
        let task = create_task(async move {
            assert!(catch_cancel(sender.send_async(2)).await.is_err());
            sender.send_async(3).await
        });
        yield_now().await;
        task.cancel();
        turns(2).await;
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.recv().await, None);
        assert_eq!(task.await, Ok(Ok(())));
    });
}

#[test]
fn any_executor_on_any_thread_can_send() {
    fn on_any_thread<F: Future + Send>(future: F) -> F {
        future
    }
    let _watchdog = Watchdog::new("any_executor_on_any_thread_can_send");
    run(async {
        let (sender, receiver) = thread_channel(1);
        let thread = thread::spawn(move || {
            futures::executor::block_on(on_any_thread(async move {
                for number in 0..50 {
                    sender.send_async(number).await.unwrap();
                }
            }));
        });
        for number in 0..50 {
            assert_eq!(receiver.recv().await, Some(number));
        }
        thread.join().unwrap();
    });
}

#[test]
fn an_item_that_is_let_in_is_told_to_the_task_that_waits_for_it() {
    let _watchdog = Watchdog::new("an_item_that_is_let_in_is_told");
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        let receiver = Rc::new(receiver);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                create_task(async move { receiver.recv().await })
            })
            .collect();
        turns(2).await;
        sender.send_nowait(0).unwrap(); // one task is called
        let sends = [1, 2].map(|number| {
            let sender = sender.clone();
            create_task(async move { sender.send_async(number).await })
        });
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await, Ok(Some(number)));
        }
        for send in sends {
            assert_eq!(send.await, Ok(Ok(())));
        }
    });
}

#[test]
fn a_forgotten_send_keeps_its_place_and_its_item_goes_in() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        sender.send_nowait(1).unwrap();
        let mut sending = Box::pin(async move { sender.send_async(2).await });
        assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        std::mem::forget(sending);
        assert_eq!(receiver.recv_nowait(), Ok(1));
        assert_eq!(receiver.recv_nowait(), Ok(2));
    });
}

#[test]
fn send_nowait_does_not_overtake_and_says_that_the_channel_is_full() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        sender.send_nowait(1).unwrap();
        let mut send = pin!(sender.send_async(2));
        assert!(poll_fn(|cx| Poll::Ready(send.as_mut().poll(cx).is_pending())).await);
        assert_eq!(receiver.recv_nowait(), Ok(1));
        assert_eq!(sender.send_nowait(3), Err(SendNowaitError::Full(3)));
        assert_eq!(send.await, Ok(()));
    });
}

#[test]
fn poll_recv_is_recv_for_futures_that_are_written_by_hand() {
    run_virtual(async {
        let (sender, mut receiver) = thread_channel(1_000);
        let first = create_task(async move {
            let mut got = vec![];
            while let Some(number) = poll_fn(|cx| receiver.poll_recv(cx)).await {
                got.push(number);
            }
            got
        });
        turns(2).await;
        sender.send_nowait(0).unwrap();
        turns(3).await;
        (1..=200).for_each(|number| sender.send_nowait(number).unwrap());
        turns(2).await;
        assert!(!first.is_done(), "after 64 items other tasks run");
        drop(sender);
        assert_eq!(first.await, Ok((0..=200).collect()));
    });
}

#[test]
fn a_poll_recv_that_is_given_up_keeps_no_item_from_the_next_recv() {
    run_virtual(async {
        let (sender, mut receiver) = thread_channel(4);
        let pending = poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx).is_pending()));
        assert!(pending.await);
        let task = create_task(async move { receiver.recv().await });
        turns(2).await;
        sender.send_nowait(1).unwrap();
        turns(4).await;
        assert!(task.is_done(), "the call went to it");
        assert_eq!(task.await, Ok(Some(1)));
    });
}

#[cfg(feature = "futures")]
#[test]
fn a_receiver_is_a_stream_that_ends_with_its_senders_and_a_next_that_is_cancelled_loses_nothing() {
    use futures::StreamExt;
    let _watchdog = Watchdog::new("a_receiver_is_a_stream");
    run_virtual(async {
        let (sender, mut receiver) = thread_channel(4);
        let task = create_task(async move {
            assert!(catch_cancel(receiver.next()).await.is_err());
            receiver.map(|number| number * 10).collect::<Vec<_>>().await
        });
        turns(2).await;
        sender.send_nowait(1).unwrap();
        task.cancel();
        turns(3).await;
        sender.send_nowait(2).unwrap();
        drop(sender);
        assert_eq!(task.await, Ok(vec![10, 20]));
    });
}

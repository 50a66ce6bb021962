//! Tests the channel from threads to the loop: `thread_channel`.

mod common;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use common::{Watchdog, ms, turns, watched_loop};
use loopwheel::errors::{RecvNowaitError, SendError, SendNowaitError};
use loopwheel::sync::Event;
use loopwheel::{
    EventLoop, LoopReceiver, RunError, ThreadSender, catch_cancel, create_task, dump, run,
    run_virtual, thread_channel, to_thread, try_run, wait_for, yield_now,
};

/// Sends these numbers from a thread of its own, which then drops its sender.
fn send_all(sender: &ThreadSender<u32>, numbers: std::ops::Range<u32>) -> thread::JoinHandle<u32> {
    let sender = sender.clone();
    thread::spawn(move || numbers.map_while(|number| sender.send(number).ok()).count() as u32)
}

/// Turns the loop until the threads have filled the channel.
async fn until_full(receiver: &LoopReceiver<u32>) {
    while receiver.len() < receiver.capacity() {
        yield_now().await;
    }
}

#[test]
fn items_of_each_thread_arrive_in_its_order_and_the_end_of_the_senders_ends_the_channel() {
    let _watchdog = Watchdog::new("items_of_each_thread_arrive_in_its_order");
    for capacity in [1, 3, usize::MAX] {
        run(async {
            let (sender, receiver) = thread_channel(capacity);
            for thread in 0..4 {
                send_all(&sender, thread * 10_000..thread * 10_000 + 1_000);
            }
            drop(sender);
            let mut next = [0; 4];
            while let Some(number) = receiver.recv().await {
                let thread = (number / 10_000) as usize;
                assert_eq!(number % 10_000, next[thread]);
                next[thread] += 1;
            }
            assert_eq!(next, [1_000; 4]);
            assert_eq!(receiver.recv_nowait(), Err(RecvNowaitError::Over));
            assert_eq!(receiver.recv().await, None, "again");
        });
    }
}

#[test]
fn a_thread_that_sends_to_a_full_channel_waits_for_room() {
    let _watchdog = Watchdog::new("a_thread_that_sends_to_a_full_channel_waits_for_room");
    run(async {
        let (sender, receiver) = thread_channel(2);
        let sent = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (sender, sent) = (sender.clone(), sent.clone());
            move || {
                for number in 0..100_usize {
                    sender.send(number).unwrap();
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        for got in 0..100 {
            assert_eq!(receiver.recv().await, Some(got));
            turns(3).await;
            assert!(sent.load(Ordering::SeqCst) <= got + 3, "two in the channel");
        }
        thread.join().unwrap();
        assert_eq!(sender.send_nowait(0), Ok(()));
    });
}

#[test]
fn send_nowait_and_recv_nowait_say_why_they_could_not() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        assert_eq!(receiver.recv_nowait(), Err(RecvNowaitError::Empty));
        assert_eq!(sender.send_nowait("one"), Ok(()));
        assert_eq!(sender.send_nowait("two"), Err(SendNowaitError::Full("two")));
        assert_eq!((receiver.len(), receiver.capacity(), receiver.senders()), (1, 1, 1));
        assert_eq!(receiver.recv_nowait(), Ok("one"));
        assert!(receiver.is_empty() && !sender.is_gone());
        let shown = format!("{sender:?} {receiver:?}");
        assert!(shown.contains("capacity: 1") && shown.contains("0 waiting"), "{shown}");
        drop(receiver);
        assert!(sender.is_gone());
        assert_eq!(sender.send_nowait("three"), Err(SendNowaitError::Gone("three")));
        let text = SendNowaitError::Full(()).to_string();
        assert!(text.contains("`send` blocks the thread until there is room"), "{text}");
        let text = SendError(()).to_string();
        assert!(text.contains("keep the receiver until"), "{text}");
    });
}

#[test]
fn a_blocked_thread_goes_on_when_the_receiver_is_dropped_and_gets_its_item_back() {
    let _watchdog = Watchdog::new("a_blocked_thread_goes_on_when_the_receiver_is_dropped");
    run(async {
        let (sender, receiver) = thread_channel(1);
        let threads = [send_all(&sender, 0..5), send_all(&sender, 5..10)];
        until_full(&receiver).await;
        drop(receiver);
        let sent: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sent, 1);
        assert!(sender.is_gone());
    });
}

#[test]
fn a_blocked_thread_goes_on_when_the_loop_is_dropped_though_the_receiver_stays() {
    let _watchdog = Watchdog::new("a_blocked_thread_goes_on_when_the_loop_is_dropped");
    let mut event_loop = EventLoop::new();
    let (sender, receiver) = event_loop.thread_channel(1);
    let thread = send_all(&sender, 7..10);
    event_loop.run_until_complete(until_full(&receiver));
    drop(event_loop);
    assert_eq!(thread.join().unwrap(), 1);
    assert_eq!(sender.send(1), Err(SendError(1)));
    // What had arrived is not lost.
    assert_eq!(receiver.recv_nowait(), Ok(7));
    assert_eq!(receiver.recv_nowait(), Err(RecvNowaitError::Over));
    run(async { assert_eq!(receiver.recv().await, None) });
}

#[test]
fn what_is_sent_to_a_loop_between_two_runs_waits_for_the_next_one() {
    let _watchdog = Watchdog::new("what_is_sent_to_a_loop_between_two_runs");
    let mut event_loop = EventLoop::new();
    let (sender, receiver) = event_loop.thread_channel(8);
    event_loop.run_until_complete(yield_now());
    send_all(&sender, 0..3).join().unwrap();
    sender.send(3).unwrap(); // there is room, so also on the loop's thread
    drop(sender);
    let got = event_loop.run_until_complete(async {
        let mut got = vec![];
        while let Some(number) = receiver.recv().await {
            got.push(number);
        }
        got
    });
    assert_eq!(got, [0, 1, 2, 3]);
}

#[test]
fn send_refuses_to_block_a_running_loop_and_the_thread_of_its_own() {
    let event_loop = EventLoop::new();
    let (sender, receiver) = event_loop.thread_channel(1);
    sender.send(1).unwrap();
    let message = |result: thread::Result<Result<(), SendError<i32>>>| {
        result.unwrap_err().downcast_ref::<&str>().unwrap().to_string()
    };
    let full = message(catch_unwind(AssertUnwindSafe(|| sender.send(2))));
    assert!(full.contains("for ever: turn that loop"), "{full}");
    let running = run(async { message(catch_unwind(AssertUnwindSafe(|| sender.send(2)))) });
    assert!(running.contains("await `send_async` there"), "{running}");
    assert_eq!(receiver.len(), 1);
    let none = catch_unwind(AssertUnwindSafe(|| event_loop.thread_channel::<()>(0))).unwrap_err();
    assert!(none.downcast_ref::<&str>().unwrap().contains("`thread_channel(1)`"));
}

#[test]
fn a_deadlock_is_noticed_when_all_senders_are_gone_and_not_before() {
    let _watchdog = Watchdog::new("a_deadlock_is_noticed_when_all_senders_are_gone");
    for _ in 0..50 {
        let got = Rc::new(Cell::new(0));
        let count = got.clone();
        let ended = try_run(async move {
            let (sender, receiver) = thread_channel(1);
            send_all(&sender, 0..10);
            drop(sender);
            while receiver.recv().await.is_some() {
                count.set(count.get() + 1);
            }
            let never = Event::new();
            let task = create_task(async move { receiver.recv().await });
            never.wait().await;
            drop(task);
        });
        let Err(RunError::Deadlock(deadlock)) = ended else { unreachable!("{ended:?}") };
        assert_eq!(got.get(), 10, "a living sender may wake the loop");
        assert_eq!(deadlock.waits().len(), 1, "{deadlock}");
        assert_eq!(deadlock.waits()[0].waits_for, ["event 2"]);
    }
}

#[test]
fn a_wait_that_is_cancelled_in_any_state_loses_no_item() {
    let _watchdog = Watchdog::new("a_wait_that_is_cancelled_in_any_state_loses_no_item");
    // The cancel comes so many turns after the item: in the line, poked, called, done.
    for (after, hard) in (0..6).flat_map(|after| [(after, false), (after, true)]) {
        run_virtual(async {
            let (sender, receiver) = thread_channel(4);
            let receiver = Rc::new(receiver);
            let got = Rc::new(RefCell::new(vec![]));
            let wait = {
                let (receiver, got) = (receiver.clone(), got.clone());
                async move {
                    let item = receiver.recv().await;
                    got.borrow_mut().extend(item);
                }
            };
            // In a slot, from which it can be taken and dropped while its task waits.
            let slot = Rc::new(RefCell::new(Some(Box::pin(wait))));
            let polled = slot.clone();
            let first = create_task(poll_fn(move |cx| {
                let mut slot = polled.borrow_mut();
                slot.as_mut().map_or(Poll::Ready(()), |wait| wait.as_mut().poll(cx))
            }));
            yield_now().await;
            let (receiver, got2) = (receiver.clone(), got.clone());
            let second = create_task(async move {
                while let Some(item) = receiver.recv().await {
                    got2.borrow_mut().push(item);
                }
            });
            yield_now().await;
            sender.send_nowait(1).unwrap();
            turns(after).await;
            if hard {
                drop(slot.take());
            } else {
                first.cancel();
            }
            turns(6).await;
            assert_eq!(*got.borrow(), [1], "{after} {hard}");
            sender.send_nowait(2).unwrap();
            drop(sender);
            assert!(wait_for(second, ms(1)).await.is_ok(), "{after} {hard}");
            assert_eq!(*got.borrow(), [1, 2], "{after} {hard}");
            first.cancel();
            let _ = first.await;
        });
    }
}

#[test]
fn a_task_that_catches_the_cancel_receives_on() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(4);
        let task = create_task(async move {
            assert!(catch_cancel(receiver.recv()).await.is_err());
            receiver.recv().await
        });
        yield_now().await;
        task.cancel();
        sender.send_nowait("kept").unwrap();
        assert_eq!(task.await, Ok(Some("kept")));
    });
}

#[test]
fn tasks_that_share_a_receiver_get_one_item_each_in_the_order_in_which_they_came() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(8);
        let (receiver, got) = (Rc::new(receiver), Rc::new(RefCell::new(vec![])));
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let (receiver, got) = (receiver.clone(), got.clone());
                create_task(async move {
                    let item = receiver.recv().await;
                    got.borrow_mut().push((task, item));
                })
            })
            .collect();
        turns(2).await;
        sender.send_nowait('a').unwrap();
        turns(4).await;
        assert_eq!(*got.borrow(), [(0, Some('a'))], "the others wait on");
        sender.send_nowait('b').unwrap();
        sender.send_nowait('c').unwrap();
        turns(4).await;
        assert_eq!(got.borrow()[1..], [(1, Some('b')), (2, Some('c'))]);
        drop(sender);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(got.borrow()[3], (3, None));
    });
}

#[test]
fn a_dump_says_how_many_senders_a_task_waits_for() {
    run_virtual(async {
        let (sender, receiver) = thread_channel::<u32>(4);
        let receiver = receiver.named("readings");
        assert_eq!(receiver.name().as_deref(), Some("readings"));
        let others = (sender.clone(), sender.clone());
        let (_other, unnamed) = thread_channel::<u32>(usize::MAX);
        let task = create_task(async move { receiver.recv().await });
        let other = create_task(async move { unnamed.recv().await });
        yield_now().await;
        let text = dump().to_string();
        assert!(
            text.contains("waits for an item of the channel \"readings\", 3 senders"),
            "{text}"
        );
        assert!(text.contains("waits for an item of channel 2, 1 sender"), "{text}");
        drop(others);
        let text = dump().to_string();
        let object = "the channel \"readings\": 0 of 4 items, 1 sender, created at ";
        assert!(text.contains(object), "{text}");
        drop(sender);
        assert_eq!(task.await, Ok(None));
        other.cancel();
    });
}

#[test]
fn the_items_that_are_left_are_dropped_once_each_even_if_destructors_panic_or_send() {
    struct Item(Arc<AtomicUsize>, bool, Option<ThreadSender<Item>>);
    impl Drop for Item {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            if let Some(sender) = &self.2 {
                let again = Item(self.0.clone(), false, None);
                assert!(matches!(sender.send_nowait(again), Err(SendNowaitError::Gone(_))));
            }
            assert!(!self.1, "an item's destructor panics");
        }
    }
    run_virtual(async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = thread_channel(4);
        for panics in [false, true, true] {
            let item = Item(dropped.clone(), panics, Some(sender.clone()));
            assert!(sender.send_nowait(item).is_ok());
        }
        let dropping = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
        assert!(dropping.is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 6, "three, and one that each tried to send");
    });
}

#[test]
fn a_foreign_waker_that_panics_or_drops_the_receiver_harms_nothing() {
    use std::task::{Context, Wake, Waker};
    thread_local! {
        static SHARED: RefCell<Option<Rc<LoopReceiver<u32>>>> = const { RefCell::new(None) };
    }
    struct Mean(bool);
    impl Wake for Mean {
        fn wake(self: Arc<Self>) {
            drop(SHARED.take());
            assert!(!self.0, "a foreign waker panics");
        }
    }
    for panics in [false, true] {
        let (mut event_loop, reports) = watched_loop();
        event_loop.run(async {
            let (sender, receiver) = thread_channel(4);
            let receiver = Rc::new(receiver);
            SHARED.set(Some(receiver.clone()));
            let mut waits = Box::pin({
                let receiver = receiver.clone();
                async move { receiver.recv().await }
            });
            let waker = Waker::from(Arc::new(Mean(panics)));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let task = create_task(async move { receiver.recv().await });
            yield_now().await;
            sender.send_nowait(1).unwrap();
            sender.send_nowait(2).unwrap();
            assert_eq!(wait_for(task, ms(1)).await.unwrap(), Ok(Some(1)));
            assert_eq!(waits.await, Some(2));
            assert!(sender.is_gone());
        });
        assert_eq!(reports.borrow().len(), usize::from(panics), "{reports:?}");
    }
}

#[test]
fn a_receiver_can_be_shared_with_a_task_of_another_loop_and_hears_of_the_end_of_its_own() {
    let _watchdog = Watchdog::new("a_receiver_of_another_loop");
    let first = EventLoop::new();
    let (sender, receiver) = first.thread_channel::<u32>(1);
    let kept = RefCell::new(Some(first));
    run(async {
        let waits = create_task(async move { receiver.recv().await });
        turns(2).await;
        assert!(!waits.is_done());
        drop(kept.take());
        assert_eq!(waits.await, Ok(None));
    });
    assert!(sender.is_gone());
}

#[test]
fn a_sender_may_be_dropped_by_any_thread_as_the_last_thing_of_its_loop() {
    let _watchdog = Watchdog::new("a_sender_may_be_dropped_by_any_thread");
    let (to_other, from_loop) = mpsc::channel();
    let thread = thread::spawn(move || {
        let senders: Vec<ThreadSender<u32>> = from_loop.iter().collect();
        senders.iter().all(ThreadSender::is_gone)
    });
    for _ in 0..20 {
        run(async {
            let (sender, receiver) = thread_channel(1);
            to_other.send(sender.clone()).unwrap();
            create_task(async move { receiver.recv().await });
            yield_now().await;
        });
    }
    drop(to_other);
    assert!(thread.join().unwrap());
}

#[test]
fn a_thread_of_to_thread_may_send_to_its_own_loop() {
    let _watchdog = Watchdog::new("a_thread_of_to_thread_may_send_to_its_own_loop");
    run_virtual(async {
        let (sender, receiver) = thread_channel(1);
        let work = to_thread(move || (0..10).all(|number| sender.send(number).is_ok()));
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            turns(2).await; // a sleep would not end: the clock stands still while that thread is at work
            sum += number;
        }
        assert_eq!((sum, work.await), (45, Ok(true)));
    });
}

#[test]
fn an_observer_is_told_what_came_by_a_channel_and_whom_it_woke() {
    use loopwheel::trace::What;
    let told = Rc::new(RefCell::new(vec![]));
    let sink = told.clone();
    let mut event_loop = EventLoop::builder()
        .clock(loopwheel::VirtualClock::new())
        .trace(move |event: &loopwheel::trace::Event| {
            let text = match &event.what {
                What::Object { object, kind, size, .. } => format!("{kind} {object} of {size:?}"),
                What::Put { items, .. } => format!("put, {items} in it"),
                What::Got { items, .. } => format!("got, {items} in it"),
                What::Waits { on } => format!("waits for {on:?}"),
                _ => return,
            };
            sink.borrow_mut().push(text);
        })
        .build();
    event_loop.run(async {
        let (sender, receiver) = thread_channel(4);
        let task = create_task(async move { receiver.recv().await });
        turns(1).await;
        sender.send_nowait(1).unwrap();
        sender.send_nowait(2).unwrap();
        assert_eq!(task.await, Ok(Some(1)));
    });
    let told = told.borrow();
    let told: Vec<_> = told.iter().filter(|text| !text.contains("Turn")).collect();
    assert_eq!(told[0], "channel 1 of Some(4)", "{told:?}");
    assert!(told[1].contains(r#"object: 1, of: "an item of ", kind: "channel""#), "{told:?}");
    assert!(told.iter().any(|text| **text == "put, 2 in it"), "{told:?}");
    assert!(told.iter().any(|text| **text == "got, 1 in it"), "{told:?}");
}

#[test]
fn a_task_that_finds_items_without_end_lets_others_run() {
    run_virtual(async {
        let (sender, receiver) = thread_channel(1_000);
        thread::spawn(move || (0..1_000).for_each(|n| sender.send(n).unwrap())).join().unwrap();
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let other = create_task(async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        while receiver.recv().await.is_some() {}
        assert_eq!(polls.get(), 1_000 / 64);
        other.cancel();
    });
}

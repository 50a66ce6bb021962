//! Channels, selects and tokens of other crates. They need no runtime, so most of this runs on virtual time.

use std::thread;

use futures::{FutureExt, SinkExt, StreamExt, pin_mut, select};
use loopwheel::{create_task, now, run_virtual, sleep, yield_now};
use tokio_util::sync::CancellationToken;

use crate::common::ms;
use crate::run;

#[test]
fn a_channel_of_async_channel_holds_back_a_fast_sender() {
    run_virtual(async {
        let (sender, receiver) = async_channel::bounded(2);
        let sending = create_task(async move {
            for number in 0..6 {
                sender.send(number).await.unwrap();
            }
            now().as_nanos() / 1_000_000
        });
        let mut got = vec![];
        while let Ok(number) = receiver.recv().await {
            got.push(number);
            sleep(ms(10)).await;
        }
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
        assert_eq!(sending.await, Ok(30));
    });
}

#[test]
fn channels_from_other_threads_wake_the_loop() {
    let (to_flume, flume) = flume::bounded(4);
    let (to_tokio, mut tokio) = tokio::sync::mpsc::channel(4);
    let (mut to_futures, mut futures) = futures::channel::mpsc::channel(4);
    let (to_async_channel, async_channel) = async_channel::bounded(4);
    let sender = thread::spawn(move || {
        for number in 1..=100_u64 {
            to_flume.send(number).unwrap();
            to_tokio.blocking_send(number).unwrap();
            to_async_channel.send_blocking(number).unwrap();
            while to_futures.try_send(number).is_err() {
                thread::yield_now();
            }
        }
    });
    let sums = run("channels", async move {
        let mut sums = [0; 4];
        for _ in 1..=100 {
            sums[0] += flume.recv_async().await.unwrap();
            sums[1] += tokio.recv().await.unwrap();
            sums[2] += async_channel.recv().await.unwrap();
            sums[3] += futures.next().await.unwrap();
        }
        assert!(flume.recv_async().await.is_err(), "the sender is gone");
        sums
    });
    sender.join().unwrap();
    assert_eq!(sums, [5_050; 4]);
}

#[test]
fn a_loop_answers_a_thread_by_a_channel() {
    let (mut to_loop, mut questions) = futures::channel::mpsc::channel(1);
    let (to_thread, answers) = flume::bounded(1);
    let asker = thread::spawn(move || {
        async_io::block_on(to_loop.send(21)).unwrap();
        answers.recv().unwrap()
    });
    run("answer", async move {
        let question: u32 = questions.next().await.unwrap();
        to_thread.send_async(question * 2).await.unwrap();
    });
    assert_eq!(asker.join().unwrap(), 42);
}

#[test]
fn select_of_futures_and_of_tokio_take_what_is_ready_first() {
    run_virtual(async {
        let (fast, slow) = (sleep(ms(3)).fuse(), sleep(ms(5)).fuse());
        pin_mut!(fast, slow);
        let first = select! {
            () = fast => "fast",
            () = slow => "slow",
        };
        let second = tokio::select! {
            () = sleep(ms(7)) => "limit",
            () = slow => "slow",
        };
        assert_eq!((first, second), ("fast", "slow"));
        assert_eq!(now().as_nanos(), 5_000_000);
    });
}

#[test]
fn a_token_of_tokio_util_tells_tasks_to_stop_and_they_end_in_their_own_way() {
    run_virtual(async {
        let token = CancellationToken::new();
        let workers: Vec<_> = (0..3)
            .map(|number| {
                let token = token.child_token();
                create_task(async move {
                    let work = token.run_until_cancelled(sleep(ms(1_000))).await;
                    sleep(ms(number)).await; // says goodbye, each as long as it needs
                    work.is_none()
                })
            })
            .collect();
        yield_now().await;
        token.cancel();
        for worker in workers {
            assert_eq!(worker.await, Ok(true));
        }
        assert_eq!(now().as_nanos(), 2_000_000);
    });
}

#[test]
fn a_token_that_another_thread_cancels_wakes_the_loop() {
    let token = CancellationToken::new();
    let canceller = token.clone();
    let thread = thread::spawn(move || canceller.cancel());
    run("token", token.cancelled());
    thread.join().unwrap();
}

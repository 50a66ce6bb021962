//! Tests foreign futures: joins, selects, streams, channels and reactors of other crates, around and beside our own.

#[path = "../common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use common::{Log, OnDrop, ms};
use event_listener::{Event as Listened, Listener};
use futures::channel::{mpsc, oneshot};
use futures::future::{self, Either};
use futures::stream::{self, FuturesUnordered};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, SinkExt, StreamExt};
use loopwheel::sync::{Lock, Queue, Semaphore};
use loopwheel::{
    TaskGroup, all_tasks, catch_cancel, create_task, gather, now, run, run_virtual, sleep,
    try_create_task, wait_for, yield_now,
};

async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

// ---- join and select

#[test]
fn a_foreign_join_runs_our_futures_at_the_same_time() {
    run_virtual(async {
        let task = create_task(after(4));
        let (one, two, three) = futures::join!(after(3), after(5), task);
        assert_eq!((one, two, three), (3, 5, Ok(4)));
        assert_eq!(now().as_nanos(), 5_000_000);
        assert_eq!(future::join_all((1..=5).map(after)).await, [1, 2, 3, 4, 5]);
        let failed = futures::try_join!(
            async {
                after(2).await;
                Err::<(), _>("broken")
            },
            async {
                after(50).await;
                Ok(())
            }
        );
        assert_eq!(failed, Err("broken"));
        assert_eq!(now().as_nanos(), 12_000_000);
    });
}

#[test]
fn a_cancel_goes_through_a_foreign_join_once_the_branch_that_catches_it_is_clean() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let plain = |name: &'static str| {
                    let guard = OnDrop(log.clone(), name);
                    async move {
                        let _guard = guard;
                        after(50).await
                    }
                };
                let catching = async {
                    let cancelled = catch_cancel(after(60)).await.unwrap_err();
                    log.add("cancelled");
                    sleep(ms(2)).await;
                    log.add("clean");
                    cancelled.reraise().await;
                };
                futures::join!(plain("dropped"), catching, plain("dropped"));
                log.add("never");
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        // The branch that catches has it. The others stay until it goes on, and end with the join.
        log.expect(&[(5, "cancelled"), (7, "clean"), (7, "dropped"), (7, "dropped"), (7, "ended")]);
    });
}

#[test]
fn a_foreign_select_takes_the_first_and_drops_the_others() {
    run_virtual(async {
        let log = Log::new();
        for _ in 0..100 {
            let guard = OnDrop(log.clone(), "slow one dropped");
            let slow = async move {
                let _guard = guard;
                after(50).await
            };
            futures::select! {
                millis = pin!(after(5).fuse()) => assert_eq!(millis, 5),
                _ = Box::pin(slow).fuse() => unreachable!("the other one is first"),
            }
        }
        assert_eq!(now().as_nanos(), 500_000_000);
        let first = future::select(Box::pin(after(7)), Box::pin(after(3))).await;
        assert!(matches!(first, Either::Right((3, _))));
    });
}

#[test]
fn what_loses_a_select_at_a_lock_or_a_semaphore_hands_its_turn_on() {
    run_virtual(async {
        let (lock, semaphore) = (Rc::new(Lock::new()), Rc::new(Semaphore::new(1)));
        let guard = lock.acquire().await;
        let permit = semaphore.acquire().await;
        let racer = {
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            create_task(async move {
                // Both become free at once, and one of them is not wanted any more.
                match future::select(pin!(lock.acquire()), pin!(semaphore.acquire())).await {
                    Either::Left(_) => "lock",
                    Either::Right(_) => "semaphore",
                }
            })
        };
        yield_now().await;
        let next = {
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            create_task(async move {
                drop(lock.acquire().await);
                drop(semaphore.acquire().await);
            })
        };
        yield_now().await;
        drop((guard, permit));
        assert_eq!(racer.await, Ok("lock"));
        wait_for(next, ms(10)).await.expect("nothing is lost").unwrap();
        assert!(!lock.is_locked());
        assert_eq!(semaphore.available(), 1);
    });
}

// ---- Streams

#[test]
fn futures_unordered_gives_our_futures_in_the_order_in_which_they_end() {
    run_virtual(async {
        let lock = Lock::new();
        let mut unordered: FuturesUnordered<_> = [3_u64, 1, 2]
            .into_iter()
            .map(|n| {
                let lock = &lock;
                async move {
                    sleep(ms(n)).await;
                    let _guard = lock.acquire().await;
                    sleep(ms(10)).await;
                    (n, now().as_nanos() / 1_000_000)
                }
            })
            .collect();
        let mut order = Vec::new();
        while let Some(ended) = unordered.next().await {
            order.push(ended);
        }
        assert_eq!(order, [(1, 11), (2, 21), (3, 31)]);
        assert!(!lock.is_locked());
    });
}

#[test]
fn futures_unordered_holds_tasks() {
    run_virtual(async {
        let tasks = (0..1_000_u64).map(|n| create_task(after(n % 7)));
        let ended: Vec<_> = tasks.collect::<FuturesUnordered<_>>().collect().await;
        let millis: Vec<_> = ended.into_iter().map(Result::unwrap).collect();
        assert!(millis.is_sorted());
        assert_eq!((millis.len(), now().as_nanos()), (1_000, 6_000_000));
    });
}

#[test]
fn stream_combinators_run_on_virtual_time() {
    run_virtual(async {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let work = |n: u64| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                sleep(ms(10 - n)).await;
                running.set(running.get() - 1);
                n
            }
        };
        let unordered: Vec<_> = stream::iter(0..6).map(work).buffer_unordered(3).collect().await;
        assert_eq!((unordered.len(), most.get()), (6, 3));
        assert_eq!(unordered[..3], [2, 1, 0], "shortest first");
        let ordered: Vec<_> = stream::iter(0..6).map(work).buffered(2).collect().await;
        assert_eq!(ordered, [0, 1, 2, 3, 4, 5]);
        stream::iter(0..4).for_each_concurrent(None, |n| after(n).map(drop)).await;
        let ticks = stream::unfold(0, |n| async move {
            sleep(ms(10)).await;
            Some((n, n + 1))
        });
        assert_eq!(ticks.take(3).collect::<Vec<_>>().await, [0, 1, 2]);
    });
}

#[test]
fn a_stream_of_a_queue_in_a_limit_is_ended_by_it() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let producer = {
            let queue = queue.clone();
            create_task(async move {
                for n in 0.. {
                    sleep(ms(10)).await;
                    queue.put(n).await.unwrap();
                }
            })
        };
        let seen = RefCell::new(Vec::new());
        let items =
            stream::unfold(&*queue, |queue| async move { Some((queue.get().await.ok()?, queue)) });
        let consumed = items.for_each(async |n: i32| seen.borrow_mut().push(n));
        assert!(wait_for(consumed, ms(35)).await.is_err());
        assert_eq!(*seen.borrow(), [0, 1, 2]);
        producer.cancel();
    });
}

// ---- Channels

#[test]
fn foreign_channels_connect_our_tasks() {
    run_virtual(async {
        let log = Log::new();
        let (mut sender, mut receiver) = mpsc::channel(1);
        let producer = create_task(async move {
            for n in 0..5 {
                sleep(ms(2)).await;
                sender.send(n).await.unwrap();
            }
        });
        while let Some(n) = receiver.next().await {
            log.add(n.to_string());
            sleep(ms(3)).await;
        }
        producer.await.unwrap();
        log.expect(&[(2, "0"), (5, "1"), (8, "2"), (11, "3"), (14, "4")]);

        let (sender, receiver) = oneshot::channel();
        drop(create_task(async move {
            sleep(ms(5)).await;
            sender.send("answer").unwrap();
        }));
        assert_eq!(wait_for(receiver, ms(10)).await, Ok(Ok("answer")));
    });
}

#[test]
fn an_async_channel_brings_every_message_once_though_receivers_are_cancelled() {
    run_virtual(async {
        let (sender, receiver) = async_channel::bounded(2);
        let got = Rc::new(RefCell::new(Vec::new()));
        let consumers: Vec<_> = (0..4)
            .map(|_| {
                let (receiver, got) = (receiver.clone(), got.clone());
                create_task(async move {
                    while let Ok(n) = receiver.recv().await {
                        got.borrow_mut().push(n);
                        sleep(ms(3)).await;
                    }
                })
            })
            .collect();
        let producer = create_task(async move {
            for n in 0..100 {
                sender.send(n).await.unwrap();
                if n % 10 == 0 {
                    sleep(ms(1)).await;
                }
            }
        });
        sleep(ms(10)).await;
        consumers[0].cancel();
        yield_now().await;
        consumers[1].cancel();
        producer.await.unwrap();
        drop(receiver);
        for (number, ended) in gather(consumers).await.into_iter().enumerate() {
            assert_eq!(ended.is_err(), number < 2);
        }
        let mut got = got.take();
        got.sort_unstable();
        assert!(got.into_iter().eq(0..100));
    });
}

#[test]
fn event_listeners_are_notified_in_order() {
    run_virtual(async {
        let log = Log::new();
        let event = Rc::new(Listened::new());
        let tasks: Vec<_> = ["one", "two", "three"]
            .into_iter()
            .map(|name| {
                let (event, log) = (event.clone(), log.clone());
                create_task(async move {
                    event.listen().await;
                    log.add(name);
                })
            })
            .collect();
        sleep(ms(5)).await;
        event.notify(1);
        sleep(ms(5)).await;
        tasks[1].cancel();
        yield_now().await;
        event.notify(1);
        sleep(ms(5)).await;
        log.expect(&[(5, "one"), (10, "three")]);
        assert!(tasks.iter().all(loopwheel::Task::is_done));
        // A listener that is not polled costs nothing.
        let listener = event.listen();
        assert!(listener.discard() || event.total_listeners() == 0);
    });
}

#[test]
fn a_channel_from_another_thread_wakes_the_loop() {
    let (sender, receiver) = async_channel::unbounded();
    let thread = std::thread::spawn(move || {
        for n in 0..1_000 {
            sender.send_blocking(n).unwrap();
        }
    });
    let sum: u64 = run(async {
        let mut sum = 0;
        while let Ok(n) = receiver.recv().await {
            sum += n;
        }
        sum
    });
    thread.join().unwrap();
    assert_eq!(sum, 499_500);
}

// ---- A foreign reactor, on the real clock

#[test]
fn foreign_timers_wake_our_tasks() {
    // It asserts only "not too early", which no load can break.
    let started = Instant::now(); // the real clock is the point: async-io knows no other
    run(async {
        let foreign = create_task(async {
            Timer::after(Duration::from_millis(20)).await;
            "foreign"
        });
        let ours = create_task(async {
            sleep(ms(5)).await;
            "ours"
        });
        assert_eq!(gather((foreign, ours)).await, (Ok("foreign"), Ok("ours")));
        let late = wait_for(Timer::after(Duration::from_secs(60)), ms(5)).await;
        assert!(late.is_err(), "our limits hold for foreign timers");
        let task = create_task(async {
            Timer::never().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert!(started.elapsed() >= Duration::from_millis(25));
}

#[test]
fn a_tcp_echo_server_and_its_clients_run_in_one_loop() {
    async fn echo(mut stream: Async<TcpStream>) -> io::Result<()> {
        let mut buffer = [0; 64];
        loop {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            stream.write_all(&buffer[..read]).await?;
        }
    }

    async fn client(port: u16, number: u8) -> io::Result<Vec<u8>> {
        let mut stream = Async::<TcpStream>::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut echoed = Vec::new();
        for round in 0..20 {
            let message = [number, round, 0xAB];
            stream.write_all(&message).await?;
            let mut answer = [0; 3];
            stream.read_exact(&mut answer).await?;
            assert_eq!(answer, message);
            echoed.push(answer[1]);
            yield_now().await;
        }
        Ok(echoed)
    }

    let left = run(async {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.get_ref().local_addr().unwrap().port();
        let connections = Rc::new(Cell::new(0));
        let server = try_create_task({
            let connections = connections.clone();
            async move {
                // A connection is a child of the server, and ends with it.
                let scope = TaskGroup::scope(async |group: &TaskGroup<io::Error>| {
                    loop {
                        let (stream, _) = listener.accept().await?;
                        connections.set(connections.get() + 1);
                        group.create_task(echo(stream));
                    }
                    #[allow(unreachable_code)]
                    Ok::<(), io::Error>(())
                });
                scope.await
            }
        });
        let clients = (0..20).map(|number| client(port, number));
        let echoed = wait_for(try_gather_all(clients), Duration::from_secs(30)).await;
        let echoed = echoed.expect("it is fast enough").expect("no connection breaks");
        assert!(echoed.iter().all(|rounds| rounds.iter().copied().eq(0..20)));
        assert_eq!(connections.get(), 20);
        // A connection that is still open is cancelled with the server.
        let open = Async::<TcpStream>::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        while connections.get() < 21 {
            sleep(ms(1)).await;
        }
        server.cancel();
        assert!(server.await.unwrap_err().is_cancelled());
        drop(open);
        all_tasks().len()
    });
    assert_eq!(left, 1, "only main was left");
}

async fn try_gather_all<F>(futures: impl Iterator<Item = F>) -> io::Result<Vec<Vec<u8>>>
where
    F: Future<Output = io::Result<Vec<u8>>> + 'static,
{
    loopwheel::try_gather(futures).await
}

//! Tests what a dump says of tasks, what it never does, and from where it can be asked for.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{ms, turns};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::dump::{Dump, TaskState, WaitsFor};
use loopwheel::errors::LoopGone;
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::{
    AllCompleted, Budget, EventLoop, Handle, Instant, TaskBuilder, TaskGroup, TaskRef,
    VirtualClock, all_tasks, as_completed, call_later, call_soon, catch_cancel, create_task, dump,
    gather, run, run_virtual, shield, sleep, timeout, to_thread, wait, wait_for, yield_now,
};

/// What the task waits for, in words.
fn words(task: &TaskRef) -> Vec<String> {
    task.waiting_for().iter().map(WaitsFor::to_string).collect()
}

#[track_caller]
fn expect(task: &TaskRef, expected: &[&str]) {
    assert_eq!(words(task), expected);
}

// ---- What a task waits for

#[test]
fn an_awaited_task_is_named_by_each_way_of_awaiting_it() {
    run_virtual(async {
        let never = || create_task(pending::<()>());
        let shared = never().shared();
        let ways: [(TaskRef, &[&str]); 6] = [
            (create_task(shared.clone()).to_ref(), &["Task-2"]),
            (create_task(shield(shared.clone())).to_ref(), &["Task-2"]),
            (
                create_task(wait([shared.clone(), never().shared()], AllCompleted)).to_ref(),
                &["Task-2", "Task-5"],
            ),
            (create_task(gather([pending::<()>(), pending()])).to_ref(), &["Task-7", "Task-8"]),
            (
                create_task({
                    let shared = shared.clone();
                    async move { as_completed([shared]).next().await }
                })
                .to_ref(),
                &["Task-2"],
            ),
            (
                create_task(async move { futures::join!(never(), never()) }).to_ref(),
                &["Task-12", "Task-13"],
            ),
        ];
        turns(3).await;
        for (task, expected) in ways {
            expect(&task, expected);
        }
    });
}

#[test]
fn a_scope_waits_for_its_children_once_its_body_has_ended() {
    run_virtual(async {
        let scope = create_task(async {
            TaskGroup::<()>::scope(async |group| {
                for name in ["one", "two"] {
                    group.create_named(name, pending::<Result<(), ()>>());
                }
                sleep(ms(5)).await;
                Ok::<_, ()>(())
            })
            .await
        });
        turns(2).await;
        expect(&scope.to_ref(), &["a sleep until 5ms"]);
        sleep(ms(6)).await;
        expect(&scope.to_ref(), &["'one' (Task-3)", "'two' (Task-4)"]);
    });
}

#[test]
fn a_time_limit_is_named_beside_what_is_inside_it() {
    run_virtual(async {
        let event = Rc::new(Event::new().named("go"));
        let inside = event.clone();
        let limited = create_task(wait_for(async move { inside.wait().await }, ms(30)));
        let sleeper = create_task(timeout(ms(30), |_| sleep(ms(10))));
        turns(2).await;
        expect(&limited.to_ref(), &[r#"the event "go""#, "a time limit at 30ms"]);
        expect(&sleeper.to_ref(), &["a sleep until 10ms", "a time limit at 30ms"]);
    });
}

#[test]
fn each_branch_of_a_join_is_named_and_so_is_each_of_a_set_with_wakers_of_its_own() {
    run_virtual(async {
        let (lock, event) = (Rc::new(Lock::new().named("db")), Rc::new(Event::new()));
        let guard = lock.acquire().await;
        let joins = create_task({
            let (lock, event) = (lock.clone(), event.clone());
            async move {
                futures::join!(async { drop(lock.acquire().await) }, event.wait(), sleep(ms(5)))
            }
        });
        let in_a_set = create_task({
            let (lock, event) = (lock.clone(), event.clone());
            async move {
                let mut set = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
                set.push(Box::pin(async move { drop(lock.acquire().await) }));
                set.push(Box::pin(async move { event.wait().await }));
                set.push(Box::pin(sleep(ms(5))));
                while set.next().await.is_some() {}
            }
        });
        turns(2).await;
        let all = [r#"the lock "db", held by 'main' (Task-1)"#, "event 2", "a sleep until 5ms"];
        expect(&joins.to_ref(), &all);
        expect(&in_a_set.to_ref(), &all);
        drop(guard);
    });
}

#[test]
fn a_handle_that_left_a_select_is_no_wait_any_more() {
    run_virtual(async {
        let never = create_task(pending::<()>()).shared();
        let chooses = create_task({
            let never = never.clone();
            async move {
                drop(futures::future::select(never, yield_now()).await);
                pending::<()>().await;
            }
        });
        turns(4).await;
        expect(&chooses.to_ref(), &["something that nothing will wake it for"]);
    });
}

#[test]
fn foreign_code_is_named_once_it_has_a_waker() {
    run_virtual(async {
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keeps = kept.clone();
        let foreign = create_task(poll_fn(move |cx: &mut Context<'_>| {
            *keeps.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let stuck = create_task(pending::<()>());
        turns(2).await;
        expect(&foreign.to_ref(), &["foreign code, which has a waker of it"]);
        expect(&stuck.to_ref(), &["something that nothing will wake it for"]);
        assert!(dump().tasks[1].waker_has_escaped && !dump().tasks[2].waker_has_escaped);
    });
}

#[test]
fn work_on_another_thread_is_named_with_where_it_was_begun() {
    run(async {
        let (end, ended) = mpsc::channel::<()>();
        let work = create_task(async move {
            to_thread(move || ended.recv().unwrap()).await.unwrap();
        });
        turns(2).await;
        let [said] = &words(&work.to_ref())[..] else { panic!() };
        assert!(said.starts_with("work on another thread, begun at tests/dump.rs:"), "{said}");
        assert_eq!(dump().work_on_threads, 1);
        end.send(()).unwrap();
        work.await.unwrap();
        while dump().work_on_threads > 0 {
            sleep(ms(1)).await; // the loop learns a little later that the closure has ended
        }
    });
}

#[test]
fn a_task_of_another_loop_is_named_as_such() {
    let other = EventLoop::new();
    let elsewhere = other.create_task(pending::<()>());
    // Not `run`: its end would wait for the other loop, which is not running.
    EventLoop::new().run_until_complete(async {
        let waits = create_task(async move { elsewhere.await.is_ok() });
        turns(2).await;
        expect(&waits.to_ref(), &["Task-1 of the loop 'loopwheel', which does not run: turn it, or spawn the task here"]);
    });
}

#[test]
fn a_task_that_is_ready_running_or_over_waits_for_nothing() {
    run_virtual(async {
        let event = Rc::new(Event::new());
        let inside = event.clone();
        let waits = create_task(async move { inside.wait().await });
        let asks = create_task(async { dump().task(3).unwrap().state });
        turns(1).await;
        expect(&waits.to_ref(), &["event 1"]);
        event.set();
        assert!(waits.waiting_for().is_empty(), "it was woken");
        assert_eq!(dump().task(2).unwrap().state, TaskState::Ready);
        assert_eq!(dump().task(1).unwrap().state, TaskState::Running);
        assert_eq!(asks.await, Ok(TaskState::Running));
        turns(1).await;
        assert!(waits.waiting_for().is_empty(), "it is over");
        let (one, two) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let (inside, also_inside) = (one.clone(), two.clone());
        let both =
            create_task(async move { futures::join!(inside.wait(), also_inside.wait()) }).to_ref();
        turns(1).await;
        expect(&both, &["event 2", "event 3"]);
        one.set();
        expect(&both, &[]); // it was woken, although it is in the line of the other still
        turns(1).await;
        expect(&both, &["event 3"]);
        assert!(dump().task(2).is_none());
    });
}

#[test]
fn a_cancel_is_said_with_its_reason_until_it_is_delivered_and_after() {
    run_virtual(async {
        let cleans_up = create_task(async {
            let _ = catch_cancel(pending::<()>()).await;
            sleep(ms(5)).await;
        });
        turns(1).await;
        cleans_up.cancel_with_reason("no more");
        let requested = dump().task(2).unwrap().clone();
        assert_eq!((requested.cancels, requested.cancel_reason.as_deref()), (1, Some("no more")));
        turns(1).await;
        let cleaning_up = dump().task(2).unwrap().clone();
        assert_eq!(cleaning_up.cancel_reason.as_deref(), Some("no more"));
        assert_eq!(cleaning_up.waits_for[0].to_string(), "a sleep until 5ms");
    });
}

#[test]
fn a_join_of_two_handles_of_a_task_waits_for_it_once_whatever_joined_in_between() {
    run_virtual(async {
        let shared = create_task(sleep(ms(5))).shared();
        let (first, later, other) = (shared.clone(), shared.clone(), shared.clone());
        let joined = create_task(async move {
            let later = async {
                turns(2).await;
                later.await
            };
            futures::future::join(first, later).await
        });
        turns(1).await;
        let between = create_task(other);
        turns(4).await;
        expect(&joined.to_ref(), &["Task-2"]);
        expect(&between.to_ref(), &["Task-2"]);
    });
}

#[test]
fn a_group_whose_child_has_failed_is_waited_for_until_its_callback() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let task = event_loop.create_task(async {
        let group = TaskGroup::scope(async |group| {
            group.create_task(async {
                yield_now().await;
                Err::<(), _>("no")
            });
            Ok::<(), &str>(())
        });
        group.await.is_err()
    });
    let mut said = Vec::new();
    while !task.is_done() {
        event_loop.turn(Budget::unlimited());
        said.extend(words(&task.to_ref()));
    }
    said.dedup();
    assert_eq!(said, ["Task-2", "the tasks of a group"]);
}

// ---- The loop

#[test]
fn timers_callbacks_and_the_ready_queue_are_counted() {
    run_virtual(async {
        let _later = call_later(ms(7), || ());
        let sleeper = create_task(sleep(ms(3)));
        turns(1).await;
        let ready = create_task(async {});
        let dump = dump();
        assert_eq!((dump.timers, dump.callbacks, dump.ready), (2, 1, 1));
        assert_eq!(dump.next_timer, Some(Instant::START + ms(3)));
        assert_eq!((dump.loop_name.as_str(), dump.now), ("loopwheel", Instant::START));
        let first = dump.to_string().lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            "loop 'loopwheel' at 0ns: 3 tasks (1 ready), 2 timers, 1 callback, next timer at 3ms"
        );
        drop((sleeper, ready));
    });
}

#[test]
fn callbacks_that_were_cancelled_are_not_counted_as_ready() {
    run_virtual(async {
        for _ in 0..5 {
            assert!(call_soon(|| ()).cancel());
        }
        assert_eq!((dump().callbacks, dump().ready), (0, 0));
    });
}

#[test]
fn the_debug_text_of_a_dump_grows_with_the_waiters_and_not_with_their_square() {
    let len = |waiters: usize| {
        run_virtual(async move {
            let permits = Rc::new(Semaphore::new(1));
            let permit = permits.acquire().await;
            for _ in 0..waiters {
                let permits = permits.clone();
                create_task(async move { drop(permits.acquire().await) });
            }
            turns(1).await;
            let text = format!("{:?}", dump());
            drop(permit);
            text.len()
        })
    };
    assert!(len(800) < 10 * len(100));
}

#[test]
fn names_are_said_as_they_are_now() {
    run_virtual(async {
        let task = TaskBuilder::new().name("before").create_task(pending::<()>());
        let waits = create_task(async move { task.await.is_ok() });
        turns(1).await;
        all_tasks()[1].set_name("after");
        expect(&waits.to_ref(), &["'after' (Task-2)"]);
    });
}

// ---- It changes nothing

/// Counts its polls.
struct Counted<'a, F>(F, &'a Cell<u32>);

impl<F: Future + Unpin> Future for Counted<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A program that does a bit of everything, and asks for a dump at every opportunity, or never.
fn log_of_a_program(ask: bool) -> (Vec<String>, u32) {
    let polls = Rc::new(Cell::new(0));
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let worker = |number: u64, queue: &Rc<Queue<u64>>, permits: &Rc<Semaphore>, lock: &Rc<Lock>| {
        let (queue, permits, lock) = (queue.clone(), permits.clone(), lock.clone());
        let (log, polls) = (log.clone(), polls.clone());
        event_loop.create_task(async move {
            let counted = Counted(
                pin!(async {
                    loop {
                        let Ok(item) = queue.get().await else { break };
                        let permit = permits.acquire().await;
                        let limited = wait_for(sleep(ms(item % 3)), ms(2)).await.is_ok();
                        let guard = lock.acquire().await;
                        yield_now().await;
                        drop((guard, permit));
                        queue.task_done().unwrap();
                        log.borrow_mut().push(format!("{number}: {item} {limited}"));
                    }
                }),
                &polls,
            );
            let ended = catch_cancel(counted).await;
            log.borrow_mut().push(format!("{number}: {ended:?}"));
        })
    };
    let queue = Rc::new(Queue::bounded(3));
    let (permits, lock) = (Rc::new(Semaphore::new(2)), Rc::new(Lock::new()));
    let workers: Vec<_> = (0..4).map(|number| worker(number, &queue, &permits, &lock)).collect();
    let puts = {
        let queue = queue.clone();
        event_loop.create_task(async move {
            for item in 0..40 {
                queue.put(item).await.unwrap();
            }
            queue.join().await;
        })
    };
    let mut step = 0;
    let mut asked = 0;
    while step < 1_000 {
        event_loop.turn(Budget::polls(1));
        event_loop.jump_to_next_deadline();
        step += 1;
        if step == 50 {
            workers[1].cancel_with_reason("enough");
        }
        if ask {
            asked += event_loop.dump().tasks.len();
            asked += event_loop.dump().await_tree().to_string().len();
        }
    }
    assert_eq!(asked > 0, ask);
    log.borrow_mut().push(format!("{}", puts.is_done()));
    (log.take(), polls.get())
}

#[test]
fn a_dump_in_any_state_polls_nothing_and_changes_nothing() {
    assert_eq!(log_of_a_program(false), log_of_a_program(true));
}

#[test]
fn a_dump_takes_no_cancel_in_its_way_and_wakes_no_task() {
    run_virtual(async {
        let polls = Rc::new(Cell::new(0));
        let counts = polls.clone();
        let task = create_task(async move { Counted(pin!(sleep(ms(100))), &counts).await });
        turns(2).await;
        task.cancel();
        let before = polls.get();
        for _ in 0..3 {
            assert_eq!(dump().task(2).unwrap().cancels, 1);
        }
        assert_eq!(polls.get(), before);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_dump_can_be_taken_in_a_waker_and_in_a_destructor() {
    /// Asks for a dump when it is dropped.
    struct Asks(Rc<RefCell<Vec<Dump>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.borrow_mut().push(dump());
        }
    }
    run_virtual(async {
        let dumps: Rc<RefCell<Vec<Dump>>> = Rc::default();
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let task = create_task({
            let (lock, asks) = (lock.clone(), Asks(dumps.clone()));
            async move {
                let _asks = asks;
                drop(lock.acquire().await);
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.is_err());
        drop(guard);
        assert_eq!(dumps.borrow().len(), 1);
        assert_eq!(dumps.borrow()[0].tasks.len(), 2, "it has not ended yet");
    });
}

// ---- From outside

#[test]
fn another_thread_gets_the_answer_in_the_next_turn() {
    let dump = run(async {
        let handle = Handle::current();
        let never = TaskBuilder::new().name("never").create_task(pending::<()>());
        let asks = to_thread(move || handle.dump().unwrap());
        let dump = asks.await.unwrap();
        drop(never);
        dump
    });
    assert_eq!(dump.tasks[1].task.name, "never");
    assert!(matches!(dump.tasks[0].waits_for[..], [WaitsFor::Thread(_)]));
    assert_eq!(dump.callbacks, 0, "that of the question is not counted");
}

#[test]
fn in_its_own_loop_a_handle_answers_at_once() {
    run_virtual(async {
        let handle = Handle::current();
        assert_eq!(handle.dump().unwrap().tasks[0].state, TaskState::Running);
    });
}

#[test]
fn a_loop_that_is_gone_is_an_error_and_one_that_goes_meanwhile_too() {
    let event_loop = EventLoop::new();
    let handle = event_loop.handle();
    let asks = thread::spawn({
        let handle = handle.clone();
        move || handle.dump().map(|_| ())
    });
    thread::sleep(ms(20)); // real time, in which the other thread asks: if it comes too late, the answer is the same
    drop(event_loop);
    assert_eq!(asks.join().unwrap(), Err(LoopGone));
    assert_eq!(handle.dump().map(|_| ()), Err(LoopGone));
}

#[test]
#[should_panic(expected = "use `EventLoop::dump`")]
fn the_thread_of_a_loop_that_does_not_run_is_told_what_to_use() {
    let event_loop = EventLoop::new();
    let _ = event_loop.handle().dump();
}

#[test]
#[should_panic(expected = "call it by `to_thread`")]
fn a_loop_that_would_block_for_another_is_told_what_to_use() {
    let other = EventLoop::new();
    let handle = other.handle();
    run_virtual(async move { drop(handle.dump()) });
}

#[test]
fn a_host_asks_between_two_turns() {
    let mut event_loop = EventLoop::builder().name("host").clock(VirtualClock::new()).build();
    let task = event_loop.create_task(sleep(ms(5)));
    let state = |event_loop: &EventLoop| event_loop.dump().tasks[0].state;
    assert_eq!(state(&event_loop), TaskState::Ready);
    event_loop.run_until_stalled();
    assert_eq!(state(&event_loop), TaskState::Waiting);
    event_loop.jump_to_next_deadline();
    event_loop.run_until_stalled();
    assert!(task.is_done() && event_loop.dump().tasks.is_empty());
}

#[test]
fn a_dump_outlives_its_loop_and_can_be_sent_away() {
    fn is_send<T: Send + Clone + std::fmt::Debug + 'static>(_: &T) {}
    let dump = run_virtual(async { dump() });
    is_send(&dump);
    let shown = thread::spawn(move || dump.to_string()).join().unwrap();
    assert!(shown.contains("'main' (Task-1), running"), "{shown}");
}

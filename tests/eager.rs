//! Eager start: a task that is polled while it is spawned.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use common::{Log, ms, turns, watched_loop};
use loopwheel::sync::{Event, Queue};
use loopwheel::trace::{Event as Told, Id, What};
use loopwheel::{
    EventLoop, EventLoopBuilder, Failure, Task, TaskBuilder, TaskError, TaskGroup,
    TaskGroupBuilder, TaskLocal, TaskRef, TaskSet, TimedOut, VirtualClock, all_tasks, call_later,
    call_soon, catch_cancel, create_task, current_task, gather, now, protect, race, run_virtual,
    sleep, timeout, try_create_task, try_current_task, wait_for, yield_now,
};

fn eager() -> TaskBuilder {
    TaskBuilder::new().eager_start(true)
}

fn eager_loop() -> EventLoopBuilder {
    EventLoop::builder().clock(VirtualClock::impatient()).eager_start(true)
}

#[test]
fn the_first_part_runs_inside_the_call_and_the_rest_as_usual() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = eager().create_task(async move {
            inner.add("first");
            yield_now().await;
            inner.add("second");
        });
        log.add("after the call");
        assert!(!task.is_done());
        task.await.unwrap();
        log.expect(&[(0, "first"), (0, "after the call"), (0, "second")]);
    });
}

#[test]
fn an_await_of_a_task_that_has_ended_at_once_does_not_wait_for_a_turn() {
    run_virtual(async {
        let other = create_task(async {});
        assert_eq!(eager().create_task(async { 7 }).await, Ok(7));
        assert!(!other.is_done(), "no turn has passed");
        other.await.unwrap();
    });
}

#[test]
fn a_task_is_eager_only_where_it_was_told_so() {
    run_virtual(async {
        assert!(!create_task(async {}).is_done());
        assert!(!TaskBuilder::new().create_task(async {}).is_done());
        assert!(!TaskBuilder::new().eager_start(false).create_task(async {}).is_done());
        assert!(eager().create_task(async {}).is_done());
    });
    eager_loop().build().run(async {
        assert!(create_task(async {}).is_done());
        assert!(try_create_task(async { Ok::<_, String>(1) }).is_done());
        assert!(TaskBuilder::new().name("named").create_task(async {}).is_done());
        assert!(!TaskBuilder::new().eager_start(false).create_task(async {}).is_done());
    });
}

#[test]
fn what_comes_from_outside_of_the_loop_begins_in_the_next_turn() {
    let mut event_loop = eager_loop().build();
    let early = event_loop.create_task(async { 1 });
    assert!(!early.is_done());
    let log = Log::new();
    let (inner, handle) = (log.clone(), event_loop.handle());
    event_loop.run(async move {
        assert_eq!(early.await, Ok(1));
        let remote = handle.create_task(|| async { 2 }).unwrap();
        inner.add("asked for");
        assert_eq!(remote.await, Ok(2));
        // A callback is code of the loop's own.
        let (tasks, kept) = (Rc::new(RefCell::new(Vec::new())), inner.clone());
        let into = tasks.clone();
        call_soon(move || {
            let task = create_task(async move { kept.add("in the callback") });
            assert!(task.is_done());
            assert!(try_current_task().is_err());
            into.borrow_mut().push(task);
        });
        yield_now().await;
        assert_eq!(tasks.borrow().len(), 1);
    });
    log.expect(&[(0, "asked for"), (0, "in the callback")]);
}

#[test]
fn the_current_task_is_the_new_one_and_then_the_old_one_again() {
    run_virtual(async {
        let before = current_task();
        let task = eager().name("inner").create_task(async {
            assert_eq!(current_task().name(), "inner");
            let names: Vec<_> = all_tasks().iter().map(TaskRef::name).collect();
            assert_eq!(names, ["main", "inner"]);
            eager().name("innermost").create_task(async { current_task().name() }).await.unwrap()
        });
        assert!(current_task() == before);
        assert_eq!(task.await.unwrap(), "innermost");
        let panics = eager().create_task(async { panic!("inside") });
        assert!(current_task() == before);
        assert!(matches!(panics.await, Err(TaskError::Panicked(_))));
    });
}

#[test]
fn its_task_locals_are_a_copy() {
    static NUMBER: TaskLocal<u32> = TaskLocal::new();
    eager_loop().build().run(async {
        NUMBER.set(1);
        let inner = create_task(async { (NUMBER.get(), NUMBER.set(2)) });
        assert_eq!(NUMBER.get(), Some(1));
        assert_eq!(inner.await.unwrap().0, Some(1));
    });
}

#[test]
fn a_panic_and_an_error_are_its_outcome() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let failed = eager().try_create_task(async { Err::<(), _>("broken") });
        assert!(matches!(failed.await, Err(TaskError::Failed("broken"))));
        drop(eager().create_task(async { panic!("unseen") }));
    });
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    assert!(reports.borrow()[0].contains("unseen"));
}

#[test]
fn its_done_callbacks_run_in_the_next_turn() {
    run_virtual(async {
        let log = Log::new();
        let (inner, later) = (log.clone(), log.clone());
        let task = eager().create_task(async move { inner.add("ends") });
        task.to_ref().add_done_callback(move |_| later.add("is done"));
        log.add("goes on");
        yield_now().await;
        log.expect(&[(0, "ends"), (0, "goes on"), (0, "is done")]);
    });
}

#[test]
fn it_may_cancel_the_task_around_it() {
    run_virtual(async {
        let outer = create_task(async {
            let around = current_task();
            let inner = eager().create_task(async move {
                assert!(around.cancel());
                sleep(ms(5)).await; // is not what was cancelled
                1
            });
            let caught = catch_cancel(sleep(ms(1))).await;
            assert!(caught.is_err(), "the next await of the task around it");
            Some(inner)
        });
        let inner = outer.await.unwrap().unwrap();
        assert_eq!(inner.await, Ok(1));
    });
}

#[test]
fn it_may_cancel_itself_in_its_first_part() {
    run_virtual(async {
        let task = eager().create_task(async {
            current_task().cancel();
            let caught = catch_cancel(pending::<()>()).await;
            assert!(caught.is_err());
            caught.unwrap_err().reraise().await
        });
        assert!(matches!(task.await, Err(TaskError::Cancelled(_))));
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_cancel_of_it_is_that_of_a_task_that_has_begun() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = eager().create_task(async move {
            if catch_cancel(sleep(ms(5))).await.is_err() {
                inner.add("cleans up");
            }
        });
        task.cancel();
        assert_eq!(task.await, Ok(()));
        log.expect(&[(0, "cleans up")]);
    });
}

/// A task that is being cancelled spawns eager tasks in its clean-up, in each way in which a cancel is delivered.
#[test]
fn the_cancel_around_it_does_not_reach_it() {
    for awaits_several in [false, true] {
        run_virtual(async {
            let log = Log::new();
            let inner = log.clone();
            let task = create_task(async move {
                let branch = async {
                    let caught = catch_cancel(sleep(ms(50))).await.unwrap_err();
                    let (log, short) = (inner.clone(), inner.clone());
                    short.add("spawns");
                    let child = eager().create_task(async move {
                        assert!(wait_for(sleep(ms(9)), ms(1)).await.is_err());
                        log.add("the limit in it is up");
                        4
                    });
                    assert_eq!(eager().create_task(async { 3 }).await, Ok(3));
                    assert_eq!(child.await, Ok(4));
                    caught.reraise().await;
                };
                if awaits_several {
                    futures::join!(branch, sleep(ms(50)));
                } else {
                    branch.await;
                }
            });
            sleep(ms(1)).await;
            task.cancel();
            assert!(matches!(task.await, Err(TaskError::Cancelled(_))), "{awaits_several}");
            log.expect(&[(1, "spawns"), (2, "the limit in it is up")]);
        });
    }
}

/// The delivery has begun when the eager task is spawned, and has not reached its checkpoint.
#[test]
fn the_interruption_that_is_on_its_way_is_for_the_task_around_it() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let mut nap = Box::pin(sleep(ms(50)));
            let nap = poll_fn(|cx| {
                if current_task().cancelling() > 0 {
                    let log = inner.clone();
                    drop(eager().create_task(async move {
                        sleep(ms(2)).await;
                        log.add("the eager one has slept");
                    }));
                }
                nap.as_mut().poll(cx)
            });
            assert!(catch_cancel(nap).await.is_err());
            inner.add("interrupted");
        });
        sleep(ms(1)).await;
        task.cancel();
        task.await.unwrap();
        sleep(ms(5)).await;
        log.expect(&[(1, "interrupted"), (3, "the eager one has slept")]);
    });
}

#[test]
fn foreign_code_that_waits_in_it_is_not_interrupted_with_the_task_around_it() {
    run_virtual(async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let task = create_task(async move {
            assert!(catch_cancel(sleep(ms(50))).await.is_err());
            eager().create_task(receiver).await
        });
        sleep(ms(1)).await;
        task.cancel();
        turns(3).await;
        sender.send(5).unwrap();
        assert_eq!(task.await, Ok(Ok(Ok(5))));
    });
}

#[test]
fn what_waits_in_it_does_not_count_as_awaited_by_the_task_around_it() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        // A cancel is forwarded at once to the one task that is awaited: so it is seen whether the task awaits one.
        let awaited = create_task(async move {
            if catch_cancel(sleep(ms(50))).await.is_err() {
                inner.add("is cancelled");
            }
        });
        yield_now().await;
        let outer = create_task(async move {
            for _ in 0..3 {
                drop(eager().create_task(sleep(ms(20))));
            }
            awaited.await.unwrap();
        });
        turns(2).await;
        assert_eq!(outer.to_ref().cancelling(), 0);
        outer.cancel();
        turns(1).await;
        log.expect(&[(0, "is cancelled")]);
        assert_eq!(outer.await, Ok(()));
    });
}

#[test]
fn a_time_limit_around_the_call_is_not_one_of_it() {
    run_virtual(async {
        let log = Log::new();
        let (inner, kept) = (log.clone(), Rc::new(RefCell::new(None)));
        let into = kept.clone();
        let limited = timeout(ms(5), async |deadline| {
            let log = inner.clone();
            let child = eager().create_task(async move {
                let ended = wait_for(sleep(ms(7)), ms(20)).await;
                log.add(format!("{ended:?}"));
            });
            *into.borrow_mut() = Some(child);
            assert_eq!(deadline.when(), Some(now() + ms(5)));
            sleep(ms(50)).await;
        });
        assert!(limited.await.is_err());
        log.add("time is up");
        let child: Task<()> = kept.take().unwrap();
        child.await.unwrap();
        log.expect(&[(5, "time is up"), (7, "Ok(())")]);
    });
}

#[test]
fn the_timer_of_a_limit_around_the_call_is_the_earlier_one() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let outer = create_task(async move {
            let child = inner.clone();
            let limited = timeout(ms(5), async |_| {
                drop(eager().create_task(async move {
                    sleep(ms(5)).await;
                    child.add("the sleep in it");
                }));
                pending::<()>().await;
            });
            assert!(limited.await.is_err());
            inner.add("the limit");
        });
        outer.await.unwrap();
        yield_now().await;
        log.expect(&[(5, "the limit"), (5, "the sleep in it")]);
    });
}

#[test]
fn a_group_takes_children_that_end_at_once() {
    run_virtual(async {
        let scope = TaskGroupBuilder::new().eager_start(true).scope(async |group| {
            let one = group.create_task(async { Ok::<_, String>(1) });
            let two = group.create_task(async {
                sleep(ms(3)).await;
                Ok(2)
            });
            assert!(one.is_done() && !two.is_done());
            assert_eq!(group.running(), 1);
            Ok::<_, String>(one.await.unwrap() + two.await.unwrap())
        });
        assert_eq!(scope.await.unwrap(), 3);
        let empty = TaskGroupBuilder::new().eager_start(true).scope(async |group| {
            group.create_task(async { Ok::<_, String>(()) });
        });
        empty.await.unwrap();
    });
    eager_loop().build().run(async {
        let scope = TaskGroup::<String>::scope(async |group| {
            assert!(group.create_task(async {}).is_done());
        });
        scope.await.unwrap();
    });
}

#[test]
fn a_group_reacts_to_the_failure_of_an_eager_child_in_the_next_turn() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let scope = TaskGroupBuilder::new().eager_start(true).scope(async |group| {
            group.create_task(async { Err::<(), _>("first") });
            inner.add("the body goes on");
            group.create_task(async { Err::<(), _>("second") });
            let sibling = inner.clone();
            group.create_task(async move {
                if catch_cancel(sleep(ms(9))).await.is_err() {
                    sibling.add("the sibling is cancelled");
                }
                Ok(())
            });
            sleep(ms(60)).await;
            inner.add("never");
        });
        let failed = scope.await.unwrap_err();
        assert_eq!(failed.iter().collect::<Vec<_>>(), [&"first", &"second"]);
        log.expect(&[(0, "the body goes on"), (0, "the sibling is cancelled")]);
    });
}

#[test]
fn a_child_that_cancels_its_group_while_it_is_spawned_is_cancelled_too() {
    run_virtual(async {
        let scope = TaskGroupBuilder::new().eager_start(true).scope(async |group| {
            let own = group.clone();
            let child = group.create_task(async move {
                own.cancel();
                pending::<Result<(), String>>().await
            });
            drop(child);
        });
        let _ = wait_for(scope, ms(9)).await.expect("the group ends");
        assert_eq!(all_tasks().len(), 1);
    });
}

/// The scope is dropped by a child, while that is spawned into it by another task.
#[test]
fn a_child_that_drops_its_scope_while_it_is_spawned_is_dropped_too() {
    run_virtual(async {
        let log = Log::new();
        let (group_of, scope_of) = (Rc::new(RefCell::new(None)), Rc::new(RefCell::new(None)));
        let into = group_of.clone();
        let builder = TaskGroupBuilder::new().eager_start(true);
        let mut scope = Box::pin(builder.scope(async move |group: &TaskGroup<String>| {
            *into.borrow_mut() = Some(group.clone());
            pending::<()>().await;
        }));
        poll_fn(|cx| {
            assert!(scope.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        *scope_of.borrow_mut() = Some(scope);
        let group: TaskGroup<String> = group_of.take().unwrap();
        let (inner, guard) = (log.clone(), common::OnDrop(log.clone(), "dropped"));
        let spawned = create_task(async move {
            let child = group.create_task(async move {
                let _guard = guard;
                drop(scope_of.take());
                inner.add("the scope is gone");
                if catch_cancel(pending::<()>()).await.is_err() {
                    inner.add("never: it is a hard drop");
                }
            });
            matches!(child.await, Err(TaskError::Cancelled(_)))
        });
        assert_eq!(spawned.await, Ok(true));
        log.expect(&[(0, "the scope is gone"), (0, "dropped")]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn sets_gatherings_and_races_take_tasks_that_end_at_once() {
    eager_loop().build().run(async {
        assert_eq!(gather([1, 2].map(|n| async move { n })).await, [1, 2]);
        assert_eq!(race((async { 1 }, async { 2 })).await, 1);
        let mut set = TaskSet::new();
        set.create_task("a", async { 1 });
        set.create_task("b", async {
            sleep(ms(1)).await;
            2
        });
        assert_eq!(set.running(), 1);
        let mut ended = Vec::new();
        while let Some((key, outcome)) = set.next().await {
            ended.push((key, outcome.unwrap()));
        }
        assert_eq!(ended, [("a", 1), ("b", 2)]);
    });
}

#[test]
fn a_chain_of_eager_tasks_ends_at_a_depth_and_goes_on_in_the_next_turn() {
    fn dig(depth: u32, deepest_now: Rc<Cell<u32>>) -> std::pin::Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move {
            deepest_now.set(deepest_now.get().max(depth));
            if depth == 10_000 {
                return depth;
            }
            eager().create_task(dig(depth + 1, deepest_now)).await.unwrap()
        })
    }
    run_virtual(async {
        let deepest = Rc::new(Cell::new(0));
        let task = eager().create_task(dig(1, deepest.clone()));
        assert_eq!(deepest.get(), 32);
        assert_eq!(task.await, Ok(10_000));
    });
}

#[test]
fn a_full_loop_refuses_an_eager_task_and_drops_its_future() {
    let mut event_loop = eager_loop().max_tasks(2).build();
    event_loop.run(async {
        let waits = create_task(pending::<()>());
        let polled = Rc::new(Cell::new(false));
        let inner = polled.clone();
        let refused = TaskBuilder::new().create_task_if_running(async move { inner.set(true) });
        assert!(refused.is_err() && !polled.get() && Rc::strong_count(&polled) == 1);
        waits.cancel();
        assert!(waits.await.is_err());
        assert!(create_task(async {}).is_done());
        assert!(create_task(async {}).is_done(), "its slot is free at once");
    });
}

#[test]
fn a_task_that_wakes_itself_and_ends_at_once_is_not_polled_again() {
    run_virtual(async {
        let mut polls = 0;
        let task = eager().create_task(poll_fn(move |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::Ready(polls)
        }));
        turns(2).await;
        assert_eq!(task.await, Ok(1));
    });
}

#[test]
fn in_a_destructor_that_runs_after_a_poll_it_begins_in_the_next_turn() {
    struct Spawns(Log, Rc<RefCell<Vec<Task<()>>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let log = self.0.clone();
            let task = create_task(async move { log.add("begins") });
            self.1.borrow_mut().push(task);
            self.0.add("dropped");
        }
    }
    let log = Log::new();
    let inner = log.clone();
    eager_loop().build().run(async move {
        let tasks = Rc::new(RefCell::new(Vec::new()));
        let guard = Spawns(inner, tasks.clone());
        let task = create_task(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        task.cancel();
        assert!(task.await.is_err());
        turns(2).await;
        assert!(tasks.borrow()[0].is_done());
    });
    log.expect(&[(0, "dropped"), (0, "begins")]);
}

#[test]
fn an_observer_sees_the_poll_inside_the_other_because_of_the_spawn() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let into = told.clone();
    let observer = move |event: &Told<'_>| {
        let text = match &event.what {
            What::Spawned { task, .. } => format!("spawned {task}"),
            What::Named { task, name } => format!("{task} is {name}"),
            What::PollBegan { task, .. } => format!("poll of {task}"),
            What::PollEnded { task, .. } => format!("polled {task}"),
            What::Ended { task, .. } => format!("ended {task}"),
            What::Woken { task, .. } => format!("woken {task}"),
            What::Note { text } => format!("note: {text}"),
            _ => return,
        };
        into.borrow_mut().push((event.seq, text, event.by, event.cause));
    };
    eager_loop().trace(observer).build().run(async {
        let task = TaskBuilder::new().name("inner").create_task(async {});
        loopwheel::trace::note("after");
        task.await.unwrap();
    });
    let told = told.take();
    let at = |text: &str| told.iter().position(|(_, told, ..)| told.starts_with(text)).unwrap();
    let inner = ["spawned Task-2", "Task-2 is", "poll of Task-2", "polled Task-2", "ended Task-2"];
    let places = inner.map(at);
    assert!(places.is_sorted() && places[0] > at("poll of Task-1"), "{told:?}");
    assert!(at("polled Task-1") > at("note: after"), "{told:?}");
    let (seq_of_spawn, ..) = told[places[0]];
    assert_eq!(told[places[2]].3, Some(seq_of_spawn), "its cause is the spawn: {told:?}");
    assert_eq!(told[places[2]].2, Some(Id::Task(1)), "in the poll of main: {told:?}");
    let (of_main, ..) = told[at("poll of Task-1")];
    assert_eq!(told[at("note: after")].3, Some(of_main), "main's poll goes on: {told:?}");
    assert!(told.iter().all(|(_, text, ..)| text != "woken Task-2"), "{told:?}");
}

#[test]
fn a_slow_poll_inside_another_is_reported_and_so_is_the_one_around() {
    let slow = Rc::new(RefCell::new(Vec::new()));
    let into = slow.clone();
    let builder = eager_loop().slow_callback_duration(ms(5)).exception_handler(move |context| {
        assert!(matches!(context.failure, Failure::SlowPoll { .. }), "{context}");
        into.borrow_mut().push(context.task.as_ref().unwrap().name());
    });
    builder.build().run(async {
        let inner = TaskBuilder::new().name("inner").create_task(async {
            std::thread::sleep(ms(6)); // the real clock is the point: slow polls are measured by it
            sleep(ms(1)).await;
        });
        inner.await.unwrap();
    });
    assert_eq!(*slow.borrow(), ["inner", "main"]);
}

#[test]
fn it_runs_before_what_waits_already() {
    eager_loop().build().run(async {
        let (queue, event) = (Rc::new(Queue::unbounded()), Rc::new(Event::new()));
        let (put, waits) = (queue.clone(), event.clone());
        let later = TaskBuilder::new().eager_start(false).create_task(async move {
            put.put_nowait("the one before").unwrap();
        });
        let put = queue.clone();
        let task = create_task(async move {
            put.put_nowait("the eager one").unwrap();
            waits.wait().await;
            now()
        });
        later.await.unwrap();
        event.set();
        task.await.unwrap();
        assert_eq!(queue.get_nowait(), Ok("the eager one"));
        assert_eq!(queue.get_nowait(), Ok("the one before"));
    });
}

#[test]
fn in_a_poll_that_only_asks_what_is_awaited_no_task_begins() {
    run_virtual(async {
        let begun: Rc<RefCell<Vec<bool>>> = Rc::default();
        let of_task = begun.clone();
        let task = create_task(async move {
            let spawns = poll_fn(|_| {
                let has_begun = Rc::new(Cell::new(false));
                let of_child = has_begun.clone();
                drop(eager().create_task(async move { of_child.set(true) }));
                of_task.borrow_mut().push(has_begun.get());
                Poll::<()>::Pending
            });
            futures::join!(sleep(ms(1_000)), sleep(ms(1_000)), spawns)
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        // In the second one, each await notes the cancel; in the third it is interrupted.
        assert_eq!(*begun.borrow(), [true, false, true]);
    });
}

#[test]
fn a_cancel_that_goes_on_in_one_branch_is_not_that_of_a_task_begun_in_another() {
    run_virtual(async {
        let log = Log::new();
        let of_task = log.clone();
        let task = create_task(async move {
            let cancelled = catch_cancel(sleep(ms(1_000))).await.unwrap_err();
            sleep(ms(1)).await;
            let other = async {
                let (sender, receiver) = futures::channel::oneshot::channel();
                call_later(ms(3), move || sender.send(()).unwrap());
                let child = eager().create_task(receiver);
                assert_eq!(child.await, Ok(Ok(())));
                of_task.add("slept");
            };
            futures::join!(async { cancelled.reraise().await }, other);
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err());
        log.expect(&[(4, "slept")]);
    });
}

#[test]
fn a_protection_holds_no_cancel_back_from_a_task_begun_in_it() {
    run_virtual(async {
        let task = create_task(async {
            let begins = async {
                let child = eager().create_task(async {
                    current_task().cancel();
                    let limited = wait_for(
                        async {
                            drop(catch_cancel(sleep(ms(1_000))).await);
                            sleep(ms(1_000)).await;
                        },
                        ms(10),
                    );
                    limited.await
                });
                child.await
            };
            protect(begins, ms(1_000)).await
        });
        assert_eq!(task.await.unwrap().unwrap(), Ok(Err(TimedOut)));
    });
}

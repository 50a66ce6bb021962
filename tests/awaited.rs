//! Tests that a cancel is counted in the call itself on every task that the cancelled one awaits, and on no other.

mod common;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Watchdog, ms, turns};
use futures::{join, poll};
use loopwheel::{
    Instant, SharedTask, Task, TaskRef, catch_cancel, create_task, finally, gather, now,
    run_virtual, sleep, yield_now,
};

/// The time after which the tests do not wait for anything.
const LONG: u64 = 60_000;

fn sleepers<const N: usize>() -> ([Task<()>; N], [TaskRef; N]) {
    let tasks = [(); N].map(|()| create_task(sleep(ms(LONG))));
    let refs = tasks.each_ref().map(Task::to_ref);
    (tasks, refs)
}

fn requests<const N: usize>(tasks: &[TaskRef; N]) -> [usize; N] {
    tasks.each_ref().map(TaskRef::cancelling)
}

#[test]
fn the_children_of_the_awaited_gathering_are_cancelled_at_once() {
    run_virtual(async {
        let (children, refs) = sleepers::<3>();
        let task = create_task(async { drop(gather(children).await) });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(requests(&refs), [1, 1, 1]);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_gathering_in_a_gathering_passes_the_cancel_on_at_once() {
    run_virtual(async {
        let (children, refs) = sleepers::<2>();
        let task = create_task(async { drop(gather([gather(children)]).await) });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(requests(&refs), [1, 1]);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_gathering_that_is_kept_and_polled_no_more_is_not_awaited() {
    run_virtual(async {
        let ([one, two, three], refs) = sleepers();
        let task = create_task(async move {
            let mut kept = pin!(gather([one]));
            let mut also_kept = pin!(gather([two]));
            assert!(poll!(&mut kept).is_pending() && poll!(&mut also_kept).is_pending());
            yield_now().await;
            gather([three]).await;
        });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(requests(&refs), [0, 0, 1]);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_whose_handle_is_kept_and_polled_no_more_is_not_awaited() {
    run_virtual(async {
        let ([mut one, mut two, three], refs) = sleepers();
        let task = create_task(async move {
            assert!(poll!(&mut one).is_pending() && poll!(&mut two).is_pending());
            yield_now().await;
            three.await.unwrap();
        });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(requests(&refs), [0, 0, 1]);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// A cancel goes from each to the other, as each awaits the other, and would go round for ever.
#[test]
fn a_cancel_goes_once_round_a_circle_of_tasks_that_await_several_things() {
    run_virtual(async {
        let of_first: Rc<RefCell<Option<SharedTask<()>>>> = Rc::default();
        let was_whole = Rc::new(Cell::new(false));
        let (place, is_whole) = (of_first.clone(), was_whole.clone());
        let second = create_task(async move {
            yield_now().await;
            let first = place.take().unwrap();
            _ = join!(first, sleep(ms(LONG)));
        });
        let (other, second_ref) = (create_task(sleep(ms(LONG))), second.to_ref());
        let first = create_task(async move {
            let cleans_up = async {
                catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                is_whole.set(catch_cancel(sleep(ms(10))).await.is_ok());
            };
            _ = join!(other, second, cleans_up);
        });
        let refs = [first.to_ref(), second_ref];
        *of_first.borrow_mut() = Some(first.shared());
        sleep(ms(1)).await;
        refs[0].cancel();
        sleep(ms(5)).await;
        assert_eq!(requests(&refs), [1, 1]);
        sleep(ms(50)).await;
        assert!(refs.iter().all(TaskRef::is_done) && was_whole.get());
    });
}

#[test]
fn those_who_await_a_task_go_on_in_the_order_in_which_they_came_though_one_is_polled_again() {
    run_virtual(async {
        for is_cancelled in [false, true] {
            let (log, woken) = (Rc::new(RefCell::new(vec![])), Rc::new(RefCell::new(None)));
            let awaited = create_task(async move {
                finally(sleep(ms(5)), async || sleep(ms(5)).await).await;
            });
            let awaited = awaited.shared();
            let waits = |name| {
                let (awaited, log, woken) = (awaited.clone(), log.clone(), woken.clone());
                create_task(async move {
                    if name == "first" {
                        poll_fn(|cx| {
                            *woken.borrow_mut() = Some(cx.waker().clone());
                            Poll::Ready(())
                        })
                        .await;
                    }
                    _ = catch_cancel(awaited).await;
                    log.borrow_mut().push(name);
                })
            };
            let tasks = ["first", "second", "third"].map(waits);
            turns(2).await;
            if is_cancelled {
                tasks[0].cancel();
            } else {
                woken.take().unwrap().wake();
            }
            for task in tasks {
                _ = task.await;
            }
            assert_eq!(log.take(), ["first", "second", "third"]);
        }
    });
}

#[test]
fn a_child_that_has_ended_takes_no_cancel() {
    run_virtual(async {
        let child = create_task(sleep(ms(5)));
        let child_ref = child.to_ref();
        let task = create_task(async { join!(child, sleep(ms(LONG))) });
        let task_ref = task.to_ref();
        yield_now().await;
        // It runs after the child has ended, and before the task hears of it.
        create_task(async move {
            sleep(ms(5)).await;
            task_ref.cancel();
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((now() - Instant::START, child_ref.cancelling()), (ms(5), 0));
    });
}

#[test]
fn a_cancel_goes_once_round_a_circle_of_three() {
    let _watchdog = Watchdog::new("a circle of three");
    run_virtual(async {
        let place: Rc<RefCell<Option<SharedTask<()>>>> = Rc::default();
        let of_first = place.clone();
        let third = create_task(async move {
            yield_now().await;
            let first = of_first.take().unwrap();
            _ = join!(first, sleep(ms(LONG)));
        });
        let third_ref = third.to_ref();
        let second = create_task(async move {
            _ = join!(third, sleep(ms(LONG)));
        });
        let second_ref = second.to_ref();
        let first = create_task(async move {
            _ = join!(second, sleep(ms(LONG)), async {
                catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                sleep(ms(10)).await;
            });
        });
        let refs = [first.to_ref(), second_ref, third_ref];
        *place.borrow_mut() = Some(first.shared());
        sleep(ms(1)).await;
        refs[0].cancel();
        sleep(ms(5)).await;
        assert_eq!(requests(&refs), [1, 1, 1]);
        sleep(ms(50)).await;
        assert!(refs.iter().all(TaskRef::is_done));
    });
}

/// The clean-up of a task awaits two that await each other. Who looks where the cancel of the task goes, looks round that circle once.
#[test]
fn a_cancel_of_a_task_whose_clean_up_awaits_a_circle_looks_once_round_it() {
    let _watchdog = Watchdog::new("a circle in a clean-up");
    run_virtual(async {
        let place: Rc<RefCell<Option<SharedTask<()>>>> = Rc::default();
        let of_circle = place.clone();
        let other = create_task(async move {
            yield_now().await;
            let one = of_circle.take().unwrap();
            _ = join!(one, sleep(ms(LONG)));
        });
        let one = create_task(async move { _ = join!(other, sleep(ms(LONG))) }).shared();
        *place.borrow_mut() = Some(one.clone());
        let cleans_up = async move {
            catch_cancel(sleep(ms(LONG))).await.unwrap_err();
            one.await.unwrap();
        };
        let first = create_task(async { _ = join!(sleep(ms(LONG)), cleans_up) }).shared();
        let awaiter = first.clone();
        let outside = create_task(async move { _ = join!(awaiter, sleep(ms(LONG))) });
        sleep(ms(1)).await;
        first.cancel();
        sleep(ms(1)).await;
        outside.cancel();
        sleep(ms(1)).await;
        assert_eq!(requests(&[first.to_ref(), outside.to_ref()]), [2, 1]);
    });
}

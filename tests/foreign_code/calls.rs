//! Places in arguments: names, limits, iterators, predicates, and the `Clone` and `Display` of values that are read.

use std::rc::Rc;

use loopwheel::sync::{Condition, Promise};
use loopwheel::{
    AllCompleted, EventLoop, ExceptionGroup, Task, TaskBuilder, TaskGroup, TaskHandle, TaskSet,
    as_completed, call_exception_handler, create_task, gather, sleep, try_create_task, wait,
    yield_now,
};

use crate::deeds::Deed;
use crate::place::{Goes, Place, inside, outside};
use crate::stage::{W, ms};
use crate::things::{On, Value};

pub(crate) fn places() -> Vec<Place> {
    let mut places = names();
    places.extend(iterators());
    places.extend(predicates());
    places.extend(clones());
    places
}

fn name(w: &W) -> Value {
    Value::new(&w.code, On::Into)
}

/// Makes a task that still has its name, its callbacks and its joiner when a new name is refused.
fn renamed(w: &W) -> loopwheel::TaskRef {
    let task = w.task(sleep(ms(10)));
    task.set_name("before");
    let again = task.clone();
    w.again(move || {
        again.set_name("from inside");
        again.cancelling();
    });
    task
}

fn names() -> Vec<Place> {
    vec![
        inside("Into of set_name", Goes::Caller, async |w| {
            let task = renamed(&w);
            yield_now().await; // the joiner stands in its list
            let given = w.call(|| task.set_name(name(&w)));
            let expected = if given.is_some() { "a foreign value" } else { "before" };
            if task.name() != expected {
                w.fail(format!("its name is {}", task.name()));
            }
        }),
        inside("Into of cancel_with_reason", Goes::Caller, async |w| {
            let task = renamed(&w);
            yield_now().await;
            let told = w.call(|| task.cancel_with_reason(name(&w)));
            let expected = usize::from(told.is_some() || w.deed() == Deed::Cancels);
            if told.is_none() && task.cancelling() != expected {
                w.fail(format!("{} requests", task.cancelling()));
            }
        }),
        inside("Into of call_exception_handler", Goes::Caller, async |w| {
            if w.call(|| call_exception_handler(name(&w))).is_some() {
                w.expect_report("reported at");
            }
        }),
        inside("Into of TaskBuilder::name", Goes::Caller, async |w| {
            if let Some(builder) = w.call(|| TaskBuilder::new().name(name(&w))) {
                w.stand_around(builder.create_task(yield_now()));
            }
        }),
        inside("Into of TaskGroup::create_named", Goes::Caller, async |w| {
            let (around, token) = (w.clone(), w.code.token("the future of a named child"));
            w.task(async move {
                let group = TaskGroup::<String>::scope(async |group| {
                    let looked_at = group.clone();
                    around.look(move || format!("{looked_at:?}"));
                    let child = async move {
                        yield_now().await;
                        drop(token);
                        Ok(())
                    };
                    around.call(|| drop(group.create_named(name(&around), child)));
                    if group.running() > 1 {
                        around.fail("a child was counted that is none");
                    }
                    Ok::<(), String>(())
                });
                drop(group.await);
            });
        }),
        outside("Into of a setting of a loop", Goes::Caller, |w| {
            let built = w.call(|| EventLoop::builder().name(name(w)).build());
            drop(built);
            w.call(|| EventLoop::builder().thread_name(name(w)).clock(name(w)).build());
        }),
    ]
}

/// Runs foreign code between its items.
fn items<T>(w: &W, items: Vec<T>) -> impl Iterator<Item = T> + use<T> {
    let code = w.code.clone();
    items.into_iter().enumerate().map(move |(number, item)| {
        if number == 1 {
            code.run();
        }
        item
    })
}

fn sleepers(w: &W) -> Vec<Task<()>> {
    let sleeper = |millis| {
        let token = w.code.token("a sleeper");
        create_task(async move {
            sleep(ms(millis)).await;
            drop(token);
        })
    };
    let sleepers: Vec<_> = (1..4).map(sleeper).collect();
    w.refs.borrow_mut().extend(sleepers.iter().map(TaskHandle::to_ref));
    sleepers
}

fn iterators() -> Vec<Place> {
    vec![
        inside("the iterator of gather", Goes::Caller, async |w| {
            let held = |number| {
                let token = w.code.token("a gathered future");
                async move {
                    sleep(ms(number)).await;
                    drop(token);
                }
            };
            let futures = (1..4).map(held).collect();
            if let Some(gathered) = w.call(|| gather(items(&w, futures))) {
                w.task(gathered);
            }
        }),
        inside("the drop of the iterator of gather", Goes::Caller, async |w| {
            let (value, code) = (Value::new(&w.code, On::Drop), w.code.clone());
            let futures = (1..4).map(move |number| {
                let token = code.token(&value.token.text);
                async move {
                    sleep(ms(number)).await;
                    drop(token);
                }
            });
            if let Some(gathered) = w.call(|| gather(futures)) {
                w.task(gathered);
            }
        }),
        inside("the iterator of TaskSet::extend", Goes::Caller, async |w| {
            let mut set = TaskSet::new();
            let tasks = sleepers(&w).into_iter().map(|task| (1, async move { drop(task.await) }));
            w.call(|| set.extend(items(&w, tasks.collect())));
            w.task(async move { while set.next().await.is_some() {} });
        }),
        inside("== of a key in TaskSet::cancel", Goes::Caller, async |w| {
            let mut set = TaskSet::new();
            set.extend((0..3).map(|_| (Value::new(&w.code, On::Ord), sleep(ms(1)))));
            w.call(|| set.cancel(&Value::new(&w.code, On::Ord)));
            w.task(async move { while set.next().await.is_some() {} });
        }),
        inside("the iterator of wait", Goes::Caller, async |w| {
            let tasks = sleepers(&w);
            if let Some(waited) = w.call(|| wait(items(&w, tasks), AllCompleted)) {
                w.task(waited);
            }
        }),
        inside("the iterator of as_completed", Goes::Caller, async |w| {
            let tasks = sleepers(&w);
            if let Some(mut completed) = w.call(|| as_completed(items(&w, tasks))) {
                w.task(async move { while completed.next().await.is_some() {} });
            }
        }),
        inside("the iterator of an ExceptionGroup", Goes::Caller, async |w| {
            let errors = (0..3).map(|_| w.code.token("an error")).collect();
            w.call(|| ExceptionGroup::new("errors", items(&w, errors)));
        }),
    ]
}

fn predicates() -> Vec<Place> {
    vec![
        inside("the predicate of Condition::wait_for", Goes::Outcome, async |w| {
            let condition = Rc::new(Condition::new());
            let looked_at = condition.clone();
            w.look(move || format!("{looked_at:?} {}", looked_at.waiting()));
            let again = condition.clone();
            w.again(move || _ = again.notify_all());
            let (code, held) = (w.code.clone(), condition.clone());
            let mut asked = 0;
            w.task(async move {
                let guard = held.acquire().await;
                guard
                    .wait_for(|| {
                        asked += 1;
                        if asked > 1 {
                            code.run();
                        }
                        asked > 2
                    })
                    .await;
            });
            w.witness("one behind the predicate", {
                let condition = condition.clone();
                async move {
                    let guard = condition.acquire().await;
                    guard.wait().await;
                }
            });
            w.witness("one that notifies", async move {
                for _ in 0..4 {
                    sleep(ms(2)).await;
                    condition.acquire().await.notify_all();
                }
            });
        }),
        inside("the predicate of ExceptionGroup::split", Goes::Caller, async |w| {
            let errors: Vec<_> = (0..3).map(|_| w.code.token("an error")).collect();
            let group = ExceptionGroup::new("errors", errors);
            let mut asked = 0;
            w.call(|| {
                group.split(|_| {
                    asked += 1;
                    if asked == 2 {
                        w.code.run();
                    }
                    asked == 1
                })
            });
        }),
        inside("Display of the errors of a group", Goes::Caller, async |w| {
            let errors = (0..3).map(|_| Value::new(&w.code, On::Display));
            let group = ExceptionGroup::new("errors", errors);
            w.call(|| format!("{group:#}"));
        }),
    ]
}

fn clones() -> Vec<Place> {
    vec![
        inside("Clone of a shared outcome", Goes::Outcome, async |w| {
            let value = Value::new(&w.code, On::Clone);
            let task = create_task(async move {
                sleep(ms(2)).await;
                value
            });
            w.at_hand(&task);
            let shared = task.shared();
            let again = shared.clone();
            w.again(move || drop(again.result()));
            w.last(shared.clone());
            for _ in 0..2 {
                w.task(shared.clone());
            }
        }),
        inside("Clone of a shared error", Goes::Outcome, async |w| {
            let value = Value::new(&w.code, On::Clone);
            let task = try_create_task(async move {
                sleep(ms(2)).await;
                Err::<(), Value>(value)
            });
            w.at_hand(&task);
            let shared = task.shared();
            let again = shared.clone();
            w.again(move || drop(again.result()));
            w.last(shared.clone());
            for _ in 0..2 {
                w.task(shared.clone());
            }
        }),
        inside("Clone of the value of a Promise", Goes::Outcome, async |w| {
            let promise = Promise::new();
            let looked_at = promise.clone();
            w.look(move || format!("{looked_at:?}"));
            for _ in 0..2 {
                let promise = promise.clone();
                w.task(async move { promise.wait().await });
            }
            let again = promise.clone();
            w.again(move || {
                let other = crate::deeds::Code::new(Deed::Nothing);
                drop(again.set(Value::new(&other, On::Clone)));
                drop(again.get());
            });
            w.settled().await;
            drop(promise.set(Value::new(&w.code, On::Clone)));
            w.last(promise);
        }),
        inside("the drop of the value of a Promise", Goes::Caller, async |w| {
            let promise = Promise::new();
            drop(promise.set(Value::new(&w.code, On::Drop)));
            w.call(|| drop(promise));
        }),
        inside("the drop of a value that a Promise refuses", Goes::Caller, async |w| {
            let promise = Promise::new();
            w.task({
                let promise = promise.clone();
                async move { promise.wait().await }
            });
            drop(promise.set(Value::new(&w.code, On::Clone)));
            let again = promise.clone();
            w.again(move || drop(again.get()));
            w.call(|| drop(promise.set(Value::new(&w.code, On::Drop))));
        }),
    ]
}

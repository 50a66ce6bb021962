//! Places in the life of a task: its poll, and the drop of each of its parts.

use std::future::{Future, pending, poll_fn};
use std::panic::panic_any;
use std::rc::Rc;
use std::task::Poll;

use loopwheel::{
    Budget, TaskGroup, TaskLocal, call_later, call_soon, catch_cancel, create_task, current_task,
    gather, protect, shield, sleep, try_create_task, wait_for, yield_now,
};

use crate::deeds::Deed;
use crate::place::{Goes, Place, inside, outside};
use crate::stage::{Local, W, ms};
use crate::things::{Holding, On, Value, holding};

static LOCAL: TaskLocal<Value> = TaskLocal::new();

/// Polls it once, from inside a task. Says whether it is over.
pub(crate) async fn begin(future: &mut Local) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

fn value(w: &W, on: On) -> Value {
    Value::new(&w.code, on)
}

pub(crate) fn places() -> Vec<Place> {
    let mut places = polls_and_futures();
    places.extend(loops_that_end());
    places.extend(outcomes());
    places.extend(errors_and_locals());
    places.extend(callbacks());
    places
}

fn polls_and_futures() -> Vec<Place> {
    vec![
        inside("the poll of a future", Goes::Outcome, async |w| {
            let (code, token) = (w.code.clone(), w.code.token("what a future holds"));
            w.task(async move {
                yield_now().await;
                code.run();
                yield_now().await;
                token
            });
        }),
        inside("the drop of a future at its end", Goes::Outcome, async |w| {
            w.task(Holding { held: value(&w, On::Drop), polls: 2 });
        }),
        inside("the drop of a future that is cancelled", Goes::Outcome, async |w| {
            let task = w.task(holding(value(&w, On::Drop)));
            yield_now().await;
            task.cancel();
        }),
        inside(
            "the drop of a future that is cancelled before its first poll",
            Goes::Outcome,
            async |w| {
                w.task(holding(value(&w, On::Drop))).cancel();
            },
        ),
        inside("the drop of a future by a time limit", Goes::Outcome, async |w| {
            w.task(wait_for(holding(value(&w, On::Drop)), ms(5)));
        }),
        inside("the drop of a future whose grace is over", Goes::Outcome, async |w| {
            w.task(protect(holding(value(&w, On::Drop)), ms(5)));
        }),
        inside("the drop of a future by catch_cancel", Goes::Outcome, async |w| {
            let task = w.task(catch_cancel(holding(value(&w, On::Drop))));
            yield_now().await;
            task.cancel();
        }),
        inside("the drop of a child's future by its group", Goes::Report, async |w| {
            let (held, around) = (value(&w, On::Drop), w.clone());
            let body = async move {
                let child = async move {
                    holding(held).await;
                    Ok(())
                };
                let _ = TaskGroup::<String>::scope(async |group| {
                    let child = group.create_task(child);
                    around.at_hand(&child);
                    around.last(child);
                    if around.deed() != Deed::DropsHandles {
                        around.lasts.borrow_mut().pop();
                    }
                    let sibling = around.code.token("a sibling's future");
                    drop(group.create_task(async move {
                        holding(sibling).await;
                        Ok(())
                    }));
                    pending::<()>().await;
                    Ok::<(), String>(())
                })
                .await;
            };
            let settled = w.clone();
            w.task(async move {
                let mut scope: Local = Box::pin(body);
                begin(&mut scope).await;
                settled.settled().await;
                drop(scope);
            });
        }),
        inside("the drop of a child's future that a gather gave up", Goes::Nowhere, async |w| {
            let child = holding(value(&w, On::Drop));
            let settled = w.clone();
            w.task(async move {
                let mut gathered: Local = Box::pin(async move {
                    gather([child]).await;
                });
                begin(&mut gathered).await;
                settled.settled().await;
                drop(gathered);
            });
        }),
    ]
}

fn loops_that_end() -> Vec<Place> {
    vec![
        outside("the drop of a future with its loop", Goes::Report, |w| {
            let mut event_loop = w.builder().build();
            let task = event_loop.create_task(holding(value(w, On::Drop)));
            w.at_hand(&task);
            if w.deed() == Deed::DropsHandles {
                w.last(task);
            } else {
                drop(task);
            }
            let behind = w.code.token("a task behind it");
            drop(event_loop.create_task(holding(behind)));
            event_loop.turn(Budget::unlimited());
            w.call(|| drop(event_loop));
            w.look_at_witnesses();
        }),
        outside("the drop of a future that makes its like with its loop", Goes::Report, |w| {
            struct Again(Value, W);
            impl Drop for Again {
                fn drop(&mut self) {
                    if let Ok(task) = loopwheel::TaskBuilder::new()
                        .create_task_if_running(holding(Again(self.0.clone(), self.1.clone())))
                    {
                        drop(task);
                    }
                }
            }
            // What is forgotten in the end leaks by decision, and its ledger is not this cell's.
            let code = crate::deeds::Code::new(Deed::Nothing);
            let event_loop = w.builder().build();
            drop(event_loop.create_task(holding(Again(Value::new(&code, On::Clone), w.clone()))));
            let deed = value(w, On::Drop);
            drop(event_loop.create_task(holding(deed)));
            w.expect_report(""); // one, whatever it says
            w.call(|| drop(event_loop));
        }),
        outside("the drop of main's future in a deadlock", Goes::Report, |w| {
            let mut event_loop = w.builder().build();
            let ran = w.call(|| event_loop.try_run(holding(value(w, On::Drop))));
            if !matches!(ran, Some(Err(loopwheel::RunError::Deadlock(_)))) {
                w.fail("it was no deadlock");
            }
            w.call(|| drop(event_loop));
        }),
    ]
}

fn outcomes() -> Vec<Place> {
    vec![
        inside("the drop of an outcome that nothing takes", Goes::Report, async |w| {
            let value = value(&w, On::Drop);
            let task = create_task(async move { value });
            w.at_hand(&task);
            if w.deed() == Deed::DropsHandles {
                w.witness("one that drops the handle later", {
                    async move {
                        sleep(ms(5)).await;
                        drop(task);
                    }
                });
            }
        }),
        inside("the drop of an outcome that a cancel overrides", Goes::Outcome, async |w| {
            let value = value(&w, On::Drop);
            w.task(async move {
                yield_now().await;
                current_task().cancel();
                value
            });
        }),
        inside("the drop of a value that a gather does not give", Goes::Report, async |w| {
            let value = value(&w, On::Drop);
            let failed = w.clone();
            let given = async move { Ok(value) };
            let fails = async move {
                sleep(ms(2)).await;
                Err::<Value, String>("a sibling failed".to_owned())
            };
            w.task(async move {
                let children: [std::pin::Pin<Box<dyn Future<Output = _>>>; 2] =
                    [Box::pin(given), Box::pin(fails)];
                let gathered = loopwheel::try_gather(children).await;
                if gathered.map(drop) != Err("a sibling failed".to_owned()) {
                    failed.fail("the failure was lost");
                }
            });
        }),
        inside("the drop of a panic's payload", Goes::Nowhere, async |w| {
            let value = value(&w, On::Drop);
            let task = create_task(async move {
                yield_now().await;
                panic_any(value);
            });
            // No reference is kept, because the payload goes with the last one.
            let ending = w.ending("the done-callback of the task at hand");
            task.add_done_callback(move |_| drop(ending));
            drop(task);
            w.expect_report("something that is not text");
        }),
    ]
}

fn errors_and_locals() -> Vec<Place> {
    let failing = |w: &W, on: On| {
        let error = value(w, on);
        w.expect_report(match (on, w.deed()) {
            (On::Debug, deed) if deed.throws() => "an error whose Debug panicked",
            _ => "took its error: a foreign value",
        });
        try_create_task(async move {
            yield_now().await;
            Err::<(), Value>(error)
        })
    };
    vec![
        inside("the drop of an error that nothing takes", Goes::Report, move |w| async move {
            let task = failing(&w, On::Drop);
            w.at_hand(&task);
            drop(task);
        }),
        inside("Debug of an error that nothing takes", Goes::Nowhere, move |w| async move {
            let task = failing(&w, On::Debug);
            w.at_hand(&task);
            drop(task);
        }),
        inside("Debug of an error that a shield left", Goes::Nowhere, move |w| async move {
            let mut task = failing(&w, On::Debug);
            w.at_hand(&task);
            drop(wait_for(shield(&mut task), ms(0)).await);
            // Its handle exists, and the deed may drop it while the text is made.
            w.last(task);
        }),
        inside("the drop of a task-local", Goes::Report, async |w| {
            let value = value(&w, On::Drop);
            w.task(async move {
                LOCAL.set(value);
                yield_now().await;
            });
        }),
        inside("Clone of a task-local", Goes::Outcome, async |w| {
            let value = value(&w, On::Clone);
            w.again(|| _ = LOCAL.with(|value| value.is_some()));
            w.task(async move {
                LOCAL.set(value);
                drop(LOCAL.get());
            });
        }),
        inside("the closure of TaskLocal::with", Goes::Outcome, async |w| {
            let (value, code, again) = (value(&w, On::Clone), w.code.clone(), w.code.clone());
            w.again(move || drop(LOCAL.set(Value::new(&again, On::Clone))));
            w.task(async move {
                LOCAL.set(value);
                LOCAL.with(|value| {
                    code.run();
                    assert_eq!(value.unwrap().token.text, "a foreign value");
                });
            });
        }),
    ]
}

fn callbacks() -> Vec<Place> {
    vec![
        inside("a callback of call_soon", Goes::Report, async |w| {
            let code = w.code.clone();
            let called = call_soon(move || code.run());
            w.again(move || _ = called.cancel());
        }),
        inside("a callback of call_later", Goes::Report, async |w| {
            let code = w.code.clone();
            let called = call_later(ms(5), move || code.run());
            w.again(move || _ = called.cancel());
        }),
        inside("a done-callback", Goes::Report, async |w| {
            let code = w.code.clone();
            let task = w.task(sleep(ms(1)));
            task.add_done_callback(move |task| {
                code.run();
                assert!(task.is_done());
            });
            let behind = w.ending("a done-callback behind it");
            task.add_done_callback(move |_| drop(behind));
        }),
        inside("the drop of a callback that is cancelled", Goes::Report, async |w| {
            let value = value(&w, On::Drop);
            let called = call_later(ms(5), move || drop(value));
            let cancelled = called.clone();
            w.again(move || _ = cancelled.cancel());
            w.call(|| called.cancel());
        }),
        outside("the drop of a callback with its loop", Goes::Report, |w| {
            let event_loop = w.builder().build();
            let value = value(w, On::Drop);
            event_loop.call_later(ms(5), move || drop(value));
            w.call(|| drop(event_loop));
        }),
        outside("the drop of a done-callback with its loop", Goes::Report, |w| {
            let event_loop = w.builder().build();
            let held = value(w, On::Drop);
            let task = event_loop.create_task(pending::<()>());
            task.add_done_callback(move |_| drop(held));
            w.at_hand(&task);
            w.last(task);
            w.call(|| drop(event_loop));
            w.look_at_witnesses();
        }),
        outside("the drop of a done-callback of a loop that is gone", Goes::Caller, |w| {
            let event_loop = w.builder().build();
            let task = event_loop.create_task(pending::<()>());
            let task = Rc::new(task);
            drop(event_loop);
            let value = value(w, On::Drop);
            w.last(task.clone());
            w.call(|| task.add_done_callback(move |_| drop(value)));
        }),
    ]
}

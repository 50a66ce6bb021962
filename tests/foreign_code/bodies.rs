//! Places in bodies: of a group, a time limit, a `finally`.

use std::future::pending;

use loopwheel::bounds::IntoRaised;
use loopwheel::{
    Deadline, Raised, TaskGroup, finally, finally_within, protect, sleep, timeout, yield_now,
};

use crate::place::{Goes, Place, inside};
use crate::stage::{W, ms};
use crate::things::{On, Value};

/// The error of a body, which becomes one of the group's.
struct BodyFailed(Value);

impl IntoRaised<String> for BodyFailed {
    fn into_raised(self) -> Raised<String> {
        Raised::Error(self.0.into())
    }
}

/// Gives the group a child that fails, and is told of while the body still runs, and a child that sleeps.
fn children(w: &W, group: &TaskGroup<String>) {
    let (token, other) = (w.code.token("a failing child"), w.code.token("a sleeping child"));
    let looked_at = group.clone();
    w.look(move || format!("{looked_at:?}"));
    let again = group.clone();
    w.again(move || again.cancel());
    drop(group.create_task(async move {
        drop(token);
        Err::<(), String>("a child failed".to_owned())
    }));
    drop(group.create_task(async move {
        sleep(ms(5)).await;
        drop(other);
        Ok(())
    }));
}

pub(crate) fn places() -> Vec<Place> {
    let mut places = groups();
    places.extend(failing_groups());
    places.extend(others());
    places
}

fn groups() -> Vec<Place> {
    vec![
        inside("the body of a group", Goes::Outcome, async |w| {
            let around = w.clone();
            w.task(async move {
                let scope = TaskGroup::<String>::scope(async |group| {
                    let looked_at = group.clone();
                    around.look(move || format!("{looked_at:?}"));
                    let again = group.clone();
                    around.again(move || again.cancel());
                    let token = around.code.token("a child");
                    drop(group.create_task(async move {
                        sleep(ms(5)).await;
                        drop(token);
                        Ok(())
                    }));
                    yield_now().await;
                    around.code.run();
                    Ok::<(), String>(())
                });
                drop(scope.await);
            });
        }),
        inside("the body of a group whose child has failed", Goes::Outcome, async |w| {
            let around = w.clone();
            if w.deed().throws() {
                w.expect_report("a child failed"); // the scope gives the panic, so its error is told
            }
            w.task(async move {
                let scope = TaskGroup::<String>::scope(async |group| {
                    children(&around, group);
                    yield_now().await;
                    around.code.run();
                    Ok::<(), String>(())
                });
                drop(scope.await);
            });
        }),
    ]
}

fn failing_groups() -> Vec<Place> {
    vec![
        inside("the drop of a scope whose child has failed", Goes::Outcome, async |w| {
            let around = w.clone();
            let value = Value::new(&w.code, On::Drop);
            w.expect_report("a child failed");
            w.task(async move {
                let mut scope: crate::stage::Local = Box::pin(async move {
                    let _ = TaskGroup::<String>::scope(async |group| {
                        children(&around, group);
                        let _held = value;
                        pending::<()>().await;
                        Ok::<(), String>(())
                    })
                    .await;
                });
                crate::tasks::begin(&mut scope).await;
                yield_now().await;
                drop(scope);
            });
        }),
        inside("the drop of a group's value when a child has failed", Goes::Report, async |w| {
            let around = w.clone();
            let value = Value::new(&w.code, On::Drop);
            w.task(async move {
                let scope = TaskGroup::<String>::scope(async |group| {
                    children(&around, group);
                    Ok::<Value, String>(value)
                });
                let errors = scope.await.map(std::mem::forget::<Value>).unwrap_err();
                assert_eq!(errors.iter().collect::<Vec<_>>(), ["a child failed"]);
            });
        }),
        inside("into_raised of the error of a group's body", Goes::Outcome, async |w| {
            let around = w.clone();
            let value = Value::new(&w.code, On::Into);
            if w.deed().throws() {
                w.expect_report("a child failed");
            }
            w.task(async move {
                let scope = TaskGroup::<String>::scope(async |group| {
                    children(&around, group);
                    yield_now().await;
                    Err::<(), BodyFailed>(BodyFailed(value))
                });
                drop(scope.await);
            });
        }),
        inside("the body of a time limit", Goes::Outcome, async |w| {
            let (code, token) = (w.code.clone(), w.code.token("what a body holds"));
            let around = w.clone();
            w.task(timeout(ms(20), async move |deadline| {
                let (looked_at, again) = (deadline.clone(), deadline.clone());
                around.look(move || format!("{looked_at:?}"));
                around.again(move || _ = again.reschedule(None));
                code.run();
                yield_now().await;
                code.arm();
                drop(token);
            }));
        }),
    ]
}

fn others() -> Vec<Place> {
    vec![
        inside("the call that makes the body of a time limit", Goes::Caller, async |w| {
            let code = w.code.clone();
            let limited = w.call(|| {
                timeout(ms(20), move |deadline: Deadline| {
                    code.run();
                    async move { drop(deadline) }
                })
            });
            if let Some(limited) = limited {
                w.task(limited);
            }
        }),
        inside("the body of a finally", Goes::Outcome, async |w| {
            let (code, cleaned) = (w.code.clone(), w.ending("the clean-up of a finally"));
            let body = async move {
                yield_now().await;
                code.run();
            };
            w.task(finally(body, async move || {
                yield_now().await;
                drop(cleaned);
            }));
        }),
        inside("the clean-up of a finally", Goes::Outcome, async |w| {
            let code = w.code.clone();
            let token = w.code.token("what a body holds");
            let body = async move {
                yield_now().await;
                drop(token);
            };
            w.task(finally(body, async move || code.run()));
        }),
        inside("the clean-up of a finally_within", Goes::Outcome, async |w| {
            let code = w.code.clone();
            let token = w.code.token("what a body holds");
            let body = async move {
                yield_now().await;
                drop(token);
            };
            w.task(finally_within(body, ms(50), async move || code.run()));
        }),
        inside("the future of a protect that holds a cancel back", Goes::Outcome, async |w| {
            let code = w.code.clone();
            let future = async move {
                sleep(ms(1)).await;
                code.run();
            };
            let task = w.task(protect(future, ms(50)));
            yield_now().await;
            task.cancel();
        }),
    ]
}

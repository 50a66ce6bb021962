//! Places in a race and in a task set.

use std::future::Future;
use std::pin::Pin;

use loopwheel::{TaskError, TaskSet, catch_cancel, create_task, first_ok, race, sleep};

use crate::place::{Goes, Place, inside};
use crate::stage::{Local, W, ms};
use crate::tasks::begin;
use crate::things::{On, Value, holding};

type Racer<T> = Pin<Box<dyn Future<Output = T>>>;

fn value(w: &W, on: On) -> Value {
    Value::new(&w.code, on)
}

pub(crate) fn places() -> Vec<Place> {
    let mut places = races();
    places.extend(outcomes());
    places.extend(sets());
    places
}

fn races() -> Vec<Place> {
    vec![
        inside("the iterator of race", Goes::Caller, async |w| {
            let code = w.code.clone();
            let racers = (1..4).map(move |number| {
                let token = code.token("a racer");
                if number == 2 {
                    code.run();
                }
                async move {
                    sleep(ms(number)).await;
                    drop(token);
                }
            });
            if let Some(raced) = w.call(|| race(racers)) {
                w.task(raced);
            }
        }),
        inside("the drop of the iterator of race", Goes::Caller, async |w| {
            let (value, code) = (value(&w, On::Drop), w.code.clone());
            let racers = (1..4).map(move |number| {
                let token = code.token(&value.token.text);
                async move {
                    sleep(ms(number)).await;
                    drop(token);
                }
            });
            if let Some(raced) = w.call(|| race(racers)) {
                w.task(raced);
            }
        }),
        inside("the drop of a loser's future", Goes::Report, async |w| {
            let (loser, other) = (value(&w, On::Drop), w.code.token("another loser"));
            w.task(async move { race((holding(loser), sleep(ms(2)), holding(other))).await });
        }),
        inside("the drop of a racer's future with its race", Goes::Report, async |w| {
            let (first, other) = (value(&w, On::Drop), w.code.token("another racer"));
            let settled = w.clone();
            w.task(async move {
                let mut raced: Local = Box::pin(race((holding(first), holding(other))));
                begin(&mut raced).await;
                settled.settled().await;
                drop(raced);
            });
        }),
    ]
}

fn outcomes() -> Vec<Place> {
    vec![
        inside("the drop of a loser's value", Goes::Report, async |w| {
            let (value, won) = (value(&w, On::Drop), value(&w, On::Clone));
            let stubborn: Racer<Value> = Box::pin(async move {
                drop(catch_cancel(sleep(ms(100))).await);
                value
            });
            let wins: Racer<Value> = Box::pin(async move {
                sleep(ms(2)).await;
                won
            });
            w.task(race([stubborn, wins]));
        }),
        inside("the drop of an error that first_ok does not give", Goes::Report, async |w| {
            let value = value(&w, On::Drop);
            let fails: Racer<Result<(), Value>> = Box::pin(async move { Err(value) });
            let wins: Racer<Result<(), Value>> = Box::pin(async {
                sleep(ms(2)).await;
                Ok(())
            });
            let raced = first_ok([fails, wins]);
            let world = w.clone();
            w.task(async move {
                if raced.await.is_err() {
                    world.fail("one has succeeded");
                }
            });
        }),
        inside("Clone of the output of a shared racer", Goes::Outcome, async |w| {
            let value = value(&w, On::Clone);
            let task = create_task(async move {
                sleep(ms(2)).await;
                value
            });
            w.at_hand(&task);
            let shared = task.shared();
            w.last(shared.clone());
            let loser = w.code.token("a loser");
            let never: Racer<Result<Value, TaskError>> = Box::pin(async move {
                holding(loser).await;
                unreachable!("it is never ready")
            });
            w.task(race((shared, never)));
        }),
    ]
}

fn sets() -> Vec<Place> {
    vec![
        inside("the drop of a key with its task set", Goes::Report, async |w| {
            let mut set = TaskSet::new();
            for on in [On::Clone, On::Drop, On::Clone] {
                let token = w.code.token("a task of the set");
                w.refs.borrow_mut().push(set.create_task(value(&w, on), holding(token)));
            }
            w.settled().await;
            drop(set);
        }),
        inside("the drop of a value with its task set", Goes::Report, async |w| {
            let mut set = TaskSet::new();
            for on in [On::Clone, On::Drop, On::Clone] {
                let value = value(&w, on);
                set.create_task(w.code.token("a key"), async move { value });
            }
            w.settled().await;
            w.witness("one that has the set", async move { drop(set) });
        }),
        inside("the drop of a result by TaskSet::shutdown", Goes::Report, async |w| {
            let mut set = TaskSet::new();
            for on in [On::Clone, On::Drop, On::Clone] {
                let (value, token) = (value(&w, on), w.code.token("a key"));
                set.create_task(token, async move {
                    drop(catch_cancel(sleep(ms(100))).await);
                    value
                });
            }
            w.settled().await;
            w.task(async move { set.shutdown().await });
        }),
    ]
}

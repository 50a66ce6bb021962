//! Places in queues: the order of items, a custom store, the drop of items.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use loopwheel::sync::{PriorityQueue, Queue, QueueOf, Store};
use loopwheel::thread_channel;

use crate::deeds::{Code, Deed, Token, text_of};
use crate::place::{Goes, Place, inside};
use crate::stage::{W, World};
use crate::things::{On, Value};

/// A queue whose foreign code calls it: looking is allowed, putting and getting is refused.
fn reenter<S: Store + 'static>(
    w: &W,
    queue: &Rc<QueueOf<S>>,
    item: impl Fn() -> S::Item + 'static,
) {
    let looked_at = queue.clone();
    w.look(move || format!("{looked_at:?} {}", looked_at.len()));
    let (queue, world) = (queue.clone(), w.clone());
    w.again(move || {
        let before = queue.len();
        is_refused(&world, "put", || drop(queue.put_nowait(item())));
        is_refused(&world, "get", || drop(queue.get_nowait()));
        if queue.len() != before {
            world.fail("its length changed inside");
        }
    });
}

fn is_refused(w: &W, what: &str, call: impl FnOnce()) {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => w.fail(format!("{what} was not refused inside")),
        Err(payload) => {
            let text = text_of(&*payload);
            if !text.contains("queue") || text.contains("borrowed") {
                w.fail(format!("{what} inside is refused with: {text}"));
            }
        }
    }
}

fn quiet(rank: u32) -> Value {
    let world = World::here().expect("a cell runs here");
    Value::ranked(&world.code, On::Ord, rank)
}

/// Puts three items, two of them through the foreign code, and gets all of them.
fn priorities(w: &W, in_put: bool) {
    let queue = Rc::new(PriorityQueue::unbounded());
    reenter(w, &queue, || quiet(0));
    w.code.disarm();
    for rank in [3, 2, 5] {
        drop(queue.put_nowait(Value::ranked(&w.code, On::Ord, rank)));
    }
    w.code.arm();
    let mut count = 3;
    if in_put {
        w.call(|| drop(queue.put_nowait(Value::ranked(&w.code, On::Ord, 1))));
        count += 1;
    } else if let Some(item) = w.call(|| queue.get_nowait()) {
        drop(item);
        count -= 1;
    }
    w.code.disarm();
    if queue.len() != count {
        w.fail(format!("{} items in place of {count}", queue.len()));
    }
    let getter = queue.clone();
    w.witness("a getter", async move { while getter.get().await.is_ok() {} });
    let (joined, join) = (queue.clone(), w.deed());
    let failed = w.clone();
    w.witness("one that joins the queue", async move {
        let mut done = 0;
        while joined.task_done().is_ok() {
            done += 1;
        }
        if done != if in_put { 4 } else { 3 } {
            failed.fail(format!("{done} items were counted, with {join:?}"));
        }
        joined.join().await;
        joined.shutdown(false);
    });
}

/// A store whose methods are foreign code.
#[derive(Default)]
struct Own {
    items: VecDeque<Token>,
    acts: Option<(Code, Method)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Keep,
    Next,
    Count,
}

impl Own {
    fn acts(&self, method: Method) {
        if let Some((code, _)) = self.acts.as_ref().filter(|(_, on)| *on == method) {
            code.run();
        }
    }
}

thread_local! {
    static METHOD: std::cell::Cell<Option<Method>> = const { std::cell::Cell::new(None) };
}

impl Store for Own {
    type Item = Token;

    fn keep(&mut self, item: Token) {
        let world = World::here();
        self.acts = self.acts.take().or_else(|| Some((world?.code.clone(), METHOD.get()?)));
        self.items.push_back(item);
        self.acts(Method::Keep);
    }

    fn next(&mut self) -> Option<Token> {
        self.acts(Method::Next);
        self.items.pop_front()
    }

    fn count(&self) -> usize {
        self.acts(Method::Count);
        self.items.len()
    }
}

fn stored(w: &W, method: Method) {
    METHOD.set(Some(method));
    let queue = Rc::new(QueueOf::<Own>::bounded(5));
    let code = w.code.clone();
    if method == Method::Count {
        let queue = queue.clone(); // refused or not: a question changes nothing
        w.again(move || {
            _ = catch_unwind(AssertUnwindSafe(|| queue.put_nowait(code.token("an item"))));
        });
    } else {
        reenter(w, &queue, move || code.token("an item that is refused"));
    }
    w.code.disarm();
    drop(queue.put_nowait(w.code.token("an item")));
    w.code.arm();
    w.call(|| drop(queue.put_nowait(w.code.token("an item"))));
    w.call(|| drop(queue.get_nowait()));
    w.call(|| queue.len());
    w.code.disarm();
    let getter = queue.clone();
    w.witness("a getter", async move { while getter.get().await.is_ok() {} });
    let putter = queue.clone();
    let code = w.code.clone();
    w.witness("a putter", async move {
        for _ in 0..8 {
            drop(putter.put(code.token("an item")).await);
        }
        putter.shutdown(false);
    });
}

/// Drops the items of a queue that a getter, a putter and a joiner wait for.
fn shut_down(w: &W) {
    let queue = Rc::new(Queue::bounded(3));
    let looked_at = queue.clone();
    w.look(move || format!("{looked_at:?}"));
    let again = queue.clone();
    let quiet = Code::new(Deed::Nothing);
    w.again(move || {
        drop(again.put_nowait(Value::new(&quiet, On::Drop)));
        if again.get_nowait().is_ok() {
            again.task_done().unwrap();
        }
        again.shutdown(true);
    });
    for _ in 0..3 {
        drop(queue.put_nowait(Value::new(&w.code, On::Drop)));
    }
    let (putter, code) = (queue.clone(), w.code.clone());
    let (joiner, world) = (queue.clone(), w.clone());
    w.witness("a putter", async move {
        let item = Value::new(&code, On::Clone);
        drop(putter.put(item).await);
    });
    w.witness("one that joins the queue", async move { joiner.join().await });
    w.witness("one that shuts it down", async move {
        loopwheel::yield_now().await;
        world.call(|| queue.shutdown(true));
        if !queue.is_empty() {
            world.fail("items are left");
        }
    });
}

pub(crate) fn places() -> Vec<Place> {
    vec![
        inside("Ord of an item that is put", Goes::Caller, async |w| priorities(&w, true)),
        inside("Ord of an item that is got", Goes::Caller, async |w| priorities(&w, false)),
        inside("keep of a Store", Goes::Caller, async |w| stored(&w, Method::Keep)),
        inside("next of a Store", Goes::Caller, async |w| stored(&w, Method::Next)),
        inside("count of a Store", Goes::Caller, async |w| stored(&w, Method::Count)),
        inside("the drop of the items of a queue that is shut down", Goes::Caller, async |w| {
            shut_down(&w);
        }),
        inside("the drop of the items of a queue with it", Goes::Caller, async |w| {
            let queue = Queue::unbounded();
            for _ in 0..3 {
                drop(queue.put_nowait(Value::new(&w.code, On::Drop)));
            }
            w.call(|| drop(queue));
        }),
        inside("the drop of the items of a channel with its receiver", Goes::Caller, async |w| {
            let (sender, receiver) = thread_channel(3);
            let again = sender.clone();
            let quiet = Code::new(Deed::Nothing);
            w.again(move || drop(again.send_nowait(Value::new(&quiet, On::Drop))));
            for _ in 0..3 {
                drop(sender.send_nowait(Value::new(&w.code, On::Drop)));
            }
            w.call(|| drop(receiver));
            if !sender.is_gone() {
                w.fail("the channel is open");
            }
        }),
    ]
}

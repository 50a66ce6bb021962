//! Foreign wakers: where the crate keeps one, and which of its functions it calls.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::mpsc;

use loopwheel::sync::{BoundedSemaphore, Lock, Promise, Queue};
use loopwheel::{
    Handle, Task, TaskSet, as_completed, create_task, gather, race, sleep, thread_channel,
    to_thread, wait, wait_for, yield_now,
};

use crate::place::{Goes, Place, inside};
use crate::stage::{Local, W, ms};
use crate::tasks::begin;
use crate::things::{OnWaker, Under};

/// Something that keeps a waker, and what lets it go on.
type Kept = (Local, GoOn);
type GoOn = Rc<dyn Fn()>;

fn evented(w: &W) -> Kept {
    let event = w.open.clone();
    (Box::pin(async move { event.wait().await }), open(w))
}

fn open(w: &W) -> GoOn {
    let event = w.open.clone();
    Rc::new(move || event.set())
}

fn locked(_: &W) -> Kept {
    let lock = Rc::new(Lock::new());
    lock.acquire_nowait().expect("it is free").forget();
    let held = lock.clone();
    (Box::pin(async move { drop(held.acquire().await) }), Rc::new(move || _ = lock.release()))
}

fn permitted(_: &W) -> Kept {
    let semaphore = Rc::new(BoundedSemaphore::new(1));
    semaphore.acquire_nowait().expect("it is free").forget();
    let held = semaphore.clone();
    (Box::pin(async move { drop(held.acquire().await) }), Rc::new(move || _ = semaphore.release()))
}

fn permitted_several(_: &W) -> Kept {
    let semaphore = Rc::new(BoundedSemaphore::new(2));
    semaphore.acquire_nowait().expect("it is free").forget();
    let held = semaphore.clone();
    let kept = async move { drop(held.acquire_many(2).await) };
    (Box::pin(kept), Rc::new(move || _ = semaphore.release()))
}

fn received(w: &W) -> Kept {
    let ((sender, receiver), code) = (thread_channel(1), w.code.clone());
    let send = move || drop(sender.send_nowait(code.token("an item")));
    (Box::pin(async move { drop(receiver.recv().await) }), Rc::new(send))
}

fn sent(w: &W) -> Kept {
    let ((sender, receiver), code) = (thread_channel(1), w.code.clone());
    drop(sender.send_nowait(code.token("an item")));
    let send = async move { drop(sender.send_async(code.token("an item")).await) };
    (Box::pin(send), Rc::new(move || drop(receiver.recv_nowait())))
}

fn got(w: &W) -> Kept {
    let (queue, code) = (Rc::new(Queue::bounded(1)), w.code.clone());
    let getter = queue.clone();
    let put = move || drop(queue.put_nowait(code.token("an item")));
    (Box::pin(async move { drop(getter.get().await) }), Rc::new(put))
}

fn put(w: &W) -> Kept {
    let (queue, code) = (Rc::new(Queue::bounded(1)), w.code.clone());
    drop(queue.put_nowait(code.token("an item")));
    let putter = queue.clone();
    let put = async move { drop(putter.put(code.token("an item")).await) };
    (Box::pin(put), Rc::new(move || drop(queue.get_nowait())))
}

fn promised(_: &W) -> Kept {
    let promise = Promise::new();
    let waited = promise.clone();
    (Box::pin(async move { waited.wait().await }), Rc::new(move || _ = promise.set(())))
}

fn opened(w: &W) -> impl Future<Output = ()> + 'static {
    let event = w.open.clone();
    async move { event.wait().await }
}

fn joined(w: &W) -> Kept {
    let task = create_task(opened(w));
    let first = task.to_ref();
    let behind = w.ending("a done-callback behind the waker");
    let joined = async move {
        drop(task.await);
    };
    first.add_done_callback(move |_| drop(behind));
    (Box::pin(joined), open(w))
}

/// A task of another loop ends at once when that loop is dropped, for instance while a waker is cloned.
fn elsewhere(w: &W) -> (Task<()>, GoOn) {
    let other = w.other.take().expect("the other loop is there");
    let task = other.create_task(pending::<()>());
    *w.other.borrow_mut() = Some(other);
    let world = w.clone();
    (task, Rc::new(move || drop(world.other.take())))
}

fn joined_elsewhere(w: &W) -> Kept {
    let (task, end) = elsewhere(w);
    (Box::pin(async move { drop(task.await) }), end)
}

fn gathered_elsewhere(w: &W) -> Kept {
    let (task, end) = elsewhere(w);
    (Box::pin(async move { drop(gather([task]).await) }), end)
}

fn waited_elsewhere(w: &W) -> Kept {
    let (task, end) = elsewhere(w);
    (Box::pin(async move { drop(wait([task], loopwheel::AllCompleted).await) }), end)
}

fn gathered(w: &W) -> Kept {
    let gathered = gather([opened(w)]);
    (Box::pin(async move { drop(gathered.await) }), open(w))
}

fn raced(w: &W) -> Kept {
    let raced = race([opened(w)]);
    (Box::pin(raced), open(w))
}

fn next_of_a_set(w: &W) -> Kept {
    let mut set = TaskSet::new();
    set.create_task((), opened(w));
    let next = async move {
        drop(set.next().await);
    };
    (Box::pin(next), open(w))
}

fn waited(w: &W) -> Kept {
    let waited = wait([create_task(opened(w))], loopwheel::AllCompleted).timeout(ms(1_000));
    (Box::pin(async move { drop(waited.await) }), open(w))
}

fn completed(w: &W) -> Kept {
    let mut completed = as_completed([create_task(opened(w))]);
    let next = async move {
        drop(completed.next().await);
    };
    (Box::pin(next), open(w))
}

fn timed(_: &W) -> Kept {
    (Box::pin(sleep(ms(20))), Rc::new(|| ()))
}

fn limited(_: &W) -> Kept {
    let limited = async { _ = wait_for(pending::<()>(), ms(20)).await };
    (Box::pin(limited), Rc::new(|| ()))
}

fn threaded(_: &W) -> Kept {
    let (sender, receiver) = mpsc::channel::<()>();
    let sender = Cell::new(Some(sender));
    let work = to_thread(move || _ = receiver.recv());
    (Box::pin(async move { drop(work.await) }), Rc::new(move || drop(sender.take())))
}

fn remote(w: &W) -> Kept {
    let code = w.code.clone();
    let remote = Handle::current()
        .create_task(move || {
            let token = code.token("a remote future");
            async move {
                sleep(ms(20)).await;
                drop(token);
            }
        })
        .unwrap();
    (Box::pin(async move { drop(remote.await) }), Rc::new(|| ()))
}

type Kind = (&'static str, fn(&W) -> Kept);

const KINDS: [Kind; 22] = [
    ("of an event", evented),
    ("of a lock", locked),
    ("of a semaphore", permitted),
    ("of a request for several permits", permitted_several),
    ("of a receiver of a channel", received),
    ("of a sender of a channel", sent),
    ("of a getter of a queue", got),
    ("of a putter of a queue", put),
    ("of a promise", promised),
    ("of a joiner", joined),
    ("of a joiner of another loop", joined_elsewhere),
    ("of a gather of another loop", gathered_elsewhere),
    ("of a wait of another loop", waited_elsewhere),
    ("of a gather", gathered),
    ("of a race", raced),
    ("of a task set", next_of_a_set),
    ("of a wait", waited),
    ("of an as_completed", completed),
    ("of a timer", timed),
    ("of a time limit", limited),
    ("of a to_thread", threaded),
    ("of a remote task", remote),
];

/// From inside, the deed can let it go on.
fn arranged(w: &W, kind: fn(&W) -> Kept) -> Kept {
    let (kept, go_on) = kind(w);
    let again = go_on.clone();
    w.again(move || again());
    (kept, go_on)
}

pub(crate) fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for (of, kind) in KINDS {
        places.push(inside(format!("clone of a waker {of}"), Goes::Outcome, move |w| async move {
            let (kept, go_on) = arranged(&w, kind);
            w.task(Under::new(&w.code, OnWaker::Clone, kept));
            w.settled().await;
            go_on();
        }));
        let replacing = format!("clone of a waker that replaces another {of}");
        places.push(inside(replacing, Goes::Outcome, move |w| async move {
            let (mut kept, go_on) = arranged(&w, kind);
            begin(&mut kept).await; // by another task, whose waker it is for now
            w.task(Under::new(&w.code, OnWaker::Clone, kept));
            w.settled().await;
            go_on();
        }));
        // A thread of the pool has no loop to report to.
        let goes = if of == "of a to_thread" { Goes::Nowhere } else { Goes::Report };
        places.push(inside(format!("wake of a waker {of}"), goes, move |w| async move {
            let (kept, go_on) = arranged(&w, kind);
            w.task(Under::new(&w.code, OnWaker::Wake, kept));
            w.settled().await;
            w.call(|| go_on());
        }));
        places.push(inside(format!("drop of a waker {of}"), Goes::Report, move |w| async move {
            let (kept, go_on) = arranged(&w, kind);
            let settled = w.clone();
            let mut kept: Local = Box::pin(Under::new(&w.code, OnWaker::Drop, kept));
            w.task(async move {
                begin(&mut kept).await;
                settled.settled().await;
                drop(kept);
            });
            w.settled().await;
            w.settled().await;
            go_on();
        }));
        places.push(inside(
            format!("drop of a waker that is replaced {of}"),
            Goes::Report,
            move |w| async move {
                let (kept, go_on) = arranged(&w, kind);
                let settled = w.clone();
                let mut kept: Local = Box::pin(Under::new(&w.code, OnWaker::Drop, kept));
                w.task(async move {
                    begin(&mut kept).await;
                    settled.settled().await;
                    if !begin(&mut kept).await && !begin(&mut kept).await {
                        kept.await;
                    }
                });
                w.settled().await;
                w.settled().await;
                w.settled().await;
                go_on();
            },
        ));
    }
    places.push(inside("wake_by_ref of a waker that yields", Goes::OutcomeOrReport, async |w| {
        w.task(Under::new(&w.code, OnWaker::WakeByRef, yield_now()));
    }));
    places.push(inside(
        "wake_by_ref of a waker that is cancelled",
        Goes::OutcomeOrReport,
        async |w| {
            let task = w.task(Under::new(&w.code, OnWaker::WakeByRef, opened(&w)));
            w.settled().await;
            task.cancel();
        },
    ));
    places
}

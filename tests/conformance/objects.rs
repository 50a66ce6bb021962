//! The statements about objects: queues, semaphores, locks, events, conditions, barriers.

use std::rc::Rc;

use loopwheel::catch_cancel;
use loopwheel::sync::{
    Barrier, BoundedSemaphore, Condition, ConditionGuard, Event, GetNowaitError, LifoQueue, Lock,
    LockGuard, Permit, PriorityQueue, PutNowaitError, Queue, QueueShutDown, Semaphore,
};

use super::interpreter::{Ended, Error, Flow, Run};
use super::program::{Block, Object, QueueOrder, Statement};

pub(crate) enum Thing {
    Fifo(Queue<i64>),
    Lifo(LifoQueue<i64>),
    Priority(PriorityQueue<i64>),
    Semaphore(Semaphore),
    Bounded(BoundedSemaphore),
    Lock(Lock),
    Event(Event),
    Condition(Condition),
    Barrier(Barrier),
}

/// The same call on each of the three queues.
macro_rules! on_queue {
    ($thing:expr, $queue:ident => $call:expr) => {
        match &*$thing {
            Thing::Fifo($queue) => $call,
            Thing::Lifo($queue) => $call,
            Thing::Priority($queue) => $call,
            _ => panic!("not a queue"),
        }
    };
}

impl Thing {
    pub(crate) fn new(object: &Object) -> Thing {
        match *object {
            Object::Queue { order: QueueOrder::Fifo, maxsize } => {
                Thing::Fifo(Queue::bounded(maxsize))
            }
            Object::Queue { order: QueueOrder::Lifo, maxsize } => {
                Thing::Lifo(LifoQueue::bounded(maxsize))
            }
            Object::Queue { order: QueueOrder::Priority, maxsize } => {
                Thing::Priority(PriorityQueue::bounded(maxsize))
            }
            Object::Semaphore { value } => Thing::Semaphore(Semaphore::new(value)),
            Object::BoundedSemaphore { value } => Thing::Bounded(BoundedSemaphore::new(value)),
            Object::Lock => Thing::Lock(Lock::new()),
            Object::Event => Thing::Event(Event::new()),
            Object::Condition => Thing::Condition(Condition::new()),
            Object::Barrier { parties } => Thing::Barrier(Barrier::new(parties)),
        }
    }

    fn event(&self) -> &Event {
        let Thing::Event(event) = self else { panic!("not an event") };
        event
    }

    fn condition(&self) -> &Condition {
        let Thing::Condition(condition) = self else { panic!("not a condition") };
        condition
    }

    fn barrier(&self) -> &Barrier {
        let Thing::Barrier(barrier) = self else { panic!("not a barrier") };
        barrier
    }

    async fn acquire(&self) -> Guard<'_> {
        match self {
            Thing::Lock(lock) => Guard::Lock(lock.acquire().await),
            Thing::Condition(condition) => Guard::Condition(condition.acquire().await),
            Thing::Semaphore(semaphore) => Guard::Permit(semaphore.acquire().await),
            Thing::Bounded(semaphore) => Guard::Permit(semaphore.acquire().await),
            _ => panic!("not to be acquired"),
        }
    }

    fn release(&self) -> Result<(), Error> {
        match self {
            Thing::Lock(lock) => lock.release().map_err(|_| Error::named("Runtime")),
            Thing::Condition(condition) => condition.release().map_err(|_| Error::named("Runtime")),
            Thing::Bounded(semaphore) => semaphore.release().map_err(|_| Error::named("Value")),
            Thing::Semaphore(semaphore) => {
                semaphore.release();
                Ok(())
            }
            _ => panic!("not to be released"),
        }
    }

    fn is_locked(&self) -> bool {
        match self {
            Thing::Lock(lock) => lock.is_locked(),
            Thing::Condition(condition) => condition.is_locked(),
            Thing::Semaphore(semaphore) => semaphore.is_locked(),
            Thing::Bounded(semaphore) => semaphore.is_locked(),
            _ => panic!("not to be locked"),
        }
    }
}

enum Guard<'a> {
    Lock(LockGuard<'a>),
    Condition(ConditionGuard<'a>),
    Permit(Permit<'a>),
}

impl Guard<'_> {
    fn forget(self) {
        match self {
            Guard::Lock(guard) => guard.forget(),
            Guard::Condition(guard) => guard.forget(),
            Guard::Permit(permit) => permit.forget(),
        }
    }
}

/// Releases at the end of a `with`, however it ends.
struct Held<'a>(Option<&'a Thing>);

impl Held<'_> {
    fn release(mut self) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), Thing::release)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(thing) = self.0 {
            let _ = thing.release();
        }
    }
}

impl Run {
    fn thing(&self, name: &str) -> Rc<Thing> {
        self.world.things.borrow()[name].clone()
    }

    async fn with(&self, name: &str, thing: &Thing, body: &Block) -> Ended {
        thing.acquire().await.forget();
        let held = Held(Some(thing));
        self.log(format!("with {name} enter"));
        let ended = catch_cancel(self.block(body)).await;
        match (held.release(), ended) {
            (Err(error), _) => self.fail(&format!("with {name}"), error),
            (Ok(()), Ok(ended)) => ended,
            (Ok(()), Err(cancelled)) => cancelled.reraise().await,
        }
    }

    /// Logs `what ok`, or the error.
    #[allow(clippy::needless_pass_by_value)] // what a call gave
    fn done<E>(&self, what: &str, result: Result<(), E>, error: &str) -> Ended {
        let Err(_) = result else { return self.ok(what) };
        self.fail(what, Error::named(error))
    }

    /// Logs nothing, or the error.
    #[allow(clippy::needless_pass_by_value)] // what a call gave
    fn quiet<E>(&self, what: &str, result: Result<(), E>, error: &str) -> Ended {
        match result {
            Ok(()) => Ok(Flow::On),
            Err(_) => self.fail(what, Error::named(error)),
        }
    }

    #[allow(clippy::too_many_lines)] // one arm a statement
    pub(crate) async fn object_statement(&self, statement: &Statement) -> Ended {
        match statement {
            Statement::QPut { obj, value } => {
                let put = on_queue!(self.thing(obj), queue => queue.put(*value).await);
                self.done(&format!("q_put {obj}"), put, "QueueShutDown")
            }
            Statement::QPutNowait { obj, value } => {
                let what = format!("q_put_nowait {obj}");
                match on_queue!(self.thing(obj), queue => queue.put_nowait(*value)) {
                    Ok(()) => self.ok(&what),
                    Err(PutNowaitError::Full(_)) => self.fail(&what, Error::named("QueueFull")),
                    Err(PutNowaitError::ShutDown(_)) => {
                        self.fail(&what, Error::named("QueueShutDown"))
                    }
                }
            }
            Statement::QGet { obj } => {
                let what = format!("q_get {obj}");
                match on_queue!(self.thing(obj), queue => queue.get().await) {
                    Ok(item) => self.give(&what, item),
                    Err(QueueShutDown) => self.fail(&what, Error::named("QueueShutDown")),
                }
            }
            Statement::QGetNowait { obj } => {
                let what = format!("q_get_nowait {obj}");
                match on_queue!(self.thing(obj), queue => queue.get_nowait()) {
                    Ok(item) => self.give(&what, item),
                    Err(GetNowaitError::Empty) => self.fail(&what, Error::named("QueueEmpty")),
                    Err(GetNowaitError::ShutDown) => {
                        self.fail(&what, Error::named("QueueShutDown"))
                    }
                }
            }
            Statement::QTaskDone { obj } => {
                let done = on_queue!(self.thing(obj), queue => queue.task_done());
                self.done(&format!("q_task_done {obj}"), done, "Value")
            }
            Statement::QJoin { obj } => {
                on_queue!(self.thing(obj), queue => queue.join().await);
                self.ok(&format!("q_join {obj}"))
            }
            Statement::QShutdown { obj, immediate } => {
                on_queue!(self.thing(obj), queue => queue.shutdown(*immediate));
                self.ok(&format!("q_shutdown {obj}"))
            }
            Statement::QSize { obj } => {
                let size = on_queue!(self.thing(obj), queue => queue.len());
                self.give(&format!("q_size {obj}"), size)
            }

            Statement::Acquire { obj } => {
                self.thing(obj).acquire().await.forget();
                self.ok(&format!("acquire {obj}"))
            }
            Statement::Release { obj } => {
                let what = format!("release {obj}");
                match self.thing(obj).release() {
                    Ok(()) => self.ok(&what),
                    Err(error) => self.fail(&what, error),
                }
            }
            Statement::With { obj, body } => self.with(obj, &self.thing(obj), body).await,
            Statement::Locked { obj } => {
                self.give(&format!("locked {obj}"), self.thing(obj).is_locked())
            }

            Statement::EventSet { obj } => {
                self.thing(obj).event().set();
                Ok(Flow::On)
            }
            Statement::EventClear { obj } => {
                self.thing(obj).event().clear();
                Ok(Flow::On)
            }
            Statement::EventIsSet { obj } => {
                self.give(&format!("event_is_set {obj}"), self.thing(obj).event().is_set())
            }
            Statement::EventWait { obj } => {
                self.thing(obj).event().wait().await;
                self.ok(&format!("event_wait {obj}"))
            }

            Statement::CondWait { obj } => {
                let waited = self.thing(obj).condition().wait().await;
                self.done(&format!("cond_wait {obj}"), waited, "Runtime")
            }
            Statement::CondWaitFor { obj, var, at_least } => {
                let what = format!("cond_wait_for {obj}");
                let value = || self.world.vars.borrow().get(var).copied().unwrap_or(0);
                while value() < *at_least {
                    let waited = self.thing(obj).condition().wait().await;
                    if waited.is_err() {
                        return self.fail(&what, Error::named("Runtime"));
                    }
                }
                self.ok(&what)
            }
            Statement::Notify { obj, n } => {
                let notified = self.thing(obj).condition().notify(*n);
                self.quiet(&format!("notify {obj}"), notified, "Runtime")
            }
            Statement::NotifyAll { obj } => {
                let notified = self.thing(obj).condition().notify_all();
                self.quiet(&format!("notify_all {obj}"), notified, "Runtime")
            }

            Statement::BarrierWait { obj } => {
                let waited = self.thing(obj).barrier().wait().await;
                self.done(
                    &format!("barrier_wait {obj}"),
                    waited.map(|_: usize| ()),
                    "BrokenBarrier",
                )
            }
            Statement::BarrierReset { obj } => {
                self.thing(obj).barrier().reset().await;
                self.ok(&format!("barrier_reset {obj}"))
            }
            Statement::BarrierAbort { obj } => {
                self.thing(obj).barrier().abort().await;
                self.ok(&format!("barrier_abort {obj}"))
            }
            Statement::BarrierState { obj } => {
                let thing = self.thing(obj);
                let (waiting, broken) = (thing.barrier().waiting(), thing.barrier().is_broken());
                self.give(
                    &format!("barrier_state {obj}"),
                    format!("waiting {waiting} broken {broken}"),
                )
            }
            other => panic!("not a statement about an object: {other:?}"),
        }
    }
}

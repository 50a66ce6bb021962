//! Runs a program on the crate.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, join_all, select};
use futures::stream::FuturesUnordered;
use loopwheel::sync::{Lock, Queue};
use loopwheel::{
    EventLoop, SharedTask, TaskGroup, TaskRef, VirtualClock, catch_cancel, create_task, finally,
    gather, protect, race, shield, sleep, try_now, wait_for,
};

use crate::program::{Id, Kind, Log, Loser, Micros, Node, Program, SLOTS, What, id_of_task};

/// By then every program is over that will ever end.
pub(crate) const HORIZON: Micros = 1_000_000_000;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

struct Env {
    program: Program,
    log: RefCell<Log>,
    handles: RefCell<Vec<Option<SharedTask<()>>>>,
    tasks: RefCell<Vec<Option<TaskRef>>>,
    slots: RefCell<[Option<Boxed>; SLOTS]>,
    lock: Lock,
    queue: Queue<()>,
}

impl Env {
    fn log(&self, id: Id, what: What) {
        let Ok(now) = try_now() else { return };
        let micros = now.as_nanos() / 1_000;
        self.log.borrow_mut().push((micros as Micros, id, what));
    }
}

/// Says when the future of a task is gone.
struct Ended(Rc<Env>, usize);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.log(id_of_task(self.1), What::Ended);
    }
}

pub(crate) fn run(program: &Program) -> Log {
    let len = program.tasks.len();
    let env = Rc::new(Env {
        program: program.clone(),
        log: RefCell::default(),
        handles: RefCell::new((0..len).map(|_| None).collect()),
        tasks: RefCell::new((0..len).map(|_| None).collect()),
        slots: RefCell::default(),
        lock: Lock::new(),
        queue: Queue::unbounded(),
    });
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::impatient())
        .exception_handler(|_| {}) // a failure that nobody hears of is not what this is about
        .build();
    let seen = event_loop.run_until_complete(async {
        for &root in &env.program.roots {
            spawn(&env, root);
        }
        for &(micros, task) in &env.program.cancels {
            let env = env.clone();
            let cancel = move || {
                let task = env.tasks.borrow()[task].clone();
                task.map(|task| task.cancel());
            };
            drop(loopwheel::call_later(Duration::from_micros(micros), cancel));
        }
        sleep(Duration::from_micros(HORIZON)).await;
        env.log.take()
    });
    drop(event_loop);
    let kept = env.slots.take();
    drop(kept);
    drop((env.handles.take(), env.tasks.take()));
    seen
}

fn spawn(env: &Rc<Env>, task: usize) {
    let handle = create_task(body(env, task));
    env.tasks.borrow_mut()[task] = Some(handle.to_ref());
    env.handles.borrow_mut()[task] = Some(handle.shared());
}

fn body(env: &Rc<Env>, task: usize) -> impl Future<Output = ()> + use<> {
    let (ended, env) = (Ended(env.clone(), task), env.clone());
    async move {
        let _ended = ended;
        let node = env.program.tasks[task].node.clone();
        eval(&env, &node).await;
    }
}

fn eval(env: &Rc<Env>, node: &Rc<Node>) -> Boxed {
    let (env, node) = (env.clone(), node.clone());
    Box::pin(async move { eval_node(&env, &node).await })
}

async fn eval_node(env: &Rc<Env>, node: &Node) {
    match node {
        Node::Sleep(id, micros) => {
            sleep(Duration::from_micros(*micros)).await;
            env.log(*id, What::Slept);
        }
        Node::Seq(nodes) => {
            for node in nodes {
                eval(env, node).await;
            }
        }
        Node::Join(kind, nodes) => {
            let all = nodes.iter().map(|node| eval(env, node));
            match kind {
                Kind::Join => drop(join_all(all).await),
                Kind::Unordered => {
                    drop(all.collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await);
                }
            }
        }
        Node::Select(id, one, other, loser) => {
            let (winner, left) = match select(eval(env, one), eval(env, other)).await {
                Either::Left(((), left)) => (What::First, left),
                Either::Right(((), left)) => (What::Second, left),
            };
            env.log(*id, winner);
            if let Loser::Kept(slot) = *loser {
                let before = env.slots.borrow_mut()[slot].replace(left);
                drop(before);
            }
        }
        Node::Take(id, slot) => {
            let kept = env.slots.borrow_mut()[*slot].take();
            match kept {
                Some(kept) => kept.await,
                None => env.log(*id, What::Nothing),
            }
        }
        Node::Limit(id, micros, inner) => {
            let ended = wait_for(eval(env, inner), Duration::from_micros(*micros)).await;
            env.log(*id, if ended.is_ok() { What::InTime } else { What::TimedOut });
        }
        Node::Catch(id, inner, cleanup, goes_on) => {
            if let Err(cancelled) = catch_cancel(eval(env, inner)).await {
                env.log(*id, What::Caught);
                eval(env, cleanup).await;
                if *goes_on {
                    cancelled.reraise().await;
                }
            }
        }
        Node::Finally(id, inner, cleanup) => {
            let cleanup = async || {
                env.log(*id, What::CleansUp);
                eval(env, cleanup).await;
                env.log(*id, What::CleanedUp);
            };
            finally(eval(env, inner), cleanup).await;
        }
        Node::Lock(id, inner) => {
            let _guard = env.lock.acquire().await;
            env.log(*id, What::Locked);
            eval(env, inner).await;
        }
        Node::Protect(id, grace, inner) => {
            let ended = protect(eval(env, inner), Duration::from_micros(*grace)).await;
            env.log(*id, if ended.is_ok() { What::InTime } else { What::TimedOut });
        }
        Node::Put => drop(env.queue.put_nowait(())),
        Node::Get(id) => {
            env.queue.get().await.expect("it is open");
            env.log(*id, What::Got);
        }
        _ => eval_of_tasks(env, node).await,
    }
}

async fn eval_of_tasks(env: &Rc<Env>, node: &Node) {
    let handle = |task: usize| env.handles.borrow()[task].clone();
    let log_end = |id, is_value| env.log(id, if is_value { What::Value } else { What::Cancelled });
    match node {
        Node::Spawn(task) => spawn(env, *task),
        Node::Await(id, task) => match handle(*task) {
            Some(handle) => log_end(*id, handle.await.is_ok()),
            None => env.log(*id, What::Nothing),
        },
        Node::Shield(id, task) => match handle(*task) {
            Some(handle) => log_end(*id, shield(handle).await.is_ok()),
            None => env.log(*id, What::Nothing),
        },
        Node::Cancel(task) => {
            let task = env.tasks.borrow()[*task].clone();
            task.map(|task| task.cancel());
        }
        Node::Group(id, children, inner) => {
            let scope = TaskGroup::<u32>::scope(async |group| {
                for &child in children {
                    let (runs, fails) = (body(env, child), env.program.tasks[child].fails);
                    let task = group.create_task(async move {
                        runs.await;
                        if fails { Err(1) } else { Ok(()) }
                    });
                    env.tasks.borrow_mut()[child] = Some(task.to_ref());
                }
                eval(env, inner).await;
                Ok::<_, u32>(())
            });
            let ended = scope.await;
            env.log(*id, if ended.is_ok() { What::GroupEnded } else { What::GroupFailed });
        }
        Node::Gather(id, children) => {
            gather(children.iter().map(|child| body(env, *child))).await;
            env.log(*id, What::Gathered);
        }
        Node::Race(id, children) => {
            race(children.iter().map(|child| body(env, *child)).collect::<Vec<_>>()).await;
            env.log(*id, What::Raced);
        }
        _ => unreachable!("it is no tasks' business"),
    }
}

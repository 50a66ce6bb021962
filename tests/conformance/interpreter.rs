//! Runs a scenario on loopwheel's public API, as a programmer who knows asyncio would write it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{
    Cancelled, Deadline, EventLoop, SharedTask, Task, TaskError, TaskGroup, TimedOut, VirtualClock,
    catch_cancel, current_task, now, shield, sleep, timeout, try_create_task, wait_for,
};

use super::objects::Thing;
use super::program::{Block, Handler, Program, Statement, Then, Trace};

/// A value: an integer or none.
pub(crate) type Value = Option<i64>;

/// An error of the scenario's, by name; or a group of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Error {
    Named(String),
    Group(Vec<Error>),
}

impl Error {
    pub(crate) fn named(name: &str) -> Error {
        Error::Named(name.to_owned())
    }

    fn matches(&self, names: Option<&[String]>) -> bool {
        let own = match self {
            Error::Named(name) => name,
            Error::Group(_) => "Group",
        };
        names.is_none_or(|names| names.iter().any(|name| name == own))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Named(name) => f.write_str(name),
            Error::Group(members) => {
                let mut texts: Vec<_> = members.iter().map(Error::to_string).collect();
                texts.sort();
                write!(f, "Group[{}]", texts.join(", "))
            }
        }
    }
}

/// How a block ended, if not with an error or a cancel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flow {
    On,
    Return(Value),
}

pub(crate) type Ended = Result<Flow, Error>;
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
pub(crate) type Shared = SharedTask<Value, Error>;

/// Everything that a program's names mean, and what has been logged.
pub(crate) struct World {
    events: RefCell<Vec<(u64, String, String)>>,
    pub(crate) tasks: RefCell<BTreeMap<String, Shared>>,
    ends: RefCell<HashMap<String, u64>>,
    /// What bodies came to, known without looking at their tasks: looking counts as retrieving.
    results: RefCell<HashMap<String, Result<Value, Error>>>,
    deadlines: RefCell<HashMap<String, Deadline>>,
    pub(crate) vars: RefCell<HashMap<String, i64>>,
    pub(crate) groups: RefCell<HashMap<String, TaskGroup<Error>>>,
    pub(crate) things: RefCell<HashMap<String, Rc<Thing>>>,
    over: Cell<bool>,
}

/// One run of a body: the world, and the label it logs under.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) world: Rc<World>,
    pub(crate) label: Rc<str>,
}

fn millis() -> u64 {
    now().as_nanos() / 1_000_000
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn value_text(value: Value) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

impl World {
    pub(crate) fn log(&self, label: &str, text: impl Into<String>) {
        if !self.over.get() {
            self.events.borrow_mut().push((millis(), label.to_owned(), text.into()));
        }
    }

    /// Makes a task of a body, and a name of its label.
    pub(crate) fn spawn(self: &Rc<World>, label: &str, body: &Block) -> Shared {
        let task = try_create_task(self.body_of_task(label, body)).shared();
        task.to_ref().set_name(label);
        self.tasks.borrow_mut().insert(label.to_owned(), task.clone());
        task
    }

    /// What a task of this label runs; it notes when it ends, in whatever way.
    pub(crate) fn body_of_task(
        self: &Rc<World>,
        label: &str,
        body: &Block,
    ) -> impl Future<Output = Result<Value, Error>> + 'static {
        struct End(Rc<World>, String);
        impl Drop for End {
            fn drop(&mut self) {
                if !self.0.over.get() {
                    self.0.ends.borrow_mut().insert(self.1.clone(), millis());
                }
            }
        }
        let end = End(self.clone(), label.to_owned());
        let run = Run { world: self.clone(), label: label.into() };
        let body = body.clone();
        async move {
            let end = end;
            let ended = run.body(&body).await;
            end.0.results.borrow_mut().insert(end.1.clone(), ended.clone());
            ended
        }
    }

    /// A task that was not made after all.
    pub(crate) fn forget_end(&self, label: &str) {
        self.ends.borrow_mut().remove(label);
    }

    /// The error of a child that failed: its group has it, so one must have known it before.
    fn error_of_child(&self, task: &Shared) -> Error {
        self.results.borrow()[&task.name()].clone().expect_err("it failed")
    }

    /// An outcome, with the error of a child that its group has.
    fn whole(
        &self,
        task: &Shared,
        outcome: Result<Value, TaskError<Error>>,
    ) -> Result<Value, TaskError<Error>> {
        match outcome {
            Err(TaskError::Grouped) => Err(TaskError::Failed(self.error_of_child(task))),
            outcome => outcome,
        }
    }

    pub(crate) fn state_of(&self, task: &Shared) -> String {
        match task.result() {
            Err(_) => "pending".to_owned(),
            Ok(Ok(value)) => format!("ok {}", value_text(value)),
            Ok(Err(TaskError::Failed(error))) => format!("err {error}"),
            Ok(Err(TaskError::Cancelled(_))) => "cancelled".to_owned(),
            Ok(Err(TaskError::Grouped)) => format!("err {}", self.error_of_child(task)),
            Ok(Err(other)) => panic!("a scenario's task ended with {other}"),
        }
    }
}

impl Run {
    pub(crate) fn log(&self, text: impl Into<String>) {
        self.world.log(&self.label, text);
    }

    /// Logs `what = text`.
    #[allow(clippy::unnecessary_wraps)] // the end of a statement
    pub(crate) fn give(&self, what: &str, text: impl fmt::Display) -> Ended {
        self.log(format!("{what} = {text}"));
        Ok(Flow::On)
    }

    /// Logs `what ok`.
    #[allow(clippy::unnecessary_wraps)] // the end of a statement
    pub(crate) fn ok(&self, what: &str) -> Ended {
        self.log(format!("{what} ok"));
        Ok(Flow::On)
    }

    /// Logs `what ! error` and raises.
    pub(crate) fn fail(&self, what: &str, error: Error) -> Ended {
        self.log(format!("{what} ! {error}"));
        Err(error)
    }

    /// What comes out of an await of a task.
    pub(crate) async fn outcome(
        &self,
        what: &str,
        outcome: Result<Value, TaskError<Error>>,
    ) -> Ended {
        match outcome {
            Ok(value) => self.give(what, value_text(value)),
            Err(TaskError::Failed(error)) => self.fail(what, error),
            Err(TaskError::Cancelled(cancelled)) => cancelled.reraise().await,
            Err(other) => panic!("a scenario's task ended with {other}"),
        }
    }

    pub(crate) fn no_such<T>(&self, name: &str) -> Result<T, Error> {
        self.log(format!("no such {name}"));
        Err(Error::named("NoSuch"))
    }

    pub(crate) fn task(&self, label: &str) -> Result<Shared, Error> {
        let task = self.world.tasks.borrow().get(label).cloned();
        task.map_or_else(|| self.no_such(label), Ok)
    }

    fn deadline(&self, name: &str) -> Result<Deadline, Error> {
        let deadline = self.world.deadlines.borrow().get(name).cloned();
        deadline.map_or_else(|| self.no_such(name), Ok)
    }

    /// A block that is a body: its end, or a `return`, is a value.
    pub(crate) async fn body(&self, block: &Block) -> Result<Value, Error> {
        match self.block(block).await? {
            Flow::On => Ok(None),
            Flow::Return(value) => Ok(value),
        }
    }

    pub(crate) fn block<'a>(&'a self, block: &'a Block) -> Running<'a, Ended> {
        Box::pin(async move {
            for statement in block {
                if let returned @ Flow::Return(_) = self.statement(statement).await? {
                    return Ok(returned);
                }
            }
            Ok(Flow::On)
        })
    }

    #[allow(clippy::too_many_lines)] // one arm a statement
    async fn statement(&self, statement: &Statement) -> Ended {
        match statement {
            Statement::Sleep { ms: millis } => {
                sleep(ms(*millis)).await;
                Ok(Flow::On)
            }
            Statement::Log { text } => {
                self.log(text);
                Ok(Flow::On)
            }
            Statement::Return { value } => Ok(Flow::Return(*value)),
            Statement::Raise { error } => {
                self.log(format!("raise {error}"));
                Err(Error::named(error))
            }
            Statement::Repeat { times, body } => {
                for _ in 0..*times {
                    if let returned @ Flow::Return(_) = self.block(body).await? {
                        return Ok(returned);
                    }
                }
                Ok(Flow::On)
            }
            Statement::Add { var, by } => {
                *self.world.vars.borrow_mut().entry(var.clone()).or_default() += by;
                Ok(Flow::On)
            }
            Statement::Try { body, on_cancel, on_error, finally } => {
                let guarded = self.guarded(body, on_cancel.as_ref(), on_error.as_ref());
                let Some(finally) = finally else { return guarded.await };
                let ended = catch_cancel(guarded).await;
                self.log("finally");
                self.block(finally).await?;
                match ended {
                    Ok(ended) => ended,
                    Err(cancelled) => cancelled.reraise().await,
                }
            }

            Statement::Spawn { label, body } => {
                self.world.spawn(label, body);
                Ok(Flow::On)
            }
            Statement::Await { task } => {
                let handle = self.task(task)?;
                let outcome = self.world.whole(&handle, handle.clone().await);
                self.outcome(&format!("await {task}"), outcome).await
            }
            Statement::Cancel { task } => {
                let cancelled = self.task(task)?.cancel();
                self.give(&format!("cancel {task}"), cancelled)
            }
            Statement::Cancelling { task: None } => {
                self.give("cancelling", current_task().cancelling())
            }
            Statement::Cancelling { task: Some(task) } => {
                let requests = self.task(task)?.to_ref().cancelling();
                self.give(&format!("cancelling {task}"), requests)
            }
            Statement::Uncancel => self.give("uncancel", current_task().uncancel()),
            Statement::State { task } => {
                let state = self.world.state_of(&self.task(task)?);
                self.give(&format!("state {task}"), state)
            }
            Statement::Result { task } => {
                let what = format!("result {task}");
                let handle = self.task(task)?;
                match handle.result() {
                    Ok(outcome) => self.outcome(&what, self.world.whole(&handle, outcome)).await,
                    Err(_) => self.fail(&what, Error::named("InvalidState")),
                }
            }
            Statement::OnDone { task, tag } => {
                let handle = self.task(task)?;
                let (world, label, tag) = (self.world.clone(), task.clone(), format!("cb:{tag}"));
                let shown = handle.clone();
                handle.to_ref().add_done_callback(move |_| {
                    let state = world.state_of(&shown);
                    world.log(&tag, format!("done {label} {state}"));
                });
                Ok(Flow::On)
            }
            Statement::Shield { task, label, body } => {
                let (label, task) = match (task, label, body) {
                    (Some(label), ..) => (label, self.task(label)?),
                    (None, Some(label), Some(body)) => (label, self.world.spawn(label, body)),
                    _ => panic!("a shield of nothing"),
                };
                let outcome = self.world.whole(&task, shield(task.clone()).await);
                self.outcome(&format!("shield {label}"), outcome).await
            }

            Statement::WaitFor { ms: limit, task, body } => {
                let limit = limit.map(ms);
                let (what, waited) = match (task, body) {
                    (Some(label), _) => {
                        let task = self.task(label)?;
                        let waited = wait_for(task.clone(), limit).await;
                        let waited = waited.map(|outcome| self.world.whole(&task, outcome));
                        (format!("wait_for {label}"), waited)
                    }
                    // asyncio makes a task of it then, which never begins.
                    (None, Some(body)) if limit == Some(Duration::ZERO) => {
                        let (run, body) = (self.clone(), body.clone());
                        let task: Task<_, _> =
                            try_create_task(async move { run.body(&body).await });
                        ("wait_for".to_owned(), wait_for(task, limit).await)
                    }
                    (None, Some(body)) => {
                        let waited = wait_for(self.body(body), limit).await;
                        (
                            "wait_for".to_owned(),
                            waited.map(|ended| ended.map_err(TaskError::Failed)),
                        )
                    }
                    (None, None) => panic!("a wait for nothing"),
                };
                match waited {
                    Ok(outcome) => self.outcome(&what, outcome).await,
                    Err(TimedOut) => self.fail(&what, Error::named("Timeout")),
                }
            }
            Statement::Timeout { name, ms: limit, body } => {
                let limited = timeout(limit.map(ms), async |deadline| {
                    self.world.deadlines.borrow_mut().insert(name.clone(), deadline);
                    self.block(body).await
                });
                let what = format!("timeout {name}");
                match limited.await {
                    Ok(Ok(flow)) => self.ok(&what).map(|_| flow),
                    Ok(Err(error)) => self.fail(&what, error),
                    Err(TimedOut) => self.fail(&what, Error::named("Timeout")),
                }
            }
            Statement::Reschedule { timeout, ms: limit } => {
                let what = format!("reschedule {timeout}");
                let when = limit.map(|limit| now() + ms(limit));
                match self.deadline(timeout)?.reschedule(when) {
                    Ok(()) => self.ok(&what),
                    Err(_) => self.fail(&what, Error::named("Runtime")),
                }
            }
            Statement::Expired { timeout } => {
                let expired = self.deadline(timeout)?.expired();
                self.give(&format!("expired {timeout}"), expired)
            }
            other => self.tasks_statement(other).await,
        }
    }

    /// The body of a `try` and its handlers.
    async fn guarded(
        &self,
        body: &Block,
        on_cancel: Option<&Handler>,
        on_error: Option<&Handler>,
    ) -> Ended {
        let ended = match on_cancel {
            None => self.block(body).await,
            Some(handler) => match catch_cancel(self.block(body)).await {
                Ok(ended) => ended,
                Err(cancelled) => return self.on_cancel(handler, cancelled).await,
            },
        };
        match (ended, on_error) {
            (Err(error), Some(handler)) if error.matches(handler.matches.as_deref()) => {
                self.log(format!("on_error {error}"));
                match (self.block(&handler.body).await?, handler.then) {
                    (returned @ Flow::Return(_), _) => Ok(returned),
                    (Flow::On, Then::Swallow) => Ok(Flow::On),
                    (Flow::On, Then::Reraise) => Err(error),
                }
            }
            (ended, _) => ended,
        }
    }

    async fn on_cancel(&self, handler: &Handler, cancelled: Cancelled) -> Ended {
        self.log("on_cancel");
        match (self.block(&handler.body).await?, handler.then) {
            (returned @ Flow::Return(_), _) => Ok(returned),
            (Flow::On, Then::Swallow) => Ok(Flow::On),
            (Flow::On, Then::Reraise) => cancelled.reraise().await,
        }
    }
}

/// Runs a program until nothing more can happen, and says what it left.
pub(crate) fn run(program: &Program) -> Trace {
    let reported = Rc::new(RefCell::new(Vec::new()));
    let sink = reported.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::impatient())
        .eager_start(program.eager)
        .exception_handler(move |context| {
            let name = context.task.as_ref().map(loopwheel::TaskRef::name);
            sink.borrow_mut().push(name.unwrap_or_else(|| context.to_string()));
        })
        .build();
    let things = program.objects.iter();
    let things = things.map(|(name, object)| (name.clone(), Rc::new(Thing::new(object)))).collect();
    let world = Rc::new(World {
        events: RefCell::default(),
        tasks: RefCell::default(),
        ends: RefCell::default(),
        results: RefCell::default(),
        deadlines: RefCell::default(),
        vars: RefCell::default(),
        groups: RefCell::default(),
        things: RefCell::new(things),
        over: Cell::new(false),
    });
    event_loop.run_until_complete(async {
        world.spawn("main", &program.main);
        // When this wakes, everything else is over or stuck.
        sleep(Duration::from_secs(1_000_000)).await;
        world.over.set(true);
    });
    let tasks = world.tasks.take();
    let states: BTreeMap<_, _> = tasks
        .iter()
        .map(|(label, task)| {
            let state = if !task.is_done() {
                "pending".to_owned()
            } else if task.is_cancelled() {
                "cancelled".to_owned()
            } else {
                match &world.results.borrow()[label] {
                    Ok(value) => format!("ok {}", value_text(*value)),
                    Err(error) => format!("err {error}"),
                }
            };
            (label.clone(), (state, world.ends.borrow().get(label).copied()))
        })
        .collect();
    drop(tasks);
    drop(event_loop);
    let mut unretrieved = reported.take();
    unretrieved.sort();
    let events = world.events.take();
    let last_event = events.last().map_or(0, |event| event.0);
    let end = world.ends.borrow().values().copied().max().unwrap_or(0).max(last_event);
    let outcome = if states["main"].0 == "pending" { "deadlock" } else { "done" };
    Trace { outcome: outcome.to_owned(), end, events, tasks: states, unretrieved }
}

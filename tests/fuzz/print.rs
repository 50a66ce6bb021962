//! Prints a program as text that reads like Rust.

use std::fmt::{self, Write};

use crate::program::{
    Body, End, ForeignOp, FrameOp, HostStep, Make, ManyOp, Op, Program, Reflex, SyncOp, TaskOp,
    TaskSpec, Thrown,
};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { text: String::new(), depth: 0 };
        printer.program(self);
        f.write_str(&printer.text)
    }
}

struct Printer {
    text: String,
    depth: usize,
}

impl Printer {
    fn line(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.text, "{:1$}{line}", "", self.depth * 4);
    }

    /// Prints a line, more lines inside it, and a line that closes it.
    fn block(&mut self, open: impl fmt::Display, close: &str, within: impl FnOnce(&mut Printer)) {
        self.line(format_args!("{open} {{"));
        self.depth += 1;
        within(self);
        self.depth -= 1;
        self.line(format_args!("}}{close}"));
    }

    fn program(&mut self, program: &Program) {
        let settings = &program.settings;
        self.line(format_args!("// seed {}", program.seed));
        let mut flags = vec![];
        for (is_set, flag) in [
            (settings.handler_throws, "the handler throws"),
            (!settings.janitor, "deadlocks are errors"),
            (settings.host_clock, "the host's clock"),
            (settings.handles_outlive_loop, "handles outlive the loop"),
            (settings.dropped_midway, "the loop is dropped midway"),
            (settings.watches_slow_polls, "slow polls are reported"),
            (settings.threads, "threads"),
        ] {
            if is_set {
                flags.push(flag);
            }
        }
        if settings.handler != Reflex::Nothing {
            self.line(format_args!("// exception handler: {:?}", settings.handler));
        }
        if !flags.is_empty() {
            self.line(format_args!("// {}", flags.join(", ")));
        }
        for step in &program.host {
            self.step(step);
        }
    }

    fn step(&mut self, step: &HostStep) {
        match step {
            HostStep::Run(body) => self.block("event_loop.run(async", ")", |it| it.body(body)),
            HostStep::RunUntilComplete(body) => {
                self.block("event_loop.run_until_complete(async", ")", |it| it.body(body));
            }
            HostStep::Drive { main, polls } => {
                let polls =
                    if *polls == 0 { "to the end".into() } else { format!("{polls} polls") };
                self.block("event_loop.drive(async", &format!(") // {polls}"), |it| it.body(main));
            }
            HostStep::Spawn { slot, task } => {
                self.task(format_args!("h{slot} = event_loop.{}", maker(task)), task);
            }
            other => self.line(format_args!("host: {other:?}")),
        }
    }

    fn body(&mut self, body: &Body) {
        for op in body.ops() {
            self.op(op);
        }
    }

    fn bodies(&mut self, what: &str, bodies: &[Body]) {
        self.block(format_args!("{what}(["), "])", |it| {
            for body in bodies {
                it.block("async", ",", |it| it.body(body));
            }
        });
    }

    fn task(&mut self, maker: impl fmt::Display, task: &TaskSpec) {
        self.block(format_args!("{maker}(async"), ")", |it| {
            if task.named {
                it.line("// named");
            }
            if task.owns != Reflex::Nothing {
                it.line(format_args!("// owns what does {:?} when dropped", task.owns));
            }
            it.body(&task.body);
            it.end(task.end);
        });
    }

    fn end(&mut self, end: End) {
        match end {
            End::Value(make) => self.line(format_args!("Ok({})", parcel(make))),
            End::Error(make) => self.line(format_args!("Err({})", parcel(make))),
            End::Panic(thrown) => self.line(thrown_text(thrown)),
        }
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Yield => self.line("yield_now().await"),
            Op::Sleep(millis) => self.line(format_args!("sleep({millis} ms).await")),
            Op::Act(reflex) => self.line(format_args!("{reflex:?}")),
            Op::Panic(thrown) => self.line(thrown_text(*thrown)),
            Op::SetLocal(slot, make) => {
                self.line(format_args!("LOCAL{slot}.set({})", parcel(*make)));
            }
            Op::Task(TaskOp::Spawn { slot, task }) => {
                self.task(format_args!("h{slot} = {}", maker(task)), task);
            }
            Op::Task(op) => self.line(format_args!("{op:?}")),
            Op::Frame(op) => self.frame(op),
            Op::Many(op) => self.many(op),
            Op::Sync(op) => self.sync(op),
            Op::Foreign(op) => self.foreign(op),
            Op::Thread(op) => self.line(format_args!("{op:?}")),
            other => self.line(format_args!("{other:?}")),
        }
    }

    fn frame(&mut self, op: &FrameOp) {
        match op {
            FrameOp::Catch { body, reraise } => {
                let then = if *reraise { ").await // or reraise" } else { ").await // swallow" };
                self.block("catch_cancel(async", then, |it| it.body(body));
            }
            FrameOp::Finally { body, cleanup } => {
                self.block("finally(async", ", async || …", |it| it.body(body));
                self.block("cleanup", ").await", |it| it.body(cleanup));
            }
            FrameOp::FinallyWithin { grace, body, cleanup } => {
                let then = format!(", {grace} ms, async || …");
                self.block("finally_within(async", &then, |it| it.body(body));
                self.block("cleanup", ").await", |it| it.body(cleanup));
            }
            FrameOp::Protect { grace, body } => {
                let close = format!(", {grace} ms).await");
                self.block("protect(async", &close, |it| it.body(body));
            }
            FrameOp::WaitFor { limit, body } => {
                let close = format!(", {}).await", limit_text(*limit));
                self.block("wait_for(async", &close, |it| it.body(body));
            }
            FrameOp::WaitForHandle { limit, slot } => {
                self.line(format_args!("wait_for(&mut h{slot}, {}).await", limit_text(*limit)));
            }
            FrameOp::Timeout { limit, at, moved_to, body } => {
                let name = if *at { "timeout_at" } else { "timeout" };
                let open = format!("{name}({}, async |deadline|", limit_text(*limit));
                self.block(open, ").await", |it| {
                    if let Some(moved_to) = moved_to {
                        it.line(format_args!("deadline.reschedule(now() + {moved_to} ms)"));
                    }
                    it.body(body);
                });
            }
        }
    }

    fn many(&mut self, op: &ManyOp) {
        match op {
            ManyOp::Gather { fallible, exceptions, tuple, children } => {
                let name = if *fallible { "try_gather" } else { "gather" };
                let close = if *exceptions { "]).return_exceptions().await" } else { "]).await" };
                let tuple = if *tuple { " // as a tuple of two" } else { "" };
                self.block(format_args!("{name}(["), &format!("{close}{tuple}"), |it| {
                    for child in children {
                        it.task("", child);
                    }
                });
            }
            ManyOp::Group { limit, body, end } => {
                let limit = limit.map_or(String::new(), |limit| format!("limit {limit}, "));
                self.block(
                    format_args!("TaskGroup::scope({limit}async |group|"),
                    ").await",
                    |it| {
                        it.body(body);
                        it.end(*end);
                    },
                );
            }
            ManyOp::GroupSpawn { slot, task } => {
                let slot = slot.map_or(String::new(), |slot| format!("h{slot} = "));
                self.task(format_args!("{slot}group.create_task"), task);
            }
            ManyOp::Subgroup { body, end } => {
                self.block("group.create_subgroup(async |group|", ")", |it| {
                    it.body(body);
                    it.end(*end);
                });
            }
            ManyOp::Race { fallible, waits, children } => {
                let name = if *fallible { "first_ok" } else { "race" };
                let close = if *waits { "]).await" } else { "]).without_waiting().await" };
                self.block(format_args!("{name}(["), close, |it| {
                    for child in children {
                        it.task("", child);
                    }
                });
            }
            ManyOp::TaskSet { limit, children, at_most, shutdown } => {
                let then = if *shutdown { "set.shutdown().await" } else { "drop(set)" };
                let close = format!("; {at_most} times set.next().await; {then}");
                self.block(format_args!("TaskSet of limit {limit:?}"), &close, |it| {
                    for child in children {
                        it.task("", child);
                    }
                });
            }
            other => self.line(format_args!("{other:?}")),
        }
    }

    fn sync(&mut self, op: &SyncOp) {
        match op {
            SyncOp::Lock { lock, body, left } => {
                self.block(format_args!("lock{lock}.acquire().await"), "", |it| {
                    it.body(body);
                    it.line(format_args!("// guard: {left:?}"));
                });
            }
            SyncOp::TryLock { lock, body } => {
                self.block(format_args!("if let Ok(_) = lock{lock}.acquire_nowait()"), "", |it| {
                    it.body(body);
                });
            }
            SyncOp::Acquire { semaphore, body, left } => {
                self.block(format_args!("semaphore{semaphore}.acquire().await"), "", |it| {
                    it.body(body);
                    it.line(format_args!("// permit: {left:?}"));
                });
            }
            SyncOp::TryAcquire { semaphore, body } => {
                let open = format!("if let Ok(_) = semaphore{semaphore}.acquire_nowait()");
                self.block(open, "", |it| it.body(body));
            }
            SyncOp::Put { queue, item, now } => {
                let put = if *now { "put_nowait" } else { "put" };
                self.line(format_args!("queue{queue}.{put}({})", parcel(*item)));
            }
            SyncOp::PromiseSet(slot, make) => {
                self.line(format_args!("promise{slot}.set({})", parcel(*make)));
            }
            other => self.line(format_args!("{other:?}")),
        }
    }

    fn foreign(&mut self, op: &ForeignOp) {
        match op {
            ForeignOp::Join(one, two) => self.bodies("join!", &[one.clone(), two.clone()]),
            ForeignOp::JoinAll(bodies) => self.bodies("join_all", bodies),
            ForeignOp::JoinMany(times, body) => {
                self.block(format_args!("join_all([async; {times}]"), "", |it| it.body(body));
            }
            ForeignOp::Select(one, two) => self.bodies("select", &[one.clone(), two.clone()]),
            ForeignOp::Unordered { bodies, at_most } => {
                self.bodies(&format!("FuturesUnordered, {at_most} of "), bodies);
            }
            ForeignOp::Ordered { bodies, at_most } => {
                self.bodies(&format!("FuturesOrdered, {at_most} of "), bodies);
            }
            ForeignOp::Abortable { body, after } => {
                let close = format!(") // aborted after {after} ms");
                self.block("abortable(async", &close, |it| it.body(body));
            }
            ForeignOp::ByHand { body, waker, polls, then } => {
                let passes_on = if waker.passes_on { "passes on, " } else { "does not wake, " };
                let close = format!(
                    ") // waker: {passes_on}in wake {:?}, in clone {:?}, in drop {:?}; then {then:?}",
                    waker.wake, waker.clone, waker.drop
                );
                self.block(format_args!("poll {polls} times(async"), &close, |it| it.body(body));
            }
        }
    }
}

fn maker(task: &TaskSpec) -> &'static str {
    if task.fallible { "try_create_task" } else { "create_task" }
}

fn limit_text(limit: Option<u8>) -> String {
    limit.map_or("None".into(), |limit| format!("{limit} ms"))
}

fn thrown_text(thrown: Thrown) -> String {
    match thrown {
        Thrown::Text => "panic!(\"text\")".into(),
        Thrown::Parcel(make) => format!("panic_any({})", parcel(make)),
    }
}

fn parcel(make: Make) -> String {
    let mut does = vec![];
    for (when, reflex) in [
        ("dropped", make.drop),
        ("printed", make.debug),
        ("cloned", make.clone),
        ("compared", make.compare),
    ] {
        if reflex != Reflex::Nothing {
            does.push(format!("when {when}: {reflex:?}"));
        }
    }
    if does.is_empty() { "parcel".into() } else { format!("parcel {{ {} }}", does.join(", ")) }
}

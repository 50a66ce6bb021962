//! The statements about several tasks: gather, wait, `as_completed`, groups.

use loopwheel::{
    AllCompleted, ExceptionGroup, FirstCompleted, FirstException, Raised, TaskError, TaskGroup,
    TimedOut, as_completed, try_gather, wait,
};

use super::interpreter::{Ended, Error, Flow, Run, Shared, Value, ms, value_text};
use super::program::{Block, Item, Statement, When};

/// A group's error, in the scenario's terms.
fn group_error(group: ExceptionGroup<Error>) -> Error {
    let members = group.into_members().into_iter().map(|member| match member {
        Raised::Error(error) => error,
        other => panic!("a scenario's group raised {other:?}"),
    });
    Error::Group(members.collect())
}

impl Run {
    pub(crate) async fn tasks_statement(&self, statement: &Statement) -> Ended {
        match statement {
            Statement::Gather { items, return_exceptions } => {
                self.gather(items, *return_exceptions).await
            }
            Statement::Wait { tasks, when, ms: limit } => {
                let until = match when {
                    When::FirstCompleted => FirstCompleted,
                    When::FirstException => FirstException,
                    When::AllCompleted => AllCompleted,
                };
                let handles =
                    tasks.iter().map(|label| self.task(label)).collect::<Result<Vec<_>, _>>()?;
                if handles.is_empty() {
                    return self.fail("wait", Error::named("Value")); // asyncio's; here it is no error
                }
                let (done, pending) = wait(handles, until).timeout(limit.map(ms)).await;
                for task in &done {
                    let _ = task.result(); // reported as done: looked at
                }
                let names = |tasks: Vec<Shared>| {
                    let mut names: Vec<_> = tasks.iter().map(Shared::name).collect();
                    names.sort();
                    names.dedup();
                    names.join(",")
                };
                self.log(format!("wait done=[{}] pending=[{}]", names(done), names(pending)));
                Ok(Flow::On)
            }
            Statement::AsCompleted { tasks, ms: limit, each, limit: at_most } => {
                let handles =
                    tasks.iter().map(|label| self.task(label)).collect::<Result<Vec<_>, _>>()?;
                let mut completed = as_completed(handles).timeout(limit.map(ms));
                let mut count = 0;
                loop {
                    if at_most.is_some_and(|at_most| count == at_most) {
                        return Ok(Flow::On);
                    }
                    match completed.next().await {
                        Ok(Some(task)) => {
                            count += 1;
                            let state = self.world.state_of(&task);
                            self.log(format!("as_completed {} = {state}", task.name()));
                            if let returned @ Flow::Return(_) = self.block(each).await? {
                                return Ok(returned);
                            }
                        }
                        Ok(None) => {
                            self.log("as_completed end");
                            return Ok(Flow::On);
                        }
                        Err(TimedOut) => return self.fail("as_completed", Error::named("Timeout")),
                    }
                }
            }
            Statement::Group { name, body } => self.group(name, body).await,
            Statement::GroupSpawn { group, label, body } => {
                let found = self.world.groups.borrow().get(group).cloned();
                let Some(found) = found else { return self.no_such(group) };
                let what = format!("group_spawn {label}");
                let body = self.world.body_of_task(label, body);
                if let Ok(task) = found.create_named_if_open(label, body) {
                    self.world.tasks.borrow_mut().insert(label.clone(), task.shared());
                    Ok(Flow::On)
                } else {
                    self.world.forget_end(label);
                    self.fail(&what, Error::named("Runtime"))
                }
            }
            other => self.object_statement(other).await,
        }
    }

    async fn gather(&self, items: &[Item], return_exceptions: bool) -> Ended {
        // First all names, then the bodies: a name that is missing makes nothing.
        for item in items {
            if let Item::Task(label) = item {
                self.task(label)?;
            }
        }
        let handles: Vec<Shared> = items
            .iter()
            .map(|item| match item {
                Item::Task(label) => self.task(label).expect("looked up above"),
                Item::Body { label, body } => self.world.spawn(label, body),
            })
            .collect();
        let gathered = try_gather(handles);
        let texts: Vec<String> = if return_exceptions {
            let outcomes = gathered.return_exceptions().await;
            let text = |outcome: Result<Value, TaskError<TaskError<Error>>>| match outcome {
                Ok(value) => value_text(value),
                Err(TaskError::Failed(TaskError::Failed(error))) => format!("!{error}"),
                Err(TaskError::Failed(TaskError::Cancelled(_))) => "!cancelled".to_owned(),
                Err(TaskError::Failed(TaskError::Grouped)) => "!grouped".to_owned(),
                Err(other) => panic!("a scenario's task ended with {other}"),
            };
            outcomes.into_iter().map(text).collect()
        } else {
            match gathered.await {
                Ok(values) => values.into_iter().map(value_text).collect(),
                Err(TaskError::Failed(error)) => return self.fail("gather", error),
                Err(TaskError::Cancelled(cancelled)) => cancelled.reraise().await,
                Err(other) => panic!("a scenario's task ended with {other}"),
            }
        };
        self.give("gather", format!("[{}]", texts.join(", ")))
    }

    async fn group(&self, name: &str, body: &Block) -> Ended {
        let scope = TaskGroup::<Error>::scope(async |group| {
            self.world.groups.borrow_mut().insert(name.to_owned(), group.clone());
            self.block(body).await
        });
        let what = format!("group {name}");
        match scope.await {
            Ok(flow) => self.ok(&what).map(|_| flow),
            Err(group) => self.fail(&what, group_error(group)),
        }
    }
}

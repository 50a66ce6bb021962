//! Lessons in other orders: which of them print something else then.

use std::cell::RefCell;
use std::rc::Rc;

use loopwheel::TestRun;
use loopwheel::explore::{self, Exploration};

use super::{Lesson, record};

thread_local! {
    /// The lines of this run.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A lesson that cannot be explored, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("L09", "its requests go through real sockets and threads, which come when they come"),
    ("L33", "it is an exploration itself, which finds a fault"),
];

/// So many random orders are run of a lesson; for those with files or hundreds of tasks fewer.
fn seeds_for(lesson: &Lesson) -> u64 {
    if ["L15", "L18", "L30"].contains(&lesson.id) { 10 } else { 200 }
}

/// So many are enumerated.
const MOST: u64 = 1_000;

const HEAD: &str = "\
# The lessons in other orders

A loop polls ready tasks in the order of their wake-ups. Which of the lessons would print something else if it did not? Each was run in
all orders, or if there are more than a thousand in a thousand of them and in two hundred random ones (L15, L18 and L30 in the normal
one and in ten random ones; L30 with a hundred pages in place of a thousand). No cancels and no early timers: only what is ready at the
same moment changes its place.

```text
cargo run -p lessons --features explore -- explore
```

writes this page. The lines that are compared are those that the lesson prints until it has ended, without their times.

";

const TABLE: &str = "\
| lesson | orders | outputs | what depends on the order | for instance |
|---|---:|---:|---|---|
";

/// Keeps a line, if a lesson is explored.
pub(crate) fn keep(line: &str) {
    if explore::is_exploring() {
        LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
    }
}

/// The page.
pub(crate) fn page(lessons: &[Lesson]) -> String {
    let rows: Vec<Row> = lessons.iter().map(explored).collect();
    let depend = |how| rows.iter().filter(|row| row.differs == how).count();
    let proved = rows.iter().filter(|row| row.is_all && row.differs == Differs::Nothing).count();
    let summary = format!(
        "\nOf the {} that were explored {} print the same in every order that was run (for {proved} of them these were all), {} print the same lines in \
         another order, and {} print other lines.\n",
        rows.len() - LEFT_OUT.len(),
        depend(Differs::Nothing),
        depend(Differs::OrderOfLines),
        depend(Differs::Lines)
    );
    let rows: String = rows.iter().map(Row::to_string).collect();
    format!("{HEAD}{TABLE}{rows}{summary}")
}

#[derive(Clone, Copy, PartialEq)]
enum Differs {
    Nothing,
    OrderOfLines,
    Lines,
    Unknown(&'static str),
}

struct Row {
    id: &'static str,
    title: &'static str,
    orders: u64,
    is_all: bool,
    outputs: usize,
    differs: Differs,
    instance: String,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { id, title, orders, outputs, instance, .. } = self;
        let what = match self.differs {
            Differs::Unknown(why) => {
                return writeln!(f, "| {id} {title} | | | not explored: {why} | |");
            }
            Differs::Nothing => "nothing",
            Differs::OrderOfLines => "the order of its lines",
            Differs::Lines => "**what it prints**",
        };
        let all = if self.is_all { "all " } else { "" };
        writeln!(f, "| {id} {title} | {all}{orders} | {outputs} | {what} | {instance} |")
    }
}

fn explored(lesson: &Lesson) -> Row {
    let Lesson { id, title, .. } = *lesson;
    if let Some(&(_, why)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == id) {
        let differs = Differs::Unknown(why);
        let instance = String::new();
        return Row { id, title, orders: 0, is_all: false, outputs: 0, differs, instance };
    }
    let outputs = Rc::new(RefCell::new(Vec::<Vec<String>>::new())); // the first is that of the normal order
    let run = |exploration: Exploration| {
        let main = || {
            LINES.take();
            let (lesson, outputs) = (record::shown(lesson), outputs.clone());
            async move {
                lesson.await;
                let lines = LINES.take();
                if !outputs.borrow().contains(&lines) {
                    outputs.borrow_mut().push(lines);
                }
            }
        };
        record::in_silence(|| exploration.test(|| TestRun::new().allow_tasks_left()).run(main))
    };
    let all = run(explore::all(if seeds_for(lesson) < MOST / 10 { 1 } else { MOST }));
    let mut orders = all.orders;
    if !all.is_complete {
        orders += run(explore::seeds(seeds_for(lesson))).orders;
    }
    let outputs = outputs.take();
    let sorted = |lines: &Vec<String>| {
        let mut lines = lines.clone();
        lines.sort();
        lines
    };
    let other = outputs.iter().find(|lines| sorted(lines) != sorted(&outputs[0]));
    let differs = match (outputs.len(), other) {
        (1, _) => Differs::Nothing,
        (_, None) => Differs::OrderOfLines,
        (_, Some(_)) => Differs::Lines,
    };
    let instance = other.or(outputs.get(1)).map(|other| instance(&outputs[0], other));
    let instance = instance.unwrap_or_default();
    Row { id, title, orders, is_all: all.is_complete, outputs: outputs.len(), differs, instance }
}

/// The first line that differs.
fn instance(usual: &[String], other: &[String]) -> String {
    let none = String::new();
    let lines = usual.iter().chain([&none]).zip(other.iter().chain([&none]));
    let Some((usual, other)) = lines.into_iter().find(|(usual, other)| usual != other) else {
        return String::new();
    };
    let shown = |line: &String| {
        if line.is_empty() {
            "no line".to_owned()
        } else {
            format!("`{}`", line.replace('|', "\\|"))
        }
    };
    format!("{} in place of {}", shown(other), shown(usual))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_page_is_what_the_exploration_finds() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exploring/lessons.md");
        let committed = fs::read_to_string(path).unwrap().replace('\r', "");
        let page = super::page(crate::LESSONS);
        assert!(committed == page, "the page has changed: see its command. It is now:\n{page}");
    }
}

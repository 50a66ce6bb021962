//! Tests what `ExceptionGroup` promises apart from tasks: groups may nest to any depth, and errors may panic in any of their
//! methods.

mod common;

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use common::Watchdog;
use loopwheel::{ExceptionGroup, Raised};

// ---- Depth

const DEPTH: usize = 1_000_000;

/// Groups inside groups, with an error behind each of them.
fn deep(depth: usize) -> ExceptionGroup<usize> {
    let mut group = ExceptionGroup::new("deepest", [0]);
    for level in 1..depth {
        group = ExceptionGroup::from_members("", [Raised::Group(group), Raised::Error(level)]);
    }
    group
}

/// Groups with one member each.
fn chain(depth: usize) -> ExceptionGroup<usize> {
    let mut group = ExceptionGroup::new("deepest", [0]);
    for _ in 1..depth {
        group = ExceptionGroup::from_members("level", [Raised::Group(group)]);
    }
    group
}

/// Runs with the default stack size of threads, whatever the environment says.
fn on_a_usual_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(2 << 20).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn a_million_groups_inside_each_other_are_walked_through() {
    let _watchdog = Watchdog::new("a million groups");
    on_a_usual_stack(|| {
        assert_eq!(chain(DEPTH).iter().count(), 1);
        let group = deep(DEPTH);
        assert!(group.iter().copied().eq(0..DEPTH));
        assert_eq!(group.panics().count(), 0);
        let raised = Raised::Group(group);
        drop(raised);
    });
}

#[test]
fn a_million_groups_inside_each_other_are_cloned_and_compared() {
    let _watchdog = Watchdog::new("a million groups");
    on_a_usual_stack(|| {
        let group = Raised::Group(deep(DEPTH));
        let copy = group.clone();
        assert!(group == copy);
        assert!(group != Raised::Group(chain(DEPTH)));
    });
}

#[test]
fn a_million_groups_inside_each_other_are_split() {
    let _watchdog = Watchdog::new("a million groups");
    on_a_usual_stack(|| {
        let (even, odd) = deep(DEPTH).split(|error| error % 2 == 0);
        let (even, odd) = (even.expect("half of them"), odd.expect("half of them"));
        assert_eq!((even.iter().count(), odd.iter().count()), (DEPTH / 2, DEPTH / 2));
        let deepest = even.subgroup(|error| *error == 0).expect("one");
        assert_eq!(deepest.iter().collect::<Vec<_>>(), [&0]);
        assert!(odd.subgroup(|_| false).is_none());
    });
}

#[test]
fn of_a_million_groups_inside_each_other_a_hundred_levels_are_printed() {
    let _watchdog = Watchdog::new("a million groups");
    on_a_usual_stack(|| {
        let group = chain(DEPTH);
        assert_eq!(group.to_string(), "level (1 error)");
        let tree = group.tree();
        assert_eq!(tree, format!("{group:#}"));
        let lines: Vec<_> = tree.lines().collect();
        assert_eq!(lines.len(), 102, "the heading, a hundred levels, and what it leaves out");
        assert_eq!(lines[100].trim_start(), "└─ level (1 error)");
        assert_eq!(lines[101].trim_start(), "└─ ... 999900 more levels");
        let printed = format!("{group:?}");
        assert!(
            printed.len() < 10_000 && printed.contains("[... 999900 more levels]"),
            "{printed}"
        );
        assert!(format!("{group:#?}").contains("... 999900 more levels,\n"));
        let raised = Raised::Group(group);
        assert_eq!(raised.to_string(), "level (1 error)");
        assert!(format!("{raised:?}").contains("[... 999900 more levels]"));
        assert!(format!("{raised:#?}").contains("... 999900 more levels,\n"));
    });
}

#[test]
fn a_hundred_levels_are_printed_in_full() {
    for (depth, left_out) in [(99, None), (100, None), (101, Some("... 1 more level"))] {
        for printed in
            [chain(depth).tree(), format!("{:?}", chain(depth)), format!("{:#?}", chain(depth))]
        {
            assert!(printed.contains("deepest"), "{printed}");
            assert_eq!(printed.contains("..."), left_out.is_some(), "{printed}");
            assert!(left_out.is_none_or(|text| printed.contains(text)), "{printed}");
        }
    }
}

/// The text that `Debug` has always printed: the derived text of these.
mod derived {
    #[derive(Debug)]
    pub(super) struct ExceptionGroup<E> {
        #[allow(dead_code)]
        pub(super) message: String,
        #[allow(dead_code)]
        pub(super) members: Vec<Raised<E>>,
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    pub(super) enum Raised<E> {
        Error(E),
        Group(ExceptionGroup<E>),
    }
}

#[test]
fn debug_prints_what_a_derived_one_would() {
    let inner = ExceptionGroup::new("in\"ner", [1.5, 2.25]);
    let empty = ExceptionGroup::new("empty", []);
    let members = [Raised::Error(3.0), Raised::Group(inner), Raised::Group(empty)];
    let group = ExceptionGroup::from_members("outer", members);
    let expected = derived::ExceptionGroup {
        message: "outer".to_owned(),
        members: vec![
            derived::Raised::Error(3.0),
            derived::Raised::Group(derived::ExceptionGroup {
                message: "in\"ner".to_owned(),
                members: vec![derived::Raised::Error(1.5), derived::Raised::Error(2.25)],
            }),
            derived::Raised::Group(derived::ExceptionGroup {
                message: "empty".to_owned(),
                members: vec![],
            }),
        ],
    };
    assert_eq!(format!("{group:?}"), format!("{expected:?}"));
    assert_eq!(format!("{group:#?}"), format!("{expected:#?}"));
    assert_eq!(format!("{group:8.3?}"), format!("{expected:8.3?}"), "options reach the errors");
    assert_eq!(format!("{group:#08.3?}"), format!("{expected:#08.3?}"));
}

// ---- Errors that panic

/// The method in which an error panics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct PanicsIn {
    drop: bool,
    clone: bool,
    /// When it is compared or printed.
    look: bool,
}

/// Counts the errors.
type Alive = Rc<Cell<usize>>;

struct Touchy {
    number: usize,
    panics_in: PanicsIn,
    alive: Alive,
}

impl Touchy {
    fn new(number: usize, panics_in: PanicsIn, alive: &Alive) -> Touchy {
        alive.set(alive.get() + 1);
        Touchy { number, panics_in, alive: alive.clone() }
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
        assert!(!self.panics_in.drop, "drop of {}", self.number);
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Touchy {
        assert!(!self.panics_in.clone, "clone of {}", self.number);
        Touchy::new(self.number, self.panics_in, &self.alive)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Touchy) -> bool {
        assert!(!self.panics_in.look, "eq of {}", self.number);
        self.number == other.number
    }
}

impl fmt::Debug for Touchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.panics_in.look, "print of {}", self.number);
        write!(f, "{}", self.number)
    }
}

impl fmt::Display for Touchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// `(1 (2 3) 4 (5 (6)))`: each panics when it is dropped, and the third also in every other method.
fn touchy(third: PanicsIn, alive: &Alive) -> ExceptionGroup<Touchy> {
    let others = PanicsIn { drop: true, ..PanicsIn::default() };
    let one = |number| Touchy::new(number, if number == 3 { third } else { others }, alive);
    let inner = ExceptionGroup::new("inner", [one(2), one(3)]);
    let deepest = ExceptionGroup::new("deepest", [one(6)]);
    let second = [Raised::Error(one(5)), Raised::Group(deepest)];
    let second = ExceptionGroup::from_members("second", second);
    let members =
        [Raised::Error(one(1)), Raised::Group(inner), Raised::Error(one(4)), Raised::Group(second)];
    ExceptionGroup::from_members("outer", members)
}

/// Returns the message of the panic of this call.
fn panic_of<R>(foreign: impl FnOnce() -> R) -> String {
    let thrown = catch_unwind(AssertUnwindSafe(foreign)).err().expect("it panics");
    thrown.downcast_ref::<String>().expect("a message").clone()
}

const IN_DROP: PanicsIn = PanicsIn { drop: true, clone: false, look: false };

#[test]
fn an_error_that_panics_when_it_is_dropped_keeps_none_from_being_dropped() {
    let alive = Alive::default();
    let group = touchy(IN_DROP, &alive);
    assert_eq!(alive.get(), 6);
    assert_eq!(panic_of(|| drop(group)), "drop of 1", "the first goes on");
    assert_eq!(alive.get(), 0);
}

#[test]
fn errors_that_panic_while_the_stack_unwinds_do_not_abort() {
    let alive = Alive::default();
    let group = touchy(IN_DROP, &alive);
    let panic = panic_of(|| {
        let _dropped_on_the_way = group;
        panic!("{}", "this one goes on");
    });
    assert_eq!((panic.as_str(), alive.get()), ("this one goes on", 0));
}

#[test]
fn a_clone_that_panics_drops_what_was_cloned() {
    let alive = Alive::default();
    let group = touchy(PanicsIn { clone: true, ..IN_DROP }, &alive);
    assert_eq!(panic_of(|| group.clone()), "clone of 3");
    assert_eq!(alive.get(), 6, "those of the group");
    assert_eq!(panic_of(|| drop(group)), "drop of 1");
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_condition_that_panics_drops_each_error_once() {
    for panics_at in 1..=6 {
        let alive = Alive::default();
        let group = touchy(IN_DROP, &alive);
        let panic = panic_of(|| {
            group.split(|error| {
                assert!(error.number != panics_at, "at {panics_at}");
                error.number % 2 == 0
            })
        });
        assert_eq!((panic, alive.get()), (format!("at {panics_at}"), 0));
    }
}

#[test]
fn a_subgroup_whose_rest_panics_when_it_is_dropped_drops_each_error_once() {
    let alive = Alive::default();
    let group = touchy(IN_DROP, &alive);
    assert_eq!(panic_of(|| group.subgroup(|error| error.number % 2 == 0)), "drop of 1");
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_condition_that_panics_when_it_is_dropped_drops_each_error_once() {
    let alive = Alive::default();
    let group = touchy(IN_DROP, &alive);
    let captured = Touchy::new(7, IN_DROP, &alive);
    let condition = move |error: &Touchy| {
        let captured = &captured;
        error.number < captured.number
    };
    assert_eq!(panic_of(|| group.split(condition)), "drop of 7");
    assert_eq!(alive.get(), 0);
}

#[test]
fn members_that_panic_while_they_are_collected_are_dropped() {
    let alive = Alive::default();
    let errors = (1..=3).map(|number| {
        assert!(number < 3, "no third");
        Touchy::new(number, IN_DROP, &alive)
    });
    let thrown = catch_unwind(AssertUnwindSafe(|| ExceptionGroup::new("never", errors)));
    assert!(thrown.is_err());
    assert_eq!(alive.get(), 0);
}

#[test]
fn an_error_that_panics_when_it_is_compared_or_printed_changes_nothing() {
    let alive = Alive::default();
    let panics_in = PanicsIn { look: true, ..IN_DROP };
    let (group, other) = (touchy(panics_in, &alive), touchy(panics_in, &alive));
    assert_eq!(panic_of(|| group == other), "eq of 3");
    assert_eq!(panic_of(|| group.tree()), "print of 3");
    assert_eq!(panic_of(|| format!("{group:#}")), "print of 3");
    assert_eq!(panic_of(|| format!("{group:?}")), "print of 3");
    assert_eq!(panic_of(|| format!("{group:#?}")), "print of 3");
    assert_eq!((group.iter().count(), alive.get()), (6, 12));
    assert_eq!(panic_of(|| drop(group)), "drop of 1");
    assert_eq!(panic_of(|| drop(other)), "drop of 1");
    assert_eq!(alive.get(), 0);
}

/// An error whose `Display` fails, which it should not.
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

#[test]
fn an_error_that_cannot_be_printed_fails_the_printing() {
    use fmt::Write;
    let group = ExceptionGroup::new("outer", [Unprintable]);
    assert!(write!(String::new(), "{group:#}").is_err());
    assert_eq!(group.to_string(), "outer (1 error)");
}

/// A program that prints the causes of an error, as `anyhow` and `eyre` do, names the reason.
#[test]
fn the_source_of_a_group_is_its_first_error_however_deep() {
    on_a_usual_stack(|| {
        let error: Box<dyn Error> = chain(DEPTH / 10).into();
        let source = error.source().expect("the reason");
        assert_eq!((error.to_string(), source.to_string()), ("level (1 error)".into(), "0".into()));
        assert_eq!(source.downcast_ref(), Some(&Raised::Error(0_usize)));
        assert!(source.source().is_none());
        let member = Raised::Group(chain(3));
        assert_eq!(member.source().unwrap().to_string(), "0"); // it prints the group, so its source is the group's
        assert_eq!(member.to_string(), "level (1 error)");
    });
    assert!(ExceptionGroup::<String>::new("cancelled", []).source().is_none());
}

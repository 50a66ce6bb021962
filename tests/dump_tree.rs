//! Tests the await tree, its cycles, the deadlock report that is made of it, and the JSON of a dump.

mod common;

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use common::turns;
use loopwheel::sync::{Event, Lock, Semaphore};
use loopwheel::{
    EventLoop, RunError, SharedTask, TaskBuilder, VirtualClock, create_task, dump, gather,
    run_virtual,
};

/// The tree without the places in the source.
fn tree() -> String {
    without_places(&dump().await_tree().to_string())
}

fn without_places(text: &str) -> String {
    let without = |line: &str| {
        let end = line.find(", spawned at").or_else(|| line.find(", created at"));
        end.map_or(line, |end| &line[..end]).to_owned()
    };
    text.lines().map(without).collect::<Vec<_>>().join("\n")
}

fn deadlock_of(main: impl Future<Output = ()>) -> String {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let ended = event_loop.try_run(main);
    let Err(RunError::Deadlock(deadlock)) = ended else { panic!("{ended:?}") };
    without_places(&deadlock.to_string())
}

/// Two tasks that take two locks, each in its own order.
async fn knot() {
    let locks = [Rc::new(Lock::new().named("a")), Rc::new(Lock::new().named("b"))];
    let take = |first: usize, second: usize| {
        let (first, second) = (locks[first].clone(), locks[second].clone());
        create_task(async move {
            let _first = first.acquire().await;
            turns(1).await;
            let _second = second.acquire().await;
        })
    };
    gather([take(0, 1), take(1, 0)]).await;
}

#[test]
fn a_task_is_below_what_waits_for_it_and_a_shared_one_is_printed_once() {
    run_virtual(async {
        let event = Rc::new(Event::new().named("go"));
        let shared = create_task(async move { event.wait().await }).shared();
        for name in ["one", "two"] {
            let shared = shared.clone();
            drop(TaskBuilder::new().name(name).create_task(async move { shared.await.is_ok() }));
        }
        turns(2).await;
        let expected = "\
'main' (Task-1), running
'one' (Task-3), waiting
└─ Task-2, waiting
   └─ the event \"go\"
'two' (Task-4), waiting
└─ Task-2 (see above)";
        assert_eq!(tree(), expected);
    });
}

#[test]
fn the_holders_are_below_what_they_hold() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    event_loop.run(async {
        let permits = Rc::new(Semaphore::new(2).named("pool"));
        let take = |_| {
            let permits = permits.clone();
            create_task(async move {
                let _permit = permits.acquire().await;
                pending::<()>().await;
            })
        };
        let _tasks: Vec<_> = (0..4).map(take).collect();
        turns(1).await;
        let expected = "\
'main' (Task-1), running
Task-4, waiting
└─ a permit of the semaphore \"pool\", held by Task-2 and Task-3
   ├─ Task-2, waiting
   │  └─ something that nothing will wake it for
   └─ Task-3, waiting
      └─ something that nothing will wake it for
Task-5, waiting
└─ a permit of the semaphore \"pool\", held by Task-2 and Task-3 (see above)";
        assert_eq!(tree(), expected);
    });
}

#[test]
fn a_cycle_is_shown_as_one_and_printed_even_if_nothing_leads_to_it() {
    run_virtual(async {
        drop(create_task(knot()));
        turns(4).await;
        let expected = "\
'main' (Task-1), running
Task-2, waiting
├─ Task-3, waiting
│  └─ the lock \"b\", held by Task-4
│     └─ Task-4, waiting
│        └─ the lock \"a\", held by Task-3
│           └─ Task-3 (a cycle)
└─ Task-4 (see above)";
        assert_eq!(tree(), expected);
    });
    run_virtual(async {
        let slot: Rc<RefCell<Option<SharedTask<()>>>> = Rc::default();
        let inner = slot.clone();
        let one = create_task(async move {
            turns(1).await;
            let other = inner.borrow_mut().take().unwrap();
            other.await.unwrap();
        })
        .shared();
        let two = create_task({
            let one = one.clone();
            async move { one.await.unwrap() }
        });
        *slot.borrow_mut() = Some(two.shared());
        turns(3).await;
        let expected = "\
'main' (Task-1), running
Task-2, waiting
└─ Task-3, waiting
   └─ Task-2 (a cycle)";
        assert_eq!(tree(), expected);
    });
}

#[test]
fn a_deadlock_names_the_cycle_of_two_locks() {
    let expected = "\
deadlock: nothing is ready, no timer is set, and nothing can wake the loop
  a cycle: Task-2 waits for the lock \"b\", held by Task-3, which waits for the lock \"a\", held by Task-2
  3 tasks are left:
    'main' (Task-1), waiting
    ├─ Task-2, waiting
    │  └─ the lock \"b\", held by Task-3
    │     └─ Task-3, waiting
    │        └─ the lock \"a\", held by Task-2
    │           └─ Task-2 (a cycle)
    └─ Task-3 (see above)
  the lock \"a\": held by Task-2
  the lock \"b\": held by Task-3";
    assert_eq!(deadlock_of(knot()), expected);
}

#[test]
fn a_deadlock_names_the_lock_that_a_task_waits_for_and_holds() {
    let expected = "\
deadlock: nothing is ready, no timer is set, and nothing can wake the loop
  a cycle: 'main' (Task-1) waits for lock 1, held by 'main' (Task-1): it waits for itself, so let it drop its guard first
  1 task is left:
    'main' (Task-1), waiting
    └─ lock 1, held by 'main' (Task-1)
       └─ 'main' (Task-1) (a cycle)
  lock 1: held by 'main' (Task-1)";
    let twice = async {
        let lock = Lock::new();
        let _guard = lock.acquire().await;
        let _again = lock.acquire().await;
    };
    assert_eq!(deadlock_of(twice), expected);
}

#[test]
fn a_deadlock_polls_nothing() {
    let polls = Rc::new(RefCell::new(0));
    let counts = polls.clone();
    let said = deadlock_of(std::future::poll_fn(move |_| {
        *counts.borrow_mut() += 1;
        std::task::Poll::Pending
    }));
    assert!(said.ends_with("something that nothing will wake it for"), "{said}");
    assert_eq!(*polls.borrow(), 1);
}

#[test]
fn a_long_chain_overflows_no_stack_and_its_text_grows_with_its_length() {
    let lengths = [2_000, 20_000].map(|length| {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        // The end of a run would cancel each task, and each cancel goes along the chain.
        event_loop.run_until_complete(async move {
            let mut last = create_task(pending::<()>());
            for _ in 0..length {
                let before = last;
                last = create_task(async move { before.await.unwrap() });
            }
            turns(1).await;
            dump().await_tree().to_string().len()
        })
    });
    assert!(lengths[1] < 12 * lengths[0], "{lengths:?}");
}

#[test]
fn thousands_of_tasks_at_one_semaphore_take_lines_in_proportion() {
    // With so many holders and so many waiters, a line for each pair would be a hundred million lines.
    let count = 10_000;
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    event_loop.run_until_complete(async {
        let permits = Rc::new(Semaphore::new(count));
        let take = |_| {
            let permits = permits.clone();
            create_task(async move {
                let _permit = permits.acquire().await;
                pending::<()>().await;
            })
        };
        let _tasks: Vec<_> = (0..2 * count).map(take).collect();
        turns(1).await;
        let dump = dump();
        let text = dump.await_tree().to_string();
        assert_eq!(dump.objects[0].holders.len(), count);
        assert!(text.lines().count() < 6 * count, "{}", text.lines().count());
    });
}

#[cfg(feature = "json")]
#[test]
fn the_json_says_the_same() {
    let json = run_virtual(async {
        drop(create_task(knot()));
        turns(4).await;
        dump().to_json()
    });
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["loop_name"], "loopwheel");
    assert_eq!(json["now_ns"], 0);
    let [main, _, two, _] = &json["tasks"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!((&main["name"], &main["state"]), (&"main".into(), &"running".into()));
    let waits = &two["waits_for"][0];
    assert_eq!((&waits["kind"], &waits["name"]), (&"lock".into(), &"b".into()));
    let lock = &json["objects"][1];
    assert_eq!(lock["number"], waits["object"]);
    assert_eq!(lock["holders"][0]["task"]["number"], 4);
    assert_eq!(lock["lines"][0]["tasks"][0]["name"], "Task-3");
}

#[test]
#[cfg_attr(loopwheel_traced, ignore = "a traced loop knows the holders of all objects")]
fn tasks_that_are_alike_are_printed_as_one() {
    let text = deadlock_of(async {
        let permits = Rc::new(Semaphore::new(1));
        let _held = permits.acquire().await;
        let wait = |_| {
            let permits = permits.clone();
            create_task(async move { drop(permits.acquire().await) })
        };
        let _waiters: Vec<_> = (0..1_000).map(wait).collect();
        let other = permits.clone();
        let named = TaskBuilder::new().name("the last");
        let _named = named.create_task(async move { drop(other.acquire().await) });
        pending::<()>().await;
    });
    let expected = "\
deadlock: nothing is ready, no timer is set, and nothing can wake the loop
  1002 tasks are left:
    'main' (Task-1), waiting
    └─ something that nothing will wake it for
    Task-2 … Task-1001 (1000 tasks), waiting
    └─ a permit of semaphore 1
    'the last' (Task-1002), waiting
    └─ a permit of semaphore 1
  semaphore 1: 0 permits free, held by unknown tasks (LOOPWHEEL_DEBUG=1 tells which)";
    assert_eq!(text, expected);
}

//! What a recorder writes: lines, a timeline, and the pages of the lessons.
//!
//! The committed page of each lesson is also its golden trace: a lesson that is recorded now tells the same, event for event.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::{Event as Flag, Lock, Queue};
use loopwheel::{
    EventLoop, Recorder, TaskGroup, VirtualClock, call_soon, catch_cancel, create_task,
    current_task, dump, gather, sleep, trace, wait_for, yield_now,
};
use serde_json::Value;

thread_local! {
    static LINES: Cell<u32> = const { Cell::new(0) };
}

/// Replaces `println!` in the lessons: the line is told to the observer.
macro_rules! println {
    ($($line:tt)*) => {
        $crate::say(&::std::format!($($line)*))
    };
}

fn say(line: &str) {
    LINES.set(LINES.get() + 1);
    trace::note(line);
}

macro_rules! lessons {
    ($($lesson:ident)*) => {
        #[path = "../docs/lessons"]
        mod lessons {
            $(
                #[allow(dead_code, unreachable_pub)] // their `main` is for when they are run alone
                pub(crate) mod $lesson;
            )*
        }

        const LESSONS: &[(&str, fn() -> Pin<Box<dyn Future<Output = ()>>>)] =
            &[$((stringify!($lesson), || Box::pin(lessons::$lesson::lesson())),)*];
    };
}

// All but the three that are recorded in another way: L09 has threads, of L30 a part is recorded, of L33 what it explores.
lessons! {
    l01_three_users l02_api_calls l03_weather_gathered l04_weather_grouped l05_fail_gathered_or_grouped
    l06_partial_success l07_sequential_or_concurrent l08_a_failure_cancels_the_siblings l10_named_and_cancelled
    l11_as_they_complete l12_a_group_fills_a_list l13_five_notes l14_background_backup l15_notes_to_disk l16_predict_it
    l17_three_ways_with_one_failure l18_three_hundred_writes l19_a_coroutine_is_not_a_task l20_a_value_comes_back
    l21_sort_a_groups_errors l22_clean_up_on_cancel l23_a_deadline l24_wait_three_ways l25_fastest_first
    l26_nobody_asked l27_producer_and_consumer l28_three_at_a_time l29_the_best_by_ten_seconds
    l31_a_limit_beside_a_task l32_a_handle_in_a_select_loop
}

fn record(main: impl Future<Output = ()>) -> Recorder {
    let recorder = Recorder::new();
    record_with(&recorder, main);
    recorder
}

fn record_with(recorder: &Recorder, main: impl Future<Output = ()>) {
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    event_loop.build().run(main);
}

/// The events as JSON.
fn lines_of(recorder: &Recorder) -> Vec<Value> {
    let mut lines = Vec::new();
    recorder.write_lines(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The run in a page.
fn run_in(page: &str) -> Value {
    let (_, run) = page.split_once("<script type=\"application/json\" id=\"run\">").unwrap();
    serde_json::from_str(run.split_once("</script>").unwrap().0).unwrap()
}

/// Without what depends on where the lesson is run from: the lines of awaits, the line in which main is spawned, and the path of
/// this test.
fn comparable(event: &Value) -> Value {
    let text = event.to_string().replace("tests/../", "");
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let is_main = event["task"] == 1;
    let fields = event.as_object_mut().unwrap();
    fields.remove("stack");
    if is_main {
        fields.remove("where");
    }
    event
}

#[test]
fn each_lesson_tells_what_its_committed_page_shows() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/players");
    for (name, lesson) in LESSONS {
        LINES.set(0);
        let now = lines_of(&record(lesson()));
        let page = fs::read_to_string(pages.join(format!("{name}.html"))).unwrap();
        let committed = run_in(&page);
        let committed: Vec<_> =
            committed["events"].as_array().unwrap().iter().map(comparable).collect();
        for (now, committed) in now[1..].iter().map(comparable).zip(&committed) {
            assert_eq!(now, *committed, "{name}: record it anew");
        }
        assert_eq!(now.len() - 1, committed.len(), "{name}");
        let notes = committed.iter().filter(|event| event["e"] == "note").count();
        assert_eq!(notes, LINES.get() as usize, "{name}: each line of its output is a note");
    }
}

#[test]
fn each_lesson_has_a_page_and_the_index_leads_to_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let names = |folder: &str, suffix: &str| -> BTreeSet<String> {
        let files = fs::read_dir(root.join(folder)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let of_lessons = names.filter(|name| name.starts_with('l') && name.ends_with(suffix));
        of_lessons.map(|name| name.trim_end_matches(suffix).to_owned()).collect()
    };
    let lessons = names("lessons", ".rs");
    assert_eq!(lessons, names("players", ".html"));
    let index = fs::read_to_string(root.join("players/index.html")).unwrap();
    let mut bytes = index.len();
    for lesson in lessons {
        assert!(index.contains(&format!("href=\"{lesson}.html\"")), "{lesson}");
        bytes += fs::read(root.join(format!("players/{lesson}.html"))).unwrap().len();
    }
    assert!(bytes < 3_000_000, "{bytes} bytes");
}

/// A program in which nearly everything happens.
async fn everything() {
    let lock = Lock::new().named("a lock");
    drop(lock.acquire().await);
    let (queue, flag) = (Queue::bounded(2), Flag::new());
    queue.put(1).await.unwrap();
    queue.get().await.unwrap();
    let waiter = create_task(async move { flag.wait().await });
    yield_now().await;
    waiter.cancel_with_reason("enough");
    assert!(waiter.await.is_err());
    let caught = create_task(async { catch_cancel(sleep(Duration::from_secs(9))).await.is_err() });
    let outer = create_task(caught);
    yield_now().await;
    yield_now().await;
    outer.cancel();
    assert!(outer.await.is_ok());
    current_task().cancel();
    current_task().uncancel();
    assert!(wait_for(sleep(Duration::from_secs(9)), Duration::from_secs(1)).await.is_err());
    drop(call_soon(|| ()));
    gather((async { yield_now().await }, async {})).await;
    let group = TaskGroup::scope(async |group| {
        group.create_task(async { Err::<(), _>("broken") });
        Ok::<_, &str>(())
    });
    assert!(group.await.is_err());
    let jobs = Rc::new(Queue::unbounded());
    jobs.put_nowait(()).unwrap();
    let worker = jobs.clone();
    drop(create_task(async move { worker.get().await.map(|()| worker.task_done()) }));
    jobs.join().await;
    drop(create_task(async { panic!("nobody asked") }));
    yield_now().await;
    trace::note("</script> in a note");
}

#[test]
fn the_lines_are_what_the_document_says() {
    let lines = lines_of(&record(everything()));
    assert_eq!(lines[0]["loopwheel"], 1);
    assert_eq!(lines[0]["clock"], "virtual");
    let document = include_str!("../docs/trace.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<_> = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).collect();
    let row_of = |kind: &str| {
        let row = rows.iter().find(|row| format!("`{}", row[0]).contains(&format!("`{kind}`")));
        row.unwrap_or_else(|| panic!("docs/trace.md has no row for {kind}"))
    };
    let mut kinds = BTreeSet::new();
    for (line, seq) in lines[1..].iter().zip(1..) {
        assert_eq!(line["seq"], seq);
        let kind = line["e"].as_str().unwrap();
        kinds.insert(kind.to_owned());
        let fields = row_of(kind)[1];
        for field in line.as_object().unwrap().keys() {
            let is_of_all = ["seq", "at", "turn", "by", "cause", "e"].contains(&field.as_str());
            assert!(is_of_all || fields.contains(&format!("`{field}`")), "{field} of {kind}");
        }
        if kind == "waits" {
            let waited = line["for"]["kind"].as_str().unwrap();
            row_of(waited);
        }
    }
    // All but `found`, `remote`, `parked`, `set` and `cleared`, which do not happen in this program.
    let expected = "cancel-caught cancel-delivered cancel-forwarded cancel-requested cancel-taken-back done ended got held jumped \
                    named note object poll polled put released reported spawned timer-fired timer-removed timer-set turn waits woken";
    assert_eq!(kinds.into_iter().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn a_timeline_opens_and_closes_each_slice_and_each_arrow_has_two_ends() {
    let mut timeline = Vec::new();
    record(everything()).write_timeline(&mut timeline).unwrap();
    let timeline: Value = serde_json::from_slice(&timeline).unwrap();
    let slices = timeline["traceEvents"].as_array().unwrap();
    let mut depth: BTreeMap<i64, i32> = BTreeMap::new();
    let (mut alive, mut arrows) = (BTreeSet::new(), BTreeSet::new());
    let mut at = -1.0;
    for slice in slices {
        let lane = slice["tid"].as_i64().unwrap();
        if let Some(ts) = slice["ts"].as_f64() {
            assert!(ts > at || slice["ph"] == "f", "in order");
            at = ts;
        }
        match slice["ph"].as_str().unwrap() {
            "B" => *depth.entry(lane).or_default() += 1,
            "E" => {
                let depth = depth.get_mut(&lane).unwrap();
                *depth -= 1;
                assert!(*depth >= 0);
            }
            "b" => assert!(alive.insert(slice["id"].as_i64().unwrap())),
            "e" => assert!(alive.remove(&slice["id"].as_i64().unwrap())),
            "s" => assert!(arrows.insert(slice["id"].as_i64().unwrap())),
            "f" => assert!(arrows.contains(&slice["id"].as_i64().unwrap())),
            "M" | "i" => {}
            other => panic!("{other}"),
        }
    }
    assert!(depth.values().all(|depth| *depth == 0));
    assert!(alive.is_empty(), "{alive:?}");
    assert!(arrows.len() > 5);
}

#[test]
fn a_timeline_of_the_last_events_opens_each_slice_that_it_closes() {
    for at_most in [0, 1, 2, 3, 7, 20, 37, 60] {
        let recorder = Recorder::last(at_most);
        record_with(&recorder, everything());
        let mut timeline = Vec::new();
        recorder.write_timeline(&mut timeline).unwrap();
        let timeline: Value = serde_json::from_slice(&timeline).unwrap();
        let (mut polled, mut alive) = (BTreeMap::<i64, i32>::new(), BTreeSet::new());
        for slice in timeline["traceEvents"].as_array().unwrap() {
            let lane = slice["tid"].as_i64().unwrap();
            match slice["ph"].as_str().unwrap() {
                "B" => *polled.entry(lane).or_default() += 1,
                "E" => {
                    let polls = polled.entry(lane).or_default();
                    *polls -= 1;
                    assert!(*polls >= 0, "{at_most}: {slice}");
                }
                "b" => assert!(alive.insert(lane), "{at_most}: {slice}"),
                "e" => assert!(alive.remove(&lane), "{at_most}: {slice}"),
                _ => {}
            }
        }
    }
}

#[test]
fn events_that_the_writing_of_lines_tells_are_not_written_and_leave_no_gap() {
    /// Notes each write, as a file of a traced program might.
    struct Notes(Vec<u8>, u32);
    impl io::Write for Notes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            for _ in 0..30 {
                trace::note("bytes are written");
            }
            self.1 += 1;
            assert!(self.1 < 10_000, "it does not end");
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for at_most in [20, usize::MAX] {
        let recorder = Recorder::last(at_most);
        let writes = recorder.clone();
        record_with(&recorder, async move {
            for _ in 0..20 {
                yield_now().await;
            }
            let mut out = Notes(Vec::new(), 0);
            writes.write_lines(&mut out).unwrap();
            let lines = String::from_utf8(out.0).unwrap();
            let lines: Vec<Value> =
                lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(lines.len() > 20);
            for (line, seq) in lines[1..].iter().zip(lines[0]["dropped"].as_u64().unwrap() + 1..) {
                assert_eq!(line["seq"], seq);
            }
            writes.write_timeline(Notes(Vec::new(), 0)).unwrap();
            writes.write_player(Notes(Vec::new(), 0)).unwrap();
        });
    }
}

#[test]
fn what_is_written_can_be_read_whatever_the_names_are() {
    const NAMES: &[&str] = &[
        "\"",
        "\\",
        "</script><script>alert(1)</script>",
        "<!--",
        "-->",
        "\u{2028}\u{2029}",
        "\0",
        "\n\r\t\u{1b}",
        "\u{feff}",
        "\u{10ffff}",
        "",
        "/*RUN*/",
        "// a comment\n// another",
        "{\"e\":1}",
        "]]>",
    ];
    for at_most in [usize::MAX, 0, 1, 7, 100] {
        let recorder = Recorder::last(at_most).title("\"</script>", "\u{2028}<!--");
        record_with(&recorder, async {
            for name in NAMES {
                trace::note(name);
                let lock = Rc::new(Lock::new().named(*name));
                let guard = lock.acquire().await;
                let other = lock.clone();
                let task = create_task(async move { drop(other.acquire().await) });
                task.set_name(*name);
                yield_now().await;
                let _: Value = serde_json::from_str(&dump().to_json()).unwrap();
                task.cancel_with_reason(*name);
                drop(guard);
                let _ = task.await;
            }
        });
        assert_eq!(lines_of(&recorder)[0]["name"], "\"</script>");
        let (mut timeline, mut page) = (Vec::new(), Vec::new());
        recorder.write_timeline(&mut timeline).unwrap();
        let _: Value = serde_json::from_slice(&timeline).unwrap();
        recorder.write_player(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(run_in(&page)["header"]["title"], "\u{2028}<!--");
        assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
    }
}

#[test]
fn a_page_holds_the_run_whatever_is_in_it() {
    let mut page = Vec::new();
    record(everything()).write_player(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    let run = run_in(&page);
    let notes: Vec<_> = run["events"].as_array().unwrap().iter().map(|it| &it["text"]).collect();
    assert!(notes.contains(&&Value::from("</script> in a note")));
    assert!(run["sources"]["tests/recorder.rs"].as_str().unwrap().contains("everything"));
}

/// The line of each wait, as a recorder keeps it that is told by this observer.
fn lines_of_waits(observer: impl FnOnce(Recorder) -> Box<dyn Fn(&trace::Event<'_>)>) -> Vec<Value> {
    let recorder = Recorder::new().with_lines();
    let observer = observer(recorder.clone());
    let event_loop = EventLoop::builder().clock(VirtualClock::new());
    event_loop.trace(move |event: &trace::Event<'_>| observer(event)).build().run(async {
        sleep(Duration::from_secs(1)).await;
    });
    let lines = lines_of(&recorder);
    lines[1..].iter().filter(|line| line["e"] == "waits").map(|it| it["stack"].clone()).collect()
}

#[test]
fn the_lines_of_a_wait_are_the_programs_and_not_those_of_an_observer_that_passes_it_on() {
    use trace::Observer as _;
    let waits = lines_of_waits(|recorder| Box::new(move |event| recorder.observe(event)));
    let [stack] = &waits[..] else { panic!("{waits:?}") };
    let frames = stack.as_array().unwrap();
    assert_eq!(frames.len(), 1, "{frames:?}");
    let line = frames[0][2].as_u64().unwrap() as usize;
    let source = include_str!("recorder.rs").lines().nth(line - 1).unwrap();
    assert!(source.contains("sleep(Duration::from_secs(1)).await"), "{source}");
}

#[test]
fn of_a_pair_of_observers_both_are_told() {
    let (first, second) = (Recorder::new(), Recorder::new());
    let event_loop = EventLoop::builder().clock(VirtualClock::new());
    event_loop.trace((first.clone(), second.clone())).build().run(yield_now());
    assert!(first.events().len() > 5);
    assert_eq!(first.events(), second.events());
    assert_eq!(lines_of(&first)[0]["clock"], lines_of(&second)[0]["clock"]);
}

#[test]
fn a_deadlock_is_an_event_of_the_run() {
    let recorder = Recorder::new();
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    let error = event_loop.build().try_run(async { Flag::new().wait().await }).unwrap_err();
    let reports: Vec<_> =
        lines_of(&recorder).into_iter().filter(|it| it["e"] == "reported").collect();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["kind"], "deadlock");
    assert_eq!(reports[0]["text"], error.to_string());
}

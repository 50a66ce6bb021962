//! Runs the worked examples of `docs/observing`, and checks what arrives at the other side.
#![allow(dead_code)] // each example's `main` is for when it is run alone

#[path = "../../docs/observing/metrics_counters.rs"]
mod metrics_counters;
#[path = "../../docs/observing/tracing_spans.rs"]
mod tracing_spans;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber, subscriber};

/// Keeps the messages, each with the span that it was told in.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// The field `id` of each span.
    spans: Vec<String>,
    entered: Vec<u64>,
    told: Vec<(String, String)>,
}

struct Text<'a>(&'static str, &'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == self.0 {
            *self.1 = format!("{value:?}");
        }
    }
}

impl Subscriber for Kept {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut id = String::new();
        span.record(&mut Text("id", &mut id));
        let spans = &mut self.0.lock().unwrap().spans;
        spans.push(id);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text("message", &mut text));
        let inner = &mut *self.0.lock().unwrap();
        let span = inner.entered.last().map(|id| inner.spans[*id as usize - 1].clone());
        inner.told.push((span.unwrap_or_default(), text));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }
}

#[test]
fn what_a_task_tells_is_in_its_span_of_tracing() {
    let kept = Kept::default();
    subscriber::with_default(kept.clone(), tracing_spans::run_observed);
    let inner = kept.0.lock().unwrap();
    assert!(inner.entered.is_empty(), "each span that was entered was left");
    for expected in ["working", "done"] {
        let told = inner.told.iter().find(|(_, text)| text == expected).expect("it was told");
        assert_eq!(told.0, "Task-2");
    }
    let woken = ("Task-1".to_owned(), "Task-2 is woken: it joins the ready queue.".to_owned());
    assert!(inner.told.contains(&woken), "in the poll of main, which has spawned it");
}

/// The sums of all counters, gauges and histograms, by name and labels.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<HashMap<String, Arc<Sum>>>>);

#[derive(Default)]
struct Sum(AtomicU64);

impl Sums {
    fn of(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        self.0.lock().unwrap().entry(name.trim().to_owned()).or_default().clone()
    }

    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |sum| sum.0.load(Ordering::Relaxed))
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn decrement(&self, _: f64) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn set(&self, _: f64) {}
}

impl HistogramFn for Sum {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

#[test]
fn polls_and_ends_are_counted_in_metrics() {
    let sums = Sums::default();
    with_local_recorder(&sums, metrics_counters::run_observed);
    assert_eq!(sums.get("loopwheel_spawned_total"), 11, "main, and ten tasks");
    assert_eq!(sums.get("loopwheel_ended_total Value"), 11);
    assert_eq!(sums.get("loopwheel_alive"), 0);
    let polls = sums.get("loopwheel_polls_total");
    assert!(polls >= 22, "each task was polled twice: {polls}");
    assert_eq!(sums.get("loopwheel_poll_seconds"), polls);
}

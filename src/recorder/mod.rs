//! **The recorder**: an observer that keeps what it is told.
//!
//! A run that is kept can be looked at in both directions, compared with another one, and shown to somebody else. The recorder keeps
//! all events, or the last ones, and writes them as lines, for a viewer of timelines, or as a page in which the run can be stepped
//! through. It is an observer like any other: whoever needs something else writes an observer of their own.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | what is kept |
//! | `stack` | the lines at which a task waits |
//! | `lines` | JSON, an event a line |
//! | `timeline` | the format of Chrome's and Perfetto's timelines |
//! | `player` | the page in which a run is stepped through |
//!
//! It stands on `base` and `trace`.

#[cfg(feature = "json")]
mod lines;
#[cfg(feature = "json")]
mod player;
#[cfg(feature = "record")]
mod stack;
#[cfg(feature = "json")]
mod timeline;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

#[cfg(feature = "explore")]
use crate::trace::Text;
use crate::trace::{Event, Observer, Run, What};

/// Keeps the events of a run. A clone is the same recorder.
///
/// With the feature `record` it also writes the run: `with_lines`, `write_player`, `write_lines` and `write_timeline` (all but
/// `with_lines` need only `json`).
///
/// # Examples
/// ```
/// use loopwheel::{EventLoop, Recorder, VirtualClock, yield_now};
///
/// let recorder = Recorder::new();
/// let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
/// event_loop.build().run(yield_now());
/// assert!(recorder.events().len() > 5);
/// ```
///
/// # In asyncio
/// Nothing records a run.
#[derive(Clone)]
pub struct Recorder {
    kept: Rc<RefCell<Kept>>,
    settings: Rc<Settings>,
}

#[cfg_attr(not(feature = "json"), allow(dead_code))] // only the files need all of it
struct Settings {
    /// How many events are kept.
    at_most: usize,
    /// The program's name, and what it shows.
    name: String,
    title: String,
    /// Gives the stack of the code that is running.
    stack: Option<fn() -> Vec<Frame>>,
}

#[derive(Default)]
#[cfg_attr(not(feature = "json"), allow(dead_code))]
struct Kept {
    events: VecDeque<Recorded>,
    /// How many events were forgotten.
    dropped: u64,
    loop_name: String,
    clock: &'static str,
}

/// An event, and where the task is, if that is kept.
#[cfg_attr(not(feature = "json"), allow(dead_code))]
pub(crate) struct Recorded {
    pub(crate) event: Event<'static>,
    pub(crate) stack: Vec<Frame>,
}

/// One line of a stack.
#[cfg_attr(not(feature = "json"), allow(dead_code))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Recorder {
    /// Keeps all events.
    pub fn new() -> Recorder {
        Recorder::last(usize::MAX)
    }

    /// Keeps the last `at_most` events: for a loop that runs for long. So many take so much memory, and no more.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{EventLoop, Recorder, VirtualClock, yield_now};
    ///
    /// let recorder = Recorder::last(3);
    /// let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    /// event_loop.build().run(yield_now());
    /// assert_eq!(recorder.events().len(), 3);
    /// assert_eq!(recorder.dropped() + 1, recorder.events()[0].seq);
    /// ```
    pub fn last(at_most: usize) -> Recorder {
        let (name, title) = (String::new(), String::new());
        let settings = Settings { at_most, name, title, stack: None };
        Recorder { kept: Rc::default(), settings: Rc::new(settings) }
    }

    /// The name of the program, and what it shows, for the reader of a recorded run.
    ///
    /// # Panics
    /// If the recorder has been cloned.
    #[must_use]
    pub fn title(mut self, name: impl Into<String>, title: impl Into<String>) -> Recorder {
        let settings = self.settings_mut();
        (settings.name, settings.title) = (name.into(), title.into());
        self
    }

    /// From now on keeps, with each wait, and with each lock, permit or item that is taken, the lines of the program at which the
    /// task is.
    ///
    /// It looks at the stack for each of them, which takes a tenth of a millisecond or two in a program that is not optimised: on a
    /// real clock the run is another one. The program must be built with debug information; the names of functions need all of it
    /// (`debug = "full"`, as cargo's `dev` profile has it).
    ///
    /// # Panics
    /// If the recorder has been cloned.
    #[cfg(feature = "record")]
    #[must_use]
    pub fn with_lines(mut self) -> Recorder {
        let _ = stack::of_caller(); // it reads the debug information now, and not in the first poll that waits
        self.settings_mut().stack = Some(stack::of_caller);
        self
    }

    /// Adds a note after the last event: what is known of the run only when it is over.
    #[cfg(feature = "explore")]
    pub(crate) fn add_note(&self, text: &dyn fmt::Display) {
        let last = self.kept.borrow().events.back().map(|last| {
            let Event { seq, at, turn, .. } = last.event;
            (seq, at, turn)
        });
        let Some((seq, at, turn)) = last else { return };
        let what = What::Note { text: Text::of(text) };
        self.observe(&Event { seq: seq + 1, at, turn, by: None, cause: None, what });
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Rc::get_mut(&mut self.settings).expect("set a recorder up before you clone it")
    }

    /// The events that are kept, oldest first.
    pub fn events(&self) -> Vec<Event<'static>> {
        self.kept.borrow().events.iter().map(|recorded| recorded.event.clone()).collect()
    }

    /// How many events were forgotten: because more came than are kept, or by [`clear`](Recorder::clear).
    pub fn dropped(&self) -> u64 {
        self.kept.borrow().dropped
    }

    /// Forgets all events, and goes on recording. They count as [dropped](Recorder::dropped).
    pub fn clear(&self) {
        let kept = &mut *self.kept.borrow_mut();
        kept.dropped += kept.events.len() as u64;
        kept.events.clear();
    }
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Observer for Recorder {
    fn begins(&self, run: &Run<'_>) {
        let kept = &mut *self.kept.borrow_mut();
        *kept = Kept { loop_name: run.name.to_owned(), clock: run.clock, ..Kept::default() };
    }

    fn observe(&self, event: &Event<'_>) {
        let stack = match (&event.what, self.settings.stack) {
            (What::Waits { .. } | What::Held { .. } | What::Got { .. }, Some(stack)) => stack(),
            _ => Vec::new(),
        };
        let recorded = Recorded { event: event.clone().into_owned(), stack }; // first: a note's text is foreign code
        let kept = &mut *self.kept.borrow_mut();
        if kept.events.len() == self.settings.at_most {
            kept.events.pop_front();
            kept.dropped += 1;
        }
        if kept.events.len() < self.settings.at_most {
            kept.events.push_back(recorded);
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("events", &self.kept.borrow().events.len())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

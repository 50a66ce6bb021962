//! # A loop in a host that only has "call me later"
//!
//! A browser's page, a plug-in or an interrupt handler has no place to wait, and cannot have a loop of its own. The
//! host offers only to call a function later. So the loop is turned by a function that, at its end, asks to be called
//! again:
//!
//! - `Ready`: as soon as the page has done its other work (`set_timeout(0)`);
//! - `At(deadline)`: at the deadline;
//! - `Idle`: not at all. The wake hook posts a message, and the page turns the loop when it reads it.
//!
//! The page here is a model of one, with a clock of its own, so that the program runs anywhere and always the same way.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loopwheel::{Budget, Clock, EventLoop, Handle, Instant, Next, now, sleep};

/// A page: timeouts and messages, and nothing else.
struct Page {
    time: Rc<Cell<Instant>>,
    /// The time, and a serial number: timeouts of one moment are called in their order.
    timeouts: RefCell<BinaryHeap<Reverse<(Instant, usize)>>>,
    callbacks: RefCell<Vec<Option<Callback>>>,
    inbox: mpsc::Receiver<()>,
}

type Callback = Box<dyn FnOnce(&Rc<Page>)>;

impl Page {
    fn set_timeout(&self, delay: Duration, callback: impl FnOnce(&Rc<Page>) + 'static) {
        let mut callbacks = self.callbacks.borrow_mut();
        callbacks.push(Some(Box::new(callback)));
        let when = self.time.get() + delay;
        self.timeouts.borrow_mut().push(Reverse((when, callbacks.len() - 1)));
    }

    /// What the browser does: calls what is due, reads messages, and otherwise waits until `is_closed`.
    fn show(self: &Rc<Self>, on_message: impl Fn(&Rc<Page>), is_closed: impl Fn() -> bool) {
        while !is_closed() {
            let next = self.timeouts.borrow_mut().pop();
            if let Some(Reverse((when, number))) = next {
                self.time.set(self.time.get().max(when));
                let callback = self.callbacks.borrow_mut()[number].take();
                callback.expect("a timeout is called once")(self);
            } else if self.inbox.recv().is_ok() {
                on_message(self);
            }
        }
    }
}

/// Turns the loop once, and has itself called again when that is needed.
fn pump(event_loop: &Rc<RefCell<EventLoop>>, page: &Rc<Page>) {
    let next = event_loop.borrow_mut().turn(Budget::polls(16));
    let delay = match next {
        Next::Ready => Duration::ZERO,
        Next::At(deadline) => deadline - page.time.get(),
        Next::Idle => return,
    };
    let event_loop = event_loop.clone();
    page.set_timeout(delay, move |page| pump(&event_loop, page));
}

/// What happened on the page, and when, in milliseconds of its clock.
pub(crate) fn visit() -> Vec<(u64, &'static str)> {
    let time = Rc::new(Cell::new(Instant::START));
    let (post_message, inbox) = mpsc::channel();
    let (timeouts, callbacks) = (RefCell::default(), RefCell::default());
    let page = Rc::new(Page { time: time.clone(), timeouts, callbacks, inbox });

    let event_loop = EventLoop::builder()
        .clock(Clock::host(move || time.get()))
        .wake_hook(move || post_message.send(()).unwrap_or_default())
        .build();
    let seen: Rc<RefCell<Vec<(u64, &str)>>> = Rc::default();
    let see = {
        let seen = seen.clone();
        move |what| seen.borrow_mut().push((now().as_nanos() / 1_000_000, what))
    };
    let visit = event_loop.create_task(async move {
        see("the page is shown");
        sleep(Duration::from_millis(300)).await;
        see("the picture fades in");
        let (sender, worker) = async_channel::bounded(1);
        let handle = Handle::current();
        thread::spawn(move || {
            // This is a web worker. Its answer comes while the page has nothing to do and does not turn the loop.
            handle.call_soon(move || {
                sender.try_send("the worker has answered").expect("there is room");
            })
        });
        see(worker.recv().await.expect("the worker answers"));
    });

    let event_loop = Rc::new(RefCell::new(event_loop));
    pump(&event_loop, &page);
    page.show(|page| pump(&event_loop, page), || visit.is_done());
    seen.take()
}

fn main() {
    for (millis, what) in visit() {
        println!("{millis:>4} ms: {what}");
    }
}

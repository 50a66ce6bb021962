//! # A loop inside a game's frames
//!
//! The host draws sixty frames a second. In each it gives the event loop a budget, so that tasks never cost a frame,
//! and tells it what time it is: the loop's clock is the frame's. Tasks span frames as they like: a spell takes a
//! second, a monster thinks for many polls.
//!
//! The end takes frames, too. `cancel_all` would wait for the clean-up, in which the frame's clock stands still: a sleep there would
//! never end. So the host cancels all tasks, and draws frames until none is alive.
//!
//! Nothing here sleeps; a real host would wait for the next frame where this one just counts it.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{Budget, Clock, EventLoop, Instant, finally, now, sleep, yield_now};

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
const POLLS_A_FRAME: usize = 10;

/// What the frames of two simulated seconds saw: the frame's number, and what happened in it.
pub(crate) fn play() -> Vec<(u32, String)> {
    let time = Rc::new(Cell::new(Instant::START));
    let frame = Rc::new(Cell::new(0));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let see = {
        let (frame, seen) = (frame.clone(), seen.clone());
        move |what: &str| seen.borrow_mut().push((frame.get(), what.to_owned()))
    };

    let clock = time.clone();
    let mut event_loop = EventLoop::builder().clock(Clock::host(move || clock.get())).build();

    let spell = see.clone();
    drop(event_loop.create_task(async move {
        spell("the spell begins");
        sleep(Duration::from_secs(1)).await;
        spell(&format!("the spell ends, after {:.2} s", now().as_secs_f64()));
    }));
    let monster = see.clone();
    drop(event_loop.create_task(async move {
        for _ in 0..95 {
            yield_now().await; // a step of thought
        }
        monster("the monster has thought");
    }));

    let merchant = see.clone();
    drop(event_loop.create_task(finally(pending::<()>(), async move || {
        sleep(Duration::from_millis(50)).await;
        merchant("the merchant has packed");
    })));

    let draw = |event_loop: &mut EventLoop| {
        // A frame can spare this many polls; tasks that are still ready come first in the next frame. (A game that counts time
        // would say `Budget::time(Duration::from_millis(4))`; a page that is a test counts polls.)
        event_loop.run_for(Budget::polls(POLLS_A_FRAME));
        time.set(time.get() + FRAME);
        frame.set(frame.get() + 1);
    };
    for _ in 0..120 {
        draw(&mut event_loop);
    }

    for task in event_loop.all_tasks() {
        task.cancel_with_reason("the game is over");
    }
    while event_loop.live_tasks() > 0 {
        draw(&mut event_loop);
    }
    seen.take()
}

fn main() {
    for (frame, what) in play() {
        println!("frame {frame:>3}: {what}");
    }
}

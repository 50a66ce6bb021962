//! A screen is told of each change, and draws itself once for all changes since the last time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use loopwheel::{create_task, yield_now};

/// What the program and its screen share.
#[derive(Default)]
struct Screen {
    drawn: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

impl Screen {
    /// Draws in each poll, and waits for the next change.
    async fn draw_for_ever(&self) {
        poll_fn(|cx| {
            self.drawn.update(|times| times + 1);
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }

    fn is_changed(&self) {
        self.waker.borrow().as_ref().expect("it was drawn").wake_by_ref();
    }
}

#[test]
fn three_changes_are_drawn_at_once() {
    loopwheel::run_virtual(async {
        let screen = Rc::new(Screen::default());
        create_task({
            let screen = screen.clone();
            async move { screen.draw_for_ever().await }
        });
        yield_now().await; // the first poll
        assert_eq!(screen.drawn.get(), 1);
        for _ in 0..3 {
            screen.is_changed();
        }
        yield_now().await;
        assert_eq!(screen.drawn.get(), 2, "it was woken three times, and is to be polled once");
    });
}

//! A request is answered, and its task ends. What would have woken it comes later: a timer of a driver, an answer that was given up.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use loopwheel::{create_task, yield_now};

#[test]
fn a_waker_of_a_task_that_has_ended_wakes_none() {
    loopwheel::run_virtual(async {
        let kept = Rc::new(RefCell::new(None));
        let first = create_task({
            let kept = kept.clone();
            poll_fn(move |cx| {
                *kept.borrow_mut() = Some(cx.waker().clone());
                Poll::Ready(())
            })
        });
        first.await.unwrap();

        let polls = Rc::new(Cell::new(0));
        let second = create_task({
            let polls = polls.clone();
            poll_fn(move |_| {
                polls.update(|polls| polls + 1);
                Poll::<()>::Pending // it waits for something else
            })
        });
        yield_now().await;
        assert_eq!(polls.get(), 1);

        kept.take().expect("the first task was polled").wake();
        yield_now().await;
        assert_eq!(polls.get(), 1, "the second task was polled for a wake-up of the first");
        second.cancel();
    });
}

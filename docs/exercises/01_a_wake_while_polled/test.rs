//! A long computation gives way after each step. It asks for its next poll itself, while it is being polled.

use std::future::poll_fn;
use std::task::Poll;

#[test]
fn a_future_that_wakes_itself_is_polled_again() {
    let steps = loopwheel::run_virtual(async {
        let mut steps = 0;
        poll_fn(|cx| {
            steps += 1;
            if steps == 3 {
                return Poll::Ready(steps);
            }
            cx.waker().wake_by_ref(); // call me again, when all others have had their turn
            Poll::Pending
        })
        .await
    });
    assert_eq!(steps, 3);
}

//! **Timers**: the wheel, for those who wait for time (`time.rs`, `timeout/limit.rs`), and what happens when it fires.

use std::mem;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::alarm::Alarm;
use super::foreign::KeptWaker;
use super::instant::Instant;
use super::turn::Engine;
use super::waker::TaskId;
use super::wheel::TimerKey;

impl Engine {
    /// Step 2 of a turn.
    pub(super) fn fire_timers(self: &Rc<Self>) {
        if self.wheel.borrow().pending() == 0 {
            return;
        }
        let mut fired = self.fired.take();
        let now = self.now(); // before the borrow: a host's clock may run anything
        self.wheel.borrow_mut().advance(now.as_nanos(), &mut fired);
        for alarm in fired.drain(..) {
            match alarm {
                Alarm::Wake { .. } => _ = self.make_ready(alarm.task(self.loop_index())),
                Alarm::Cancel { .. } => {
                    if let Some(record) = self.record_of(alarm.task(self.loop_index())) {
                        self.scope_is_to_be_polled(&record);
                    }
                }
                Alarm::Stranger { place } => {
                    let waker = self.strangers.borrow_mut().take(place);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            }
        }
        self.fired.set(fired);
    }

    pub(crate) fn arm(&self, deadline: Instant, alarm: Alarm) -> TimerKey {
        self.begin_limits();
        self.insert(deadline, alarm)
    }

    /// The same, when the limits around have begun.
    pub(crate) fn arm_within_limits(&self, deadline: Instant, alarm: Alarm) -> TimerKey {
        self.insert(deadline, alarm)
    }

    fn insert(&self, deadline: Instant, alarm: Alarm) -> TimerKey {
        if deadline <= self.latest.get() {
            self.look_at_once(); // due already: in the next turn, as asyncio does
        }
        self.wheel.borrow_mut().insert(deadline.as_nanos(), alarm)
    }

    pub(crate) fn disarm(&self, key: TimerKey) {
        let alarm = self.wheel.borrow_mut().remove(key);
        self.forget(alarm);
    }

    pub(crate) fn has_fired(&self, key: &TimerKey) -> bool {
        self.wheel.borrow().has_fired(key)
    }

    /// Who is woken is somebody else now.
    pub(crate) fn rewake(&self, key: &TimerKey, waker: &Waker) {
        let old = *self.wheel.borrow_mut().payload_mut(key);
        match (old, TaskId::of(waker)) {
            (Alarm::Wake { .. }, Some(id)) if old.task(self.loop_index()) == id => return,
            (Alarm::Stranger { place }, None) => {
                let strangers = self.strangers.borrow();
                if strangers.at(place).is_some_and(|stranger| stranger.will_wake(waker)) {
                    return;
                }
            }
            _ => {}
        }
        let alarm = self.alarm_for(waker);
        let old = mem::replace(self.wheel.borrow_mut().payload_mut(key), alarm);
        self.forget(old);
    }

    /// What wakes `waker` when its time has come.
    pub(crate) fn alarm_for(&self, waker: &Waker) -> Alarm {
        match TaskId::of(waker) {
            Some(id) if id.loop_index() == self.loop_index() => Alarm::wake(id),
            _ => {
                let stranger = KeptWaker::of_foreign(waker); // before the borrow: it may run anything
                self.strangers.borrow_mut().admit(stranger)
            }
        }
    }

    fn forget(&self, alarm: Alarm) {
        if let Alarm::Stranger { place } = alarm {
            let waker = self.strangers.borrow_mut().dismiss(place);
            drop(waker); // after the borrow: it may run anything
        }
    }
}

/// **Limits that have not begun.** Most time limits stand around something that is ready at once, and reading the clock and
/// setting a timer would cost many times what that does. So a limit opens when it is first polled, and begins with the first
/// thing in it that waits: before a timer inside it is armed, so that it comes before that in the wheel too, or else when its
/// first poll comes back pending. Limits stand in each other, and all that are open belong to the task that is being polled.
impl Engine {
    /// Opens a limit, inside those that are open. The place is for who closes it.
    #[inline]
    pub(crate) fn open_limit(&self, after: Duration) -> u32 {
        let mut open = self.open_limits.borrow_mut();
        open.push(OpenLimit { after, begun: None });
        self.limits_to_begin.set(self.limits_to_begin.get() + 1);
        open.len() as u32 - 1
    }

    /// Begins those that are open: reads the clock, once, and arms their timers, the outermost first.
    #[inline]
    pub(crate) fn begin_limits(&self) {
        if self.limits_to_begin.get() > 0 {
            self.begin_open_limits();
        }
    }

    fn begin_open_limits(&self) {
        let Some(task) = self.current.with(|task| task.id) else { return };
        let alarm = Alarm::cancel(task);
        let now = self.now();
        for limit in self.open_limits.borrow_mut().iter_mut().filter(|limit| limit.begun.is_none())
        {
            let deadline = now + limit.after;
            limit.begun = Some((deadline, self.insert(deadline, alarm)));
        }
        self.limits_to_begin.set(0);
    }

    /// Closes a limit, which is the innermost. When its time is up, and its timer, if it has begun.
    #[inline]
    pub(crate) fn close_limit(&self, place: u32) -> Option<(Instant, TimerKey)> {
        let mut open = self.open_limits.borrow_mut();
        debug_assert_eq!(
            open.len(),
            place as usize + 1,
            "limits are closed in the order in which they stand in each other"
        );
        let OpenLimit { begun, .. } = open.pop()?;
        if begun.is_none() {
            self.limits_to_begin.set(self.limits_to_begin.get() - 1);
        }
        begun
    }

    /// When the time of an open limit is up; it begins if need be.
    pub(crate) fn end_of_limit(&self, place: u32) -> Option<Instant> {
        self.begin_limits();
        self.open_limits.borrow().get(place as usize)?.begun.as_ref().map(|(when, _)| *when)
    }
}

/// A time limit in its first poll.
pub(super) struct OpenLimit {
    after: Duration,
    begun: Option<(Instant, TimerKey)>,
}

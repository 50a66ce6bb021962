//! **Races**: [`race`] and [`first_ok`] run many futures at once, give the result of one, and cancel the others.
//!
//! To drop the losers would be simple, and is what `select!` does. But what is dropped does not clean up if that awaits, and a task
//! that is only cancelled outlives the race: it may hold a lock or a connection, and fail, when nothing looks any more. So the
//! losers are cancelled, and the race is over when they have ended.
//!
//! ```text
//!             first poll            an end that decides               all have ended
//!   tasks ──────────────▶ Racing ──────────────────────▶ CleaningUp ────────────────▶ the result
//!                           │                             (without_waiting: the result at once)
//!                           └── all have ended, and none decided ──▶ the errors, or a cancel
//! ```
//!
//! While it races the members are a wait set that is due at each end, because an end may decide or not; they are asked in the order
//! of their ends. While the losers clean up they are a wait set that is due when all have ended. The outcomes stay in the records
//! of the tasks: the race takes the one that it gives, at its end. A cancel of the race is forwarded to all that run, and comes out
//! when all have ended, whatever they have returned.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the functions, their futures, and how a race is decided |
//! | `racers` | from an argument to racers, and which of their ends decide |
//!
//! It stands on `base`, `reason`, `error`, the kernel, `delivery`, `awaited`, `join`, `gather` and `exception_group`.

mod racers;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::awaited::CancelTargets;
use crate::delivery::checkpoint;
use crate::exception_group::ExceptionGroup;
use crate::gather::{AwaitSet, Ending, GatherChild, PlainChild, TryChild};
use crate::join::{WaitSet, WakeAt};
use crate::kernel::record::Flag;
use crate::reason::{Cause, Reason};
pub use racers::{IntoFirstOk, IntoRace};
use racers::{Racer, drop_hard};

/// Runs futures at the same time, gives the output of the first that ends, and cancels the others.
///
/// The argument is anything that can be iterated, or a tuple of up to eight futures. All have one output type: where they differ,
/// wrap them in an enum. The futures become tasks at once, so they must be `'static`, and own what they use (`async
/// move`, with an `Rc` for what is shared). A method of `&self` borrows its object, so call it in the future, on a clone of an `Rc`:
/// see the example of [`first_ok`]. A handle of a task can be given too, by value or as a
/// [`SharedTask`](crate::SharedTask); its output is the `Result` of an await. A given task that loses is cancelled as well: give
/// `shield(shared.clone())` for one that is to go on. If several end in one turn, the one that ended first wins.
///
/// **It returns when the losers have ended**, and so have cleaned up: what they hold is free again, and nothing that the race has
/// made runs on behind the caller's back. [`without_waiting`](Race::without_waiting) returns at once.
///
/// - A racer that *panics* ends the race: the others are cancelled, and when they have ended the await goes on with that panic.
/// - A racer that is *cancelled from elsewhere* is out. If all are, the await is cancelled. (The cancel and the panic of a given
///   task are part of its `Result`, and end the race.)
/// - A loser that *panics* during its clean-up is reported to the loop's exception handler, and so is a given one that fails; the
///   race gives its output all the same. A loser that swallows the cancel and returns a value is waited for; the value is dropped.
///
/// # Cancellation
/// Every racer that runs is cancelled, and when all have ended the cancel goes on; an output is lost. If the race is dropped before
/// its end, the tasks that it has made are dropped hard: destructors run, clean-up that awaits does not. Given tasks go on.
///
/// # Panics
/// If nothing is given: no output would ever come. If futures are given without a running loop, or if too many tasks are alive on
/// it. If the outcome of a given task was taken before. If a racer panics, see above.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, race, sleep};
///
/// let after = |n| async move {
///     sleep(Duration::from_secs(n)).await;
///     n
/// };
/// assert_eq!(race([3, 1, 2].map(after)).await, 1);
/// assert_eq!(now().as_secs_f64(), 1.0);
///
/// let text = async { Some("hello") };
/// let closed = async {
///     sleep(Duration::from_secs(60)).await;
///     None
/// };
/// assert_eq!(race((text, closed)).await, Some("hello"));
///
/// // Which one has won: give each output a number, or in a tuple a variant of an enum.
/// let futures = [3, 1, 2].map(|n| sleep(Duration::from_secs(n)));
/// let numbered = futures.into_iter().enumerate().map(|(index, it)| async move { (index, it.await) });
/// assert_eq!(race(numbered).await, (1, ()));
/// # });
/// ```
///
/// # In asyncio
/// There is none; `asyncio.wait(tasks, return_when=FIRST_COMPLETED)`, and then cancelling and awaiting the others.
#[doc(alias = "select")]
#[doc(alias = "select_all")]
#[doc(alias = "Promise.race")]
#[doc(alias = "enumerate")]
#[track_caller]
pub fn race<I: IntoRace<M>, M>(futures: I) -> Race<I::Output> {
    let at = Location::caller();
    let racing = Racing::of(futures.into_racers(at), at);
    assert!(
        !racing.awaiting.set().is_empty(),
        "a race of no futures would never end: give `race` at least one, or test for none before"
    );
    Race { racing }
}

/// Runs futures that can fail at the same time, gives the value of the first that succeeds, and cancels the others.
///
/// It is [`race`] in which an `Err` does not win: the others go on. Only if all fail are there errors, and then all of them. The
/// errors of racers that failed before one succeeded are dropped, and so are those of losers that fail during their clean-up.
///
/// Given handles of tasks, any end but a value is an error: [`TaskError`](crate::TaskError), whatever its kind. For all else see
/// [`race`]: which future wins, that it waits for the losers, panics, and cancels.
///
/// # Cancellation
/// As with [`race`].
///
/// # Errors
/// The errors of all, in the order of the arguments, if none succeeded. A racer that was cancelled from elsewhere has none. Without
/// futures the [`ExceptionGroup`] is empty.
///
/// # Panics
/// As with [`race`], but not if nothing is given.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{first_ok, sleep};
///
/// let fetch = |mirror: &'static str, seconds, is_up: bool| async move {
///     sleep(Duration::from_secs(seconds)).await;
///     if is_up { Ok(mirror) } else { Err(format!("{mirror} is down")) }
/// };
/// let fetched = first_ok([fetch("north", 1, false), fetch("south", 2, true), fetch("west", 9, true)]);
/// assert_eq!(fetched.await, Ok("south")); // after two seconds
///
/// let errors = first_ok([fetch("north", 2, false), fetch("east", 1, false)]).await.unwrap_err();
/// assert_eq!(errors.iter().collect::<Vec<_>>(), ["north is down", "east is down"]);
/// # });
/// ```
///
/// A *hedged request*: a second copy is sent if the first takes longer than, say, 95 of 100 did. `ask` is a method of `&self`:
///
/// ```
/// # loopwheel::run_virtual(async {
/// # use std::{rc::Rc, time::Duration};
/// # use loopwheel::{call_later, first_ok, now, sleep, sync::Event};
/// # struct Client;
/// # impl Client {
/// #     async fn ask(&self, copy: u32) -> Result<u32, String> {
/// #         sleep(Duration::from_secs(if copy == 0 { 60 } else { 1 })).await;
/// #         if copy == 2 { Err("refused".to_owned()) } else { Ok(copy) }
/// #     }
/// # }
/// # let client = Rc::new(Client);
/// let p95 = Duration::from_secs(2);
/// let copies = [0, 1].map(|copy| {
///     let client = client.clone(); // an `Rc`
///     async move {
///         sleep(p95 * copy).await;
///         client.ask(copy).await
///     }
/// });
/// assert_eq!(first_ok(copies).await, Ok(1));
/// assert_eq!(now().as_secs_f64(), 3.0); // the second was sent after 2 s, and answered after one
///
/// // *Staggered* (happy eyeballs): each begins 0.25 s after the one before, or as soon as that has failed.
/// let go: Rc<[Event]> = (0..=3).map(|_| Event::new()).collect();
/// go[0].set();
/// let attempts = [2, 0, 1].into_iter().enumerate().map(|(n, server)| {
///     let (client, go) = (client.clone(), go.clone());
///     async move {
///         go[n].wait().await;
///         let next = go.clone();
///         call_later(Duration::from_millis(250), move || next[n + 1].set());
///         let answer = client.ask(server).await;
///         go[n + 1].set();
///         answer
///     }
/// });
/// assert_eq!(first_ok(attempts).await, Ok(1));
/// assert_eq!(now().as_secs_f64(), 3.0 + 0.25 * 2.0 + 1.0);
/// # });
/// ```
///
/// # In asyncio
/// There is none; the package `aiohappyeyeballs` has `staggered_race`.
#[doc(alias("select_ok", "any", "Promise.any"))]
#[doc(alias("hedge", "hedged request", "stagger", "staggered_race", "happy eyeballs"))]
#[track_caller]
pub fn first_ok<I: IntoFirstOk<M>, M>(futures: I) -> FirstOk<I::Value, I::Error> {
    let at = Location::caller();
    FirstOk { racing: Racing::of(futures.into_racers(at), at) }
}

/// How far a race has come.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Racing,
    /// It is decided; the losers are waited for.
    CleaningUp,
    /// The output was returned.
    Finished,
}

/// What [`Race`] and [`FirstOk`] have in common.
struct Racing<C: Racer> {
    awaiting: AwaitSet<Vec<C>>,
    /// Where the race was called.
    at: &'static Location<'static>,
    phase: Phase,
    /// The first that has ended in a way that decides.
    winner: Option<usize>,
    /// When it is decided it returns without the losers.
    leaves_losers: bool,
}

impl<C: Racer> Racing<C> {
    #[track_caller]
    fn of(racers: Vec<C>, at: &'static Location<'static>) -> Racing<C> {
        let taken = racers.iter().find(|racer| racer.is_taken());
        let taken = taken.map(|racer| racer.record().clone());
        let racing = Racing {
            awaiting: AwaitSet::new(WakeAt::Each, racers),
            at,
            phase: Phase::Racing,
            winner: None,
            leaves_losers: false,
        };
        if let Some(taken) = taken {
            panic!(
                "the outcome of task '{}' (spawned at {}) was taken before: a handle that was awaited cannot race",
                taken.name(),
                taken.spawned_at()
            );
        }
        racing
    }

    fn set(&self) -> &WaitSet<Vec<C>> {
        self.awaiting.set()
    }

    /// Ready when the race is over: decided, or cancelled, or without a racer that runs.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        assert!(self.phase != Phase::Finished, "a race was polled after its end: await it once");
        if self.phase == Phase::Racing {
            let winner = &mut self.winner;
            ready!(self.awaiting.poll(cx, |set| is_decided(set, winner)));
            if self.winner.is_none() || self.set().cancel_requested() {
                return Poll::Ready(());
            }
            self.cancel_losers();
            let racers = self.awaiting.leave().expect("the racers are there until the end");
            self.awaiting = AwaitSet::go_on(WakeAt::All, racers);
            self.phase = Phase::CleaningUp;
        }
        if self.leaves_losers {
            return Poll::Ready(());
        }
        self.awaiting.poll(cx, WaitSet::is_due)
    }

    fn cancel_losers(&self) {
        let losers = self.set().targets();
        let winner = self.winner.and_then(|winner| {
            self.set().with_members(|racers| racers.get(winner).map(|it| it.record().clone()))
        });
        let (Some(Some(winner)), false) = (winner, losers.is_empty()) else { return };
        let reason = Reason::own(Cause::RaceLost(winner.who()), Some(self.at));
        for loser in losers {
            loser.cancel(&reason);
        }
    }

    /// The race is over: takes the racers out, or lets a cancel come out of this poll and of each that follows.
    fn finish(&mut self, cx: &Context<'_>) -> Option<(Vec<C>, Option<usize>)> {
        let is_cancelled = self.set().cancel_requested();
        if is_cancelled || self.winner.is_none() && self.all_are_out() {
            let reason = self.set().reason();
            if !reason.is_none() {
                checkpoint::set_reason(reason);
            }
            checkpoint::comes_out(cx);
            return None;
        }
        self.phase = Phase::Finished;
        self.awaiting.leave().map(|racers| (racers, self.winner))
    }

    /// Whether each racer was cancelled from elsewhere.
    fn all_are_out(&self) -> bool {
        let is_out = |racer: &C| racer.is_own() && racer.record().has(Flag::CANCELLED);
        let all = self.set().with_members(|racers| !racers.is_empty() && racers.iter().all(is_out));
        all.unwrap_or(false)
    }
}

/// Looks at those that have ended since the last time, oldest end first. A race that was cancelled is over when all have ended.
fn is_decided<C: Racer>(set: &WaitSet<Vec<C>>, winner: &mut Option<usize>) -> bool {
    while let Some((index, _)) = set.next_ended() {
        let decides = set.with_members(|racers| racers[index].decides());
        if winner.is_none() && decides == Some(true) {
            *winner = Some(index);
        }
    }
    set.pending() == 0 || winner.is_some() && !set.cancel_requested()
}

/// Drops the losers, and takes what the winner ended with.
fn take<C: Racer>(mut racers: Vec<C>, winner: usize) -> Ending<C::Value, C::Error> {
    let winner = racers.swap_remove(winner);
    racers.iter().for_each(C::forgive);
    drop(racers);
    winner.ending()
}

/// None has succeeded. The group owns each error as soon as that is taken, since another may panic when it is cloned or dropped.
fn errors_of<T: 'static, E: 'static>(racers: Vec<TryChild<T, E>>) -> ExceptionGroup<E> {
    let message = match racers.len() {
        0 => "there was nothing that could succeed".to_owned(),
        count => format!("none of {count} succeeded"),
    };
    let errors = racers.into_iter().filter_map(|racer| match racer.ending() {
        Ending::Error(error) => Some(error),
        Ending::Value(_) | Ending::Cancelled => None,
    });
    ExceptionGroup::new(message, errors)
}

impl<C: Racer> Drop for Racing<C> {
    fn drop(&mut self) {
        let Some(racers) = self.awaiting.leave() else { return };
        drop_hard(&racers);
        racers.iter().for_each(C::forgive);
    }
}

impl<C: Racer> Racing<C> {
    fn describe(&self, what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(what)
            .field("running", &self.set().pending())
            .field("is_decided", &self.winner.is_some())
            .finish_non_exhaustive()
    }
}

/// The future of [`race`].
#[must_use = "a future does nothing unless awaited"]
pub struct Race<O: 'static> {
    racing: Racing<PlainChild<O>>,
}

impl<O: 'static> Race<O> {
    /// Returns as soon as the race is decided: the losers are cancelled, and clean up as tasks of their own.
    ///
    /// What they hold they may hold for a while yet, and what they fail with is reported to the loop's exception handler.
    ///
    /// # Cancellation
    /// As with [`race`]: the ends of all racers are awaited.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{finally, now, race, sleep};
    ///
    /// let slow = finally(sleep(Duration::from_secs(60)), sleep(Duration::from_secs(5)));
    /// race((sleep(Duration::from_secs(1)), slow)).without_waiting().await;
    /// assert_eq!(now().as_secs_f64(), 1.0); // and not 6.0
    /// # });
    /// ```
    pub fn without_waiting(mut self) -> Race<O> {
        self.racing.leaves_losers = true;
        self
    }
}

impl<O: 'static> Future for Race<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        ready!(self.racing.poll_over(cx));
        let Some((racers, Some(winner))) = self.racing.finish(cx) else { return Poll::Pending };
        match take(racers, winner) {
            Ending::Value(output) => Poll::Ready(output),
            Ending::Error(never) => match never {},
            Ending::Cancelled => unreachable!("a racer that is cancelled does not win"),
        }
    }
}

impl<O: 'static> Unpin for Race<O> {}

impl<O: 'static> fmt::Debug for Race<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.racing.describe("Race", f)
    }
}

/// The future of [`first_ok`].
#[must_use = "a future does nothing unless awaited"]
pub struct FirstOk<T: 'static, E: 'static> {
    racing: Racing<TryChild<T, E>>,
}

impl<T: 'static, E: 'static> FirstOk<T, E> {
    /// Returns as soon as one has succeeded. See [`Race::without_waiting`].
    ///
    /// # Cancellation
    /// As with [`race`]: the ends of all racers are awaited.
    pub fn without_waiting(mut self) -> FirstOk<T, E> {
        self.racing.leaves_losers = true;
        self
    }
}

impl<T: 'static, E: 'static> Future for FirstOk<T, E> {
    type Output = Result<T, ExceptionGroup<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.racing.poll_over(cx));
        let Some((racers, winner)) = self.racing.finish(cx) else { return Poll::Pending };
        let Some(winner) = winner else {
            return Poll::Ready(Err(errors_of(racers)));
        };
        match take(racers, winner) {
            Ending::Value(value) => Poll::Ready(Ok(value)),
            _ => unreachable!("a racer without a value does not win"),
        }
    }
}

impl<T: 'static, E: 'static> Unpin for FirstOk<T, E> {}

impl<T: 'static, E: 'static> fmt::Debug for FirstOk<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.racing.describe("FirstOk", f)
    }
}

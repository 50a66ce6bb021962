//! Foreign types: each does the deed in one of its methods.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use cooked_waker::{IntoWaker, Wake, WakeRef};

use crate::deeds::{Code, Token};

/// The method that does the deed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum On {
    Drop,
    Clone,
    Debug,
    Display,
    Ord,
    Into,
}

pub(crate) struct Value {
    code: Code,
    on: On,
    pub(crate) token: Token,
    pub(crate) rank: u32,
}

impl Value {
    pub(crate) fn new(code: &Code, on: On) -> Value {
        Value::ranked(code, on, 0)
    }

    pub(crate) fn ranked(code: &Code, on: On, rank: u32) -> Value {
        Value { code: code.clone(), on, token: code.token("a foreign value"), rank }
    }

    fn acts(&self, on: On) {
        if self.on == on {
            self.code.run();
        }
    }

    /// Text on the heap, read after the deed.
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token.text)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.acts(On::Drop);
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        self.acts(On::Clone);
        assert_eq!(self.token.text, "a foreign value");
        Value::ranked(&self.code, self.on, self.rank)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acts(On::Debug);
        self.say(f)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acts(On::Display);
        self.say(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        self.acts(On::Ord);
        assert_eq!(self.token.text, other.token.text);
        self.rank.cmp(&other.rank)
    }
}

impl From<Value> for String {
    fn from(name: Value) -> String {
        name.acts(On::Into);
        name.token.text.clone()
    }
}

impl From<Value> for loopwheel::Clock {
    fn from(clock: Value) -> loopwheel::Clock {
        clock.acts(On::Into);
        loopwheel::VirtualClock::impatient().into()
    }
}

/// A future that is ready after this many polls. What it holds is dropped with it, not when it is ready.
pub(crate) struct Holding<T> {
    #[allow(dead_code)] // held until it is dropped
    pub(crate) held: T,
    pub(crate) polls: usize,
}

impl<T: Unpin> Future for Holding<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.polls == usize::MAX {
            return Poll::Pending;
        }
        if self.polls == 0 {
            return Poll::Ready(());
        }
        self.polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A future that is never ready.
pub(crate) fn holding<T>(held: T) -> Holding<T> {
    Holding { held, polls: usize::MAX }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OnWaker {
    Clone,
    Wake,
    WakeByRef,
    Drop,
}

/// A foreign waker that wraps one of the loop's. Only the copies that the crate makes do the deed.
pub(crate) struct Foreign {
    code: Code,
    on: OnWaker,
    inner: Waker,
    token: Token,
    is_copy: bool,
}

impl Foreign {
    pub(crate) fn waker(code: &Code, on: OnWaker, inner: &Waker) -> Waker {
        let token = code.token("a foreign waker");
        let (code, inner) = (code.clone(), inner.clone());
        Box::new(Foreign { code, on, inner, token, is_copy: false }).into_waker()
    }

    fn acts(&self, on: OnWaker) {
        if self.on == on {
            self.code.run();
        }
    }
}

impl Clone for Foreign {
    fn clone(&self) -> Foreign {
        self.acts(OnWaker::Clone);
        let (code, inner) = (self.code.clone(), self.inner.clone());
        Foreign { token: code.token("a foreign waker"), code, on: self.on, inner, is_copy: true }
    }
}

impl WakeRef for Foreign {
    fn wake_by_ref(&self) {
        assert_eq!(self.token.text, "a foreign waker");
        self.inner.wake_by_ref();
        self.acts(OnWaker::WakeByRef);
    }
}

impl Wake for Foreign {
    fn wake(self) {
        self.inner.wake_by_ref();
        self.acts(OnWaker::Wake);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if self.is_copy {
            self.acts(OnWaker::Drop);
        }
    }
}

/// Polls what is inside with a foreign waker, as a `FuturesUnordered` does: a new one in each poll.
pub(crate) struct Under<F> {
    inner: Pin<Box<F>>,
    code: Code,
    on: OnWaker,
}

impl<F: Future> Under<F> {
    pub(crate) fn new(code: &Code, on: OnWaker, inner: F) -> Under<F> {
        Under { inner: Box::pin(inner), code: code.clone(), on }
    }
}

impl<F: Future> Future for Under<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let waker = Foreign::waker(&self.code, self.on, cx.waker());
        self.inner.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

//! # A loop inside Python's asyncio
//!
//! asyncio's event loop turns this one by callbacks: `call_soon` if a turn left tasks ready, `call_later` at the next
//! deadline, and `call_soon_threadsafe` from the wake hook. Python awaits tasks of the loop as futures of asyncio, and a task
//! awaits a coroutine. A cancel goes both ways. All is on the thread that holds Python's lock, so nothing needs to be `Send`.
//!
//! Here Rust embeds Python, so that the program can be run alone. A module for Python has the same class.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loopwheel::sync::Promise;
use loopwheel::{Budget, EventLoop, Next, TaskError, TaskRef, catch_cancel, sleep, to_thread};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The program in Python.
const PROGRAM: &std::ffi::CStr = c"
import asyncio

async def double(number):
    await asyncio.sleep(0.01)
    return number * 2

async def main(Guest):
    said = []
    guest = Guest.start()
    # Two tasks of the loop, which take turns.
    said += await asyncio.gather(guest.greet('ada', 0.02), guest.greet('grace', 0.01))
    # A task that awaits a coroutine of Python.
    said.append(f'doubled: {await guest.ask(double(21))}')
    # A thread of the loop answers while asyncio sleeps.
    said.append(f'summed: {await guest.sum(1000)}')
    # An error of the loop is an exception here.
    try:
        await guest.fail()
    except RuntimeError as error:
        said.append(f'failed: {error}')
    # A cancel from Python reaches the task, which cleans up.
    log = []
    try:
        await asyncio.wait_for(guest.work(log), 0.01)
    except TimeoutError:
        said.append('too slow')
    while not log:
        await asyncio.sleep(0.001)
    said += log
    # And one from the loop reaches the coroutine.
    said.append(f'cancelled: {await guest.ask_for_a_moment(asyncio.sleep(3600))}')
    guest.close()
    return said
";

/// The loop, as Python sees it.
#[pyclass(unsendable)]
struct Guest {
    event_loop: RefCell<EventLoop>,
    asyncio: Py<PyAny>,
    /// The next turn, as asyncio has it: a `Handle` or a `TimerHandle`.
    next_turn: RefCell<Option<Py<PyAny>>>,
    wake: Arc<Wake>,
}

/// What the wake hook calls. It refers to the guest, which owns the hook: `close` takes it away.
#[derive(Default)]
struct Wake(Mutex<Option<Py<PyAny>>>);

impl Wake {
    fn set(&self, wake: Option<Py<PyAny>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wake;
    }

    /// Called from any thread. The hook may not panic, and if asyncio's loop is closed there is nothing to wake.
    fn call(&self) {
        Python::attach(|py| {
            let wake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let callback = wake.as_ref().map(|wake| wake.clone_ref(py));
            drop(wake); // Python may give its lock to another thread meanwhile
            if let Some(callback) = callback {
                callback.call0(py).map(drop).unwrap_or_default();
            }
        });
    }
}

#[pymethods]
impl Guest {
    /// Makes a loop that the running loop of asyncio turns.
    #[staticmethod]
    fn start(py: Python<'_>) -> PyResult<Py<Guest>> {
        let asyncio = py.import("asyncio")?.call_method0("get_running_loop")?;
        let wake = Arc::new(Wake::default());
        let hook = wake.clone();
        let event_loop = EventLoop::builder().wake_hook(move || hook.call()).build();
        let guest = Guest {
            event_loop: RefCell::new(event_loop),
            asyncio: asyncio.clone().unbind(),
            next_turn: RefCell::default(),
            wake: wake.clone(),
        };
        let guest = Bound::new(py, guest)?;
        let threadsafe = asyncio.getattr("call_soon_threadsafe")?;
        let turn = (threadsafe, guest.getattr("turn")?);
        wake.set(Some(py.import("functools")?.call_method1("partial", turn)?.unbind()));
        Ok(guest.unbind())
    }

    /// One turn. asyncio calls it.
    fn turn(slf: &Bound<'_, Guest>) -> PyResult<()> {
        let guest = slf.borrow();
        let asyncio = guest.asyncio.bind(slf.py());
        let mut event_loop = guest.event_loop.borrow_mut();
        let next = event_loop.turn(Budget::polls(64));
        let delay = match next {
            Next::Ready => Some(Duration::ZERO),
            Next::At(deadline) => Some(deadline - event_loop.now()),
            Next::Idle => None,
        };
        drop(event_loop);
        let turn = slf.getattr("turn")?;
        let next_turn = match delay {
            Some(Duration::ZERO) => Some(asyncio.call_method1("call_soon", (turn,))?),
            Some(delay) => Some(asyncio.call_method1("call_later", (delay.as_secs_f64(), turn))?),
            None => None,
        };
        let before = guest.next_turn.replace(next_turn.map(Bound::unbind));
        before.map_or(Ok(()), |before| before.call_method0(slf.py(), "cancel").map(drop))
    }

    /// asyncio no longer turns the loop. Its tasks are dropped with it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.wake.set(None);
        let next_turn = self.next_turn.take();
        next_turn.map_or(Ok(()), |next_turn| next_turn.call_method0(py, "cancel").map(drop))
    }

    fn greet(slf: &Bound<'_, Guest>, name: String, seconds: f64) -> PyResult<Py<PyAny>> {
        future_of(slf, async move {
            sleep(Duration::from_secs_f64(seconds)).await;
            python(format!("hello, {name}"))
        })
    }

    fn sum(slf: &Bound<'_, Guest>, up_to: u64) -> PyResult<Py<PyAny>> {
        future_of(slf, async move {
            let sum = to_thread(move || (1..=up_to).sum::<u64>());
            python(sum.await.map_err(|panic| PyRuntimeError::new_err(panic.to_string()))?)
        })
    }

    fn ask(slf: &Bound<'_, Guest>, coroutine: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let guest = slf.clone().unbind();
        future_of(slf, async move { await_python(guest, coroutine).await })
    }

    fn ask_for_a_moment(slf: &Bound<'_, Guest>, coroutine: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let guest = slf.clone().unbind();
        future_of(slf, async move {
            let asking = await_python(guest, coroutine);
            python(loopwheel::wait_for(asking, Duration::from_millis(10)).await.is_err())
        })
    }

    fn fail(slf: &Bound<'_, Guest>) -> PyResult<Py<PyAny>> {
        future_of(slf, async { panic!("broken") })
    }

    fn work(slf: &Bound<'_, Guest>, log: Py<PyAny>) -> PyResult<Py<PyAny>> {
        future_of(slf, async move {
            if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(3600))).await {
                sleep(Duration::from_millis(5)).await;
                Python::attach(|py| log.call_method1(py, "append", ("cleaned up",)))?;
                cancelled.reraise().await;
            }
            python(())
        })
    }
}

fn python<T: for<'py> IntoPyObjectExt<'py>>(value: T) -> PyResult<Py<PyAny>> {
    Python::attach(|py| value.into_py_any(py))
}

/// A task of the loop, as a future of asyncio. A cancel of the future cancels the task.
fn future_of(
    guest: &Bound<'_, Guest>,
    work: impl Future<Output = PyResult<Py<PyAny>>> + 'static,
) -> PyResult<Py<PyAny>> {
    let asyncio = guest.borrow().asyncio.clone_ref(guest.py()).into_bound(guest.py());
    let future = asyncio.call_method0("create_future")?;
    let task = guest.borrow().event_loop.borrow().create_task(work);
    let cancel = OnDone { guest: guest.clone().unbind(), then: Then::Cancel(task.to_ref()) };
    future.call_method1("add_done_callback", (cancel,))?;
    let to_set = future.clone().unbind();
    drop(guest.borrow().event_loop.borrow().create_task(async move {
        let outcome = task.await;
        Python::attach(|py| set(to_set.bind(py), outcome)).expect("asyncio's future is pending");
    }));
    // The loop has work now, which its hook does not tell.
    asyncio.call_method1("call_soon", (guest.getattr("turn")?,))?;
    Ok(future.unbind())
}

fn set(future: &Bound<'_, PyAny>, outcome: Result<PyResult<Py<PyAny>>, TaskError>) -> PyResult<()> {
    if future.call_method0("done")?.is_truthy()? {
        return Ok(()); // Python has cancelled it
    }
    let set = match outcome {
        Ok(Ok(value)) => future.call_method1("set_result", (value,)),
        Ok(Err(error)) => future.call_method1("set_exception", (error,)),
        Err(TaskError::Cancelled(_)) => future.call_method0("cancel"),
        Err(error) => {
            let error = PyRuntimeError::new_err(error.to_string());
            future.call_method1("set_exception", (error,))
        }
    };
    set.map(drop)
}

/// What a task awaits of Python. If the task is cancelled, so is the coroutine.
async fn await_python(guest: Py<Guest>, coroutine: Py<PyAny>) -> PyResult<Py<PyAny>> {
    struct CancelOnDrop(Py<PyAny>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            // It changes nothing if the coroutine has ended.
            Python::attach(|py| self.0.call_method0(py, "cancel").map(drop).unwrap_or_default());
        }
    }

    let done = Promise::new();
    let running = Python::attach(|py| {
        let running = py.import("asyncio")?.call_method1("ensure_future", (coroutine,))?;
        let then = Then::Wake(done.clone());
        running.call_method1("add_done_callback", (OnDone { guest, then },))?;
        Ok::<_, PyErr>(CancelOnDrop(running.unbind()))
    })?;
    done.wait().await;
    Python::attach(|py| running.0.call_method0(py, "result"))
}

/// asyncio calls this when a future of its own is done.
#[pyclass(unsendable)]
struct OnDone {
    guest: Py<Guest>,
    then: Then,
}

enum Then {
    Cancel(TaskRef),
    Wake(Promise<()>),
}

#[pymethods]
impl OnDone {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        match &self.then {
            Then::Cancel(task) => {
                if future.call_method0("cancelled")?.is_truthy()? {
                    task.cancel();
                }
            }
            Then::Wake(promise) => promise.set(()).unwrap_or_default(),
        }
        Guest::turn(self.guest.bind(future.py()))
    }
}

/// What the program in Python says.
pub(crate) fn run() -> PyResult<Vec<String>> {
    Python::attach(|py| {
        let program = PyModule::from_code(py, PROGRAM, c"program.py", c"program")?;
        let main = program.getattr("main")?.call1((py.get_type::<Guest>(),))?;
        py.import("asyncio")?.call_method1("run", (main,))?.extract()
    })
}

fn main() -> PyResult<()> {
    for what in run()? {
        println!("{what}");
    }
    Ok(())
}

//! # What does it wait for? Ask it with a signal
//!
//! A program that hangs can be asked what it waits for, without a debugger: `kill -USR1 <pid>` prints the tree of its
//! tasks. The crate installs no signal handler; a program does, with the crate `signal-hook`. A thread waits for the
//! signal, and asks the loop by a handle. The loop answers in its next turn, for which the handle wakes it.

use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use loopwheel::sync::Lock;
use loopwheel::{Handle, TaskBuilder, gather, run, sleep, wait_for};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

/// Prints what each task of the loop waits for, whenever the process gets SIGUSR1. Until the loop is gone.
fn print_on_signal(handle: Handle) -> io::Result<()> {
    let mut signals = Signals::new([SIGUSR1])?;
    thread::spawn(move || {
        for _ in &mut signals {
            match handle.dump() {
                Ok(dump) => println!("{}\n", dump.await_tree()),
                Err(gone) => return println!("{gone}"),
            }
        }
    });
    Ok(())
}

/// Two tasks that hang for `time`: they take two locks in different orders.
pub(crate) fn hang(time: Duration) {
    run(async {
        print_on_signal(Handle::current()).expect("signals can be handled");
        let locks = Rc::new([Lock::new().named("accounts"), Lock::new().named("audit")]);
        let transfer = |name: &str, first: usize, second: usize| {
            let locks = locks.clone();
            TaskBuilder::new().name(name).create_task(async move {
                let _first = locks[first].acquire().await;
                sleep(Duration::from_millis(10)).await;
                let _second = locks[second].acquire().await;
            })
        };
        let both = gather([transfer("deposit", 0, 1), transfer("report", 1, 0)]);
        println!("hanging: kill -USR1 {}", std::process::id());
        let _ = wait_for(both, time).await;
    });
}

fn main() {
    hang(Duration::from_secs(600));
}

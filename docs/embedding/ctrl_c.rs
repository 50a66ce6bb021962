//! # Ctrl-C cancels main
//!
//! The crate installs no signal handler; a program does, with the crate `ctrlc`. The first Ctrl-C cancels `main`, so
//! its clean-up runs, including the part that awaits. A second one does not wait for the clean-up. The exit code is the
//! shell's for SIGINT.
//!
//! While the listener waits, another thread can always wake the loop. So a program that hangs is no deadlock any more, but silent:
//! run it with `LOOPWHEEL_DEBUG=1`, or set `stall_after`, to have it reported.

use std::process::ExitCode;
use std::time::Duration;

use loopwheel::{
    RunError, TaskRef, create_task, current_task, finally, sleep, thread_channel, try_run,
};

/// 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Cancels `main` at the first Ctrl-C, and ends the program at the second.
fn cancel_on_ctrl_c(main: TaskRef) -> Result<(), ctrlc::Error> {
    let (sender, presses) = thread_channel(1);
    ctrlc::set_handler(move || {
        // The receiver is gone when the first Ctrl-C has been received.
        if sender.send_nowait(()).is_err() {
            std::process::exit(INTERRUPTED.into());
        }
    })?;
    drop(create_task(async move {
        if presses.recv().await.is_some() {
            main.cancel_with_reason("Ctrl-C");
        }
    }));
    Ok(())
}

async fn work() {
    println!("working; Ctrl-C ends it");
    sleep(Duration::from_secs(3600)).await;
}

/// Works until it is done or interrupted, and says goodbye, which takes `goodbye`. Returns the exit code.
pub(crate) fn work_and_say_goodbye(goodbye: Duration) -> u8 {
    let ended = try_run(async {
        cancel_on_ctrl_c(current_task()).expect("no other handler is installed");
        finally(work(), async || {
            println!("saying goodbye");
            sleep(goodbye).await;
            println!("cleaned up");
        })
        .await;
    });
    match ended {
        Ok(()) => 0,
        Err(RunError::Cancelled(cancelled)) => {
            println!("{cancelled}");
            INTERRUPTED
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn main() -> ExitCode {
    ExitCode::from(work_and_say_goodbye(Duration::from_secs(1)))
}

//! Files, processes and signals, without tokio: `async-fs`, `async-process`, `async-signal`.

use std::process::Stdio;

use async_process::Command;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt, io::BufReader};
use loopwheel::{create_task, gather, sleep, to_thread, wait_for, yield_now};

use crate::common::ms;
use crate::on_both;

#[test]
fn files_of_async_fs_are_written_and_read_at_the_same_time() {
    on_both("files", async || {
        let folder = tempfile::tempdir().unwrap();
        let lengths = gather((0..8_usize).map(|number| {
            let path = folder.path().join(number.to_string());
            async move {
                let mut file = async_fs::File::create(&path).await?;
                file.write_all("x".repeat(number * 1_000).as_bytes()).await?;
                file.sync_all().await?;
                async_fs::read_to_string(&path).await.map(|text| text.len())
            }
        }))
        .await;
        for (number, length) in lengths.into_iter().enumerate() {
            assert_eq!(length.unwrap(), number * 1_000);
        }
        let entries = async_fs::read_dir(folder.path()).await.unwrap();
        assert_eq!(entries.count().await, 8);
    });
}

#[test]
fn files_of_std_need_only_a_thread() {
    let folder = tempfile::tempdir().unwrap();
    on_both("std files", async || {
        let path = folder.path().join("notes");
        let length = to_thread(move || {
            std::fs::write(&path, "hello")?;
            std::fs::read(&path).map(|bytes| bytes.len())
        });
        assert_eq!(length.await.unwrap().unwrap(), 5);
    });
}

#[test]
#[cfg(unix)]
fn a_process_of_async_process_answers_line_by_line_and_its_end_is_awaited() {
    on_both("process", async || {
        let mut child = Command::new("sh")
            .args(["-c", "while read -r word; do echo \"heard $word\"; done; exit 7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to_child = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for word in ["one", "two"] {
            to_child.write_all(format!("{word}\n").as_bytes()).await.unwrap();
            assert_eq!(lines.next().await.unwrap().unwrap(), format!("heard {word}"));
        }
        drop(to_child);
        assert_eq!(child.status().await.unwrap().code(), Some(7));
    });
}

#[test]
#[cfg(unix)]
fn a_process_is_killed_when_the_task_that_owns_it_is_cancelled() {
    on_both("kill", async || {
        let mut child = Command::new("sh")
            .args(["-c", "echo started; exec sleep 3600"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 8]).await.unwrap();
        let owner = create_task(async move { child.status().await });
        yield_now().await;
        owner.cancel();
        assert!(owner.await.unwrap_err().is_cancelled());
        // The pipe ends when the process does.
        let mut rest = vec![];
        output.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    });
}

/// A process that has ended, and for which its parent has not asked, is still there.
#[test]
#[cfg(unix)]
fn a_cancelled_wait_for_a_process_leaves_no_child_behind() {
    on_both("reaped", async || {
        let mut children = vec![];
        for _ in 0..5 {
            let mut command = Command::new("sleep");
            let mut child = command.arg("3600").kill_on_drop(true).spawn().unwrap();
            children.push(child.id());
            assert!(wait_for(child.status(), ms(1)).await.is_err());
            let owner = create_task(async move { child.status().await });
            yield_now().await;
            owner.cancel();
            assert!(owner.await.unwrap_err().is_cancelled());
        }
        for child in children {
            let is_there = async || {
                let asked = Command::new("kill").args(["-0", &child.to_string()]).output().await;
                asked.unwrap().status.success()
            };
            while is_there().await {
                sleep(ms(5)).await; // a thread of async-process asks for it; the watchdog ends this
            }
        }
    });
}

#[test]
#[cfg(unix)]
fn a_signal_of_async_signal_wakes_the_task_that_waits_for_it() {
    use async_signal::{Signal, Signals};

    on_both("signal", async || {
        let mut signals = Signals::new([Signal::Usr1]).unwrap();
        assert!(wait_for(signals.next(), ms(5)).await.is_err(), "there was no signal yet");
        let process = std::process::id().to_string();
        let killed = Command::new("kill").args(["-USR1", &process]).status().await.unwrap();
        assert!(killed.success());
        assert_eq!(signals.next().await.unwrap().unwrap(), Signal::Usr1);
    });
}

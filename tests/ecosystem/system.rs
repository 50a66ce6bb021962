//! Files, processes and signals, without tokio: `async-fs`, `async-process`, `async-signal`.

use std::process::Stdio;

use async_process::Command;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt, io::BufReader};
use loopwheel::{create_task, gather, to_thread, wait_for, yield_now};

use crate::common::ms;
use crate::run;

#[test]
fn files_of_async_fs_are_written_and_read_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    run("files", async {
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
    let path = folder.path().join("notes");
    let length = run("std files", async move {
        to_thread(move || {
            std::fs::write(&path, "hello")?;
            std::fs::read(&path).map(|bytes| bytes.len())
        })
        .await
    });
    assert_eq!(length.unwrap().unwrap(), 5);
}

#[test]
#[cfg(unix)]
fn a_process_of_async_process_answers_line_by_line_and_its_end_is_awaited() {
    run("process", async {
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
    run("kill", async {
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

#[test]
#[cfg(unix)]
fn a_signal_of_async_signal_wakes_the_task_that_waits_for_it() {
    use async_signal::{Signal, Signals};

    run("signal", async {
        let mut signals = Signals::new([Signal::Usr1]).unwrap();
        assert!(wait_for(signals.next(), ms(5)).await.is_err(), "there was no signal yet");
        let process = std::process::id().to_string();
        let killed = Command::new("kill").args(["-USR1", &process]).status().await.unwrap();
        assert!(killed.success());
        assert_eq!(signals.next().await.unwrap().unwrap(), Signal::Usr1);
    });
}

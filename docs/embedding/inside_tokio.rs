//! # A loop inside tokio
//!
//! Two executors share one thread: tokio has the sockets, and one of its futures is the whole loop. Code on the loop
//! may await tokio's sockets and channels, and has loopwheel's tasks, groups and time limits. The loop's timers are
//! served by tokio's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use loopwheel::{EventLoop, TaskGroup, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// On tokio: answers each connection with what it said, in capitals.
async fn shout(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            stream.write_all(said.to_uppercase().as_bytes()).await
        });
    }
}

/// On the loop, through tokio's socket.
async fn ask(server: SocketAddr, question: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(question.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What the loop's tasks were answered.
pub(crate) fn answers() -> io::Result<Vec<String>> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let shouting = tokio::spawn(shout(listener));

        let main = async move {
            let answers = TaskGroup::scope(async |group| {
                let asked = ["who", "where", "when"];
                let asked = asked.map(|question| group.create_task(ask(server, question)));
                let mut answers = Vec::new();
                for answer in asked {
                    answers.extend(answer.await);
                }
                Ok::<_, io::Error>(answers)
            });
            // This is a time limit of the loop, served by a timer of tokio.
            wait_for(answers, Duration::from_secs(10)).await
        };
        let answers = EventLoop::new().drive(main, tokio::time::sleep).await;
        shouting.abort();
        let answers = answers.map_err(io::Error::other)?;
        answers?.map_err(|errors| io::Error::other(errors.to_string()))
    })
}

fn main() -> io::Result<()> {
    println!("{}", answers()?.join(", "));
    Ok(())
}

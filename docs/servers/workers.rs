//! # Workers that share work, and may die
//!
//! For Unix. Jobs are entries of a stream of redis; workers, on any number of machines, are consumers of one group. The server
//! gives each entry to one worker, and remembers that until the worker acknowledges it (`XACK`). A worker that dies acknowledges
//! nothing: when its entries have been idle for long enough, another takes them over (`XAUTOCLAIM`). So nothing is lost, whenever a
//! worker is killed, and none needs a shutdown. A job may be done twice: the first result is kept,
//! and stored with its `XACK` in one transaction.
//!
//! `cargo run -p ecosystem --example workers -- 127.0.0.1:6379 ada`, as often as you like, with other names; and
//! `redis-cli XADD jobs '*' name wash`.

use std::convert::Infallible;
use std::env;
use std::rc::Rc;
use std::time::Duration;

use async_net::TcpStream;
use async_net::unix::UnixStream;
use futures::{AsyncRead, AsyncWrite};
use loopwheel::{TaskGroup, create_task, sleep, wait_for};
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamReadOptions, StreamReadReply,
};
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo, RedisResult};
use tokio_util::compat::FuturesAsyncReadCompatExt;

pub(crate) const JOBS: &str = "jobs";
pub(crate) const WORKERS: &str = "workers";
/// The name of each job that is done, and by which worker.
pub(crate) const DONE: &str = "done";

/// Where the server begins to look for jobs to take over.
const FIRST: &str = "0-0";

/// How many jobs a worker has at once.
const AT_ONCE: usize = 10;

pub(crate) struct Settings {
    /// The address of the server, or the path of its socket.
    pub(crate) server: String,
    pub(crate) name: String,
    /// How long a job takes. (This is an example.)
    pub(crate) work: Duration,
    /// After this time the jobs of a worker are taken over. A job that takes half of it is given up, to be tried again: so few
    /// are taken over from a worker that is alive.
    pub(crate) idle: Duration,
}

/// The client of `redis` on a socket of the loop; its driver is a task.
pub(crate) async fn connect(server: &str) -> RedisResult<MultiplexedConnection> {
    async fn greet<S>(stream: S) -> RedisResult<MultiplexedConnection>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(None); // it would be a timer of tokio
        let settings = RedisConnectionInfo::default();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&settings, stream.compat(), config).await?;
        drop(create_task(driver)); // it ends with the last connection
        Ok(connection)
    }
    if server.starts_with('/') {
        greet(UnixStream::connect(server).await?).await
    } else {
        greet(TcpStream::connect(server).await?).await
    }
}

async fn work(worker: &Settings, job: &StreamId, mut connection: MultiplexedConnection) {
    let name: String = job.get("name").unwrap_or_default();
    println!("{} begins {name}", worker.name);
    let in_time = wait_for(sleep(worker.work), worker.idle / 2).await;
    if in_time.is_err() {
        return eprintln!("{name} took too long: it will be tried again");
    }
    let mut ended = redis::pipe();
    ended.atomic().hset_nx(DONE, &name, &worker.name).xack(JOBS, WORKERS, &[&job.id]);
    match ended.exec_async(&mut connection).await {
        Ok(()) => println!("{} has done {name}", worker.name),
        Err(error) => eprintln!("{name} will be tried again: {error}"),
    }
}

/// Works until it is killed, or the server is gone.
pub(crate) async fn work_for_ever(worker: Settings) -> RedisResult<Infallible> {
    let worker = Rc::new(worker);
    let connection = connect(&worker.server).await?;
    // A connection of its own, because a read that waits holds up what is sent after it.
    let mut reader = connect(&worker.server).await?;
    let created: RedisResult<()> = reader.xgroup_create_mkstream(JOBS, WORKERS, "0").await;
    match created {
        Err(error) if error.code() == Some("BUSYGROUP") => {} // another worker has created it
        created => created?,
    }
    let idle = u64::try_from(worker.idle.as_millis()).unwrap_or(u64::MAX);
    let wait = usize::try_from(idle).unwrap_or(usize::MAX).max(1); // zero would be for ever
    let to_read =
        StreamReadOptions::default().group(WORKERS, &worker.name).count(AT_ONCE).block(wait);
    let mut from = FIRST.to_owned();
    loop {
        // The jobs of a worker that has died, and those that were given up; otherwise new ones.
        let some = StreamAutoClaimOptions::default().count(AT_ONCE);
        let claimed = reader.xautoclaim_options(JOBS, WORKERS, &worker.name, idle, &from, some);
        let StreamAutoClaimReply { claimed: mut jobs, next_stream_id, .. } = claimed.await?;
        from = next_stream_id;
        if jobs.is_empty() {
            if from != FIRST {
                continue; // the server has not looked at all of them
            }
            let read: Option<StreamReadReply> =
                reader.xread_options(&[JOBS], &[">"], &to_read).await?;
            jobs = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids).collect();
        }
        TaskGroup::<Infallible>::scope(async |group| {
            for job in jobs {
                let (worker, connection) = (worker.clone(), connection.clone());
                group.create_task(async move { work(&worker, &job, connection).await });
            }
        })
        .await
        .expect("no job fails: each says what happened");
    }
}

fn main() {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().expect("the address of a redis server");
    let name = arguments.next().expect("a name for this worker");
    let (work, idle) = (Duration::from_secs(1), Duration::from_secs(60));
    let ended = loopwheel::io::run(work_for_ever(Settings { server, name, work, idle }));
    let Err(error) = ended;
    eprintln!("{error}");
}

//! Databases: `sqlx` and `rusqlite` with `SQLite`, and `redis` with a small server of the test's own.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, io::BufReader};
use loopwheel::{TaskGroup, create_task, gather, to_thread};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, Row, SqliteConnection};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::common::ms;
use crate::{run, tokio_beside};

#[test]
fn a_connection_of_sqlx_to_sqlite_needs_no_runtime() {
    run("sqlx", async {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT)")
            .execute(&mut connection)
            .await
            .unwrap();
        let mut transaction = connection.begin().await.unwrap();
        for name in ["ada", "grace"] {
            let insert = sqlx::query("INSERT INTO user (name) VALUES (?)").bind(name);
            insert.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let rows = sqlx::query("SELECT name FROM user ORDER BY id").fetch_all(&mut connection);
        let names: Vec<String> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(names, ["ada", "grace"]);
        connection.close().await.unwrap();
    });
}

#[test]
fn a_pool_of_sqlx_needs_a_tokio_beside_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("users").display());
    let tokio = tokio_beside();
    let _guard = tokio.enter();
    run("sqlx, pool", async {
        let pool = SqlitePoolOptions::new().max_connections(3).connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE user (name TEXT)").execute(&pool).await.unwrap();
        let inserted = gather((0..10).map(|number| {
            let pool = pool.clone();
            async move {
                let insert = sqlx::query("INSERT INTO user VALUES (?)").bind(number.to_string());
                insert.execute(&pool).await.map(|result| result.rows_affected())
            }
        }))
        .await;
        assert!(inserted.into_iter().all(|rows| rows.unwrap() == 1));
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM user").fetch_one(&pool).await.unwrap();
        assert_eq!(count, 10);
        pool.close().await;
    });
}

#[test]
fn rusqlite_needs_only_a_thread() {
    let name = run("rusqlite", async {
        to_thread(|| {
            let connection = rusqlite::Connection::open_in_memory()?;
            connection.execute("CREATE TABLE user (name TEXT)", [])?;
            connection.execute("INSERT INTO user VALUES (?1)", ["ada"])?;
            connection.query_row("SELECT name FROM user", [], |row| row.get::<_, String>(0))
        })
        .await
    });
    assert_eq!(name.unwrap().unwrap(), "ada");
}

/// Answers `SET`, `GET` and the greetings of a client, as redis does.
async fn serve_redis(listener: async_net::TcpListener) -> io::Result<()> {
    TaskGroup::scope(async |group: &TaskGroup<io::Error>| {
        loop {
            let (stream, _) = listener.accept().await?;
            group.create_task(answer_redis(stream));
        }
        #[allow(unreachable_code)]
        Ok::<(), io::Error>(())
    })
    .await
    .map_err(|errors| io::Error::other(errors.to_string()))
}

async fn answer_redis(stream: async_net::TcpStream) -> io::Result<()> {
    let mut values: HashMap<String, String> = HashMap::new();
    let (mut reader, mut writer) = (BufReader::new(stream.clone()), stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = vec![];
        for _ in 0..number_after('*', &line) {
            line.clear();
            reader.read_line(&mut line).await?;
            let mut word = vec![0; number_after('$', &line) + 2]; // with its line end
            reader.read_exact(&mut word).await?;
            word.truncate(word.len() - 2);
            words.push(String::from_utf8(word).map_err(io::Error::other)?);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = match words[..] {
            ["GET", key] => match values.get(key) {
                Some(value) => format!("${}\r\n{value}\r\n", value.len()),
                None => "$-1\r\n".to_owned(),
            },
            ["SET", key, value] => {
                values.insert(key.to_owned(), value.to_owned());
                "+OK\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(), // what the client says of itself
        };
        writer.write_all(answer.as_bytes()).await?;
    }
}

fn number_after(mark: char, line: &str) -> usize {
    line.trim_end().strip_prefix(mark).expect("redis's protocol").parse().expect("a number")
}

async fn redis_server() -> (SocketAddr, loopwheel::Task<io::Result<()>>) {
    let listener = async_net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    (listener.local_addr().unwrap(), create_task(serve_redis(listener)))
}

async fn set_and_get(connection: &MultiplexedConnection) {
    gather((0..10).map(|number| {
        let mut connection = connection.clone();
        async move {
            let key = format!("key {number}");
            connection.set::<_, _, ()>(&key, number).await.unwrap();
            assert_eq!(connection.get::<_, Option<i32>>(&key).await.unwrap(), Some(number));
        }
    }))
    .await;
    let missing: Option<i32> = connection.clone().get("missing").await.unwrap();
    assert_eq!(missing, None);
}

#[test]
fn a_client_of_redis_works_with_a_tokio_beside_the_loop() {
    let tokio = tokio_beside();
    let _guard = tokio.enter();
    run("redis, tokio", async {
        let (server, _serving) = redis_server().await;
        let client = redis::Client::open(format!("redis://{server}")).unwrap();
        // Its limits are half a second, unless they are set: too short for a machine that is busy.
        let minute = Some(Duration::from_secs(60));
        let config = redis::AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(minute).set_response_timeout(minute);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        set_and_get(&connection.await.unwrap()).await;
    });
}

#[test]
fn a_client_of_redis_works_on_any_socket_with_its_driver_as_a_task_of_the_loop() {
    run("redis, no runtime", async {
        let (server, _serving) = redis_server().await;
        let stream = async_net::TcpStream::connect(server).await.unwrap();
        let settings = redis::RedisConnectionInfo::default();
        // Without a limit of its own, which would be a timer of tokio.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&settings, stream.compat(), config)
                .await
                .unwrap();
        let driver = create_task(driver);
        set_and_get(&connection).await;
        drop(connection);
        driver.await.unwrap(); // it ends with the last connection
    });
}

/// The server that the machine has, if it has one. It listens on a socket in a folder of the test's own.
#[test]
#[cfg(unix)]
fn a_client_of_redis_works_with_the_real_server_where_it_is_installed() {
    use async_net::unix::UnixStream;
    use backon::{ConstantBuilder, Retryable};

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis");
    let mut server = async_process::Command::new("redis-server");
    server.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket);
    server.current_dir(folder.path()).stdout(async_process::Stdio::null()).kill_on_drop(true);
    run("redis-server", async {
        let Ok(mut server) = server.spawn() else {
            eprintln!("skipped: there is no redis-server on this machine");
            return;
        };
        let pauses = ConstantBuilder::default().with_delay(ms(20)).with_max_times(500);
        let connect = async || UnixStream::connect(&socket).await;
        let stream = connect.retry(pauses).sleep(loopwheel::sleep).await.unwrap();
        let settings = redis::RedisConnectionInfo::default();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connected = MultiplexedConnection::new_with_config(&settings, stream.compat(), config);
        let (connection, driver) = connected.await.unwrap();
        let driver = create_task(driver);
        set_and_get(&connection).await;
        drop(connection);
        driver.await.unwrap();
        server.kill().unwrap();
        server.status().await.unwrap();
    });
}

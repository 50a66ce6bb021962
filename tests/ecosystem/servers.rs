//! Runs the worked examples of `docs/servers` with real clients, on loopback. The servers are processes of their own, and are told to
//! stop as a terminal does it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use std::{env, thread};

use async_net::TcpListener;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use loopwheel::{create_task, sleep, yield_now};
use redis::AsyncCommands;
use redis::streams::StreamPendingReply;
use smol_hyper::rt::FuturesIo;

use crate::common::{Watchdog, ms};
use crate::on_both;

#[path = "../../docs/servers/chat.rs"]
#[allow(dead_code)] // the `main` of each is for when it is run alone
mod chat;
#[path = "../../docs/servers/crawler.rs"]
#[allow(dead_code)]
mod crawler;
#[path = "../../docs/servers/http_server.rs"]
#[allow(dead_code)]
mod http_server;
#[path = "../../docs/servers/per_core.rs"]
#[allow(dead_code)]
mod per_core;
#[path = "../../docs/servers/workers.rs"]
#[allow(dead_code)]
mod workers;

/// Names the example that a second process runs.
const EXAMPLE: &str = "LOOPWHEEL_TEST_EXAMPLE";
/// For how many milliseconds an HTTP server waits when it stops, or a worker works.
const MILLIS: &str = "LOOPWHEEL_TEST_MILLIS";
/// The server of a worker, and its name.
const SERVER: &str = "LOOPWHEEL_TEST_SERVER";
const NAME: &str = "LOOPWHEEL_TEST_NAME";

fn variable(name: &str) -> String {
    env::var(name).unwrap()
}

/// The second process runs this. Without the variable it has nothing to do.
#[test]
fn the_example() {
    let Ok(example) = env::var(EXAMPLE) else { return };
    println!(); // the line of the test harness ends
    std::process::exit(match &*example {
        "chat" => chat::serve_until_a_signal(0).into(),
        "http_server" => {
            let grace = ms(variable(MILLIS).parse().unwrap());
            http_server::serve_until_a_signal(0, grace).into()
        }
        "per_core" => per_core::serve_until_a_signal(0, LOOPS).map_or(1, |()| 0),
        "worker" => {
            let (server, name) = (variable(SERVER), variable(NAME));
            let work = ms(variable(MILLIS).parse().unwrap());
            let idle = work.saturating_mul(2).max(ms(100));
            let worker = workers::Settings { server, name, work, idle };
            let Err(error) = loopwheel::io::run(workers::work_for_ever(worker));
            panic!("{error}");
        }
        _ => panic!("there is no {example}"),
    });
}

/// A running example. It is killed when the test ends.
struct Program {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Program {
    /// Starts it, and waits until it listens.
    fn start(example: &str, grace: Duration) -> Program {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "servers::the_example", "--nocapture"])
            .env(EXAMPLE, example)
            .env(MILLIS, grace.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            line.unwrap().strip_prefix("listening on ").map(|address| address.parse().unwrap())
        });
        Program { process, lines, address: address.expect("it listens") }
    }

    /// Reads until the program says so.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        let said = self.lines.any(|line| line.unwrap().starts_with(expected));
        assert!(said, "it never said {expected:?}");
    }

    fn press_ctrl_c(&self) {
        self.signal("-INT");
    }

    /// As a service manager does it, and what runs containers.
    fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// What curl gets, or a client of `std` if there is no curl. `None` if the answer is not whole.
    fn get(&self, path: &'static str) -> thread::JoinHandle<Option<String>> {
        let address = self.address;
        thread::spawn(move || {
            let mut curl = Command::new("curl");
            let curl =
                curl.args(["--silent", "--noproxy", "*"]).arg(format!("http://{address}{path}"));
            let body = match curl.output() {
                Ok(output) if output.status.success() => output.stdout,
                Ok(_) => return None,
                Err(_no_curl) => {
                    let mut stream = TcpStream::connect(address).ok()?;
                    let head =
                        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                    stream.write_all(head.as_bytes()).ok()?;
                    let mut answer = vec![];
                    stream.read_to_end(&mut answer).ok()?;
                    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
                    answer.split_off(end + 4)
                }
            };
            Some(String::from_utf8(body).unwrap())
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_http_server_finishes_the_request_that_it_answers_when_it_is_interrupted() {
    let _watchdog = Watchdog::new("http server, slow");
    let mut server = Program::start("http_server", Duration::from_secs(60));
    assert_eq!(server.get("/").join().unwrap().unwrap(), "hello\n");
    server.says("GET /");
    let slow = server.get("/slow");
    server.says("GET /slow");
    server.press_ctrl_c();
    assert_eq!(slow.join().unwrap().unwrap(), "slow, and finished\n");
    server.says("every connection has finished");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn an_http_server_that_stops_takes_the_rest_of_a_request_and_no_new_client() {
    let _watchdog = Watchdog::new("http server, half a request");
    let mut server = Program::start("http_server", Duration::from_secs(60));
    let (mut idle, silent, mut half) = (server.connect(), server.connect(), server.connect());
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    server.says("GET /");
    half.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").unwrap();
    server.says("POST /echo");
    server.press_ctrl_c();
    server.says("stopping: ");
    // Those that are idle end at once, whether or not they have asked before.
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
    assert_eq!((&silent).read(&mut [0]).unwrap(), 0);
    assert!(TcpStream::connect(server.address).is_err());
    half.write_all(b"cd").unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nabcd"), "{answer}");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn an_http_server_cuts_a_request_that_does_not_finish_within_the_grace() {
    let _watchdog = Watchdog::new("http server, never");
    let mut server = Program::start("http_server", ms(200));
    let never = server.get("/never");
    server.says("GET /never");
    server.press_ctrl_c();
    server.says("the grace is over");
    assert_eq!(never.join().unwrap(), None);
    assert_eq!(server.exit_code(), Some(130));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_grace() {
    let _watchdog = Watchdog::new("http server, twice");
    let mut server = Program::start("http_server", Duration::from_secs(3600));
    let never = server.get("/never");
    server.says("GET /never");
    server.press_ctrl_c();
    server.says("stopping: ");
    server.press_ctrl_c();
    assert_eq!(server.exit_code(), Some(130));
    assert_eq!(never.join().unwrap(), None);
}

/// A client of the chat.
struct Talker {
    stream: TcpStream,
    lines: Lines<BufReader<TcpStream>>,
}

impl Talker {
    fn enter(server: &Program, name: &str) -> Talker {
        let stream = server.connect();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut talker = Talker { stream, lines };
        talker.hears("* your name?");
        talker.says(name);
        talker
    }

    fn says(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("the server is there").unwrap()
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) {
        assert_eq!(self.next(), expected);
    }
}

#[test]
fn each_server_ends_gracefully_at_sigterm() {
    let _watchdog = Watchdog::new("servers, SIGTERM");
    let mut server = Program::start("http_server", Duration::from_secs(60));
    let slow = server.get("/slow");
    server.says("GET /slow");
    server.terminate();
    assert_eq!(slow.join().unwrap().unwrap(), "slow, and finished\n");
    server.says("every connection has finished");
    assert_eq!(server.exit_code(), Some(0));

    let mut server = Program::start("http_server", Duration::ZERO);
    let cut = server.get("/never");
    server.says("GET /never");
    server.terminate();
    server.says("the grace is over");
    assert_eq!((cut.join().unwrap(), server.exit_code()), (None, Some(143)));

    let mut server = Program::start("chat", Duration::ZERO);
    let mut ada = Talker::enter(&server, "ada");
    server.terminate();
    assert_eq!(server.exit_code(), Some(143), "it has ended by itself");
    assert!(ada.lines.next().is_none_or(|line| line.is_err()));

    let mut server = Program::start("per_core", Duration::ZERO);
    server.terminate();
    assert_eq!(server.exit_code(), Some(0), "every loop has ended");
}

#[test]
fn a_chat_goes_to_all_others_and_says_who_comes_and_goes() {
    let _watchdog = Watchdog::new("chat");
    let mut server = Program::start("chat", Duration::ZERO);
    let mut ada = Talker::enter(&server, "ada");
    let mut bob = Talker::enter(&server, "ada");
    bob.hears("* another name, please");
    bob.says("bob");
    ada.hears("* bob is here");
    let mut eve = Talker::enter(&server, "eve");
    ada.hears("* eve is here");
    bob.hears("* eve is here");
    ada.says("hello");
    bob.hears("ada: hello");
    eve.hears("ada: hello");
    eve.says("bye");
    drop(eve);
    for other in [&mut ada, &mut bob] {
        other.hears("eve: bye");
        other.hears("* eve has left");
    }
    server.press_ctrl_c();
    assert_eq!(server.exit_code(), Some(130));
    assert!(bob.lines.next().is_none_or(|line| line.is_err()));
}

#[test]
fn a_slow_reader_of_the_chat_does_not_hold_the_others_up_and_is_told_what_it_missed() {
    const LINES: usize = 400;
    let _watchdog = Watchdog::new("chat, slow reader");
    let server = Program::start("chat", Duration::ZERO);
    let mut ada = Talker::enter(&server, "ada");
    let mut slow = Talker::enter(&server, "slow");
    ada.hears("* slow is here");
    let mut eve = Talker::enter(&server, "eve");
    ada.hears("* eve is here");
    // More than the sockets keep. Eve reads each line before the next one is said.
    let long = "x".repeat(64 * 1024);
    for number in 0..LINES {
        ada.says(&format!("{number} {long}"));
        eve.hears(&format!("ada: {number} {long}"));
    }
    slow.hears("* eve is here");
    let (mut heard, mut missed) = (0, 0);
    while heard + missed < LINES {
        let line = slow.next();
        match line.strip_prefix("* you missed ") {
            Some(rest) => missed += rest.strip_suffix(" lines").unwrap().parse::<usize>().unwrap(),
            None => heard += 1,
        }
    }
    assert!(heard > 16 && missed > 0, "{heard} heard, {missed} missed");
}

/// What the server of the test has seen.
#[derive(Default)]
struct Site {
    asked: RefCell<Vec<String>>,
    at_once: Cell<usize>,
    most_at_once: Cell<usize>,
}

impl Site {
    fn times(&self, path: &str) -> usize {
        self.asked.borrow().iter().filter(|asked| *asked == path).count()
    }

    async fn answer(&self, path: &str) -> (StatusCode, String) {
        self.asked.borrow_mut().push(path.to_owned());
        self.at_once.set(self.at_once.get() + 1);
        self.most_at_once.set(self.most_at_once.get().max(self.at_once.get()));
        yield_now().await;
        self.at_once.set(self.at_once.get() - 1);
        let links = |paths: &[&str]| format!("<a href=\"{}\">", paths.join("\"> <a href=\""));
        match path {
            "/" => (
                StatusCode::OK,
                links(&["/one", "/two", "/gone", "/flaky", "/never", "https://x.org/"]),
            ),
            "/one" => (StatusCode::OK, links(&["/", "/two", "/three"])),
            "/three" => (StatusCode::OK, links(&["/four"])),
            "/flaky" if self.times(path) < 2 => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            "/gone" => (StatusCode::NOT_FOUND, String::new()),
            "/never" => pending().await,
            _ => (StatusCode::OK, String::new()),
        }
    }

    async fn serve(self: Rc<Self>, listener: TcpListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept().await?;
            let site = self.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let site = site.clone();
                async move {
                    let (status, text) = site.answer(request.uri().path()).await;
                    let response = Response::builder().status(status);
                    response.body(Full::new(Bytes::from(text)))
                }
            });
            let connection = http1::Builder::new().serve_connection(FuturesIo::new(stream), answer);
            drop(create_task(async move { drop(connection.await) })); // a client may go away
        }
    }
}

#[test]
fn a_crawler_fetches_each_page_once_retries_what_failed_and_sums_up() {
    on_both("crawler", async || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let site = Rc::new(Site::default());
        let serving = create_task(site.clone().serve(listener));
        let settings =
            crawler::Settings { at_once: 3, limit: Duration::from_secs(2), tries: 2, pause: ms(1) };
        let progress = Rc::new(RefCell::new(vec![]));
        let sink = progress.clone();
        let report = move |line: &str| sink.borrow_mut().push(line.to_owned());
        let summary = crawler::crawl(&server, settings, report).await;
        serving.cancel();
        let _ = serving.await;
        assert_eq!(summary.pages, 6, "{summary}");
        assert!(summary.retries >= 2, "{summary}");
        let mut failed = summary.failed.clone();
        failed.sort();
        let [gone, never] = &failed[..] else { panic!("{summary}") };
        assert_eq!((&*gone.0, &*gone.1), ("/gone", "404 Not Found"));
        assert!(never.0 == "/never" && never.1.contains("timed out"), "{never:?}");
        assert_eq!(site.times("/flaky"), 2);
        assert_eq!(site.times("/never"), 2);
        for path in ["/", "/one", "/two", "/three", "/four", "/gone"] {
            assert_eq!(site.times(path), 1, "{path}");
        }
        assert!(site.most_at_once.get() <= 3);
        let progress = progress.borrow();
        assert_eq!(progress.len(), 8);
        assert!(progress[0].starts_with("1 of 6: /: "), "{progress:?}");
        assert!(progress[7].starts_with("8 of 8: "), "{progress:?}");
    });
}

#[test]
fn a_crawler_whose_server_is_not_there_says_so() {
    on_both("crawler, no server", async || {
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = unused.local_addr().unwrap().to_string();
        drop(unused);
        let settings = crawler::Settings {
            at_once: 1,
            limit: Duration::from_secs(60),
            tries: 2,
            pause: ms(1),
        };
        let summary = crawler::crawl(&server, settings, |_| ()).await;
        assert_eq!((summary.pages, summary.retries, summary.failed.len()), (0, 1, 1));
    });
}

const LOOPS: usize = 4;

#[test]
fn loops_on_several_threads_share_a_port_and_each_key_has_one_of_them() {
    const CLIENTS: usize = 64;
    let _watchdog = Watchdog::new("a loop a core");
    let mut server = Program::start("per_core", Duration::ZERO);
    let keys = ["ada", "bob", "eve", "grace", "joan", "mary", "sam", "tim"];
    let (mut by, mut of, mut sums) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..CLIENTS {
        let mut stream = server.connect();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for key in keys {
            stream.write_all(format!("add {key} 2\n").as_bytes()).unwrap();
            let line = lines.next().unwrap().unwrap();
            let (sum, loops) = line.split_once(", by loop ").unwrap();
            let (here, there) = loops.split_once(" for loop ").unwrap();
            by.insert(here.to_owned());
            let owner = of.entry(key).or_insert_with(|| there.to_owned());
            assert_eq!(*owner, there, "a key stays where it is");
            sums.insert(key, sum.parse::<usize>().unwrap());
        }
    }
    assert!(sums.values().all(|sum| *sum == 2 * CLIENTS), "{sums:?}");
    assert!(of.values().collect::<BTreeSet<_>>().len() > 1, "{of:?}");
    if cfg!(target_os = "linux") {
        assert!(by.len() > 1, "{by:?}"); // by its hash, the kernel gives a client to each of them alike
    }
    let mut open = server.connect();
    open.write_all(b"what?\n").unwrap();
    let mut answer = [0; 19];
    open.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"say: add KEY NUMBER");
    server.press_ctrl_c();
    assert_eq!(server.exit_code(), Some(0));
}

/// A worker in a process of its own; it is killed when this is dropped.
struct Worker(Child);

impl Worker {
    fn start(server: &str, name: &str, work: Duration) -> Worker {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "servers::the_example", "--nocapture"]);
        command.env(EXAMPLE, "worker").env(SERVER, server).env(NAME, name);
        command.env(MILLIS, work.as_millis().to_string()).stdout(Stdio::piped());
        Worker(command.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_jobs_of_a_worker_that_is_killed_are_done_by_others() {
    const COUNT: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis").to_str().unwrap().to_owned();
    let mut server = Command::new("redis-server");
    server.args(["--port", "0", "--save", "", "--unixsocket", &socket]);
    let server = server.current_dir(folder.path()).stdout(Stdio::null()).spawn();
    let Ok(server) = server else {
        eprintln!("skipped: there is no redis-server on this machine");
        return;
    };
    let _server = Worker(server); // it is killed in the same way
    crate::run("workers", async {
        let mut redis = loop {
            match workers::connect(&socket).await {
                Ok(connection) => break connection,
                Err(_not_yet) => sleep(ms(20)).await,
            }
        };
        for number in 0..COUNT {
            let job = [("name", format!("job {number}"))];
            let _id: Option<String> = redis.xadd(workers::JOBS, "*", &job).await.unwrap();
        }
        // This one takes some jobs, which would take an hour, and is killed.
        let mut doomed = Worker::start(&socket, "doomed", Duration::from_secs(3600));
        let lines = BufReader::new(doomed.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let begun = lines.filter_map(|line| Some(line.strip_prefix("doomed begins ")?.to_owned()));
        let begun: Vec<String> = begun.take(10).collect();
        drop(doomed);
        let pending: StreamPendingReply =
            redis.xpending(workers::JOBS, workers::WORKERS).await.unwrap();
        assert_eq!(pending.count(), begun.len());
        let _others = ["one", "two"].map(|name| Worker::start(&socket, name, ms(1)));
        loop {
            let pending: StreamPendingReply =
                redis.xpending(workers::JOBS, workers::WORKERS).await.unwrap();
            let done: usize = redis.hlen(workers::DONE).await.unwrap();
            if done == COUNT && pending.count() == 0 {
                break;
            }
            sleep(ms(20)).await; // the watchdog ends this
        }
        for job in begun {
            let by: String = redis.hget(workers::DONE, &job).await.unwrap();
            assert!(by == "one" || by == "two", "{job} was done by {by}");
        }
    });
}

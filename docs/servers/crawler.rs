//! # A crawler
//!
//! Fetches every page of a site that can be reached from its first page. A few workers share a queue of paths, so at most that many
//! requests are in flight. Each request has a time limit. One that fails is tried again, after a pause that doubles. Each page is
//! reported when it is done, and a summary is printed at the end.
//!
//! `cargo run -p ecosystem --example crawler -- 127.0.0.1:8080`

use std::cell::RefCell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::env;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use async_net::TcpStream;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use loopwheel::sync::Queue;
use loopwheel::{TaskGroup, sleep, wait_for};
use smol_hyper::rt::FuturesIo;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) at_once: usize,
    /// For one request.
    pub(crate) limit: Duration,
    pub(crate) tries: u32,
    /// Before the second try.
    pub(crate) pause: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) pages: usize,
    pub(crate) bytes: usize,
    pub(crate) retries: usize,
    /// Each with the last error.
    pub(crate) failed: Vec<(String, String)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { pages, bytes, retries, failed } = self;
        write!(f, "{pages} pages, {bytes} bytes, {retries} retries, {} failed", failed.len())?;
        failed.iter().try_for_each(|(path, error)| write!(f, "\n  {path}: {error}"))
    }
}

/// What the workers share.
struct Crawl {
    server: String,
    settings: Settings,
    paths: Queue<String>,
    found: RefCell<HashSet<String>>,
    summary: RefCell<Summary>,
}

/// One request, on a connection of its own.
async fn get(server: &str, path: &str) -> Result<(StatusCode, Bytes), String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let stream = TcpStream::connect(server).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        handshake(FuturesIo::new(stream)).await.map_err(|error| text(&error))?;
    let request = Request::builder().uri(path).header("host", server).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| text(&error))?;
    // The connection is a task. It ends with this scope, also when the time limit cancels it.
    let answer = TaskGroup::scope(async |group| {
        group.create_task(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        drop(sender); // the connection has nothing more to do
        Ok::<_, hyper::Error>((status, body))
    });
    answer.await.map_err(|errors| format!("{errors:#}")) // `{}` says only how many there are
}

/// The paths in `href="/…"`.
fn links(page: &[u8]) -> Vec<String> {
    let page = String::from_utf8_lossy(page);
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.filter(|link| link.starts_with('/')).map(str::to_owned).collect()
}

impl Crawl {
    /// Adds a path to the queue, the first time that it is found.
    fn find(&self, path: String) {
        if self.found.borrow_mut().insert(path.clone()) {
            self.paths.put_nowait(path).expect("the queue has no limit");
        }
    }

    /// A page, or an error after so many tries. A page that is not there is not tried again.
    async fn fetch(&self, path: &str) -> Result<Bytes, String> {
        let mut pause = self.settings.pause;
        for tried in 1.. {
            let error = match wait_for(get(&self.server, path), self.settings.limit).await {
                Ok(Ok((status, page))) if status.is_success() => return Ok(page),
                Ok(Ok((status, _))) if status.is_client_error() => return Err(status.to_string()),
                Ok(Ok((status, _))) => status.to_string(),
                Ok(Err(error)) => error,
                Err(timed_out) => timed_out.to_string(),
            };
            if tried >= self.settings.tries {
                return Err(error);
            }
            self.summary.borrow_mut().retries += 1;
            sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }

    /// Fetches pages until the queue is shut down.
    async fn work(&self, report: &impl Fn(&str)) {
        while let Ok(path) = self.paths.get().await {
            let fetched = self.fetch(&path).await;
            let mut summary = self.summary.borrow_mut();
            let outcome = match fetched {
                Ok(page) => {
                    for link in links(&page) {
                        self.find(link);
                    }
                    summary.pages += 1;
                    summary.bytes += page.len();
                    format!("{} bytes", page.len())
                }
                Err(error) => {
                    summary.failed.push((path.clone(), error.clone()));
                    error
                }
            };
            let (done, found) = (summary.pages + summary.failed.len(), self.found.borrow().len());
            drop(summary);
            report(&format!("{done} of {found}: {path}: {outcome}"));
            self.paths.task_done().expect("it was taken from the queue");
        }
    }
}

/// Fetches all that `/` leads to, and says how far it is.
pub(crate) async fn crawl(
    server: &str,
    settings: Settings,
    report: impl Fn(&str) + Clone + 'static,
) -> Summary {
    let crawl = Rc::new(Crawl {
        server: server.to_owned(),
        settings,
        paths: Queue::unbounded(),
        found: RefCell::default(),
        summary: RefCell::default(),
    });
    crawl.find("/".to_owned());
    TaskGroup::<Infallible>::scope(async |group| {
        for _ in 0..crawl.settings.at_once {
            let (crawl, report) = (crawl.clone(), report.clone());
            group.create_task(async move { crawl.work(&report).await });
        }
        crawl.paths.join().await; // each path that was found is done
        crawl.paths.shutdown(false); // the workers end
    })
    .await
    .expect("no worker fails");
    crawl.summary.take()
}

fn main() {
    let server = env::args().nth(1).expect("the server to crawl, for example 127.0.0.1:8080");
    let settings = Settings {
        at_once: 8,
        limit: Duration::from_secs(10),
        tries: 3,
        pause: Duration::from_millis(500),
    };
    let summary = loopwheel::io::run(crawl(&server, settings, |progress| println!("{progress}")));
    println!("{summary}");
}

//! The HTTP server: `/health`, `/metrics` and `/diagnostics`, and the page where there is one; read-only, for a few clients at a
//! time.

use std::{convert::Infallible, future::Future, io, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
        RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    State, Status,
    page::{Answer, HTML, POLICY, is_own_name},
};

/// How many connections are served at a time. Others wait in the system's queue.
pub(crate) const MAX_CONNECTIONS: usize = 32;
/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last.
const LASTS: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long to wait if no connection can be taken: the process has too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves the status over HTTP until `stop`. Connections that are open then are closed.
///
/// # Errors
/// Never: what goes wrong with one connection concerns no other.
pub async fn serve(
    listener: TcpListener,
    status: Arc<Status>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut stop = pin!(stop);
    // Who reaches it is on this machine.
    let is_loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let stream = tokio::select! {
            () = &mut stop => return Ok(()),
            Some(_) = connections.join_next() => continue,
            (place, accepted) = async { (place.await, listener.accept().await) } => match (place, accepted) {
                (Ok(place), Ok((stream, _))) => (place, stream),
                (_, Err(error)) => {
                    debug!(%error, "no connection for the status");
                    sleep(PAUSE).await;
                    continue;
                }
                // Nobody closes it.
                (Err(_), Ok(_)) => return Ok(()),
            },
        };
        let (place, stream) = stream;
        let status = Arc::clone(&status);
        connections.spawn(async move {
            // Whoever takes longer is cut off.
            let _ = timeout(LASTS, answer_all(stream, &status, is_loopback)).await;
            drop(place);
        });
    }
}

async fn answer_all(stream: TcpStream, status: &Arc<Status>, is_loopback: bool) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, status, is_loopback);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        // One answer a connection: a page's events, which take most of its time, never begin late in it and are not cut off.
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "a client of the status went away");
    }
}

fn answer<B>(request: &Request<B>, status: &Status, is_loopback: bool) -> Response<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/health" => health(status),
        "/metrics" => {
            let mut response = text(StatusCode::OK, status.metrics().render());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/diagnostics" => document(StatusCode::OK, &status.diagnostics()),
        path => {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
            let shown = status.page().filter(|page| page.is_public || (is_loopback && is_own_name(host)));
            match (path, shown) {
                ("/", Some(_)) => page(),
                ("/page.json", Some(page)) => live("application/json", page.document()),
                ("/page/events", Some(page)) => match page.events() {
                    Some(events) => live("text/event-stream", events),
                    None => {
                        let words = "as many pages as can be are open\n".to_owned();
                        let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
                        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("20"));
                        response
                    }
                },
                _ => text(StatusCode::NOT_FOUND, "there are /health, /metrics and /diagnostics\n".to_owned()),
            }
        }
    }
}

/// The page. Whoever frames it, or puts a script into it, gets nothing.
fn page() -> Response<Answer> {
    let mut response = text(StatusCode::OK, HTML.to_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What comes bit by bit, or only after a while.
fn live(kind: &'static str, answer: Answer) -> Response<Answer> {
    let mut response = text(StatusCode::OK, String::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    *response.body_mut() = answer;
    response
}

/// 200 if the program can do its work, else 503.
fn health(status: &Status) -> Response<Answer> {
    let state = status.health().worst();
    let code = if state == State::Failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    document(code, &json!({ "state": state, "entries": status.health().entries() }))
}

fn document(code: StatusCode, document: &serde_json::Value) -> Response<Answer> {
    let mut response = text(code, format!("{document:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(code: StatusCode, text: String) -> Response<Answer> {
    let mut response = Response::new(Answer::from(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use coxswain_rules::units::UnixTime;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    use super::{super::Condition, *};

    fn asked(method: Method, path: &str, status: &Status) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        of_request(&request, status, false)
    }

    fn of_request(request: &Request<()>, status: &Status, is_loopback: bool) -> (u16, String) {
        let response = answer(request, status, is_loopback);
        let code = response.status().as_u16();
        let text = match response.into_body() {
            Answer::Whole(text) => String::from_utf8(text.unwrap_or_default().to_vec()).unwrap(),
            Answer::Live(_) => "live".to_owned(),
        };
        (code, text)
    }

    #[test]
    fn inc_29_health_can_fail_and_recover() {
        let status = Status::new();
        assert_eq!(asked(Method::GET, "/health", &status).0, 200);
        status.health().set("peers", UnixTime(7), Condition::warning("1 of 4", "look at the others"));
        assert_eq!(asked(Method::GET, "/health", &status).0, 200, "somebody should look");
        status.health().set("peers", UnixTime(8), Condition::failed("none", "look at the network"));
        let (code, body) = asked(Method::GET, "/health", &status);
        assert_eq!(code, 503);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let entry = json!({
            "name": "peers", "state": "failed", "since": 8, "says": "none", "remedy": "look at the network",
        });
        assert_eq!(body, json!({ "state": "failed", "entries": [entry] }));
        let (_, metrics) = asked(Method::GET, "/metrics", &status);
        assert!(
            metrics.contains("coxswain_health_entries{entry=\"peers\",state=\"failed\"} 1\n"),
            "{metrics}"
        );
        status.health().set("peers", UnixTime(9), Condition::ok("4 of 4"));
        assert_eq!(asked(Method::GET, "/health", &status).0, 200);
    }

    #[test]
    fn what_is_not_there_and_what_may_not_be_done_is_told() {
        let status = Status::new();
        status.diagnose(|document| {
            document.insert("client_info".to_owned(), json!({ "version": "1" }));
        });
        assert_eq!(asked(Method::GET, "/other", &status).0, 404);
        assert_eq!(asked(Method::POST, "/health", &status).0, 405);
        let (code, body) = asked(Method::GET, "/diagnostics", &status);
        assert_eq!((code, body.contains("client_info")), (200, true));
    }

    #[test]
    fn the_page_is_for_this_machine_unless_somebody_says_otherwise() {
        let shown = || tokio::sync::watch::channel(None).1;
        let get = |host: &'static str, path: &str| {
            Request::builder().uri(path).header(HOST, host).body(()).unwrap()
        };
        let code = |status: &Status, host, path: &str, is_loopback| {
            of_request(&get(host, path), status, is_loopback).0
        };
        let none = Status::new();
        assert_eq!(code(&none, "localhost", "/", true), 404, "a program without one");
        let (own, public) = (Status::new(), Status::new());
        own.show_page(shown(), false);
        public.show_page(shown(), true);
        for path in ["/", "/page.json", "/page/events"] {
            assert_eq!(code(&own, "localhost:9601", path, true), 200, "{path}");
            assert_eq!(code(&own, "localhost:9601", path, false), 404, "{path}: for others too");
            assert_eq!(code(&own, "rebound.example", path, true), 404, "{path}: a stranger's name");
            assert_eq!(code(&public, "node.example", path, false), 200, "{path}");
        }
        let response = answer(&get("localhost", "/"), &own, true);
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
    }

    #[tokio::test]
    async fn it_is_served_until_it_is_told_to_stop_and_idle_clients_keep_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (tell, told) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, Status::new(), async {
            let _ = told.await;
        }));
        let mut idle = Vec::new();
        for _ in 1..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(at).await.unwrap());
        }
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        tell.send(()).unwrap();
        serving.await.unwrap().unwrap();
        // What was open is closed.
        let mut one = idle.pop().unwrap();
        assert!(matches!(one.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
}

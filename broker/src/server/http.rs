//! The listener of `metrics.listener`: `GET /metrics` and `GET /health`, and nothing else.
//!
//! It is no web server: one request a connection, a small head, no body, an answer that ends the connection. What comes
//! too slowly or is no such request is answered by an error or closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_host::{ByteStream, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ACCEPT_RETRY;
use crate::exposition;
use crate::node::Node;

/// The longest head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// How long a request and its answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Connections at one time; more are closed at once.
const MAX_CONNECTIONS: usize = 32;

/// Serves `listener` until the broker stops.
pub(super) async fn serve(node: Arc<Node>, listener: Listener) {
    let mut stopping = node.stopping.subscribe();
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            node.host.sleep(ACCEPT_RETRY).await;
            continue;
        };
        if open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (node, open) = (node.clone(), open.clone());
        node.host.clone().spawn(async move {
            match node.host.timeout(TIME_LIMIT, answer(&node, stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "lost the connection for metrics"),
                Err(_) => tracing::debug!(%peer, "a request for metrics took too long"),
            }
            open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

async fn answer(node: &Node, mut stream: ByteStream) -> io::Result<()> {
    let mut head = Vec::new();
    let asked = loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break parse(&head[..end]);
        }
        if head.len() >= MAX_HEAD_BYTES {
            break Err("431 Request Header Fields Too Large");
        }
        let room = MAX_HEAD_BYTES - head.len();
        if (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let (status, kind, body, wants_body) = match asked {
        Ok(Asked { path: Path::Metrics, wants_body }) => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", exposition::expose(node), wants_body)
        }
        Ok(Asked { path: Path::Health, wants_body }) => {
            let (is_up, text) = exposition::health(node);
            let status = if is_up { "200 OK" } else { "503 Service Unavailable" };
            (status, "application/json", text, wants_body)
        }
        Err(status) => (status, "text/plain; charset=utf-8", format!("{status}\n"), true),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if wants_body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Metrics,
    Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    path: Path,
    wants_body: bool,
}

/// What a request's head asks for, or the status that answers it.
fn parse(head: &[u8]) -> Result<Asked, &'static str> {
    const BAD: &str = "400 Bad Request";
    let head = std::str::from_utf8(head).map_err(|_| BAD)?;
    let line = head.split("\r\n").next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(BAD);
    }
    let wants_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Err("405 Method Not Allowed"),
    };
    match target.split('?').next() {
        Some("/metrics") => Ok(Asked { path: Path::Metrics, wants_body }),
        Some("/health") => Ok(Asked { path: Path::Health, wants_body }),
        _ => Err("404 Not Found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: Result<(Path, bool), &str>) {
        let found = parse(head).map(|asked| (asked.path, asked.wants_body));
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(head));
    }

    #[test]
    fn two_questions_are_answered() {
        check(b"GET /metrics HTTP/1.1\r\nHost: h", Ok((Path::Metrics, true)));
        check(b"GET /metrics?name[]=x HTTP/1.0", Ok((Path::Metrics, true)));
        check(b"HEAD /health HTTP/1.1", Ok((Path::Health, false)));
        check(b"GET / HTTP/1.1", Err("404 Not Found"));
        check(b"GET /metrics/.. HTTP/1.1", Err("404 Not Found"));
        check(b"POST /metrics HTTP/1.1", Err("405 Method Not Allowed"));
        check(b"GET /metrics", Err("400 Bad Request"));
        check(b"GET  /metrics HTTP/1.1", Err("400 Bad Request"));
        check(b"GET /metrics HTTP/2", Err("400 Bad Request"));
        check(b"", Err("400 Bad Request"));
        check(b"\xff\xfe", Err("400 Bad Request"));
    }
}

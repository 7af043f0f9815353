//! One connection against a scripted broker in a simulated world.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anabranch_host::sim::{Sim, SimOptions};
use anabranch_protocol::messages::api_versions::ApiVersion;
use anabranch_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::*;
use crate::fake_broker::{Call, Reply, start};

fn options(max_in_flight: usize) -> ConnectionOptions {
    ConnectionOptions {
        peer: "fake:9092".to_string(),
        client_id: "test".to_string(),
        request_timeout: Duration::from_secs(30),
        max_in_flight,
    }
}

/// Opens a connection to a broker with this script, in a world of its own.
fn with_connection<T>(
    script: impl FnMut(&Call) -> Reply + Send + 'static,
    test: impl AsyncFnOnce(Host, Result<Connection>) -> T,
) -> T {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("client");
    let dialer = start(&host, script);
    sim.block_on(async {
        let stream = dialer.connect("fake:9092").await.unwrap();
        let opened = Connection::open(&host, stream, options(5)).await;
        test(host, opened).await
    })
}

fn heartbeat(call: &Call) -> Reply {
    // Its own generation comes back as throttle time, so that answers can be told apart.
    let request: HeartbeatRequest<'_> = call.decode();
    call.answer(&HeartbeatResponse { throttle_time_ms: request.generation_id, ..Default::default() })
}

async fn call(connection: &Connection, generation_id: i32) -> Result<i32> {
    let request = HeartbeatRequest { group_id: "g", generation_id, ..Default::default() };
    let answer = connection.call(&request).await?;
    Ok(answer.decode::<HeartbeatResponse>()?.throttle_time_ms)
}

#[test]
fn versions_are_agreed_upon() {
    // What the broker says of Heartbeat and ApiVersions; whether it knows the newest question; what comes of it.
    let check = |heartbeat: Option<(i16, i16)>,
                 knows_newest: bool,
                 offers: (i16, i16),
                 expected: Result<i16, &str>| {
        let script = move |call: &Call| {
            let api = |api_key: ApiKey, (min_version, max_version)| ApiVersion {
                api_key: api_key.into(),
                min_version,
                max_version,
            };
            let mut api_keys = vec![api(ApiKey::ApiVersions, offers)];
            api_keys.extend(heartbeat.map(|range| api(ApiKey::Heartbeat, range)));
            let response = ApiVersionsResponse { api_keys, ..Default::default() };
            if call.version > offers.1 && !knows_newest {
                let error_code = ErrorCode::UNSUPPORTED_VERSION;
                return call.answer_version(&ApiVersionsResponse { error_code, ..response }, 0);
            }
            call.answer(&response)
        };
        let version = with_connection(script, async |_, opened| {
            opened.unwrap().version::<HeartbeatRequest<'_>>(i16::MAX).map_err(|error| error.to_string())
        });
        assert_eq!(version, expected.map_err(str::to_string), "{heartbeat:?} {offers:?}");
    };
    check(Some((0, 4)), true, (0, 4), Ok(4));
    check(Some((0, 9)), true, (0, 4), Ok(4));
    check(Some((0, 2)), false, (0, 2), Ok(2));
    check(Some((1, 3)), false, (0, 0), Ok(3));
    let refused = "broker fake:9092 does not serve Heartbeat in a version that this client can use";
    check(Some((5, 9)), true, (0, 4), Err(refused));
    check(None, true, (0, 4), Err(refused));
}

#[test]
fn answers_reach_who_asked_in_order() {
    let script = |call: &Call| match call.key {
        ApiKey::ApiVersions => call.versions(),
        _ => Reply::Later(Duration::from_millis(3), Box::new(heartbeat(call))),
    };
    with_connection(script, async |host, opened| {
        let connection = opened.unwrap();
        let calls: Vec<_> = (0..20)
            .map(|number| {
                let connection = connection.clone();
                host.spawn(async move { call(&connection, number).await })
            })
            .collect();
        for (number, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap().unwrap(), number);
        }
    });
}

#[test]
fn no_more_requests_are_open_than_allowed() {
    let open = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&open);
    // The broker never answers, so that all that ever come are open.
    let script = move |call: &Call| match call.key {
        ApiKey::ApiVersions => call.versions(),
        _ => {
            seen.fetch_add(1, Ordering::Relaxed);
            Reply::Silence
        }
    };
    with_connection(script, async |host, opened| {
        let connection = opened.unwrap();
        for _ in 0..20 {
            let connection = connection.clone();
            host.spawn(async move { call(&connection, 0).await });
        }
        host.sleep(Duration::from_secs(5)).await;
        assert_eq!(open.load(Ordering::Relaxed), 5);
    });
}

#[test]
fn whatever_goes_wrong_everybody_is_told_and_the_connection_is_closed() {
    let check = |fault: fn(&Call) -> Reply, kind: ErrorKind, text: &str| {
        let script = move |call: &Call| match call.key {
            ApiKey::ApiVersions => call.versions(),
            _ if call.correlation_id == 1 => heartbeat(call),
            _ => fault(call),
        };
        with_connection(script, async |host, opened| {
            let connection = opened.unwrap();
            assert_eq!(call(&connection, 7).await.unwrap(), 7);
            let other = connection.clone();
            let first = host.spawn({
                let connection = connection.clone();
                async move { call(&connection, 1).await }
            });
            let second = host.spawn(async move { call(&other, 2).await });
            let first = first.await.unwrap().unwrap_err();
            let second = second.await.unwrap().unwrap_err();
            assert!(first.kind() == kind || second.kind() == kind, "{first:?} {second:?}");
            assert!(
                first.to_string().contains(text) || second.to_string().contains(text),
                "{first} / {second}"
            );
            assert!(!connection.is_open());
            assert!(call(&connection, 3).await.is_err(), "nothing more is taken");
        });
    };
    check(|_| Reply::Silence, ErrorKind::Retriable, "Heartbeat to fake:9092: timed out after 30000 ms");
    check(|_| Reply::Close, ErrorKind::Retriable, "closed the connection");
    let wrong_id =
        |call: &Call| Reply::Bytes(Bytes::copy_from_slice(&[0, 0, 0, 4, 0, 0, 0, call.connection as u8]));
    check(wrong_id, ErrorKind::Corrupt, "sent correlation id Some(0)");
    check(
        |_| Reply::Bytes(Bytes::from_static(b"HTTP/1.1 400 Bad Request")),
        ErrorKind::Corrupt,
        "not Kafka's",
    );
    check(|_| Reply::Bytes(Bytes::from_static(&[255; 8])), ErrorKind::Corrupt, "not Kafka's protocol");
    let short = |call: &Call| {
        let mut bytes = vec![0, 0, 0, 5];
        bytes.extend_from_slice(&call.correlation_id.to_be_bytes());
        bytes.push(0);
        Reply::Bytes(bytes.into())
    };
    check(short, ErrorKind::Corrupt, "the answer of fake:9092 to Heartbeat does not parse");
}

#[test]
fn a_broker_that_is_none_is_an_error_and_not_a_wait() {
    let check = |fault: fn(&Call) -> Reply, text: &str| {
        let error = with_connection(fault, async |_, opened| opened.unwrap_err());
        assert!(error.to_string().contains(text), "{error}");
    };
    check(|_| Reply::Close, "closed the connection");
    check(|_| Reply::Silence, "ApiVersions to fake:9092: timed out after 30000 ms");
    check(|_| Reply::Bytes(Bytes::from_static(b"SSH-2.0-OpenSSH_9")), "not Kafka's protocol");
}

#[test]
fn a_caller_who_gives_up_disturbs_nobody() {
    let script = |call: &Call| match call.key {
        ApiKey::ApiVersions => call.versions(),
        _ => Reply::Later(Duration::from_secs(1), Box::new(heartbeat(call))),
    };
    with_connection(script, async |host, opened| {
        let connection = opened.unwrap();
        assert!(host.timeout(Duration::from_millis(10), call(&connection, 1)).await.is_err());
        assert_eq!(call(&connection, 2).await.unwrap(), 2);
    });
}

#[test]
fn the_last_clone_closes_the_connection() {
    let script = |call: &Call| call.versions();
    with_connection(script, async |host, opened| {
        let connection = opened.unwrap();
        let shared = Arc::downgrade(connection.shared());
        drop(connection);
        host.sleep(Duration::from_secs(2)).await;
        assert!(shared.upgrade().is_none(), "its task has ended");
    });
}

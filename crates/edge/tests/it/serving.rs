//! The accept loop against clients that are slow, large, or many.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use rally_edge::serve::ServeConfig;
use rally_service::drain::Drain;
use rally_testkit::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    time::timeout,
};

use crate::support::{
    LONG,
    site::{Bounds, Browser, LOCALHOST, SOON, Served},
};

/// Larger than all buffers between an edge and a client.
const LARGE_BYTES: usize = 32 * 1024 * 1024;

fn routes() -> Router {
    Router::new()
        .route("/", get(async || "here"))
        .route("/large", get(async || Body::from(vec![b'x'; LARGE_BYTES])))
        .route("/echo", post(async |body: String| body))
}

async fn serve(bounds: Bounds) -> Served {
    Served::start(routes(), bounds.limits(), bounds.serve, Drain::new()).await
}

fn impatient() -> Bounds {
    let serve = ServeConfig {
        headers_within: SOON,
        connection_within: SOON * 2,
        finish_within: SOON,
        ..ServeConfig::for_sockets(10)
    };
    Bounds { serve, ..Bounds::default() }
}

async fn connect_from(addr: SocketAddr, from: [u8; 4]) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(addr).await
}

/// What comes until the edge closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("an end in time");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let served =
        serve(Bounds { serve: ServeConfig { connection_within: LONG * 10, ..impatient().serve }, ..Bounds::default() })
            .await;
    let mut silent = TcpStream::connect(served.addr).await.unwrap();
    let mut half = TcpStream::connect(served.addr).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n").await.unwrap();
    // One that says something all the time, and never comes to its point.
    let dripping = tokio::spawn(async move {
        let mut stream = TcpStream::connect(served.addr).await.unwrap();
        let started = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while stream.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(SOON / 20).await;
            assert!(started.elapsed() < LONG, "still open");
        }
        started.elapsed()
    });
    let started = Instant::now();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut half).await, "");
    assert!(started.elapsed() < LONG / 2);
    assert!(dripping.await.unwrap() >= SOON);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let served =
        serve(Bounds { serve: ServeConfig { connection_within: LONG * 10, ..impatient().serve }, ..Bounds::default() })
            .await;
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let served = serve(Bounds::default()).await;
    for request in [
        format!("GET / HTTP/1.1\r\nhost: edge\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)),
        format!("GET / HTTP/1.1\r\nhost: edge\r\n{}\r\n", "x: y\r\n".repeat(1_000)),
        format!("GET /{} HTTP/1.1\r\nhost: edge\r\n\r\n", "y".repeat(64 * 1024)),
    ] {
        let mut stream = TcpStream::connect(served.addr).await.unwrap();
        // It may close before it has read all.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        // A reset may have overtaken the answer.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(Browser::new(served.addr, LOCALHOST).get("/").await.text(), "here");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let served = serve(Bounds::default()).await;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = TcpStream::connect(served.addr).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(Browser::new(served.addr, LOCALHOST).get("/").await.text(), "here");
}

#[tokio::test]
async fn who_does_not_read_gives_the_place_up() {
    let mut bounds = impatient();
    bounds.serve.connections_max = 1;
    let served = serve(bounds).await;
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    Browser::new(served.addr, LOCALHOST).get("/").await.problem(503, "at_capacity");
    // While `stream` is open and unread.
    eventually(LONG, async || Browser::new(served.addr, LOCALHOST).get("/").await.status == 200).await;
    drop(stream);
}

#[tokio::test]
async fn a_connection_in_use_ends_after_an_answer() {
    let served = serve(impatient()).await;
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    let started = Instant::now();
    let mut answers = 0;
    let mut buffer = vec![0; 4096];
    loop {
        if stream.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n").await.is_err() {
            break;
        }
        match timeout(LONG, stream.read(&mut buffer)).await.expect("an answer in time") {
            Ok(0) | Err(_) => break,
            Ok(_) => answers += 1,
        }
        tokio::time::sleep(SOON / 10).await;
        assert!(started.elapsed() < LONG, "still open after {answers} answers");
    }
    assert!(answers > 2 && started.elapsed() >= SOON * 2);
}

#[tokio::test]
async fn beyond_the_places_of_the_node_one_is_told_so() {
    let mut bounds = Bounds::default();
    bounds.serve.connections_max = 3;
    let served = serve(bounds).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(served.addr).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
        let mut buffer = [0; 256];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        held.push(stream);
    }
    let answer = Browser::new(served.addr, LOCALHOST).get("/").await;
    answer.problem(503, "at_capacity");
    assert_eq!(answer.header("connection"), Some("close"));
    // Those who are in are served as before.
    let stream = &mut held[1];
    stream.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(stream).await.ends_with("here"));
    // And the place that is given back is somebody's.
    eventually(LONG, async || Browser::new(served.addr, LOCALHOST).get("/").await.status == 200).await;
}

#[tokio::test]
async fn an_address_has_so_many_places_and_no_more() {
    let mut bounds = Bounds::default();
    bounds.limits.connections_per_address_max = 2;
    bounds.addresses.limit_exempt = vec!["127.0.0.64/26".parse().unwrap()];
    bounds.addresses.trusted_proxies = vec!["127.0.0.9".parse::<std::net::IpAddr>().unwrap().into()];
    let served = serve(bounds).await;
    let mut held = Vec::new();
    for from in [[127, 0, 0, 2], [127, 0, 0, 70], [127, 0, 0, 9]] {
        for _ in 0..2 {
            let mut stream = connect_from(served.addr, from).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
            let mut buffer = [0; 256];
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
            held.push(stream);
        }
    }
    let ask = async |from: [u8; 4]| Browser::new(served.addr, from.into()).get("/").await;
    ask([127, 0, 0, 2]).await.problem(429, "rate_limited");
    assert_eq!(ask([127, 0, 0, 3]).await.status, 200, "another address");
    assert_eq!(ask([127, 0, 0, 70]).await.status, 200, "an exempt one");
    assert_eq!(ask([127, 0, 0, 9]).await.status, 200, "a proxy, which speaks for many");
    drop(held);
    eventually(LONG, async || ask([127, 0, 0, 2]).await.status == 200).await;
}

#[tokio::test]
async fn many_at_once_are_served_in_turn() {
    let served = serve(Bounds::default()).await;
    let asked: Vec<_> = (0..400)
        .map(|_| tokio::spawn(async move { Browser::new(served.addr, LOCALHOST).get("/").await.status }))
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_drain_closes_the_idle_and_finishes_what_is_asked() {
    let (asked, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = (asked.clone(), gate.clone());
    let routes = routes().route(
        "/slow",
        get(async move || {
            slow.0.notify_one();
            slow.1.notified().await;
        }),
    );
    let drain = Drain::new();
    let bounds = Bounds::default();
    let served = Served::start(routes, bounds.limits(), bounds.serve, drain).await;

    let mut idle = TcpStream::connect(served.addr).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
    let mut buffer = [0; 256];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    let mut busy = TcpStream::connect(served.addr).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: edge\r\n\r\n").await.unwrap();
    timeout(LONG, asked.notified()).await.expect("the request in time");

    served.drain.begin(LONG);
    assert_eq!(read_to_end(&mut idle).await, "");
    // Newcomers get one answer: a load balancer may not know yet.
    let answer = Browser::new(served.addr, LOCALHOST).get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, Some("close")));
    served.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!served.task.is_finished(), "somebody waits for an answer");
    gate.notify_one();
    assert!(read_to_end(&mut busy).await.starts_with("HTTP/1.1 200"));
    timeout(LONG, served.task).await.expect("the end in time").unwrap();
    assert!(TcpStream::connect(served.addr).await.is_err());
}

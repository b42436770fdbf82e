use std::time::{Duration, Instant};

use rally_testkit::{Proxy, Way};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Sends back what it gets.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap()
}

/// Whether a byte comes back.
async fn echoes(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.unwrap();
    matches!(tokio::time::timeout(Duration::from_millis(150), stream.read_exact(&mut byte)).await, Ok(Ok(_)))
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let (mut from, mut to) = stream.split();
    let mut received = vec![0; sent.len()];
    let (wrote, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut received));
    wrote.unwrap();
    read.unwrap();
    assert_eq!(sent, received);
    to.shutdown().await.unwrap();
    assert_eq!(from.read(&mut [0]).await.unwrap(), 0, "the end passes too");
}

#[tokio::test]
async fn a_cut_is_silent_and_its_victims_stay_so() {
    let proxy = Proxy::start(echo().await).await;
    for way in [Way::ToTarget, Way::ToClient, Way::Both] {
        let mut victim = connect(&proxy).await;
        let mut idle = connect(&proxy).await;
        assert!(echoes(&mut victim).await && echoes(&mut idle).await);
        proxy.cut(way);
        assert!(!echoes(&mut victim).await, "{way:?}");
        proxy.heal();
        assert!(!echoes(&mut victim).await, "{way:?}: its stream has a hole");
        assert!(echoes(&mut idle).await, "{way:?}: it lost nothing");
        assert!(echoes(&mut connect(&proxy).await).await, "{way:?}");
    }
}

#[tokio::test]
async fn held_bytes_arrive_after_healing() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    assert!(echoes(&mut stream).await);
    proxy.hold(Way::ToTarget);
    assert!(!echoes(&mut stream).await);
    proxy.heal();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

#[tokio::test]
async fn delay_is_added_each_way() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(50));
    let started = Instant::now();
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn some_chunks_are_held_and_their_order_stays() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    proxy.stutter(5, Duration::from_millis(100));
    let (mut held, mut quick) = (0, 0);
    for n in 0..100u8 {
        let started = Instant::now();
        stream.write_all(&[n]).await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, [n]);
        if started.elapsed() >= Duration::from_millis(100) { held += 1 } else { quick += 1 }
    }
    // Five or six of a hundred each way; a busy machine may make some more seem held.
    assert!((8..=40).contains(&held), "{held} held, {quick} quick");
}

#[tokio::test]
async fn connections_are_reset_at_will() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    assert!(echoes(&mut stream).await);
    proxy.reset_connections();
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(echoes(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn connections_are_dropped_and_refused_at_will() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    assert!(echoes(&mut stream).await);
    proxy.drop_connections();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    proxy.refuse(true);
    assert_eq!(connect(&proxy).await.read(&mut [0]).await.unwrap_or(0), 0);
    proxy.heal();
    assert!(echoes(&mut connect(&proxy).await).await);
    let port = proxy.port();
    drop(proxy);
    rally_testkit::eventually(Duration::from_secs(5), || async {
        TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_url_gets_the_proxys_port() {
    let proxy = Proxy::start(1).await;
    let port = proxy.port();
    assert_eq!(proxy.url("redis://127.0.0.1:6379"), format!("redis://127.0.0.1:{port}"));
    assert_eq!(proxy.url("postgres://r@127.0.0.1:5432/db"), format!("postgres://r@127.0.0.1:{port}/db"));
}

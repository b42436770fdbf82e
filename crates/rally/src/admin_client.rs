//! Asking a node's admin port: `rally health`, and `rally dev` for its own nodes.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use rally_service::{
    admin,
    env::{Env, ProcessEnv},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long after a node was not ready they are asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Which nodes `rally health` asks.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Admin ports of nodes; all addresses of a name are asked. Without one: the node of this environment.
    #[arg(value_name = "HOST:PORT")]
    nodes: Vec<String>,
    /// Ask again for so long, until all are ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    within_s: u64,
}

/// Fails unless all nodes that are asked are ready.
pub(crate) async fn health(args: HealthArgs) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(args.within_s);
    loop {
        match ask(&args.nodes).await {
            Err(error) if Instant::now() + ASK_AGAIN_AFTER < deadline => {
                println!("not yet: {error:#}");
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            asked => return asked,
        }
    }
}

async fn ask(nodes: &[String]) -> anyhow::Result<()> {
    if nodes.is_empty() {
        check(of_environment()?).await?;
        println!("ready");
        return Ok(());
    }
    for node in nodes {
        let found = tokio::time::timeout(ANSWER_WITHIN, tokio::net::lookup_host(node)).await;
        let addrs: BTreeSet<SocketAddr> = found
            .with_context(|| format!("{node}: no answer from the name server"))?
            .with_context(|| format!("cannot find {node}"))?
            .collect();
        for addr in &addrs {
            check(*addr).await.with_context(|| node.clone())?;
        }
        println!("{node}: {} ready", addrs.len());
    }
    Ok(())
}

fn of_environment() -> anyhow::Result<SocketAddr> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let addr = admin::read_addr(&mut env);
    let mut addr = env.finish(addr)?;
    if addr.ip().is_unspecified() {
        addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    Ok(addr)
}

async fn check(addr: SocketAddr) -> anyhow::Result<()> {
    match ready(addr).await? {
        None => Ok(()),
        Some(unmet) => bail!("{addr}: {unmet}"),
    }
}

/// `None` if the node is ready, otherwise what it says.
pub(crate) async fn ready(addr: SocketAddr) -> anyhow::Result<Option<String>> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, get(addr, "/readyz"))
        .await
        .with_context(|| format!("{addr} does not answer"))?
        .with_context(|| format!("cannot ask {addr}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ok = head.split_whitespace().nth(1) == Some("200");
    Ok((!ok).then(|| body.trim().to_owned()))
}

/// One request without a body to our own server, which closes after its answer: a client library would be a lot for it.
async fn get(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

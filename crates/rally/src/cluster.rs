//! `rally cluster`: what an operator sees of a cluster, and tells its nodes. A look takes no lease and changes nothing.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rally_fabric::{Node, Operator, Role};
use rally_protocol::cluster::{BundleKeys, v1::Order};
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::{Owner, Store};
use rally_units::{Epoch, MatchId};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    node::CLUSTER_KEYS,
    servers::{self, DatabaseConfig, RedisConfig},
};

/// How long Redis and Postgres may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Matches listed for people, per worker; all that are known are in the JSON.
const MATCHES_SHOWN: usize = 20;

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![servers::REDIS_VARS, &[CLUSTER_KEYS], servers::DATABASE_VARS]
}

/// Options of `rally cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    order: Option<Telling>,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    /// List the matches too (needs RALLY_DATABASE_URL).
    #[arg(long)]
    matches: bool,
}

/// What a node can be told (needs RALLY_CLUSTER_KEYS).
#[derive(Debug, Subcommand)]
enum Telling {
    /// End a node in order, as SIGTERM does: its matches move, its players are told to reconnect. Whoever started it
    /// starts it again, unless there are to be fewer.
    Drain {
        /// Its name.
        node: String,
    },
    /// Hand a match over to another worker (needs RALLY_DATABASE_URL).
    Move {
        /// The match.
        #[arg(value_name = "MATCH")]
        match_id: MatchId,
        /// The worker's name; any, if left out.
        worker: Option<String>,
    },
}

/// What is known of a cluster.
#[derive(Debug, Serialize)]
struct Picture {
    nodes: Vec<NodePicture>,
    /// Owners of matches that are no living nodes, as Postgres knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    orphans: Option<Vec<Orphans>>,
}

#[derive(Debug, Serialize)]
struct NodePicture {
    #[serde(flatten)]
    node: Node,
    /// Up to a hundred of a worker's matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<Vec<MatchPicture>>,
}

#[derive(Debug, Serialize)]
struct MatchPicture {
    #[serde(rename = "match")]
    match_id: MatchId,
    epoch: Epoch,
}

#[derive(Debug, Serialize)]
struct Orphans {
    node: String,
    incarnation: String,
    matches: u64,
}

/// Shows the cluster, or tells one of its nodes something.
pub(crate) async fn run(args: ClusterArgs) -> anyhow::Result<()> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    if let Some(telling) = args.order {
        return tell(env, telling).await;
    }
    let redis = RedisConfig::read(&mut env);
    let store = if args.matches { DatabaseConfig::read(&mut env).map(Some) } else { Some(None) };
    let (redis, store) = env.finish(redis.zip(store))?;
    let operator = operator(redis)?;
    let store = store.map(|config| Store::new(&config.store()?).map_err(anyhow::Error::from)).transpose()?;
    let picture = look(&operator, store.as_ref()).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&picture)?);
    } else {
        print!("{}", table(&picture));
    }
    Ok(())
}

fn operator(mut redis: RedisConfig) -> anyhow::Result<Operator> {
    let tls = redis.take_tls().context("cannot use TLS to Redis")?;
    Ok(Operator::connect(redis.url.expose_secret(), tls.as_deref())?)
}

async fn tell(mut env: Env<'_>, telling: Telling) -> anyhow::Result<()> {
    let redis = RedisConfig::read(&mut env);
    let keys = env.keys(&CLUSTER_KEYS);
    let store = match telling {
        Telling::Drain { .. } => Some(None),
        Telling::Move { .. } => DatabaseConfig::read(&mut env).map(Some),
    };
    let ((redis, keys), store) = env.finish(redis.zip(keys).zip(store))?;
    let keys = BundleKeys::derive(keys.iter().map(|key| key.expose_secret().as_slice()))?;
    let operator = operator(redis)?;
    let nodes = nodes(&operator).await?;
    let named = |name: &str| {
        let known = || nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        nodes
            .iter()
            .find(|node| node.name == name)
            .with_context(|| format!("no node is called {name}; there are: {}", known()))
    };
    let (to, order) = match &telling {
        Telling::Drain { node } => (named(node)?, Order::Drain),
        Telling::Move { match_id, worker } => {
            let target = worker.as_deref().map(named).transpose()?;
            anyhow::ensure!(target.is_none_or(|node| node.role == Role::Worker), "matches move to workers only");
            let store = Store::new(&store.context("the database's URL is missing")?.store()?)?;
            let held = store.owner_of(*match_id).await.context("cannot ask Postgres for the match's owner")?;
            let owner = held.context("there is no such match, or it is over")?.owner;
            let of = nodes.iter().find(|node| (node.id, node.incarnation) == (owner.node, owner.incarnation));
            let of = of.context("the match's worker does not live; another will take it over by itself")?;
            anyhow::ensure!(target.is_none_or(|node| node.id != of.id), "the match is played there already");
            (of, Order::Move { match_id: *match_id, to: target.map(|node| node.id) })
        }
    };
    let left = timeout(ANSWER_WITHIN, operator.order(&keys, to, &order)).await.context("Redis does not answer")?;
    left.context("cannot leave the order in Redis")?;
    println!("{} is told; `rally cluster` shows what comes of it", to.name);
    Ok(())
}

async fn nodes(operator: &Operator) -> anyhow::Result<Vec<Node>> {
    let nodes = timeout(ANSWER_WITHIN, operator.nodes()).await.context("Redis does not answer")?;
    nodes.map_err(|error| {
        let why = operator.fault();
        let why = if why.is_empty() { why } else { format!(" ({})", servers::with_advice(why)) };
        anyhow::Error::new(error).context(format!("cannot read the registry{why}"))
    })
}

async fn look(operator: &Operator, store: Option<&Store>) -> anyhow::Result<Picture> {
    let nodes = nodes(operator).await?;
    let Some(store) = store else {
        let nodes = nodes.into_iter().map(|node| NodePicture { node, matches: None }).collect();
        return Ok(Picture { nodes, orphans: None });
    };
    let owners = store.live_owners().await.context("cannot ask Postgres for the owners of matches")?;
    let is_known = |owner: &Owner| nodes.iter().any(|n| (n.id, n.incarnation) == (owner.node, owner.incarnation));
    let orphans = owners
        .iter()
        .filter(|(owner, _)| !is_known(owner))
        .map(|(owner, matches)| Orphans {
            node: owner.node.to_string(),
            incarnation: owner.incarnation.to_string(),
            matches: *matches,
        })
        .collect();
    let mut pictures = Vec::new();
    for node in nodes {
        let mut matches = None;
        if node.role == Role::Worker {
            let owner = Owner { node: node.id, incarnation: node.incarnation };
            let of = store.live_matches_of(owner).await.context("cannot ask Postgres for matches")?;
            matches = Some(of.into_iter().map(|(match_id, epoch)| MatchPicture { match_id, epoch }).collect());
        }
        pictures.push(NodePicture { node, matches });
    }
    Ok(Picture { nodes: pictures, orphans: Some(orphans) })
}

fn table(picture: &Picture) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, picture);
    out
}

fn write_table(out: &mut String, picture: &Picture) -> std::fmt::Result {
    writeln!(
        out,
        "{:<20} {:<7} {:>20} {:>10} {:<9} {:<10} PUBLIC URL",
        "NODE", "ROLE", "LOAD", "LATENESS", "STATE", "VERSION"
    )?;
    for NodePicture { node, .. } in &picture.nodes {
        let (what, lateness) = match node.role {
            Role::Edge => ("connections", "-".to_owned()),
            Role::Worker => ("matches", format!("{:.1} ms", f64::from(node.load.tick_lateness_us) / 1e3)),
        };
        let state = if node.load.draining { "draining" } else { "serving" };
        writeln!(
            out,
            "{:<20} {:<7} {:>20} {lateness:>10} {state:<9} {:<10} {}",
            node.name,
            node.role.as_str(),
            format!("{} {what}", node.load.items),
            node.version,
            node.public_url.as_deref().unwrap_or("-")
        )?;
    }
    if picture.nodes.is_empty() {
        writeln!(out, "(no node lives)")?;
    }
    if picture.orphans.is_some() {
        writeln!(out, "\n{:<38} {:<20} EPOCH", "MATCH", "WORKER")?;
    }
    for NodePicture { node, matches } in &picture.nodes {
        let Some(matches) = matches else { continue };
        for MatchPicture { match_id, epoch } in matches.iter().take(MATCHES_SHOWN) {
            writeln!(out, "{:<38} {:<20} {}", match_id.to_string(), node.name, epoch.0)?;
        }
        if matches.len() > MATCHES_SHOWN {
            writeln!(out, "{:<38} {:<20}", format!("and {} more", matches.len() - MATCHES_SHOWN), node.name)?;
        }
    }
    for Orphans { node, matches, .. } in picture.orphans.iter().flatten() {
        writeln!(out, "{:<38} {node:<20} (not alive)", format!("{matches} of"))?;
    }
    Ok(())
}

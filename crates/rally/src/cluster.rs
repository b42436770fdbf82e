//! `rally cluster`: what an operator sees of a cluster. A look takes no lease and changes nothing.

use std::{fmt::Write as _, time::Duration};

use anyhow::Context as _;
use clap::Args;
use rally_fabric::{Node, Operator, Role};
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::{Owner, Store};
use rally_units::{Epoch, MatchId};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::time::timeout;

use crate::node::{self, REDIS_URL};

/// How long Redis and Postgres may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Matches listed for people, per worker; all that are known are in the JSON.
const MATCHES_SHOWN: usize = 20;

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![&[REDIS_URL], node::DATABASE_VARS]
}

/// Options of `rally cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    /// List the matches too (needs RALLY_DATABASE_URL).
    #[arg(long)]
    matches: bool,
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

/// Shows the cluster.
pub(crate) async fn run(args: ClusterArgs) -> anyhow::Result<()> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let redis_url = env.secret_url(&REDIS_URL, node::REDIS_SCHEMES);
    let store = if args.matches { node::read_store(&mut env).map(Some) } else { Some(None) };
    let (redis_url, store) = env.finish(redis_url.zip(store))?;
    let operator = Operator::connect(redis_url.expose_secret())?;
    let store = store.map(|config| Store::new(&config)).transpose()?;
    let picture = look(&operator, store.as_ref()).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&picture)?);
    } else {
        print!("{}", table(&picture));
    }
    Ok(())
}

async fn nodes(operator: &Operator) -> anyhow::Result<Vec<Node>> {
    let nodes = timeout(ANSWER_WITHIN, operator.nodes()).await.context("Redis does not answer")?;
    nodes.context("cannot read the registry")
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

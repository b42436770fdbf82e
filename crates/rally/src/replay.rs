//! `rally replay verify`: plays stored matches again, and compares every stored hash.
//!
//! A match has one chain of hashes, whichever workers have hosted it: one that is whole shows that nothing was lost or
//! made up on the way from owner to owner. Exits with 1 if a replay is not true, or a match that was named has none.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use rally_room::{log::ReplayLog, replay};
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::{ReplaySegment, Store};
use rally_units::MatchId;

use crate::servers::{self, DatabaseConfig};

/// Replays read at once, and after how many it is said how far it is.
const PAGE: usize = 500;

/// What is to be done with replays.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(subcommand)]
    command: ReplayCommand,
}

#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Plays the stored inputs of matches again and compares every stored hash.
    Verify {
        /// Which matches.
        #[arg(value_name = "MATCH", required_unless_present = "all", conflicts_with = "all")]
        matches: Vec<MatchId>,
        /// Every match that has a replay.
        #[arg(long)]
        all: bool,
    },
}

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![servers::DATABASE_VARS]
}

pub(crate) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let ReplayCommand::Verify { matches, all } = args.command;
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let config = DatabaseConfig::read(&mut env);
    let store = Store::new(&env.finish(config)?.store()?)?;
    let mut tally = Tally::default();
    if all {
        tally.check_all(&store).await?;
    } else {
        tally.check(&store, &matches).await?;
    }
    println!("{} verified, {} not true", tally.verified, tally.untrue);
    if tally.untrue > 0 { bail!("not every replay is true") } else { Ok(()) }
}

#[derive(Debug, Default)]
struct Tally {
    verified: usize,
    untrue: usize,
}

impl Tally {
    async fn check_all(&mut self, store: &Store) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = store.replays_after(after, PAGE).await.context("cannot list the replays")?;
            self.check(store, &page).await?;
            after = page.last().copied();
            if page.len() < PAGE {
                return Ok(());
            }
            eprintln!("{} so far", self.verified + self.untrue);
        }
    }

    async fn check(&mut self, store: &Store, matches: &[MatchId]) -> anyhow::Result<()> {
        for match_id in matches {
            let segments = store.replay(*match_id).await.with_context(|| format!("cannot read {match_id}"))?;
            let outcome = match segments.is_empty() {
                true => Err(anyhow::anyhow!("it has no replay")),
                false => segments.iter().try_for_each(verify),
            };
            match outcome {
                Ok(()) => self.verified += 1,
                Err(error) => {
                    self.untrue += 1;
                    println!("{match_id}: {error:#}");
                }
            }
        }
        Ok(())
    }
}

fn verify(segment: &ReplaySegment) -> anyhow::Result<()> {
    let log = ReplayLog::decode(&segment.input_log).context("its log does not read")?;
    if log.seed() != segment.seed || !log.hashes().eq(segment.hashes.iter().copied()) {
        bail!("its log is not the one whose hashes are stored");
    }
    Ok(replay::verify(&log)?)
}

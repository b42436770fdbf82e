//! Matches that anybody may watch: what each worker says of its own, once a second.
//!
//! A worker's word counts while that life of it lives, and for [`KEEP`] at most.

use std::time::Duration;

use rally_protocol::{client::v1::Mode, names};
use rally_units::{Incarnation, MatchId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    Fabric, RedisError, Role,
    commands::{Call, GET, PUT},
};

/// Matches of one worker at most: those that most people watch.
pub const LIVE_MAX: usize = 50;
/// How long a worker's word counts.
const KEEP: Duration = Duration::from_secs(3);

/// A match that is played now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMatch {
    /// The match.
    pub id: MatchId,
    /// Its kind.
    pub mode: Mode,
    /// Left and right.
    pub players: [LivePlayer; 2],
    /// Goals told.
    pub score: [u8; 2],
    /// Who watch it, on all edges.
    pub viewers: u32,
}

/// Who plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePlayer {
    /// The user; absent: a bot.
    pub user: Option<UserId>,
    /// The name to show.
    pub name: String,
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
struct Word {
    incarnation: Incarnation,
    matches: Vec<LiveMatch>,
}

/// Tells and reads them.
#[derive(Clone, Debug)]
pub struct LiveMatches {
    fabric: Fabric,
}

impl Fabric {
    /// Matches that anybody may watch.
    pub fn live(&self) -> LiveMatches {
        LiveMatches { fabric: self.clone() }
    }
}

impl LiveMatches {
    /// Tells what is played on this node, in place of what it said before.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn tell(&self, matches: Vec<LiveMatch>) -> Result<(), RedisError> {
        let word = Word { incarnation: self.fabric.incarnation(), matches };
        // Writing these fields to memory cannot fail.
        let word = serde_json::to_vec(&word).unwrap_or_default();
        let call = Call::keys([names::live(self.fabric.node())]).arg(KEEP.as_millis()).bytes(word);
        self.fabric.commands().eval("tell_live", &PUT, call).await.map(drop)
    }

    /// What is played on all workers that live, the most watched first.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn read(&self) -> Result<Vec<LiveMatch>, RedisError> {
        let nodes = self.fabric.nodes();
        let workers: Vec<_> = nodes.iter().filter(|node| node.role == Role::Worker).collect();
        let calls = workers.iter().map(|worker| Call::keys([names::live(worker.id)])).collect();
        let words = self.fabric.commands().eval_many("read_live", &GET, calls).await?;
        let mut all = Vec::new();
        for (worker, word) in workers.iter().zip(words) {
            // What cannot be read was written by a newer version.
            let word = word.into_bytes().and_then(|word| serde_json::from_slice::<Word>(&word).ok());
            all.extend(word.filter(|word| word.incarnation == worker.incarnation).into_iter().flat_map(|w| w.matches));
        }
        all.sort_by_key(|live| (std::cmp::Reverse(live.viewers), std::cmp::Reverse(live.id)));
        Ok(all)
    }
}

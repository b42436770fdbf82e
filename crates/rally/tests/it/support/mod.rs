//! Starting the executable, and talking to what it started.

pub(crate) mod cluster;
pub(crate) mod exporters;
pub(crate) mod http;
pub(crate) mod player;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod receivers;
pub(crate) mod resp;
pub(crate) mod site;

use std::time::Duration;

pub(crate) use cluster::shared;
pub(crate) use player::{Player, alone_in_queue, by_side, pair, pair_ready};
pub(crate) use raw::Raw;
pub(crate) use site::{Node, Site};

/// How long a test waits for what must come. Two busy cores are slow now and then.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// Goals that win in all clusters of these tests.
pub(crate) const SCORE_TO_WIN: u8 = 2;

/// A name that no other guest of these tests has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}_{:08x}", rally_service::entropy::random_u64() as u32)
}

//! What the world may know of the matches played here.

use std::collections::BTreeMap;

use rally_fabric::{LIVE_MAX, LiveMatch, LivePlayer};
use rally_protocol::{client::v1::Side, cluster::v1::SeatSpec};

use super::{
    Host,
    hosted::{Hosted, Standing},
};

impl Host {
    /// Those that anybody may watch, the most watched first, the newest of them before others; at most [`LIVE_MAX`].
    pub(crate) fn live_matches(&self) -> Vec<LiveMatch> {
        let live = self.phases.iter().flat_map(BTreeMap::values).filter(|hosted| hosted.standing == Standing::Live);
        let mut watchable: Vec<&Hosted> = live.filter(|hosted| !hosted.room.is_private()).collect();
        watchable.sort_by_key(|hosted| std::cmp::Reverse((hosted.room.viewers(), hosted.room.id())));
        watchable.truncate(LIVE_MAX);
        watchable.into_iter().map(live_match).collect()
    }
}

fn live_match(hosted: &Hosted) -> LiveMatch {
    let room = &hosted.room;
    let player = |seat: &SeatSpec, side| match seat {
        SeatSpec::User { name, .. } => LivePlayer { user: room.user(side), name: name.clone() },
        SeatSpec::Bot { level } => LivePlayer { user: None, name: format!("Bot ({level})") },
        SeatSpec::Open => LivePlayer { user: None, name: String::new() },
    };
    let [left, right] = hosted.seats();
    LiveMatch {
        id: room.id(),
        mode: room.mode(),
        players: [player(left, Side::Left), player(right, Side::Right)],
        score: room.shown_score(),
        viewers: u32::try_from(room.viewers()).unwrap_or(u32::MAX),
    }
}

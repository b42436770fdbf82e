//! Matches: starting one, those that are played, and those that were.

use jiff::Timestamp;
use rally_protocol::client::v1::{Level, Mode, Skill};
use rally_store::MatchSort;
use rally_units::{MatchId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{
    body::{Fields, ReadFields},
    query::{PageCursor, Paging},
    schemas,
};

/// What one can start by oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewMatchMode {
    /// Against the bot.
    Practice,
    /// Two at one keyboard.
    Local,
    /// Against whoever opens the match's link first.
    #[serde(alias = "private")]
    Duel,
}

/// `POST /matches`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub struct NewMatchRequest {
    /// Which kind.
    pub mode: NewMatchMode,
    /// How strong the bot is, in practice; `normal` unless said otherwise.
    #[schema(value_type = Option<schemas::Level>)]
    pub level: Level,
    /// One's own skill; `smash` unless said otherwise.
    #[schema(value_type = Option<schemas::Skill>)]
    pub skill: Skill,
    /// No skills, no power-ups.
    #[schema(value_type = Option<bool>)]
    pub classic: bool,
}

impl ReadFields for NewMatchRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let mode = fields.required("mode");
        let level = fields.optional("level");
        let skill = fields.optional("skill");
        let classic = fields.optional("classic");
        Some(Self {
            mode: mode?,
            level: level?.unwrap_or(Level::Normal),
            skill: skill?.unwrap_or(Skill::Smash),
            classic: classic?.unwrap_or_default(),
        })
    }
}

/// A match that is hosted and waits for its players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MatchCreated {
    /// Its id, for `match_join`.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// Its kind: `practice`, `local` or `duel`.
    #[schema(value_type = schemas::Mode)]
    pub mode: Mode,
}

/// `POST /matches/{id}/replay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
pub struct ShowRequest {
    /// From where on, in ticks of 1/60 s from the match's beginning; from where both players were there unless said
    /// otherwise.
    pub tick: Option<u32>,
}

impl ReadFields for ShowRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { tick: fields.optional("tick")? })
    }
}

/// A finished match that can be watched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayShown {
    /// What to watch, by `match_join` as a spectator: within 30 s, on whichever edge.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// The finished match.
    #[schema(value_type = String, format = Uuid)]
    pub of: MatchId,
}

/// `GET /matches`, `GET /users/{id}/matches`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchesQuery {
    /// Of this mode alone.
    pub mode: Option<rally_store::Mode>,
    /// In which order: `newest`, `oldest`, `longest`.
    pub sort: MatchSort,
    /// Those that are played now, instead of finished ones; then nothing else counts. `live` or `finished`.
    pub live: bool,
    /// Which page.
    pub paging: Paging,
}

impl ReadFields for MatchesQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let mode = fields.word("mode", rally_store::Mode::parse, "expected a mode such as ranked");
        let sort = fields.word(
            "sort",
            |word| match word {
                "newest" => Some(MatchSort::Newest),
                "oldest" => Some(MatchSort::Oldest),
                "longest" => Some(MatchSort::Longest),
                _ => None,
            },
            "expected newest, oldest or longest",
        );
        let live = fields.word(
            "state",
            |word| match word {
                "live" => Some(true),
                "finished" => Some(false),
                _ => None,
            },
            "expected live or finished",
        );
        let paging = fields.paging();
        Some(Self { mode: mode?, sort: sort?.unwrap_or_default(), live: live?.unwrap_or(false), paging: paging? })
    }
}

/// One side of a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MatchSide {
    /// Who sat there, if it was a person that is known.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub user: Option<UserId>,
    /// The person's name, as it is now.
    pub name: Option<String>,
    /// How strong the bot was: `easy`, `normal`, `hard`.
    pub bot: Option<&'static str>,
}

/// A match, as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchSummary {
    /// Id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// Kind.
    pub mode: &'static str,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Left and right.
    pub players: [MatchSide; 2],
    /// Goals of left and right.
    pub score: [u16; 2],
    /// `left` or `right`.
    pub winner: Option<&'static str>,
    /// `score`, `timeout`, `forfeit`, `no_show`, `abandoned`; absent while it lives.
    pub reason: Option<&'static str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When play began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Seconds in play.
    pub duration_s: f64,
}

/// Some matches.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Matches {
    /// In the order that was asked for.
    pub items: Vec<MatchSummary>,
    /// For `cursor`, if there may be more.
    #[schema(value_type = Option<String>)]
    pub next: Option<PageCursor>,
}

/// What a side has done in a match.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct SideStats {
    /// `left` or `right`.
    pub side: &'static str,
    /// Balls hit by the paddle.
    pub paddle_hits: u32,
    /// Speed of the fastest ball hit, in world units a second.
    pub fastest_ball: f64,
    /// Split balls.
    pub power_ups_split: u32,
    /// Darkened opponents.
    pub power_ups_blackout: u32,
    /// Black holes.
    pub power_ups_blackhole: u32,
    /// Skills used.
    pub skills_used: u32,
    /// Skills that met a ball.
    pub skills_successful: u32,
    /// Time away, in milliseconds.
    pub disconnected_ms: u32,
    /// Rating before the match, if it was rated.
    pub rating_before: Option<f64>,
    /// Rating after it.
    pub rating_after: Option<f64>,
}

/// `GET /matches/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchView {
    /// As it is listed.
    #[serde(flatten)]
    pub summary: MatchSummary,
    /// What left and right have done; empty while it lives, and if it is void.
    pub statistics: Vec<SideStats>,
    /// Whether there is a replay.
    pub has_replay: bool,
}

/// `GET /matches/{id}/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsQuery {
    /// From this number on.
    pub from: u32,
}

impl ReadFields for EventsQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let from = fields.parsed("from", "expected a number")?;
        Some(Self { from: from.unwrap_or_default() })
    }
}

/// Something that happened in a match.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordedEvent {
    /// Its number in the match; there may be holes.
    pub n: u32,
    /// Seconds in play.
    pub at_s: f64,
    /// `goal`, `power_up` or `skill`.
    pub event: String,
    /// Its own fields: of a goal, who scored and where it fell.
    pub data: serde_json::Value,
}

/// What happened in a match.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MatchEvents {
    /// In order, at most 1,000.
    pub items: Vec<RecordedEvent>,
    /// For `from`, if there may be more.
    pub next_n: Option<u32>,
}

/// `GET /matches/{id}/replay`: what the match can be played again from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Replay {
    /// The match.
    #[serde(rename = "match")]
    #[schema(value_type = String, format = Uuid)]
    pub match_id: MatchId,
    /// Stretches that can each be played from its seed.
    pub segments: Vec<ReplaySegment>,
}

/// A stretch of a replay. Numbers of 64 bits are text, since not all that read JSON have such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplaySegment {
    /// Seed of the random stream.
    pub seed: String,
    /// Version of the rules.
    pub rules_version: u16,
    /// Every accepted input with its tick, in base64.
    pub input_log: String,
    /// State hashes, each with its tick.
    pub hashes: Vec<(u32, String)>,
}

/// `GET /stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Census {
    /// Guests and accounts; an estimate beyond 10,000.
    pub players: u64,
    /// Matches that live.
    pub live_matches: u64,
    /// Connections open.
    pub online: u32,
}

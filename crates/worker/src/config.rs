//! What an operator may choose of a worker.

use std::time::Duration;

use rally_service::env::{Env, Unit, Var};
use rally_store::{Old, RETENTION_BATCH_MAX};

const MATCHES_MAX: Var = Var::new(
    "RALLY_MATCHES_MAX",
    Unit::Count,
    "Matches that this worker hosts at most. More are refused with `at_capacity` and placed elsewhere.",
)
.or("4000");

const SCORE_TO_WIN: Var =
    Var::new("RALLY_SCORE_TO_WIN", Unit::Count, "Goals that win a match. The same on all workers.").or("11");

const KEEP_NOTIFICATIONS: Var =
    Var::new("RALLY_KEEP_NOTIFICATIONS_DAYS", Unit::Count, "Days that a notification waits to be read; 0: for ever.")
        .or("90");

const KEEP_OUTBOX: Var = Var::new(
    "RALLY_KEEP_OUTBOX_DAYS",
    Unit::Count,
    "Days that finished matches stand in the table that others follow; 0: for ever.",
)
.or("30");

const KEEP_REPORTS: Var =
    Var::new("RALLY_KEEP_REPORTS_DAYS", Unit::Count, "Days that a report is kept once it is closed; 0: for ever.")
        .or("365");

const KEEP_CHAT: Var =
    Var::new("RALLY_KEEP_CHAT_DAYS", Unit::Count, "Days that what was said is kept; 0: for ever.").or("365");

const KEEP_REPLAYS: Var =
    Var::new("RALLY_KEEP_REPLAYS_DAYS", Unit::Count, "Days that the replay of a match is kept; 0: for ever.").or("90");

const KEEP_EVENTS: Var = Var::new(
    "RALLY_KEEP_EVENTS_DAYS",
    Unit::Count,
    "Days that the goals, power-ups and skills of a match are kept, each with its place; 0: for ever. The result and \
     the statistics stay.",
)
.or("365");

const KEEP_GUESTS: Var = Var::new(
    "RALLY_KEEP_GUESTS_DAYS",
    Unit::Count,
    "Days after which a guest is forgotten who has not come back and has left nothing behind; 0: never.",
)
.or("90");

const RETENTION_BATCH: Var = Var::new(
    "RALLY_RETENTION_BATCH",
    Unit::Count,
    "Rows that are removed at once where they are kept no longer. Ten such batches a second at most.",
)
.or("500");

/// A century.
const DAYS_MAX: u64 = 36_500;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// `None`: for ever.
    pub notifications: Option<Duration>,
    /// What others follow.
    pub outbox: Option<Duration>,
    /// Once they are closed.
    pub reports: Option<Duration>,
    /// What was said.
    pub chat: Option<Duration>,
    /// After the match.
    pub replays: Option<Duration>,
    /// After the match.
    pub events: Option<Duration>,
    /// Since they were seen.
    pub guests: Option<Duration>,
    /// Rows at once.
    pub batch: usize,
}

impl RetentionConfig {
    /// Everything for ever, but for what has expired.
    pub const FOR_EVER: Self = Self {
        notifications: None,
        outbox: None,
        reports: None,
        chat: None,
        replays: None,
        events: None,
        guests: None,
        batch: 500,
    };

    /// Reads it.
    pub fn read(env: &mut Env<'_>) -> Option<Self> {
        let mut days = |var: &Var| {
            let days = env.get_in(var, 0..=DAYS_MAX);
            days.map(|days| (days > 0).then_some(Duration::from_secs(days * 24 * 60 * 60)))
        };
        let (notifications, outbox, reports) = (days(&KEEP_NOTIFICATIONS), days(&KEEP_OUTBOX), days(&KEEP_REPORTS));
        let (chat, replays, events) = (days(&KEEP_CHAT), days(&KEEP_REPLAYS), days(&KEEP_EVENTS));
        let guests = days(&KEEP_GUESTS);
        let batch = env.get_in(&RETENTION_BATCH, 1..=RETENTION_BATCH_MAX);
        Some(Self {
            notifications: notifications?,
            outbox: outbox?,
            reports: reports?,
            chat: chat?,
            replays: replays?,
            events: events?,
            guests: guests?,
            batch: batch?,
        })
    }

    /// How long this is kept; `None`: for ever.
    pub(crate) fn kept_for(&self, what: Old) -> Option<Duration> {
        match what {
            // These say themselves when they are over.
            Old::Logins | Old::Codes => Some(Duration::ZERO),
            Old::Notifications => self.notifications,
            Old::Outbox => self.outbox,
            Old::Reports => self.reports,
            Old::Chat => self.chat,
            Old::Replays => self.replays,
            Old::Events => self.events,
            Old::Guests => self.guests,
        }
    }
}

/// A worker's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Matches hosted at most. A core carries about 5,000 at 60 Hz.
    pub matches_max: usize,
    /// Goals that win.
    pub score_to_win: u8,
    /// How long things are kept.
    pub retention: RetentionConfig,
}

impl WorkerConfig {
    /// Its variables.
    pub const VARS: &'static [Var] = &[
        MATCHES_MAX,
        SCORE_TO_WIN,
        KEEP_NOTIFICATIONS,
        KEEP_OUTBOX,
        KEEP_REPORTS,
        KEEP_CHAT,
        KEEP_REPLAYS,
        KEEP_EVENTS,
        KEEP_GUESTS,
        RETENTION_BATCH,
    ];

    /// Reads it.
    pub fn read(env: &mut Env<'_>) -> Option<Self> {
        let matches_max = env.get_in(&MATCHES_MAX, 1..=100_000usize);
        let score_to_win = env.get_in(&SCORE_TO_WIN, 1..=99u8);
        let retention = RetentionConfig::read(env);
        Some(Self { matches_max: matches_max?, score_to_win: score_to_win?, retention: retention? })
    }
}

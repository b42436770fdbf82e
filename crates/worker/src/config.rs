//! What an operator may choose of a worker.

use rally_service::env::{Env, Unit, Var};

const MATCHES_MAX: Var = Var::new(
    "RALLY_MATCHES_MAX",
    Unit::Count,
    "Matches that this worker hosts at most. More are refused with `at_capacity` and placed elsewhere.",
)
.or("4000");

const SCORE_TO_WIN: Var =
    Var::new("RALLY_SCORE_TO_WIN", Unit::Count, "Goals that win a match. The same on all workers.").or("11");

/// A worker's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Matches hosted at most. A core carries about 5,000 at 60 Hz.
    pub matches_max: usize,
    /// Goals that win.
    pub score_to_win: u8,
}

impl WorkerConfig {
    /// Its variables.
    pub const VARS: &'static [Var] = &[MATCHES_MAX, SCORE_TO_WIN];

    /// Reads it.
    pub fn read(env: &mut Env<'_>) -> Option<Self> {
        let matches_max = env.get_in(&MATCHES_MAX, 1..=100_000usize);
        let score_to_win = env.get_in(&SCORE_TO_WIN, 1..=99u8);
        Some(Self { matches_max: matches_max?, score_to_win: score_to_win? })
    }
}

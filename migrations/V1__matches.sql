-- Users, matches with the epochs of their owners, seats, results, replays and the outbox.
--
-- Widths: what is u32 in the code is bigint here, u16 is integer and u8 is smallint, so that no value has to be
-- refused on its way in. Sets of 64 bits (node, incarnation, seed, hash) keep their bits in a signed bigint.

CREATE TABLE users (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('guest', 'account')),
    name             text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 64),
    -- Glicko-2; the defaults are those of a player of whom nothing is known.
    rating           double precision NOT NULL DEFAULT 1500 CHECK (rating BETWEEN -1e6 AND 1e6),
    rating_deviation double precision NOT NULL DEFAULT 350 CHECK (rating_deviation BETWEEN 0 AND 1e6),
    volatility       double precision NOT NULL DEFAULT 0.06 CHECK (volatility BETWEEN 0 AND 1e6),
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- Names of accounts are unique without regard to case; guests may share theirs with other guests.
CREATE UNIQUE INDEX users_account_name ON users (lower(name)) WHERE kind = 'account';

CREATE TABLE matches (
    id                 uuid PRIMARY KEY,
    mode               text NOT NULL
        CHECK (mode IN ('ranked', 'casual', 'classic', 'duel', 'practice', 'local', 'tournament')),
    classic            boolean NOT NULL,
    private            boolean NOT NULL,
    score_to_win       integer NOT NULL CHECK (score_to_win > 0),
    seed               bigint NOT NULL,
    rules_version      integer NOT NULL,

    -- Who sits where: a player (then the user is set), a bot of a level, nobody yet, or the second person at the
    -- keyboard of the first.
    left_seat          text NOT NULL
        CHECK (left_seat IN ('player', 'bot_easy', 'bot_normal', 'bot_hard', 'open', 'shared')),
    left_user          uuid REFERENCES users,
    right_seat         text NOT NULL
        CHECK (right_seat IN ('player', 'bot_easy', 'bot_normal', 'bot_hard', 'open', 'shared')),
    right_user         uuid REFERENCES users,

    -- The one authority: a write for the match counts only if it names this epoch.
    owner_node         bigint NOT NULL,
    owner_incarnation  bigint NOT NULL,
    epoch              bigint NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),

    -- Written at each goal, so that the score outlives every checkpoint.
    score_left         integer NOT NULL DEFAULT 0 CHECK (score_left >= 0),
    score_right        integer NOT NULL DEFAULT 0 CHECK (score_right >= 0),

    created_at         timestamptz NOT NULL DEFAULT now(),
    -- Null while the match waits for its players.
    started_at         timestamptz,
    -- Null while the match lives. There is no column for its state: these two say it.
    ended_at           timestamptz,
    winner             text CHECK (winner IN ('left', 'right')),
    reason             text CHECK (reason IN ('score', 'timeout', 'forfeit', 'no_show', 'abandoned')),
    -- Time in play, in sub-steps of 1/240 s.
    duration_sub_steps bigint NOT NULL DEFAULT 0 CHECK (duration_sub_steps >= 0),

    CHECK ((left_seat = 'player') = (left_user IS NOT NULL)),
    CHECK ((right_seat = 'player') = (right_user IS NOT NULL)),
    CHECK (left_user <> right_user),
    CHECK ((ended_at IS NULL) = (reason IS NULL)),
    CHECK (winner IS NULL OR ended_at IS NOT NULL),
    -- A match without a winner is void.
    CHECK (reason NOT IN ('score', 'timeout', 'forfeit') OR winner IS NOT NULL),
    CHECK (reason <> 'abandoned' OR winner IS NULL)
);

-- Live matches by owner: to find those whose owner is gone.
CREATE INDEX matches_live_owner ON matches (owner_node, owner_incarnation) WHERE ended_at IS NULL;

-- What makes "one match at a time" true.
CREATE TABLE active_seats (
    user_id  uuid PRIMARY KEY REFERENCES users,
    match_id uuid NOT NULL REFERENCES matches ON DELETE CASCADE
);

CREATE INDEX active_seats_match ON active_seats (match_id);

CREATE TABLE match_player_stats (
    match_id            uuid NOT NULL REFERENCES matches ON DELETE CASCADE,
    side                text NOT NULL CHECK (side IN ('left', 'right')),
    -- Null for a bot and for the second person at a keyboard.
    user_id             uuid REFERENCES users,
    paddle_hits         bigint NOT NULL CHECK (paddle_hits >= 0),
    -- World units a second.
    fastest_ball        double precision NOT NULL CHECK (fastest_ball >= 0),
    power_ups_split     bigint NOT NULL CHECK (power_ups_split >= 0),
    power_ups_blackout  bigint NOT NULL CHECK (power_ups_blackout >= 0),
    power_ups_blackhole bigint NOT NULL CHECK (power_ups_blackhole >= 0),
    skills_used         bigint NOT NULL CHECK (skills_used >= 0),
    skills_successful   bigint NOT NULL CHECK (skills_successful >= 0),
    disconnected_ms     bigint NOT NULL CHECK (disconnected_ms >= 0),
    -- Both null where the match was not rated.
    rating_before       double precision,
    rating_after        double precision,
    PRIMARY KEY (match_id, side),
    CHECK ((rating_before IS NULL) = (rating_after IS NULL))
);

CREATE INDEX match_player_stats_user ON match_player_stats (user_id, match_id) WHERE user_id IS NOT NULL;

CREATE TABLE match_events (
    match_id        uuid NOT NULL REFERENCES matches ON DELETE CASCADE,
    -- Rises in the match; it may have holes, since not every event is kept.
    n               bigint NOT NULL CHECK (n >= 0),
    clock_sub_steps bigint NOT NULL CHECK (clock_sub_steps >= 0),
    kind            text NOT NULL,
    data            jsonb NOT NULL,
    PRIMARY KEY (match_id, n)
);

-- A replay has one segment, and one more for each time that a match went on without a checkpoint.
CREATE TABLE replays (
    match_id      uuid NOT NULL REFERENCES matches ON DELETE CASCADE,
    segment       integer NOT NULL CHECK (segment >= 0),
    seed          bigint NOT NULL,
    rules_version integer NOT NULL,
    input_log     bytea NOT NULL,
    hash_ticks    bigint[] NOT NULL,
    hashes        bigint[] NOT NULL,
    PRIMARY KEY (match_id, segment),
    CHECK (cardinality(hash_ticks) = cardinality(hashes))
);

-- What others must learn of a committed change. Rows come in the order of their writing, not of their commit:
-- consumers look for rows that are not done, and are idempotent.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);

CREATE INDEX outbox_pending ON outbox (id) WHERE done_at IS NULL;

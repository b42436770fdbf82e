-- Friendships, requests for them, and whom one does not want to meet.

-- One row for two people, whoever asked: the lower id stands first.
CREATE TABLE friendships (
    low          uuid NOT NULL REFERENCES users,
    high         uuid NOT NULL REFERENCES users,
    requested_by uuid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- Null while the request waits.
    accepted_at  timestamptz,
    PRIMARY KEY (low, high),
    CHECK (low < high),
    CHECK (requested_by IN (low, high))
);

CREATE INDEX friendships_high ON friendships (high);

CREATE TABLE blocks (
    user_id    uuid NOT NULL REFERENCES users,
    blocked_id uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, blocked_id),
    CHECK (user_id <> blocked_id)
);

CREATE INDEX blocks_blocked ON blocks (blocked_id);

-- What people are told until they have read it, and what they report to operators.

CREATE TABLE notifications (
    -- Of version 7: later ones are greater.
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users,
    -- Kinds come with the code; the table takes any.
    kind           text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 40),
    -- What it is about, in the words of its kind: the same twice is one, as long as the first is unread.
    mark           text NOT NULL CHECK (char_length(mark) BETWEEN 1 AND 200),
    -- On whose account.
    from_id        uuid REFERENCES users,
    -- A group, an invitation, a tournament.
    subject        uuid,
    channel        text CHECK (char_length(channel) <= 100),
    message_offset bigint,
    body           text CHECK (char_length(body) <= 500),
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Of no interest after this; null: for as long as it is unread.
    expires_at     timestamptz,
    UNIQUE (user_id, mark)
);

CREATE INDEX notifications_user ON notifications (user_id, id DESC);

CREATE TABLE reports (
    id             uuid PRIMARY KEY,
    reporter_id    uuid NOT NULL REFERENCES users,
    -- Who is reported: of a message, its sender; of a match, null.
    user_id        uuid REFERENCES users,
    channel        text CHECK (char_length(channel) <= 100),
    message_offset bigint,
    -- What the message said when it was reported: it may be taken back since.
    message_body   text CHECK (char_length(message_body) <= 500),
    match_id       uuid,
    reason         text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 40),
    body           text NOT NULL CHECK (char_length(body) <= 1000),
    created_at     timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    -- What came of it, in an operator's words.
    outcome        text CHECK (char_length(outcome) <= 500),
    CHECK ((closed_at IS NULL) = (outcome IS NULL)),
    CHECK (user_id IS NOT NULL OR match_id IS NOT NULL)
);

CREATE INDEX reports_open ON reports (id) WHERE closed_at IS NULL;
CREATE INDEX reports_reporter_open ON reports (reporter_id) WHERE closed_at IS NULL;

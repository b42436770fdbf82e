-- Chat: what was said in which channel, in order.

-- A channel exists from its first message on. Its name says who may read it: `global`, `match:ID`, `watch:ID`,
-- `direct:LOW:HIGH`.
CREATE TABLE channels (
    name        text PRIMARY KEY CHECK (char_length(name) BETWEEN 1 AND 100),
    -- Of its last message. Raised under the row's lock, so that offsets rise in the order of commits, without holes.
    last_offset bigint NOT NULL DEFAULT 0 CHECK (last_offset >= 0)
);

CREATE TABLE channel_messages (
    channel        text NOT NULL REFERENCES channels,
    message_offset bigint NOT NULL CHECK (message_offset > 0),
    id             uuid NOT NULL,
    user_id        uuid NOT NULL REFERENCES users,
    -- The sender's own mark: the same twice is one message.
    nonce          text NOT NULL CHECK (char_length(nonce) BETWEEN 1 AND 64),
    -- Empty only where it takes an earlier message back.
    body           text NOT NULL CHECK (char_length(body) <= 500),
    -- The offset of an earlier message whose text this is from now on.
    edits          bigint CHECK (edits < message_offset),
    sent_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, message_offset),
    UNIQUE (channel, user_id, nonce),
    CHECK (body <> '' OR edits IS NOT NULL)
);

CREATE INDEX channel_messages_user ON channel_messages (user_id);

-- How far each has read.
CREATE TABLE channel_reads (
    user_id     uuid NOT NULL REFERENCES users,
    channel     text NOT NULL REFERENCES channels,
    read_offset bigint NOT NULL CHECK (read_offset >= 0),
    PRIMARY KEY (user_id, channel)
);

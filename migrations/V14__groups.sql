-- Groups of people with a channel of their own, `group:ID`; and what else talking needs.

CREATE TABLE groups (
    id         uuid PRIMARY KEY,
    title      text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 60),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- All of these are written under the lock of the row of the group's channel, as its messages are: whoever has been put
-- out has said his last word by then.
CREATE TABLE group_members (
    group_id  uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id   uuid NOT NULL REFERENCES users,
    role      text NOT NULL CHECK (role IN ('owner', 'moderator', 'member')),
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);

CREATE UNIQUE INDEX group_members_owner ON group_members (group_id) WHERE role = 'owner';
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE group_invitations (
    group_id   uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users,
    invited_by uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_invitations_user ON group_invitations (user_id);

CREATE TABLE group_bans (
    group_id   uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users,
    banned_by  uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_bans_user ON group_bans (user_id);

-- Apart from the members: who leaves and comes back is as mute as before.
CREATE TABLE group_mutes (
    group_id    uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users,
    muted_until timestamptz NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_mutes_user ON group_mutes (user_id);

-- Slow mode: each says something once in so long; 0: as often as one likes.
ALTER TABLE channels ADD COLUMN slow_s integer NOT NULL DEFAULT 0 CHECK (slow_s BETWEEN 0 AND 21600);
-- When one has last said something, noted while the channel is slow.
ALTER TABLE channel_reads ADD COLUMN said_at timestamptz;

ALTER TABLE channel_messages
    -- Whether a later message has its text, or has taken it back: then the text is gone from here too.
    ADD COLUMN replaced boolean NOT NULL DEFAULT false,
    -- Who is named in it.
    ADD COLUMN mentions uuid[] NOT NULL DEFAULT '{}',
    DROP CONSTRAINT channel_messages_check1;
ALTER TABLE channel_messages
    ADD CONSTRAINT channel_messages_says_something CHECK (body <> '' OR edits IS NOT NULL OR replaced) NOT VALID;

UPDATE channel_messages m SET replaced = true
    FROM (SELECT channel, edits, max(message_offset) AS last FROM channel_messages WHERE edits IS NOT NULL GROUP BY 1, 2) e
    WHERE m.channel = e.channel AND (m.message_offset = e.edits OR m.edits = e.edits) AND m.message_offset < e.last;

CREATE INDEX IF NOT EXISTS channel_messages_edits ON channel_messages (channel, edits) WHERE edits IS NOT NULL;

-- For searching: the words of a message and, behind a # that no word begins with, its channel. So one look-up meets
-- only what was said where the reader may read.
CREATE INDEX IF NOT EXISTS channel_messages_words ON channel_messages
    USING gin ((to_tsvector('simple', body) || array_to_tsvector(ARRAY['#' || channel]))) WHERE NOT replaced;

-- Whether one tells how far one has read, and sees how far others have.
ALTER TABLE users ADD COLUMN read_receipts boolean NOT NULL DEFAULT true;

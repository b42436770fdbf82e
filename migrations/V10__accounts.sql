-- Accounts: what proves that one is somebody, and where one is signed in.

ALTER TABLE users
    -- What the page is shown in, by ISO 639-1.
    ADD COLUMN language        text NOT NULL DEFAULT 'en' CHECK (language ~ '^[a-z]{2}$'),
    -- From whom requests for friendship come through.
    ADD COLUMN friend_requests text NOT NULL DEFAULT 'all'
        CHECK (friend_requests IN ('all', 'friends_of_friends', 'none')),
    ADD COLUMN last_seen_at    timestamptz,
    -- Somebody who wanted to be forgotten. The row stays, without a name of its own, since matches refer to it; its
    -- kind is then `guest`, so that the name is free again.
    ADD COLUMN deleted_at      timestamptz;

-- Exists if and only if the user's kind is `account`.
CREATE TABLE accounts (
    user_id       uuid PRIMARY KEY REFERENCES users,
    role          text NOT NULL DEFAULT 'player' CHECK (role IN ('player', 'operator')),
    -- Argon2id, as a PHC string.
    password_hash text NOT NULL,
    -- BLAKE3 of the code that stands in for a forgotten password. It has 128 random bits: no slow hash is needed.
    recovery_hash bytea NOT NULL CHECK (octet_length(recovery_hash) = 32),
    -- The second factor: null without one, and of no effect until it is confirmed by a first code.
    totp_secret   bytea,
    totp_since    timestamptz,
    -- The step of the last code that was used: each code is good once.
    totp_step     bigint NOT NULL DEFAULT 0,
    CHECK (totp_since IS NULL OR totp_secret IS NOT NULL)
);

-- Codes that stand in for the second factor, each once.
CREATE TABLE totp_recovery_codes (
    user_id   uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    PRIMARY KEY (user_id, code_hash)
);

-- Where somebody is signed in. A refresh token names its login and its number; only the newest number is good, and
-- one that was exchanged before ends the login, since two then have it. Tokens are signed, so that none is kept here.
CREATE TABLE logins (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users,
    generation   bigint NOT NULL DEFAULT 1 CHECK (generation BETWEEN 1 AND 4294967295),
    -- What the browser or program calls itself, for the list that its user sees.
    agent        text NOT NULL CHECK (char_length(agent) <= 200),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);

CREATE INDEX logins_user ON logins (user_id, last_used_at);
CREATE INDEX logins_expiry ON logins (expires_at);

-- Pictures of people, as we have drawn them anew.
CREATE TABLE avatars (
    user_id    uuid PRIMARY KEY REFERENCES users,
    png        bytea NOT NULL CHECK (octet_length(png) <= 524288),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Who somebody is elsewhere: accounts that sign in by another site.
--
-- An account that was made so has an empty password_hash, which no password fits.
CREATE TABLE identities (
    -- `github`, `42`, `google`.
    provider   text NOT NULL CHECK (provider ~ '^[a-z0-9]{1,20}$'),
    -- What that site calls the person, for good: names and addresses there change hands.
    subject    text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
    user_id    uuid NOT NULL REFERENCES users,
    -- As that site said when it was last used, if it said one that it has verified.
    email      text CHECK (char_length(email) <= 254),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, subject)
);

-- One of each site for an account.
CREATE UNIQUE INDEX identities_user ON identities (user_id, provider);

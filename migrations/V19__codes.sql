-- Lost passwords: an address to write to, and codes that are good once.

ALTER TABLE accounts
    -- An address that its owner has shown to read.
    ADD COLUMN email text CHECK (char_length(email) <= 254);

-- Codes that an operator or a letter has handed out, one of each kind for an account.
CREATE TABLE account_codes (
    user_id    uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    -- For what: another password, or this address.
    purpose    text NOT NULL CHECK (purpose IN ('password', 'email')),
    -- BLAKE3 of the code, which has 80 random bits or more.
    code_hash  bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    -- The address that it confirms.
    email      text CHECK (char_length(email) <= 254),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, purpose)
);

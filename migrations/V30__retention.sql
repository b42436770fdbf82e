-- Finding what nobody needs any more, a few rows at a time.

-- Messages are written in the order of time: a few bytes for each thousand pages say where the old ones are.
CREATE INDEX IF NOT EXISTS channel_messages_sent ON channel_messages USING brin (sent_at) WITH (autosummarize = on);
CREATE INDEX IF NOT EXISTS notifications_expiry ON notifications (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS account_codes_expiry ON account_codes (expires_at);
CREATE INDEX IF NOT EXISTS notifications_from ON notifications (from_id) WHERE from_id IS NOT NULL;

-- The least id of version 7 that something of this moment or later can have.
CREATE FUNCTION id_of(at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

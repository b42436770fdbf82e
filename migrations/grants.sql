-- What each role may do, of those that exist (deploy/postgres/roles.sql makes them). `rally migrate` runs it after the
-- migrations, each time: what is new is granted, what is no longer here is taken away. Tests run edges and workers as
-- their roles, so that a statement without its grant fails there.

DO $$
BEGIN
    -- Accounts, what people say, and reading what workers have recorded. Not: matches, seats, results, ratings.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rally_edge') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM rally_edge;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM rally_edge;
        GRANT USAGE ON SCHEMA public TO rally_edge;
        GRANT SELECT ON refinery_schema_history, users, matches, active_seats, match_player_stats, match_events,
            replays, player_totals TO rally_edge;
        GRANT INSERT (id, kind, name), UPDATE (kind, name, language, friend_requests, read_receipts, last_seen_at,
            deleted_at) ON users TO rally_edge;
        GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, totp_recovery_codes, logins, avatars, identities,
            account_codes, friendships, blocks, channels, channel_messages, channel_reads, groups, group_members,
            group_invitations, group_bans, group_mutes, notifications TO rally_edge;
        -- Reports are closed by operators, and never go away.
        GRANT SELECT, INSERT ON reports TO rally_edge;
    END IF;

    -- Matches from beginning to end. Not: accounts, what people say, who is signed in.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rally_worker') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM rally_worker;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM rally_worker;
        GRANT USAGE ON SCHEMA public TO rally_worker;
        GRANT SELECT ON refinery_schema_history, users, avatars, replays, match_player_stats, match_events
            TO rally_worker;
        GRANT UPDATE (rating, rating_deviation, volatility) ON users TO rally_worker;
        GRANT SELECT, INSERT, UPDATE ON matches TO rally_worker;
        GRANT SELECT, INSERT, DELETE ON active_seats TO rally_worker;
        GRANT INSERT ON match_player_stats, match_events, replays, outbox TO rally_worker;
        -- What nobody needs any more is deleted by a worker: it finds that by its age, and reads none of what it says.
        GRANT DELETE ON logins, account_codes, notifications, outbox, reports, replays, match_events, channel_messages,
            channel_reads, channels, users, blocks, avatars, group_invitations, group_mutes TO rally_worker;
        GRANT SELECT (id, user_id, expires_at) ON logins TO rally_worker;
        GRANT SELECT (user_id, purpose, expires_at) ON account_codes TO rally_worker;
        GRANT SELECT ON blocks, friendships, group_members, group_invitations, group_bans, group_mutes, reports, groups,
            channel_reads, channels, outbox, notifications TO rally_worker;
        GRANT SELECT (ctid, channel, user_id, sent_at) ON channel_messages TO rally_worker;
        -- Rows are locked before they go, which asks for this.
        GRANT UPDATE (expires_at) ON logins, account_codes TO rally_worker;
        GRANT UPDATE (slow_s) ON channels TO rally_worker;
        -- By a trigger, which works as who has recorded the result.
        GRANT SELECT, INSERT, UPDATE ON player_totals TO rally_worker;
    END IF;

    -- Reads everything and changes nothing.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rally_backup') THEN
        GRANT USAGE ON SCHEMA public TO rally_backup;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO rally_backup;
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO rally_backup;
    END IF;
END $$;

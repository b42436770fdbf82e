-- pgbench: what one match costs the database, in the store's statements: created with two seats, begun, two goals noted,
-- and its result with statistics, events, a replay and the outbox in one transaction. `people` of people.sql come first.
\set left random(1, :people)
\set right 1 + (:left + random(0, :people - 2)) % :people
SELECT gen_random_uuid() AS match_id, l.id AS left_id, r.id AS right_id
FROM users l, users r WHERE l.id = md5('bench :left')::uuid AND r.id = md5('bench :right')::uuid \gset

BEGIN;
INSERT INTO matches (id, mode, classic, private, score_to_win, seed, rules_version, left_seat, left_user, right_seat,
                     right_user, owner_node, owner_incarnation, epoch)
VALUES (':match_id', 'casual', false, false, 11, 7, 1, 'player', ':left_id', 'player', ':right_id', 1, 1, 1);
-- Here people may sit twice, which costs the same.
INSERT INTO active_seats (user_id, match_id) VALUES (':left_id', ':match_id'), (':right_id', ':match_id')
ON CONFLICT DO NOTHING;
COMMIT;

UPDATE matches SET started_at = now() WHERE id = ':match_id' AND epoch = 1 AND ended_at IS NULL;
UPDATE matches SET score_left = 1, score_right = 0 WHERE id = ':match_id' AND epoch = 1 AND ended_at IS NULL;
UPDATE matches SET score_left = 2, score_right = 0 WHERE id = ':match_id' AND epoch = 1 AND ended_at IS NULL;

BEGIN;
SELECT epoch FROM matches WHERE id = ':match_id' FOR NO KEY UPDATE;
UPDATE matches SET score_left = 11, score_right = 4, winner = 'left', reason = 'score', ended_at = now(),
                   duration_sub_steps = 43200
WHERE id = ':match_id';
INSERT INTO match_player_stats (match_id, side, user_id, paddle_hits, fastest_ball, power_ups_split, power_ups_blackout,
                                power_ups_blackhole, skills_used, skills_successful, disconnected_ms)
VALUES (':match_id', 'left', ':left_id', 40, 9.5, 1, 0, 0, 3, 2, 0), (':match_id', 'right', ':right_id', 38, 9.5, 0, 1, 0, 2, 1, 0);
INSERT INTO match_events (match_id, n, clock_sub_steps, kind, data)
SELECT ':match_id'::uuid, n, n * 2000, 'goal', '{"side": "left"}' FROM generate_series(1, 20) n;
INSERT INTO replays (match_id, segment, seed, rules_version, input_log, hash_ticks, hashes)
VALUES (':match_id', 0, 7, 1, decode(repeat('00ff', 4096), 'hex'), ARRAY[60::bigint], ARRAY[1::bigint]);
INSERT INTO outbox (kind, payload) VALUES ('match_finished', '{"bench": true}');
DELETE FROM active_seats WHERE match_id = ':match_id';
COMMIT;

-- Reading the past: totals of players, and the orders in which matches and players are listed.

-- What a player has done in finished matches against other people.
CREATE TABLE player_totals (
    user_id            uuid PRIMARY KEY REFERENCES users,
    matches            bigint NOT NULL DEFAULT 0,
    wins               bigint NOT NULL DEFAULT 0,
    goals_for          bigint NOT NULL DEFAULT 0,
    goals_against      bigint NOT NULL DEFAULT 0,
    play_sub_steps     bigint NOT NULL DEFAULT 0
);

-- Counted by the database itself, so that results that a node of the version before records are counted too.
CREATE FUNCTION count_finished_match() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO player_totals AS t (user_id, matches, wins, goals_for, goals_against, play_sub_steps)
    SELECT p.user_id, 1, p.won::int, p.goals_for, p.goals_against, NEW.duration_sub_steps
    FROM (VALUES
        (NEW.left_user, NEW.winner = 'left', NEW.score_left, NEW.score_right),
        (NEW.right_user, NEW.winner = 'right', NEW.score_right, NEW.score_left)
    ) AS p (user_id, won, goals_for, goals_against)
    -- In the order in which all rows of users are locked.
    ORDER BY p.user_id
    ON CONFLICT (user_id) DO UPDATE SET
        matches = t.matches + 1,
        wins = t.wins + excluded.wins,
        goals_for = t.goals_for + excluded.goals_for,
        goals_against = t.goals_against + excluded.goals_against,
        play_sub_steps = t.play_sub_steps + excluded.play_sub_steps;
    RETURN NULL;
END $$;

CREATE TRIGGER matches_finished AFTER UPDATE OF ended_at ON matches FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.winner IS NOT NULL
        AND NEW.left_user IS NOT NULL AND NEW.right_user IS NOT NULL)
    EXECUTE FUNCTION count_finished_match();

INSERT INTO player_totals (user_id, matches, wins, goals_for, goals_against, play_sub_steps)
SELECT p.user_id, count(*), count(*) FILTER (WHERE p.won), sum(p.goals_for), sum(p.goals_against), sum(p.sub_steps)
FROM matches m CROSS JOIN LATERAL (VALUES
    (m.left_user, m.winner = 'left', m.score_left, m.score_right, m.duration_sub_steps),
    (m.right_user, m.winner = 'right', m.score_right, m.score_left, m.duration_sub_steps)
) AS p (user_id, won, goals_for, goals_against, sub_steps)
WHERE m.winner IS NOT NULL AND m.left_user IS NOT NULL AND m.right_user IS NOT NULL
GROUP BY p.user_id;

-- Leaderboards. A first rated match lowers the deviation below that of a newcomer: who has none is not ranked.
CREATE INDEX users_by_rating ON users (rating, id) WHERE rating_deviation < 350 AND deleted_at IS NULL;
CREATE INDEX player_totals_by_wins ON player_totals (wins, user_id) WHERE wins > 0;

-- Finding people by how their names begin.
CREATE INDEX users_account_search ON users (lower(name) text_pattern_ops) WHERE kind = 'account';

-- Finished matches, newest and longest first; ids rise with time. Those of a user by both seats.
CREATE INDEX matches_finished ON matches (id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_mode ON matches (mode, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_longest ON matches (duration_sub_steps, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_left ON matches (left_user, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_right ON matches (right_user, id) WHERE winner IS NOT NULL;

-- What lists of matches and leaderboards are read along, for those who have played very much.

-- The matches of a user of one mode, and the longest; the longest of a mode.
CREATE INDEX matches_finished_left_mode ON matches (left_user, mode, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_right_mode ON matches (right_user, mode, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_left_longest ON matches (left_user, duration_sub_steps, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_right_longest ON matches (right_user, duration_sub_steps, id) WHERE winner IS NOT NULL;
CREATE INDEX matches_finished_mode_longest ON matches (mode, duration_sub_steps, id) WHERE winner IS NOT NULL;

-- A rating curve, past all matches that were not rated.
CREATE INDEX match_player_stats_rated ON match_player_stats (user_id, match_id) WHERE rating_after IS NOT NULL;

//! Every row of the rules' "A match", and of "Modes" where they differ.

use rally_protocol::{
    client::v1::{Dir, EndReason, ErrorCode, EventKind, JoinAs, Level, Mode, Phase, Skill},
    cluster::v1::Command,
};
use rally_room::{JoinError, Who};

use crate::kit::{ANOTHER_SPEED, Left, Right, S, Scene, a_match, session, user};

fn played(mode: Mode) -> Scene {
    a_match(mode).made().begun()
}

mod waiting {
    use super::*;

    #[test]
    fn both_attached_and_ready_start_the_countdown() {
        let mut scene = a_match(Mode::Casual).made();
        scene.attach(Left);
        scene.command(Left, Command::Ready);
        scene.run(5);
        scene.attach(Right);
        scene.run(5);
        assert_eq!(scene.room.phase(), Phase::Waiting);
        scene.command(Right, Command::Ready);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
        assert_eq!(
            scene.told(),
            [(EventKind::Ready, Some(Left)), (EventKind::Ready, Some(Right)), (EventKind::Countdown, None)]
        );
    }

    #[test]
    fn ready_twice_is_ready_once() {
        let mut scene = a_match(Mode::Casual).made();
        scene.attach(Left);
        scene.command(Left, Command::Ready);
        scene.command(Left, Command::Ready);
        scene.run(1);
        assert_eq!(scene.kinds(), [EventKind::Ready]);
    }

    #[test]
    fn one_absent_10_s_is_void_in_quickplay_and_tells_who_was_there() {
        for mode in [Mode::Ranked, Mode::Casual, Mode::Classic, Mode::Duel] {
            let mut scene = a_match(mode).made();
            scene.attach(Right);
            scene.command(Right, Command::Ready);
            scene.run(10 * S - 1);
            assert_eq!(scene.room.phase(), Phase::Waiting);
            scene.run(1);
            let result = scene.result();
            assert_eq!((result.winner, result.reason), (None, EndReason::NoShow), "{mode}");
            assert_eq!([result.players[0].present, result.players[1].present], [false, true]);
            assert_eq!(result.started, None);
        }
    }

    #[test]
    fn one_absent_10_s_in_a_tournament_has_lost() {
        let mut scene = a_match(Mode::Tournament).made();
        scene.attach(Right);
        scene.run(10 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Right), EndReason::NoShow));
    }

    #[test]
    fn both_absent_10_s_is_void_even_in_a_tournament() {
        let mut scene = a_match(Mode::Tournament).made();
        scene.run(10 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::NoShow));
        assert!(scene.result().players.iter().all(|player| !player.present));
    }

    #[test]
    fn a_player_who_left_again_has_10_s_from_then() {
        let mut scene = a_match(Mode::Casual).made();
        scene.attach(Left);
        scene.attach(Right);
        scene.run(9 * S);
        scene.lose(Right);
        scene.run(10 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Waiting);
        scene.run(1);
        assert_eq!([scene.result().players[0].present, scene.result().players[1].present], [true, false]);
    }

    #[test]
    fn attached_but_not_ready_for_30_s_counts_as_absent() {
        let mut scene = a_match(Mode::Tournament).made();
        scene.attach(Left);
        scene.attach(Right);
        scene.command(Left, Command::Ready);
        scene.run(30 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Waiting);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Left), EndReason::NoShow));
        assert_eq!([scene.result().players[0].present, scene.result().players[1].present], [true, false]);
    }

    #[test]
    fn a_forfeit_before_play_is_a_forfeit() {
        let mut scene = a_match(Mode::Casual).made();
        scene.attach(Left);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Right), EndReason::Forfeit));
    }

    #[test]
    fn nothing_but_ready_and_forfeit_fits() {
        let mut scene = a_match(Mode::Casual).made();
        scene.attach(Left);
        assert_eq!(scene.try_command(Left, Command::Pause), Err(ErrorCode::InvalidInput));
        assert_eq!(scene.try_command(Left, Command::Resume), Err(ErrorCode::InvalidInput));
        assert_eq!(scene.try_command(Left, ANOTHER_SPEED), Err(ErrorCode::InvalidInput));
        assert_eq!(scene.try_command(Right, Command::Ready), Err(ErrorCode::Forbidden), "not attached");
    }
}

mod countdown {
    use super::*;

    #[test]
    fn is_3_2_1_go_one_second_each() {
        let mut scene = played(Mode::Casual);
        scene.run(1);
        let told: Vec<_> = scene.events.iter().map(|event| (event.event, event.value, event.tick.0)).collect();
        assert_eq!(
            told[2..],
            [
                (EventKind::Countdown, Some(3), 1),
                (EventKind::Countdown, Some(2), 1 + S),
                (EventKind::Countdown, Some(1), 1 + 2 * S),
                (EventKind::Go, None, 1 + 3 * S),
            ]
        );
    }

    #[test]
    fn the_match_clock_stands_still_until_play() {
        let mut scene = played(Mode::Casual);
        assert_eq!(scene.snapshot().clock.0, 0);
        scene.run(1);
        assert_eq!(scene.snapshot().clock.0, 4);
    }

    #[test]
    fn a_key_held_through_it_counts_from_the_first_tick_and_a_press_does_not() {
        let mut scene = a_match(Mode::Casual).made();
        for side in [Left, Right] {
            scene.attach(side);
            scene.command(side, Command::Ready);
        }
        scene.run(2);
        scene.input(Left, Dir::Down, true).unwrap();
        scene.run(60);
        let snapshot = scene.snapshot();
        assert_eq!((snapshot.phase, snapshot.ack), (Phase::Countdown, [1, 0]));
        assert_eq!(snapshot.paddles[0], (540 * 16, Dir::Down));
        scene.run_to(Phase::Playing);
        scene.run(1);
        let snapshot = scene.snapshot();
        assert!(snapshot.paddles[0].0 > 540 * 16, "{snapshot:?}");
        assert_eq!(snapshot.skills[0], (0, 0));
        assert!(!scene.kinds().contains(&EventKind::Skill));
    }

    #[test]
    fn a_forfeit_during_it_is_immediate() {
        let mut scene = a_match(Mode::Casual).made();
        for side in [Left, Right] {
            scene.attach(side);
            scene.command(side, Command::Ready);
        }
        scene.run(30);
        scene.command(Right, Command::Forfeit);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Left), EndReason::Forfeit));
        assert_eq!(scene.result().started, None);
    }
}

mod playing {
    use super::*;

    #[test]
    fn ends_with_the_score_to_win() {
        let mut scene = a_match(Mode::Classic).score_to_win(2).made().begun();
        // A flat serve would be returned for ever.
        scene.hold(Left, Dir::Up);
        scene.hold(Right, Dir::Up);
        scene.run_to(Phase::Finished);
        let result = scene.result();
        assert_eq!(result.reason, EndReason::Score);
        let winner = result.winner.unwrap();
        assert_eq!(result.score[winner.index()], 2);
        assert!(result.score[winner.opponent().index()] < 2);
        let goals: Vec<_> = scene.events.iter().filter(|event| event.event == EventKind::Goal).collect();
        assert_eq!(goals.len(), usize::from(result.score[0] + result.score[1]));
        let last = goals.last().unwrap();
        assert_eq!((last.side, last.score), (Some(winner), Some(result.score)));
        // The ball passed flat, half-way up the field.
        assert_eq!(last.y, Some(540 * 16));
    }

    #[test]
    fn tells_each_hit_with_its_place_and_speed() {
        let mut scene = played(Mode::Classic);
        let is_hit = |scene: &Scene| scene.kinds().contains(&EventKind::Hit);
        scene.run_until(5 * S, is_hit);
        let hit = scene.last(EventKind::Hit);
        assert_eq!((hit.value, hit.y), (Some(630), Some(540 * 16)));
        assert!(hit.side.is_some());
    }

    #[test]
    fn a_skill_is_told_shown_and_counted() {
        let mut scene = a_match(Mode::Casual).skill(Right, Skill::Dash).made().begun();
        scene.run(10);
        scene.press(Left);
        scene.press(Right);
        scene.run(1);
        let skills: Vec<_> = scene.events.iter().filter(|event| event.event == EventKind::Skill).collect();
        assert_eq!(skills.iter().map(|event| event.skill).collect::<Vec<_>>(), [Some(Skill::Smash), Some(Skill::Dash)]);
        assert_eq!(scene.snapshot().skills, [(3 * 60, 12), (5 * 60, 18)]);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        let stats = scene.result().players.each_ref().map(|player| player.stats);
        assert_eq!(stats.map(|stats| stats.skills_used), [1, 1]);
        assert_eq!(stats.map(|stats| stats.skills_successful), [0, 1]);
    }

    #[test]
    fn classic_has_no_skills() {
        let mut scene = played(Mode::Classic);
        scene.press(Left);
        scene.run(2);
        assert!(!scene.kinds().contains(&EventKind::Skill));
        let picture = scene.join(9, 9, JoinAs::Spectator).unwrap().picture;
        assert!(picture.classic);
        assert_eq!(picture.players.map(|player| player.unwrap().skill), [None, None]);
    }

    #[test]
    fn the_longest_match_is_void_after_an_hour() {
        let mut scene = played(Mode::Classic);
        scene.run_until(3_600 * S, |scene| scene.room.is_over());
        assert_eq!(scene.room.tick_count().0, 3_600 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::Abandoned));
    }
}

mod paused {
    use super::*;

    #[test]
    fn resumed_by_either_it_leads_to_the_countdown() {
        for resumer in [Left, Right] {
            let mut scene = played(Mode::Casual);
            scene.command(Left, Command::Pause);
            scene.run(1);
            assert_eq!(scene.room.phase(), Phase::Paused);
            let told = scene.last(EventKind::Paused);
            assert_eq!((told.side, told.value), (Some(Left), Some(2)));
            let clock = scene.snapshot().clock;
            scene.run(100);
            assert_eq!(scene.snapshot().clock, clock);
            scene.command(resumer, Command::Resume);
            scene.run(1);
            assert_eq!(scene.room.phase(), Phase::Countdown);
            assert_eq!(scene.last(EventKind::Resumed).side, Some(resumer));
            assert_eq!(scene.run_to(Phase::Playing), 3 * S - 1);
        }
    }

    #[test]
    fn each_player_has_three() {
        let mut scene = played(Mode::Casual);
        for left in [2, 1, 0] {
            scene.command(Left, Command::Pause);
            scene.run(1);
            assert_eq!(scene.last(EventKind::Paused).value, Some(left));
            scene.command(Right, Command::Resume);
            scene.run_to(Phase::Playing);
        }
        assert_eq!(scene.try_command(Left, Command::Pause), Err(ErrorCode::Forbidden));
        assert_eq!(scene.room.phase(), Phase::Playing);
        scene.command(Right, Command::Pause);
        assert_eq!(scene.room.phase(), Phase::Paused);
    }

    #[test]
    fn is_30_s_in_all_and_then_ends_by_itself() {
        let mut scene = played(Mode::Casual);
        scene.command(Left, Command::Pause);
        scene.run(20 * S);
        scene.command(Left, Command::Resume);
        scene.run_to(Phase::Playing);
        scene.command(Left, Command::Pause);
        scene.run(10 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
        scene.run_to(Phase::Playing);
        assert_eq!(scene.try_command(Left, Command::Pause), Err(ErrorCode::Forbidden), "no time is left for a third");
    }

    #[test]
    fn cannot_be_paused_again_and_play_cannot_be_resumed() {
        let mut scene = played(Mode::Casual);
        assert_eq!(scene.try_command(Left, Command::Resume), Err(ErrorCode::InvalidInput));
        scene.command(Left, Command::Pause);
        assert_eq!(scene.try_command(Right, Command::Pause), Err(ErrorCode::InvalidInput));
    }

    #[test]
    fn a_player_lost_meanwhile_is_awaited_after_it() {
        let mut scene = played(Mode::Casual);
        scene.command(Left, Command::Pause);
        scene.run(10);
        scene.lose(Right);
        scene.run(5 * S);
        scene.command(Left, Command::Resume);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Paused);
        assert_eq!(scene.last(EventKind::Paused).side, None);
        assert_eq!(scene.try_command(Left, Command::Resume), Err(ErrorCode::InvalidInput));
        scene.attach(Right);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
    }

    #[test]
    fn forfeit_ends_it() {
        let mut scene = played(Mode::Casual);
        scene.command(Left, Command::Pause);
        scene.run(10);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!(scene.result().winner, Some(Right));
    }
}

mod disconnected {
    use super::*;

    #[test]
    fn the_paddle_stops_at_once() {
        let mut scene = played(Mode::Casual);
        scene.hold(Right, Dir::Down);
        scene.run(5);
        let before = scene.snapshot().paddles[1];
        assert_eq!(before.1, Dir::Down);
        scene.lose(Right);
        scene.run(5);
        assert_eq!(scene.snapshot().paddles[1], (before.0, Dir::Stay));
        let away = scene.last(EventKind::Away);
        assert_eq!((away.side, away.value), (Some(Right), Some(30)));
    }

    #[test]
    fn two_seconds_later_the_match_pauses() {
        let mut scene = played(Mode::Casual);
        scene.lose(Right);
        scene.run(2 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Playing);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Paused);
        let paused = scene.last(EventKind::Paused);
        assert_eq!((paused.side, paused.value), (None, None));
    }

    #[test]
    fn coming_back_leads_to_the_countdown() {
        let mut scene = played(Mode::Casual);
        scene.lose(Right);
        scene.run(10 * S);
        scene.forget_events();
        let joined = scene.attach(Right);
        assert_eq!(joined.picture.players[1].as_ref().unwrap().away_left_s, 20);
        scene.run(1);
        assert_eq!(
            scene.told()[1..],
            [(EventKind::Back, Some(Right)), (EventKind::Resumed, None), (EventKind::Countdown, None)]
        );
        assert_eq!(scene.last(EventKind::Back).value, Some(20));
        scene.run_to(Phase::Playing);
    }

    #[test]
    fn coming_back_within_two_seconds_goes_on_without_a_pause() {
        let mut scene = played(Mode::Casual);
        scene.lose(Right);
        scene.run(S);
        scene.attach(Right);
        scene.run(5 * S);
        assert_eq!(scene.room.phase(), Phase::Playing);
        assert!(!scene.kinds().contains(&EventKind::Paused));
    }

    #[test]
    fn after_30_s_away_the_opponent_wins() {
        let mut scene = played(Mode::Ranked);
        scene.lose(Left);
        scene.run(30 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.run(1);
        let result = scene.result();
        assert_eq!((result.winner, result.reason), (Some(Right), EndReason::Timeout));
        assert_eq!(result.players.each_ref().map(|player| player.stats.disconnected_ms), [30_000, 0]);
    }

    #[test]
    fn the_30_s_are_per_player_and_match() {
        let mut scene = played(Mode::Casual);
        scene.lose(Left);
        scene.run(20 * S);
        scene.attach(Left);
        scene.run_to(Phase::Playing);
        scene.lose(Right);
        scene.run(20 * S);
        scene.attach(Right);
        scene.run_to(Phase::Playing);
        scene.lose(Left);
        scene.run(1);
        assert_eq!(scene.last(EventKind::Away).value, Some(10));
        scene.run(10 * S - 2);
        assert!(!scene.room.is_over());
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Right), EndReason::Timeout));
    }

    #[test]
    fn time_away_is_recorded_even_if_the_match_ends_otherwise() {
        let mut scene = played(Mode::Casual);
        scene.lose(Left);
        scene.run(90);
        scene.attach(Left);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!(scene.result().players[0].stats.disconnected_ms, 1_500);
    }

    #[test]
    fn during_the_countdown_it_pauses_too() {
        let mut scene = a_match(Mode::Casual).made();
        for side in [Left, Right] {
            scene.attach(side);
            scene.command(side, Command::Ready);
        }
        scene.run(10);
        scene.lose(Left);
        scene.run(2 * S);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.attach(Left);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
    }
}

mod both_absent {
    use super::*;

    #[test]
    fn for_30_s_the_match_is_void() {
        let mut scene = played(Mode::Ranked);
        scene.lose(Left);
        scene.run(10 * S);
        scene.lose(Right);
        // The left one's time is up 20 s later, but nobody is there to win.
        scene.run(30 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::Abandoned));
    }

    #[test]
    fn the_first_to_return_wins_if_the_others_time_is_up() {
        let mut scene = played(Mode::Ranked);
        scene.lose(Left);
        scene.run(10 * S);
        scene.lose(Right);
        scene.run(25 * S);
        scene.attach(Right);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Right), EndReason::Timeout));
    }

    #[test]
    fn one_back_in_time_goes_on_waiting_for_the_other() {
        let mut scene = played(Mode::Ranked);
        scene.lose(Left);
        scene.lose(Right);
        scene.run(10 * S);
        scene.attach(Left);
        scene.run(5 * S);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.attach(Right);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
    }
}

mod forfeit {
    use super::*;

    #[test]
    fn is_immediate() {
        let mut scene = played(Mode::Casual);
        scene.run(30);
        scene.command(Left, Command::Forfeit);
        assert!(scene.room.is_over());
        scene.run(1);
        let result = scene.result();
        assert_eq!((result.winner, result.reason), (Some(Right), EndReason::Forfeit));
        assert_eq!(result.duration.0, 4 * 30);
    }
}

mod interrupted {
    use super::*;

    #[test]
    fn play_goes_on_with_a_countdown_of_1_s() {
        let mut scene = played(Mode::Casual);
        scene.run(30);
        scene.room.interrupted();
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
        assert_eq!(scene.last(EventKind::Countdown).value, Some(1));
        scene.run(30);
        scene.room.interrupted();
        assert_eq!(scene.run_to(Phase::Playing), S, "the second counts from the last time on");
        scene.command(Left, Command::Forfeit);
        scene.run(1);
    }

    #[test]
    fn elsewhere_nothing_changes() {
        let mut scene = a_match(Mode::Casual).made();
        scene.room.interrupted();
        assert_eq!(scene.room.phase(), Phase::Waiting);
        let mut scene = scene.begun();
        scene.command(Left, Command::Pause);
        scene.room.interrupted();
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.command(Left, Command::Resume);
        scene.room.interrupted();
        assert_eq!(scene.run_to(Phase::Playing), 3 * S);
        scene.command(Left, Command::Forfeit);
        scene.room.interrupted();
        scene.run(1);
        assert!(scene.room.is_over());
    }
}

mod finished {
    use super::*;

    #[test]
    fn no_time_passes_and_nothing_is_possible() {
        let mut scene = played(Mode::Casual);
        scene.command(Left, Command::Forfeit);
        scene.run(100);
        assert_eq!(scene.try_command(Right, Command::Forfeit), Err(ErrorCode::InvalidInput));
        assert_eq!(scene.try_command(Right, Command::Pause), Err(ErrorCode::InvalidInput));
        assert_eq!(scene.try_command(Right, Command::Ready), Err(ErrorCode::InvalidInput));
        assert!(scene.input(Right, Dir::Up, false).is_err());
        scene.lose(Right);
        scene.run(10);
        assert!(!scene.kinds().contains(&EventKind::Away));
    }

    #[test]
    fn pending_is_told_once_and_the_result_only_after_it_is_recorded() {
        let mut scene = played(Mode::Ranked);
        assert_eq!(scene.room.recorded(None), None, "it is not over");
        scene.room.result_pending();
        scene.command(Left, Command::Forfeit);
        assert_eq!(scene.room.recorded(None), None, "it is not handed out yet");
        scene.run(1);
        assert!(!scene.kinds().contains(&EventKind::ResultPending));
        scene.room.result_pending();
        scene.room.result_pending();
        scene.run(2);
        assert_eq!(scene.kinds().iter().filter(|kind| **kind == EventKind::ResultPending).count(), 1);
        assert_eq!(scene.attach_as(Right, 8).picture.over, None);

        let ratings = Some([(1500, 1490), (1500, 1510)]);
        let over = scene.room.recorded(ratings).unwrap();
        assert_eq!((over.winner, over.reason, over.ratings), (Some(Right), EndReason::Forfeit, ratings));
        for joined in [scene.attach_as(Left, 6), scene.join(7, 9, JoinAs::Spectator).unwrap()] {
            assert_eq!((joined.picture.phase, joined.picture.over), (Phase::Finished, Some(over.clone())));
        }
        scene.run(1);
    }

    #[test]
    fn leaves_behind_what_happened() {
        let mut scene = a_match(Mode::Casual).score_to_win(3).made().begun();
        scene.hold(Left, Dir::Up);
        while !scene.room.is_over() {
            scene.run(30);
            if !scene.room.is_over() {
                scene.press(Right);
            }
        }
        let result = scene.result().clone();
        assert_eq!((result.id, result.mode, result.score_to_win), (scene.room.id(), Mode::Casual, 3));
        assert_eq!(result.players.each_ref().map(|player| player.who), [Who::User(user(1)), Who::User(user(2))]);
        assert_eq!(result.started.unwrap().0, 1 + 3 * S);
        assert_eq!(result.duration.0.div_ceil(4), result.ended.0 - result.started.unwrap().0);
        let count = |kind| scene.events.iter().filter(|event| event.event == kind).count();
        let hits: u32 = result.players.iter().map(|player| player.stats.paddle_hits).sum();
        assert_eq!(hits as usize, count(EventKind::Hit));
        assert_eq!(result.players[1].stats.skills_used as usize, count(EventKind::Skill));
        assert!(result.players[1].stats.fastest_ball >= 630.0);
        let kept = count(EventKind::Goal) + count(EventKind::Skill) + count(EventKind::PowerUp);
        assert_eq!(result.events.len(), kept);
        for event in &result.events {
            let told = scene.events.iter().find(|told| told.n == event.n).unwrap();
            assert_eq!(told.side, Some(event.side));
        }
    }
}

mod practice {
    use super::*;

    #[test]
    fn the_bot_is_always_there_and_ready() {
        let mut scene = a_match(Mode::Practice).bot(Right, Level::Easy).made();
        let picture = scene.attach(Left).picture;
        let bot = picture.players[1].clone().unwrap();
        assert_eq!((bot.user, bot.bot, bot.connected, bot.ready), (None, Some(Level::Easy), true, true));
        scene.command(Left, Command::Ready);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
    }

    #[test]
    fn without_its_only_person_for_30_s_it_is_void() {
        let mut scene = a_match(Mode::Practice).bot(Right, Level::Easy).made().begun();
        scene.lose(Left);
        scene.run(30 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::Abandoned));
    }

    #[test]
    fn pauses_stop_the_bot() {
        let mut scene = a_match(Mode::Practice).bot(Right, Level::Hard).made().begun();
        scene.run(60);
        scene.command(Left, Command::Pause);
        scene.run(1);
        let before = scene.snapshot();
        scene.run(60);
        let after = scene.snapshot();
        assert_eq!((before.paddles, before.balls), (after.paddles, after.balls));
    }
}

mod local {
    use super::*;
    use rally_protocol::client::v1::Place;

    #[test]
    fn one_connection_plays_both_sides_and_is_ready_once() {
        let mut scene = a_match(Mode::Local).made();
        let joined = scene.attach(Left);
        assert_eq!((joined.place, joined.picture.side, joined.generation), (Place::Both, Place::Both, 1));
        scene.note(Right, &joined);
        scene.command(Left, Command::Ready);
        scene.run(1);
        assert_eq!(scene.room.phase(), Phase::Countdown);
        scene.run_to(Phase::Playing);
        scene.hold(Left, Dir::Up);
        scene.hold(Right, Dir::Down);
        scene.hold(Right, Dir::Down);
        scene.run(10);
        let snapshot = scene.snapshot();
        assert_eq!(snapshot.ack, [1, 2], "each side counts for itself");
        assert!(snapshot.paddles[0].0 < 540 * 16 && snapshot.paddles[1].0 > 540 * 16);
    }

    #[test]
    fn pauses_are_those_of_the_left_player() {
        let mut scene = a_match(Mode::Local).made().begun_locally();
        for _ in 0..3 {
            scene.command(Left, Command::Pause);
            scene.run(1);
            assert_eq!(scene.last(EventKind::Paused).side, Some(Left));
            scene.command(Left, Command::Resume);
            scene.run_to(Phase::Playing);
        }
        assert_eq!(scene.try_command(Left, Command::Pause), Err(ErrorCode::Forbidden));
    }

    #[test]
    fn lost_it_stops_both_paddles_pauses_and_is_void_after_30_s() {
        let mut scene = a_match(Mode::Local).made().begun_locally();
        scene.hold(Left, Dir::Up);
        scene.hold(Right, Dir::Down);
        scene.run(5);
        scene.lose(Left);
        assert_eq!(scene.snapshot().paddles.map(|(_, dir)| dir), [Dir::Stay, Dir::Stay]);
        scene.run(2 * S);
        assert_eq!(scene.room.phase(), Phase::Paused);
        scene.run(28 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::Abandoned));
    }

    #[test]
    fn giving_up_is_the_left_players_word() {
        let mut scene = a_match(Mode::Local).made().begun_locally();
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (Some(Right), EndReason::Forfeit));
        assert_eq!(scene.result().players.each_ref().map(|player| player.who), [Who::User(user(1)), Who::Shared]);
    }

    #[test]
    fn nobody_coming_is_void() {
        let mut scene = a_match(Mode::Local).made();
        scene.run(10 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::NoShow));
    }
}

mod private {
    use super::*;

    #[test]
    fn the_open_seat_is_claimed_first_and_then_joined() {
        let mut scene = a_match(Mode::Duel).private().made();
        scene.attach(Left);
        scene.command(Left, Command::Ready);
        scene.run(60 * S);
        assert_eq!(scene.room.phase(), Phase::Waiting, "sending a link takes longer than 10 s");
        assert_eq!(scene.join(5, 5, JoinAs::Player).unwrap_err(), JoinError::NeedsClaim { side: Right });
        scene.room.claim(Right, user(5), "friend", Skill::Dash).unwrap();
        let joined = scene.join(5, 5, JoinAs::Player).unwrap();
        let player = joined.picture.players[1].clone().unwrap();
        assert_eq!((player.name.as_str(), player.skill), ("friend", Some(Skill::Dash)));
        scene.room.command(session(5), Command::Ready).unwrap();
        scene.run_to(Phase::Playing);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!(scene.result().players[1].who, Who::User(user(5)));
    }

    #[test]
    fn a_seat_is_claimed_once_and_not_by_its_opponent() {
        let mut scene = a_match(Mode::Duel).private().made();
        assert_eq!(scene.room.claim(Right, user(1), "me", Skill::Dash).unwrap_err().code, ErrorCode::Forbidden);
        scene.room.claim(Right, user(5), "friend", Skill::Dash).unwrap();
        assert_eq!(scene.room.claim(Right, user(6), "other", Skill::Dash).unwrap_err().code, ErrorCode::Forbidden);
        let refused = scene.join(6, 6, JoinAs::Player).unwrap_err();
        assert!(matches!(refused, JoinError::Refused(refusal) if refusal.code == ErrorCode::Forbidden));
    }

    #[test]
    fn after_the_claim_10_s_are_left_to_come() {
        let mut scene = a_match(Mode::Duel).private().made();
        scene.attach(Left);
        scene.run(20 * S);
        scene.room.claim(Right, user(5), "friend", Skill::Dash).unwrap();
        scene.run(10 * S - 1);
        assert_eq!(scene.room.phase(), Phase::Waiting);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::NoShow));
    }

    #[test]
    fn an_open_seat_waits_for_10_minutes_and_an_empty_match_for_2() {
        let mut scene = a_match(Mode::Duel).private().made();
        scene.attach(Left);
        assert_eq!(scene.run_to(Phase::Finished), 600 * S);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::NoShow));
        assert_eq!(scene.result().players[1].who, Who::Nobody);

        let mut scene = a_match(Mode::Duel).private().made();
        assert_eq!(scene.run_to(Phase::Finished), 120 * S);
        assert_eq!(scene.result().reason, EndReason::Abandoned);
    }

    #[test]
    fn giving_up_before_anyone_came_is_void() {
        let mut scene = a_match(Mode::Duel).private().made();
        scene.attach(Left);
        scene.command(Left, Command::Forfeit);
        scene.run(1);
        assert_eq!((scene.result().winner, scene.result().reason), (None, EndReason::Abandoned));
    }

    #[test]
    fn nobody_may_watch() {
        let mut scene = a_match(Mode::Duel).private().made();
        let refused = scene.join(9, 9, JoinAs::Spectator).unwrap_err();
        assert!(matches!(refused, JoinError::Refused(refusal) if refusal.code == ErrorCode::Forbidden));
        assert_eq!(scene.room.viewers(), 0);
    }
}

//! Nothing is allocated while a match is played.

use rally_sim::{Ball, Event, PowerUp, PowerUpKind, Rules, World};

use crate::players::Match;

#[test]
fn ticks_allocate_nothing() {
    // Balls over power-ups of all kinds, so that lists grow and shrink, and whole matches with goals and serves.
    let balls = [300.0, 540.0, 780.0].map(|y| Ball::new(960.0, y, 500.0, y - 500.0));
    let power_ups = [(PowerUpKind::Split, 300.0), (PowerUpKind::Blackhole, 540.0), (PowerUpKind::Blackout, 780.0)]
        .map(|(kind, y)| PowerUp { kind, x: 1200.0, y, remaining_sub_steps: 2160 });
    let staged = World::staged(5, Rules::default(), &balls, &power_ups);
    let mut goals = 0;
    let mut collected = 0;
    for mut game in [Match::of(staged, 5), Match::new(0), Match::new(1)] {
        let counted = allocation_counter::measure(|| {
            for _ in 0..60 * 60 * 5 {
                game.tick();
                for (_, event) in &game.events {
                    goals += u32::from(matches!(event, Event::Goal { .. }));
                    collected += u32::from(matches!(event, Event::PowerUpCollected { .. }));
                }
                std::hint::black_box(game.world.hash());
                std::hint::black_box(game.world.clone());
            }
        });
        assert_eq!(counted.count_total, 0);
    }
    assert!(goals > 10 && collected > 5, "something happened: {goals} goals, {collected} power-ups");
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1]))).count_total > 0, "it counts");
}

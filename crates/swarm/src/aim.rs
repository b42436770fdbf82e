//! How a scripted player moves: well enough that rallies last, since a match that ends measures nothing.
//!
//! Pure: a snapshot in, a direction out. Lengths in u, times in s.

use rally_protocol::client::v1::{Dir, Side};

use crate::seen::Seen;

const FIELD_HEIGHT: f32 = 1_080.0;
const BALL_RADIUS: f32 = 15.0;
/// Where the centre of a ball that touches a paddle is, from its own side.
const CONTACT_X: f32 = 60.0;
const FIELD_WIDTH: f32 = 1_920.0;
const PADDLE_Y: std::ops::RangeInclusive<f32> = 50.0..=1_030.0;
/// From an input's sending to the tick that applies it, roughly.
const DELAY_S: f32 = 0.03;
/// Off-centre hits make the ball fly at angles; far enough from the paddle's end not to miss.
const OFFSETS: [f32; 5] = [-20.0, 10.0, 0.0, 20.0, -10.0];

/// The direction to hold until the next input, `hold_s` from now.
pub(crate) fn aim(seen: &Seen, side: Side, hold_s: f32) -> Dir {
    let balls = seen.balls().iter().map(|[x, y, vx, vy]| {
        // Mirrored for the right player, so that one's own side is always at 0.
        let (x, vx) = (f32::from(*x) / 16.0, f32::from(*vx));
        let (x, vx) = if side == Side::Left { (x, vx) } else { (FIELD_WIDTH - x, -vx) };
        (x, f32::from(*y) / 16.0, vx, f32::from(*vy))
    });
    let mut fastest = 0.0_f32;
    let mut next: Option<(f32, f32)> = None;
    for (x, y, vx, vy) in balls {
        fastest = fastest.max(vx.hypot(vy));
        if vx < 0.0 && x > CONTACT_X {
            let in_s = (CONTACT_X - x) / vx;
            if next.is_none_or(|(sooner, _)| in_s < sooner) {
                next = Some((in_s, bounced(y + vy * in_s)));
            }
        }
    }
    let offset = OFFSETS[(seen.tick / 128) as usize % OFFSETS.len()];
    let target = next.map_or(FIELD_HEIGHT / 2.0, |(_, y)| y + offset).clamp(*PADDLE_Y.start(), *PADDLE_Y.end());
    let speed = (0.6 * fastest).clamp(400.0, 1_600.0);
    let (y, dir) = seen.paddles[side.index()];
    let from = f32::from(y) / 16.0 + f32::from(dir) * speed * DELAY_S;
    // Of the three places where one can be at the next input, the nearest to the target.
    let miss = |dir: f32| (from + dir * speed * hold_s - target).abs();
    [(Dir::Stay, 0.0), (Dir::Up, -1.0), (Dir::Down, 1.0)]
        .into_iter()
        .min_by(|a, b| miss(a.1).total_cmp(&miss(b.1)))
        .map_or(Dir::Stay, |(dir, _)| dir)
}

/// Where a ball is that would have flown to `y` were there no walls.
fn bounced(y: f32) -> f32 {
    let span = FIELD_HEIGHT - 2.0 * BALL_RADIUS;
    let folded = (y - BALL_RADIUS).rem_euclid(2.0 * span);
    BALL_RADIUS + if folded > span { 2.0 * span - folded } else { folded }
}

#[cfg(test)]
mod tests {
    use rally_protocol::client::v1::{Phase, Snapshot};
    use rally_units::{Epoch, MatchId, SubStep, Tick};

    use super::*;

    fn seen(paddle_y: i16, balls: &[(i16, i16, i16, i16)]) -> Seen {
        let snapshot = Snapshot {
            match_id: MatchId::from_bytes([0; 16]),
            tick: Tick(256),
            clock: SubStep(0),
            epoch: Epoch::FIRST,
            phase: Phase::Playing,
            ack: [0; 2],
            paddles: [(paddle_y * 16, Dir::Stay); 2],
            balls: balls
                .iter()
                .map(|(x, y, vx, vy)| (x * 16, y * 16, *vx, *vy))
                .collect::<Vec<_>>()
                .try_into()
                .expect("few"),
            score: [0; 2],
            skills: [(0, 0); 2],
            power_ups: Default::default(),
            effects: Default::default(),
        };
        Seen::from(&snapshot)
    }

    #[test]
    fn walls_are_foreseen() {
        assert_eq!(bounced(500.0), 500.0);
        assert_eq!(bounced(15.0 - 100.0), 115.0);
        assert_eq!(bounced(1_065.0 + 100.0), 965.0);
        assert_eq!(bounced(1_065.0 + 1_050.0 + 100.0), 115.0);
    }

    #[test]
    fn moves_to_where_the_ball_will_be() {
        assert_eq!(aim(&seen(540, &[(960, 200, -600, 0)]), Side::Left, 0.1), Dir::Up);
        assert_eq!(aim(&seen(540, &[(960, 900, -600, 0)]), Side::Left, 0.1), Dir::Down);
        assert_eq!(aim(&seen(540, &[(960, 540, -600, 0)]), Side::Left, 0.1), Dir::Stay);
        // It flies down now, but the wall turns it: 900 u away at 45 degrees from y = 900 it arrives at 330.
        assert_eq!(aim(&seen(540, &[(960, 900, -600, 600)]), Side::Left, 0.1), Dir::Up);
        // The right player looks at the balls that come to the right.
        assert_eq!(aim(&seen(540, &[(960, 200, -600, 0), (960, 900, 600, 0)]), Side::Right, 0.1), Dir::Down);
    }

    #[test]
    fn the_sooner_of_two_balls_counts() {
        let balls = [(1_800, 900, -600, 0), (300, 200, -600, 0)];
        assert_eq!(aim(&seen(540, &balls), Side::Left, 0.1), Dir::Up);
    }

    #[test]
    fn goes_home_when_no_ball_comes() {
        assert_eq!(aim(&seen(900, &[(960, 900, 600, 0)]), Side::Left, 0.1), Dir::Up);
        assert_eq!(aim(&seen(540, &[]), Side::Left, 0.1), Dir::Stay);
    }
}

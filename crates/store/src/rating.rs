//! Glicko-2: what a match between two does to their ratings.

use rally_units::UserId;
use skillratings::{
    Outcomes,
    glicko2::{Glicko2Config, Glicko2Rating, glicko2},
};

use crate::Side;

/// How strong a player is, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// Strength; 1500 for a newcomer.
    pub rating: f64,
    /// Standard deviation of the strength; 350 for a newcomer.
    pub deviation: f64,
    /// Expected fluctuation of the strength; 0.06 for a newcomer.
    pub volatility: f64,
}

/// What a rated match did to one player's rating.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatingChange {
    /// The player.
    pub user: UserId,
    /// Rating before the match.
    pub before: f64,
    /// Rating after it.
    pub after: f64,
}

/// The ratings of the left and the right player after a match that `winner` won. Each match is a rating period.
pub(crate) fn after(ratings: [Rating; 2], winner: Side) -> [Rating; 2] {
    let [left, right] =
        ratings.map(|r| Glicko2Rating { rating: r.rating, deviation: r.deviation, volatility: r.volatility });
    let outcome = match winner {
        Side::Left => Outcomes::WIN,
        Side::Right => Outcomes::LOSS,
    };
    let (left, right) = glicko2(&left, &right, &outcome, &Glicko2Config::new());
    [left, right].map(|r| Rating { rating: r.rating, deviation: r.deviation, volatility: r.volatility })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_gains_what_is_surprising() {
        let newcomer = Rating { rating: 1500.0, deviation: 350.0, volatility: 0.06 };
        let [won, lost] = after([newcomer, newcomer], Side::Left);
        // Glickman's example values for two newcomers.
        assert_eq!((won.rating.round(), won.deviation.round()), (1662.0, 290.0));
        assert_eq!((lost.rating.round(), lost.deviation.round()), (1338.0, 290.0));
        let mirrored = after([newcomer, newcomer], Side::Right);
        assert_eq!([mirrored[1], mirrored[0]], [won, lost]);

        let known = |rating| Rating { rating, deviation: 60.0, volatility: 0.06 };
        let expected = after([known(1800.0), known(1500.0)], Side::Left)[0].rating - 1800.0;
        let surprising = after([known(1500.0), known(1800.0)], Side::Left)[0].rating - 1500.0;
        assert!(expected > 0.0 && surprising > 3.0 * expected, "{expected} {surprising}");
    }
}

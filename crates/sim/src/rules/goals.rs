//! Goals, what they end, and the serve that follows.

use crate::{
    Ball, Event, Events, Side, World,
    field::{BALL_RADIUS, WIDTH},
};

/// Who scores with a ball here, if anyone: it must be wholly behind a side line.
fn scorer(ball: &Ball) -> Option<Side> {
    if ball.x + BALL_RADIUS <= 0.0 {
        Some(Side::Right)
    } else if ball.x - BALL_RADIUS >= WIDTH {
        Some(Side::Left)
    } else {
        None
    }
}

/// Counts the balls that are out and takes them away. A goal that decides the match is the last thing that happens in
/// it: balls after it, and a serve, are left out.
pub(crate) fn step(world: &mut World, events: &mut Events) {
    let mut index = 0;
    while index < world.balls.len() {
        let Some(side) = scorer(&world.balls[index]) else {
            index += 1;
            continue;
        };
        let ball = world.balls.remove(index);
        world.score[side.index()] += 1;
        events.push(world.clock, Event::Goal { scorer: side, y: ball.y });
        if world.winner().is_some() {
            return;
        }
    }
    if world.balls.is_empty() {
        if world.effects.split_sub_steps > 0 {
            world.effects.split_sub_steps = 0;
            events.push(world.clock, Event::SplitEnded);
        }
        let towards = serve(world);
        events.push(world.clock, Event::Served { towards });
    }
}

/// Puts a ball into the centre, flying to a random side.
pub(crate) fn serve(world: &mut World) -> Side {
    let towards = Side::ALL[world.rng.below(2) as usize];
    world.balls.push(Ball::served(towards));
    towards
}

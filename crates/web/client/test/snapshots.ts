// Snapshots for tests, positions in u.
import type { BallState, Dir, Pair, Phase, Snapshot } from "rally-sdk";

interface Some {
  tick: number;
  epoch?: number;
  phase?: Phase;
  paddles?: Pair<number>;
  dirs?: Pair<Dir>;
  balls?: BallState[];
}

export function snapshot({ tick, epoch = 1, phase = "playing", paddles = [540, 540], dirs = [0, 0], balls = [] }: Some): Snapshot {
  return {
    type: "snapshot",
    match: "0191e8a4-7b1c-7def-8123-456789abcdef",
    tick,
    clock: tick * 4,
    epoch,
    phase,
    ack: [0, 0],
    paddles: [
      { y: paddles[0] * 16, dir: dirs[0] },
      { y: paddles[1] * 16, dir: dirs[1] },
    ],
    balls: balls.map(({ x, y, vx, vy }) => ({ x: x * 16, y: y * 16, vx, vy })),
    score: [0, 0],
    skills: [
      { cooldown: 0, active: 0 },
      { cooldown: 0, active: 0 },
    ],
    powerUps: [],
    effects: [],
  };
}

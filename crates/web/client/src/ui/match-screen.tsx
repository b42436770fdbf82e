// A match on the screen: the board above, the field, what is to be said over it, and the strip below.

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";

import { connection, listen, seat, state } from "../app.ts";
import { Controls } from "../game/controls.ts";
import { Match } from "../game/match.ts";
import { Renderer } from "../game/renderer.ts";
import { HEIGHT } from "../game/rules.ts";
import { sound } from "../game/sound.ts";
import type { Field } from "../game/timeline.ts";
import { SIDES, type Id, type JoinAs, type MatchEvent, type Pair, type Place } from "rally-sdk";
import * as settings from "../settings.ts";
import { Board } from "./board.tsx";
import { nameOf } from "./names.ts";
import { Overlay } from "./overlay.tsx";
import { Strip } from "./strip.tsx";

/** What is shown in figures, a few times a second. */
export interface Hud {
  rttMs: number | null;
  jitterMs: number;
  gapMs: number;
  /** In ticks. */
  cooldowns: Pair<number>;
}

const HUD_EVERY_MS = 200;

interface MatchScreenProps {
  id: Id;
  as: JoinAs;
  /** What is shown here has ended, or refuses one, or was silent for too long. Called until something else is shown. */
  onGone?: (match: Match) => void;
  /** Of a replay that goes on here: how fast it went before. */
  speedPercent?: number | null;
}

const SILENCE_MS_MAX = 3000;

export function MatchScreen({ id, as, onGone, speedPercent = null }: MatchScreenProps) {
  const match = useMemo(() => new Match(connection, id, as, as === "player" ? settings.skill.value : null), [id, as]);
  const hud = useSignal<Hud>({ rttMs: null, jitterMs: 0, gapMs: 0, cooldowns: [0, 0] });
  const ui = match.ui.value;
  useMembership(match);
  const isShown = ui.replay !== null;
  useEffect(() => {
    if (isShown && speedPercent !== null && speedPercent !== 100) match.direct(null, speedPercent);
  }, [match, isShown]);
  useEffect(() => {
    if (onGone === undefined) return;
    if (ui.refusal !== null) return onGone(match);
    const timer = setInterval(() => {
      if (state.value.kind === "live" && match.silentMs(performance.now()) > SILENCE_MS_MAX) onGone(match);
    }, 1000);
    return () => clearInterval(timer);
  }, [match, ui.refusal]);

  return (
    <main class="match">
      <Board ui={ui} hud={hud} />
      <Arena match={match} hud={hud} />
      <Strip match={match} hud={hud} />
      <p class="unseen" aria-live="polite">
        {ui.joined && `${nameOf(ui.players[0], "Left")} ${ui.score[0]}, ${nameOf(ui.players[1], "Right")} ${ui.score[1]}`}
      </p>
    </main>
  );
}

/** Joins at once and after each reconnect, and leaves with the page. */
function useMembership(match: Match): void {
  useEffect(() => {
    const silence = listen((message, nowMs) => match.take(message, nowMs));
    const unsubscribe = state.subscribe((now) => {
      if (now.kind === "live") match.join();
      else match.lost(performance.now());
    });
    return () => {
      unsubscribe();
      silence();
      match.leave();
      const { place, over } = match.ui.value;
      // One's seat is kept for a while: home offers the way back.
      if (over === null && place !== "spectator" && match.ui.value.refusal === null) seat.value = match.id;
    };
  }, [match]);
}

function Arena({ match, hud }: { match: Match; hud: Signal<Hud> }) {
  const arena = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    const surface = canvas.current!;
    const renderer = new Renderer(surface);
    let field: Field | null = null;
    const controls = new Controls(arena.current!, {
      sides: () => match.sides,
      hold: (side, dir) => match.hold(side, dir, performance.now()),
      press: (side) => {
        const now = performance.now();
        if (match.press(side, now)) renderer.lunge(side, now);
      },
      pause: () => match.pause(),
      paddleY: (side) => field?.paddles[side] ?? null,
      fieldHeightPx: () => surface.clientHeight,
    });
    const resize = new ResizeObserver(() => renderer.resize());
    resize.observe(surface);

    let hudMs = 0;
    let request = requestAnimationFrame(function loop() {
      // The callback's own time is that of the display: before snapshots that came since.
      const now = performance.now();
      const frame = match.frame(now);
      if (frame !== null) {
        const { place, players, over } = match.ui.value;
        if (field !== null && bounced(field, frame.field)) sound.wall();
        field = frame.field;
        controls.follow();
        for (const event of frame.events) sound.event(event, concern(event.side, place));
        renderer.draw(
          {
            field,
            events: frame.events,
            place,
            skills: [players[0]?.skill ?? null, players[1]?.skill ?? null],
            score: match.ui.value.score,
            calm: settings.reducedMotion.value,
          },
          now,
        );
        // After the end no snapshots come: the last figures stand.
        if (now - hudMs > HUD_EVERY_MS && over === null) {
          hudMs = now;
          const { jitterMs, gapMs } = match.link(now);
          const cooldowns: Pair<number> = [field.snapshot.skills[0].cooldown, field.snapshot.skills[1].cooldown];
          hud.value = { rttMs: connection.rttMs, jitterMs, gapMs, cooldowns };
        }
      }
      request = requestAnimationFrame(loop);
    });
    return () => {
      cancelAnimationFrame(request);
      resize.disconnect();
      controls.dispose();
    };
  }, [match]);

  const { over, players } = match.ui.value;
  useEffect(() => {
    if (over !== null && over.winner !== null) sound.over(concern(over.winner, match.ui.value.place));
  }, [over]);

  const skills = over === null ? match.sides.filter((side) => players[side]?.skill != null) : [];
  return (
    <div class="arena" ref={arena}>
      <div class="floor">
        <canvas ref={canvas} role="img" aria-label="The field" width={1280} height={(1280 * HEIGHT) / 1920} />
        <Overlay match={match} />
      </div>
      <div class="thumbs">
        {skills.map((side) => (
          <button
            key={side}
            type="button"
            class={`thumb ${SIDES[side]}`}
            onPointerDown={(event) => {
              event.preventDefault();
              match.press(side, performance.now());
            }}
          >
            {players[side]?.skill}
          </button>
        ))}
      </div>
    </div>
  );
}

/** Good, bad, or nothing to the one who looks on. */
function concern(side: MatchEvent["side"], place: Place): -1 | 0 | 1 {
  if (side === null || place === "both" || place === "spectator") return 0;
  return side === place ? 1 : -1;
}

const WALL_U = 60;

function bounced(before: Field, after: Field): boolean {
  if (before.balls.length !== after.balls.length) return false;
  return after.balls.some((ball, i) => {
    const last = before.balls[i]!;
    const near = ball.y < WALL_U || ball.y > HEIGHT - WALL_U;
    return near && Math.sign(ball.vy) === -Math.sign(last.vy) && ball.vy !== 0 && Math.abs(ball.x - last.x) < 100;
  });
}

// What stands over the field when it is not simply played on: waiting, pausing, connection trouble, the end.
// The first that applies is shown.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { again, connection, enqueue, explain, explainError, newMatch, queue, state, trouble } from "../app.ts";
import { rematch, rematchAsked, rematchWanted } from "../duels.ts";
import type { Match, MatchUi } from "../game/match.ts";
import { type EndReason, type GameOver, type NewMatch, type Pair, type Player, SIDES, type Skill } from "rally-sdk";
import { go } from "../router.ts";
import * as settings from "../settings.ts";
import { CopyLink } from "./copy-link.tsx";
import { nameOf } from "./names.ts";
import { SecondsLeft } from "./seconds-left.tsx";

export function Overlay({ match }: { match: Match }) {
  const ui = match.ui.value;
  const link = state.value;
  if (ui.over !== null) return <TheEnd match={match} over={ui.over} />;
  if (link.kind === "stopped") return <Stopped reason={link.reason} />;
  if (ui.refusal !== null) return <Refused match={match} code={ui.refusal.code} detail={ui.refusal.detail} />;
  if (link.kind === "waiting" || (link.kind === "connecting" && link.attempt > 1)) {
    return (
      <Card title="Reconnecting…" tone="away">
        {ui.seatKept === null ? (
          <p>The connection is lost.{ui.place === "spectator" ? "" : " Your seat is kept for a while."}</p>
        ) : (
          <p>
            The connection is lost. Your seat is kept for <SecondsLeft untilMs={ui.seatKept.untilMs} />.
          </p>
        )}
        <button type="button" onClick={() => connection.hurry()}>
          Try now
        </button>
      </Card>
    );
  }
  if (ui.retrying) {
    return (
      <Card title="Reconnecting…" tone="away">
        <p>The match cannot be reached just now. Your seat is kept for a while.</p>
      </Card>
    );
  }
  if (!ui.joined) return <Card title="Taking a seat…" />;
  // It stands still and goes on as its watcher likes: that is said below.
  if (ui.replay !== null) return null;
  if (ui.recording) return <Card title="Recording the result…" />;
  if (ui.phase === "waiting") return <BeforeIt match={match} ui={ui} />;
  if (ui.phase === "paused") return <Paused match={match} ui={ui} />;
  return null;
}

interface CardProps {
  title: string;
  tone?: "left" | "right" | "away";
  children?: ComponentChildren;
}

const FOCUS_AFTER_MS = 700;

function Card({ title, tone, children }: CardProps) {
  const box = useRef<HTMLDivElement>(null);
  // Keys go on to the first thing to do, but not at once: who hammers Space does not mean it.
  useEffect(() => {
    const timer = setTimeout(() => {
      if (document.activeElement === document.body) box.current?.querySelector<HTMLElement>("button.primary")?.focus();
    }, FOCUS_AFTER_MS);
    return () => clearTimeout(timer);
  }, [title]);
  return (
    <div class="overlay">
      <div class={`card ${tone ?? ""}`} ref={box} role="status">
        <h1>{title}</h1>
        {children}
      </div>
    </div>
  );
}

function Stopped({ reason }: { reason: "seat_taken" | "unauthenticated" | "closed" }) {
  const taken = reason === "seat_taken";
  return (
    <Card title={taken ? "You went on in another tab" : "Your session has ended"} tone="away">
      <p>{taken ? "Your seat is taken there. One at a time." : "Sign in to go on."}</p>
      <button type="button" class="primary" onClick={() => void again().catch(() => {})}>
        {taken ? "Play here instead" : "Sign in"}
      </button>
      <Home />
    </Card>
  );
}

function Refused({ match, code, detail }: { match: Match; code: string; detail: string }) {
  const barred = code === "forbidden";
  const taken = barred && match.as === "player";
  const title = taken ? "Both seats are taken" : barred ? "This match is private" : "This does not work";
  return (
    <Card title={title} tone="away">
      <p>{taken ? "You can watch it, unless it is private." : barred ? "Only its players see it." : explain(code, detail)}</p>
      {taken && (
        <button type="button" class="primary" onClick={() => go(`/watch/${match.id}`)}>
          Watch
        </button>
      )}
      <Home />
    </Card>
  );
}

function BeforeIt({ match, ui }: { match: Match; ui: MatchUi }) {
  const open = ui.players.includes(null);
  const own = ui.players.some((player, i) => player !== null && SIDES[i] === ui.place && !player.ready);
  return (
    <Card title={open ? "Invite your opponent" : "Both to the table"}>
      {open && ui.place !== "spectator" ? (
        <>
          <p>Whoever opens this link first sits down opposite you.</p>
          <p class="row centre">
            <input
              class="link"
              aria-label="Link to this match"
              readOnly
              value={`${location.origin}/play/${match.id}`}
              onFocus={(event) => event.currentTarget.select()}
            />
            <CopyLink path={`/play/${match.id}`} label="Copy" />
          </p>
        </>
      ) : (
        <ul class="roll">
          {ui.players.map((player, i) => (
            <li key={SIDES[i]} class={SIDES[i]}>
              <b>{nameOf(player, "Open seat")}</b>
              <span>{presence(player)}</span>
            </li>
          ))}
        </ul>
      )}
      {own && (
        <button type="button" class="primary" onClick={() => match.ready()}>
          Ready
        </button>
      )}
    </Card>
  );
}

function presence(player: Player | null): string {
  if (player === null) return "nobody yet";
  if (player.ready) return "ready";
  return player.connected ? "getting ready" : "on the way";
}

function Paused({ match, ui }: { match: Match; ui: MatchUi }) {
  const plays = ui.place !== "spectator";
  const absent = ui.away.findIndex((absence) => absence !== null);
  const absence = ui.away[absent === 1 ? 1 : 0];
  const mine = ui.players[ui.place === "right" ? 1 : 0];
  if (absence !== null && absent >= 0) {
    return (
      <Card title={`${nameOf(ui.players[absent as 0 | 1], "A player")} is away`} tone="away">
        <p>
          Back within <SecondsLeft untilMs={absence.untilMs} />, or the match is lost.
        </p>
      </Card>
    );
  }
  const by = ui.pausedBy === null ? null : ui.players[ui.pausedBy === "left" ? 0 : 1];
  return (
    <Card title="Paused">
      <p>
        {by !== null && `By ${by.name}. `}
        {plays && mine !== null && `You have ${count(mine.pausesLeft, "pause")} left.`}
      </p>
      {plays && (
        <button type="button" class="primary" onClick={() => match.pause()}>
          Resume
        </button>
      )}
    </Card>
  );
}

function count(n: number, what: string): string {
  return `${n === 0 ? "no" : n} ${what}${n === 1 ? "" : "s"}`;
}

const REASONS: Record<EndReason, string> = {
  score: "",
  timeout: "The other was away for too long.",
  forfeit: "The other gave up.",
  no_show: "The other did not come.",
  abandoned: "Nobody was left to win it.",
};
const OWN_REASONS: Partial<Record<EndReason, string>> = {
  timeout: "You were away for too long.",
  forfeit: "You gave up.",
  no_show: "You did not come in time.",
};

function TheEnd({ match, over }: { match: Match; over: GameOver }) {
  const ui = match.ui.value;
  const winner = over.winner;
  const own = ui.place === "left" || ui.place === "right" ? ui.place : null;
  const names: Pair<string> = [nameOf(ui.players[0], "Left"), nameOf(ui.players[1], "Right")];
  const title =
    winner === null
      ? "No result"
      : own === null
        ? `${names[winner === "left" ? 0 : 1]} wins`
        : winner === own
          ? "Victory"
          : "Defeat";
  const lost = own !== null && winner !== null && winner !== own;
  const reason = (lost ? OWN_REASONS[over.reason] : undefined) ?? REASONS[over.reason];
  return (
    <Card title={title} {...(winner === null || lost ? {} : { tone: winner })}>
      <p class="final" data-result={over.reason}>
        <span class="left">{over.score[0]}</span>
        <i>:</i>
        <span class="right">{over.score[1]}</span>
        <b class="left">{names[0]}</b>
        <i />
        <b class="right">{names[1]}</b>
      </p>
      {reason !== "" && <p>{reason}</p>}
      {queue.value !== null && <p>You are waiting for the next opponent, first in line.</p>}
      {over.ratings !== null && <Ratings ratings={over.ratings} own={own} />}
      <div class="row centre">
        {ui.place !== "spectator" && queue.value === null && (
          <button type="button" class="primary" onClick={() => void playAgain(ui)}>
            Play again
          </button>
        )}
        {own !== null && queue.value === null && ui.players.every((player) => player?.user != null) && (
          <Rematch match={match} skill={ui.players[own === "right" ? 1 : 0]?.skill ?? null} />
        )}
        <Home />
      </div>
    </Card>
  );
}

/** The same two once more, if both want it. */
function Rematch({ match, skill }: { match: Match; skill: Skill | null }) {
  const asked = rematchAsked.value === match.id;
  const wanted = rematchWanted.value === match.id;
  return (
    <button type="button" class={wanted ? "primary" : ""} disabled={asked} onClick={() => rematch(match.id, skill)}>
      {asked ? "Waiting for the other…" : wanted ? "Rematch? The other wants one" : "Rematch"}
    </button>
  );
}

function Ratings({ ratings, own }: { ratings: Pair<Pair<number>>; own: "left" | "right" | null }) {
  return (
    <p class="ratings">
      {ratings.map(([before, after], i) => (
        <span key={SIDES[i]} class={SIDES[i] === own ? `own ${SIDES[i]}` : SIDES[i]}>
          {after} <small>{after >= before ? `+${after - before}` : `−${before - after}`}</small>
        </span>
      ))}
    </p>
  );
}

/** The same kind of match once more. */
async function playAgain(ui: MatchUi): Promise<void> {
  const { mode, classic } = ui;
  const mine = ui.players[ui.place === "right" ? 1 : 0];
  const skill = mine?.skill ?? settings.skill.value;
  if (mode === "ranked" || mode === "casual" || mode === "classic") {
    enqueue(mode, skill);
    go("/");
    return;
  }
  const level = ui.players[0]?.bot ?? ui.players[1]?.bot ?? undefined;
  const next: NewMatch =
    level !== undefined
      ? { mode: "practice", level, skill, classic }
      : { mode: mode === "local" ? "local" : "private", skill, classic };
  try {
    go(`/play/${await newMatch(next)}`);
  } catch (error) {
    trouble.value = explainError(error);
    go("/");
  }
}

function Home() {
  return (
    <button type="button" onClick={() => go("/")}>
      Home
    </button>
  );
}

// One finished match: its score, what both sides did, where the goals fell, and what happened when.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError, session } from "../app.ts";
import { HEIGHT } from "../game/rules.ts";
import { eventsOf, matchOf, type MatchView, type RecordedEvent } from "rally-sdk";
import { SIDES, isId } from "rally-sdk";
import { go } from "../router.ts";
import { Person } from "../ui/person.tsx";
import { Places } from "../ui/places.tsx";
import { NoSuchMatch } from "./play.tsx";

export default function MatchPage({ match }: { match: string }) {
  const view = useSignal<MatchView | null>(null);
  const events = useSignal<RecordedEvent[]>([]);
  const wrong = useSignal<string | null>(null);
  useEffect(() => {
    if (!isId(match)) return;
    const load = async () => {
      const token = await session.fresh();
      const [one, happened] = await Promise.all([matchOf(match, token), eventsOf(match, token)]);
      [view.value, events.value] = [one, happened.items];
    };
    load().catch((error: unknown) => {
      wrong.value = explainError(error);
    });
  }, [match]);
  if (!isId(match)) return <NoSuchMatch />;
  const now = view.value;
  return (
    <main class="sheet">
      <div class="panel">
        <Places />
        {wrong.value !== null && <p class="notice bad">{wrong.value}</p>}
        {now !== null && (
          <>
            <Summary view={now} />
            <Goals events={events.value} />
            <Figures view={now} />
            <Timeline view={now} events={events.value} />
          </>
        )}
      </div>
    </main>
  );
}

function nameAt(view: MatchView, side: number): string {
  const player = view.players[side];
  return player?.name ?? (player?.bot == null ? "Somebody" : `The ${player.bot} bot`);
}

function SomebodyAt({ view, side }: { view: MatchView; side: number }) {
  const player = view.players[side];
  if (player?.user == null || player.name === null) return <>{nameAt(view, side)}</>;
  return <Person who={{ id: player.user, name: player.name }} />;
}

function Summary({ view }: { view: MatchView }) {
  return (
    <>
      <h1>
        {nameAt(view, 0)} {view.score[0]}:{view.score[1]} {nameAt(view, 1)}
      </h1>
      <p class="hint">
        {view.mode}, {clock(view.duration_s)} in play
        {view.ended_at !== null ? `, ${new Date(view.ended_at).toLocaleString()}` : ", being played"}
        {view.reason !== null && view.reason !== "score" && ` (${view.reason.replace("_", " ")})`}
      </p>
      {view.ended_at === null && (
        <button type="button" class="primary" onClick={() => go(`/watch/${view.id}`)}>
          Watch
        </button>
      )}
      {view.has_replay && (
        <button type="button" class="primary" onClick={() => go(`/replay/${view.id}`)}>
          Watch it again
        </button>
      )}
    </>
  );
}

/** Where the ball crossed the lines. */
function Goals({ events }: { events: RecordedEvent[] }) {
  const goals = events.filter((event) => event.event === "goal" && typeof event.data.y === "number");
  if (goals.length === 0) return null;
  return (
    <section>
      <h2>Where the goals fell</h2>
      <svg class="goals" viewBox="0 0 1920 1080" role="img" aria-label={`${goals.length} goals`}>
        <rect x="2" y="2" width="1916" height="1076" class="lines" />
        <line x1="960" y1="0" x2="960" y2={HEIGHT} class="lines" stroke-dasharray="24" />
        {goals.map((goal) => (
          <circle
            key={goal.n}
            class={goal.data.scorer === "left" ? "left" : "right"}
            cx={goal.data.scorer === "left" ? 1880 : 40}
            cy={goal.data.y}
            r="22"
          />
        ))}
      </svg>
    </section>
  );
}

function Figures({ view }: { view: MatchView }) {
  if (view.statistics.length !== 2) return null;
  const rows: [string, (side: MatchView["statistics"][number]) => string | number][] = [
    ["Hits", (side) => side.paddle_hits],
    ["Fastest ball", (side) => Math.round(side.fastest_ball)],
    ["Power-ups", (side) => side.power_ups_split + side.power_ups_blackout + side.power_ups_blackhole],
    ["Skills that met", (side) => `${side.skills_successful} of ${side.skills_used}`],
    ["Away", (side) => `${Math.round(side.disconnected_ms / 1000)} s`],
    ["Rating", (side) => rating(side.rating_before, side.rating_after)],
  ];
  const [left, right] = view.statistics;
  return (
    <table>
      <thead>
        <tr>
          <td />
          {[0, 1].map((side) => (
            <th scope="col" key={side}>
              <SomebodyAt view={view} side={side} />
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(([label, of]) => (
          <tr key={label}>
            <th scope="row">{label}</th>
            <td>{of(left!)}</td>
            <td>{of(right!)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function rating(before: number | null, after: number | null): string {
  if (before === null || after === null) return "–";
  const change = Math.round(after) - Math.round(before);
  return `${Math.round(after)} (${change >= 0 ? "+" : "−"}${Math.abs(change)})`;
}

function Timeline({ view, events }: { view: MatchView; events: RecordedEvent[] }) {
  if (events.length === 0) return null;
  let score = [0, 0];
  return (
    <section class="timeline">
      <h2>What happened</h2>
      <ol>
        {events.map((event) => {
          const side = SIDES.indexOf((event.data.scorer ?? event.data.side ?? "left") as "left" | "right");
          if (event.event === "goal") score = score.map((goals, i) => goals + (i === side ? 1 : 0));
          return (
            <li key={event.n} class={SIDES[side]}>
              <span class="hint">{clock(event.at_s)}</span> {nameAt(view, side)} {told(event)}
              {event.event === "goal" && <b> {score.join(":")}</b>}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function told({ event, data }: RecordedEvent): string {
  if (event === "goal") return "scores";
  if (event === "power_up") return `collects ${data.power_up}`;
  return `uses ${data.skill}`;
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

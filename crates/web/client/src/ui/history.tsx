// The finished matches of somebody, as that one saw them.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Id, matchesOf, type MatchSummary } from "rally-sdk";

import { session } from "../app.ts";
import { go } from "../router.ts";
import { Person } from "./person.tsx";

export function History({ who }: { who: Id }) {
  const rows = useSignal<MatchSummary[]>([]);
  const next = useSignal<string | null>(null);
  const load = async (cursor: string | null) => {
    const page = await matchesOf(who, cursor, await session.fresh()).catch(() => null);
    if (page === null) return;
    rows.value = cursor === null ? page.items : [...rows.value, ...page.items];
    next.value = page.next;
  };
  useEffect(() => void load(null), [who]);
  return (
    <section class="history">
      <h2>Matches</h2>
      <ul>
        {rows.value.map((match) => {
          const own = match.players[0]?.user === who ? 0 : 1;
          const other = match.players[1 - own]!;
          const won = match.winner === (own === 0 ? "left" : "right");
          return (
            <li key={match.id} class={won ? "won" : "lost"}>
              {won ? "Won" : "Lost"} {match.score[own]}:{match.score[1 - own]} against{" "}
              {other.user !== null && other.name !== null ? (
                <Person who={{ id: other.user, name: other.name }} />
              ) : (
                (other.name ?? (other.bot === null ? "a friend" : `the ${other.bot} bot`))
              )}
              <span class="hint"> {match.mode}</span>
              <button type="button" class="quiet" onClick={() => go(`/match/${match.id}`)}>
                More about it
              </button>
            </li>
          );
        })}
      </ul>
      {rows.value.length === 0 && <p class="hint">None yet.</p>}
      {next.value !== null && (
        <button type="button" onClick={() => void load(next.value)}>
          More
        </button>
      )}
    </section>
  );
}

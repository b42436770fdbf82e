// Somebody else: how that one does, and what one can do about it.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import {
  befriend,
  block,
  blocks,
  friendRequests,
  friends,
  isId,
  type PublicUser,
  statsOf,
  unblock,
  unfriend,
  userOf,
  type UserStats,
} from "rally-sdk";

import { explainError, presence, session, user } from "../app.ts";
import { invite, sent } from "../duels.ts";
import { writeTo } from "../talk.ts";
import { Curve } from "../ui/curve.tsx";
import { History } from "../ui/history.tsx";
import { Places } from "../ui/places.tsx";

/** What that one is to whoever looks. */
type Tie = "none" | "asked" | "asks" | "friend" | "blocked";

export default function Player({ player }: { player: string }) {
  const who = useSignal<PublicUser | null>(null);
  const stats = useSignal<UserStats | null>(null);
  const wrong = useSignal<string | null>(null);
  const known = user.value?.id;

  useEffect(() => {
    const load = async () => {
      if (!isId(player)) throw new Error();
      const token = await session.fresh();
      [who.value, stats.value] = await Promise.all([userOf(player, token), statsOf(player, token)]);
    };
    // Only who has a name can ask.
    if (known === undefined) return;
    load().catch((error: unknown) => {
      wrong.value = isId(player) ? explainError(error) : "There is no such player.";
    });
  }, [player, known]);

  const [now, figures] = [who.value, stats.value];
  return (
    <main class="sheet">
      <div class="panel">
        <Places />
        {known === undefined && <p class="hint">Give yourself a name, or sign in, to see how others do.</p>}
        {wrong.value !== null && <p class="notice bad">{wrong.value}</p>}
        {now !== null && (
          <>
            <div class="split">
              <h1>{now.name}</h1>
              {now.avatar !== null && <img class="avatar" src={now.avatar} alt="" width="64" height="64" />}
            </div>
            <p class="hint">{seen(now)}</p>
            {now.id !== known && <Ties who={now} />}
          </>
        )}
        {figures !== null && <Figures stats={figures} />}
        {now !== null && <History who={now.id} />}
      </div>
    </main>
  );
}

function seen(who: PublicUser): string {
  const status = presence.value[who.id];
  const since = `Here since ${new Date(who.created_at).toLocaleDateString()}`;
  if (status !== undefined && status !== "offline") return `${since}, ${status} now`;
  if (who.last_seen_at === null) return since;
  return `${since}, last seen ${new Date(who.last_seen_at).toLocaleString()}`;
}

function Figures({ stats }: { stats: UserStats }) {
  const minutes = Math.round(stats.play_s / 60);
  return (
    <>
      <p class="figures-line">
        Rating <b>{Math.round(stats.rating)}</b>
        {stats.rank !== null && ` · rank ${stats.rank}`} · {stats.wins} won, {stats.losses} lost · goals{" "}
        {stats.goals_for}:{stats.goals_against} · {minutes} min in play
      </p>
      <Curve points={stats.rating_curve} />
    </>
  );
}

/** Friendship, a duel, a word, and the end of all that. */
function Ties({ who }: { who: PublicUser }) {
  const tie = useSignal<Tie | null>(null);
  const said = useSignal<string | null>(null);

  const look = async () => {
    const token = await session.fresh();
    const [mine, waiting, blocked] = await Promise.all([friends(token), friendRequests(token), blocks(token)]);
    const isThat = (one: { user: { id: string } }) => one.user.id === who.id;
    const request = waiting.items.find(isThat);
    if (blocked.items.some(isThat)) tie.value = "blocked";
    else if (mine.items.some(isThat)) tie.value = "friend";
    else if (request !== undefined) tie.value = request.direction === "incoming" ? "asks" : "asked";
    else tie.value = "none";
  };
  const act = async (what: (id: string, token: string) => Promise<unknown>) => {
    try {
      await what(who.id, await session.fresh());
      said.value = null;
      await look();
    } catch (error) {
      said.value = explainError(error);
    }
  };
  useEffect(() => {
    void look().catch((error: unknown) => {
      said.value = explainError(error);
    });
  }, [who.id]);

  const now = tie.value;
  if (now === null) return said.value === null ? null : <p class="notice bad">{said.value}</p>;
  const person = { id: who.id, name: who.name, guest: who.guest };
  return (
    <>
      <div class="row ties">
        {now !== "blocked" && (
          <>
            <button type="button" class="primary" disabled={sent.value !== null} onClick={() => invite(person)}>
              Duel
            </button>
            <button type="button" onClick={() => writeTo(who.id, who.name)}>
              Write
            </button>
            {now === "friend" ? (
              <button type="button" onClick={() => void act(unfriend)}>
                End friendship
              </button>
            ) : (
              <button type="button" disabled={now === "asked"} onClick={() => void act(befriend)}>
                {now === "asked" ? "Asked" : now === "asks" ? "Accept friendship" : "Ask for friendship"}
              </button>
            )}
          </>
        )}
        <button type="button" class="quiet" onClick={() => void act(now === "blocked" ? unblock : block)}>
          {now === "blocked" ? "Unblock" : "Block"}
        </button>
      </div>
      {now === "blocked" && <p class="hint">Nothing comes from {who.name}.</p>}
      {said.value !== null && <p class="notice bad">{said.value}</p>}
    </>
  );
}

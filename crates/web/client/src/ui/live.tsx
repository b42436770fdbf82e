// Matches that are played now, to be watched.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { session, user } from "../app.ts";
import { liveMatches, type LiveMatch } from "rally-sdk";
import { go } from "../router.ts";
import { Person } from "./person.tsx";

const AGAIN_MS = 5_000;

export function Live() {
  const rows = useSignal<LiveMatch[]>([]);
  const who = user.value?.id;
  useEffect(() => {
    // Whoever has no name yet has nobody to ask as.
    if (who === undefined) return;
    const load = async () => {
      if (document.visibilityState !== "visible") return;
      const page = await liveMatches(await session.fresh()).catch(() => null);
      if (page !== null) rows.value = page.items.filter((one) => one.players.every((player) => player.user !== who));
    };
    const often = () => void load().catch(() => {});
    often();
    const timer = setInterval(often, AGAIN_MS);
    return () => clearInterval(timer);
  }, [who]);
  if (rows.value.length === 0) return null;
  return (
    <section class="live">
      <h2>Being played</h2>
      <ul>
        {rows.value.slice(0, 8).map((one) => (
          <li key={one.id} class="split">
            <span>
              <Seated player={one.players[0]} /> <b>{one.score.join(":")}</b> <Seated player={one.players[1]} />{" "}
              <span class="hint">
                {one.mode}
                {one.viewers > 0 && `, ${one.viewers} watch`}
              </span>
            </span>
            <button type="button" class="quiet" onClick={() => go(`/watch/${one.id}`)}>
              Watch
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Seated({ player: { user: id, name } }: { player: LiveMatch["players"][number] }) {
  return id === null ? name : <Person who={{ id, name }} />;
}

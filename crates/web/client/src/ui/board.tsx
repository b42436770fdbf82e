// Above the field: who plays, with what, how they are, and the score.

import type { Signal } from "@preact/signals";

import { COOLDOWN_TICKS } from "../game/rules.ts";
import type { Absence, MatchUi } from "../game/match.ts";
import { SIDES, type SideIndex } from "rally-sdk";
import { SecondsLeft } from "./seconds-left.tsx";
import type { Hud } from "./match-screen.tsx";

export function Board({ ui, hud }: { ui: MatchUi; hud: Signal<Hud> }) {
  return (
    <header class="board">
      <Seat ui={ui} hud={hud} side={0} />
      <p class="score" aria-hidden="true">
        <span class="left">{ui.score[0]}</span>
        <span class="right">{ui.score[1]}</span>
      </p>
      <Seat ui={ui} hud={hud} side={1} />
    </header>
  );
}

function Seat({ ui, hud, side }: { ui: MatchUi; hud: Signal<Hud>; side: SideIndex }) {
  const player = ui.players[side];
  const own = ui.place === SIDES[side];
  return (
    <div class={`seat ${SIDES[side]}`}>
      <p class="name">
        {player?.name ?? "Open seat"}
        {own && <span class="you">you</span>}
        {player?.bot != null && <span class="you">{player.bot}</span>}
      </p>
      <p class="how">
        <Condition ui={ui} side={side} absence={ui.away[side]} />
        {player?.skill != null && (
          <Cooldown label={player.skill} total={COOLDOWN_TICKS[player.skill]} left={hud.value.cooldowns[side]} />
        )}
      </p>
    </div>
  );
}

function Condition({ ui, side, absence }: { ui: MatchUi; side: SideIndex; absence: Absence }) {
  const player = ui.players[side];
  if (player === null || player.bot !== null || ui.over !== null || !ui.joined) return null;
  // After a leap it is not known how they were.
  if (ui.replay !== null) return null;
  if (absence !== null) {
    return (
      <span class="condition away">
        reconnecting, <SecondsLeft untilMs={absence.untilMs} />
      </span>
    );
  }
  if (ui.phase !== "waiting") return null;
  if (!player.connected) return <span class="condition">not here yet</span>;
  return <span class="condition">{player.ready ? "ready" : "getting ready"}</span>;
}

function Cooldown({ label, total, left }: { label: string; total: number; left: number }) {
  const ready = left === 0;
  return (
    <span class={ready ? "cooldown ready" : "cooldown"}>
      <span class="capital">{label}</span>
      <meter min={0} max={total} value={total - Math.min(total, left)} aria-label={`${label} charged`} />
    </span>
  );
}

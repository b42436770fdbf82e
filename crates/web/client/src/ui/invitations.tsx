// Over every page: who wants to play, and what became of one's own invitation.

import { useEffect } from "preact/hooks";

import { seat } from "../app.ts";
import { answer, forgetExpired, invitations, outcome, sent, takeBack } from "../duels.ts";
import { SecondsLeft } from "./seconds-left.tsx";

export default function Invitations() {
  useEffect(() => {
    const timer = setInterval(() => forgetExpired(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  // Who plays is not disturbed; the match in which one sits is one's answer.
  if (seat.value !== null) return null;
  const own = sent.value;
  return (
    <aside class="toasts" aria-live="polite" aria-label="Invitations">
      {invitations.value.map((one) => (
        <div class="toast" key={one.invite} data-invite={one.invite}>
          <p>
            <b>{one.from.name}</b> wants to play{one.mode === "classic" ? " by the classic rules" : ""}.{" "}
            <span class="hint">
              <SecondsLeft untilMs={one.untilMs} />
            </span>
          </p>
          <div class="row">
            <button type="button" class="primary" onClick={() => answer(one, true)}>
              Play
            </button>
            <button type="button" onClick={() => answer(one, false)}>
              Not now
            </button>
          </div>
        </div>
      ))}
      {own !== null && (
        <div class="toast">
          <p>
            Waiting for <b>{own.user.name}</b>…{" "}
            <span class="hint">
              <SecondsLeft untilMs={own.untilMs} />
            </span>
          </p>
          <button type="button" class="quiet" onClick={takeBack}>
            Take it back
          </button>
        </div>
      )}
      {outcome.value !== null && (
        <div class="toast">
          <p>{outcome.value}</p>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              outcome.value = null;
            }}
          >
            Close
          </button>
        </div>
      )}
    </aside>
  );
}

// Who is best, by rating or by matches won.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError, session, user } from "../app.ts";
import { leaderboard, type RankedUser, type Scope } from "rally-sdk";
import { Choice } from "../ui/choice.tsx";
import { Person } from "../ui/person.tsx";
import { Places } from "../ui/places.tsx";

const ORDERS: { value: "rating" | "wins"; label: string }[] = [
  { value: "rating", label: "By rating" },
  { value: "wins", label: "By wins" },
];

const SCOPES: { value: Scope; label: string }[] = [
  { value: "global", label: "Everybody" },
  { value: "friends", label: "Friends" },
  { value: "around", label: "Around you" },
];

export default function Leaderboard() {
  const scope = useSignal<Scope>("global");
  const by = useSignal<"rating" | "wins">("rating");
  const rows = useSignal<RankedUser[]>([]);
  const next = useSignal<string | null>(null);
  const wrong = useSignal<string | null>(null);

  const load = async (cursor: string | null) => {
    const [wanted, whose] = [by.value, scope.value];
    try {
      const token = whose === "global" ? undefined : await session.fresh();
      const page = await leaderboard(wanted, whose, cursor, token);
      if (by.value !== wanted || scope.value !== whose) return;
      rows.value = cursor === null ? page.items : [...rows.value, ...page.items];
      [next.value, wrong.value] = [page.next, null];
    } catch (error) {
      wrong.value = explainError(error);
    }
  };
  useEffect(() => void load(null), [by.value, scope.value]);

  return (
    <main class="sheet">
      <div class="panel">
        <Places />
        <h1>Leaderboard</h1>
        <Choice
          name="by"
          legend="Order"
          options={ORDERS}
          value={by.value}
          onChange={(value) => {
            by.value = value;
          }}
        />
        {user.value !== null && (
          <Choice
            name="scope"
            legend="Whom"
            options={SCOPES}
            value={scope.value}
            onChange={(value) => {
              scope.value = value;
            }}
          />
        )}
        {wrong.value !== null && <p class="notice bad">{wrong.value}</p>}
        <table>
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">Name</th>
              <th scope="col">Rating</th>
              <th scope="col">Won</th>
              <th scope="col">Played</th>
            </tr>
          </thead>
          <tbody>
            {rows.value.map((row) => (
              <tr key={row.id} class={row.id === user.value?.id ? "you" : ""}>
                <td>{row.rank ?? "–"}</td>
                <th scope="row">
                  <Person who={row} />
                </th>
                <td>{Math.round(row.rating)}</td>
                <td>{row.wins}</td>
                <td>{row.matches}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {rows.value.length === 0 && wrong.value === null && <p class="hint">Nobody yet: play a ranked match.</p>}
        {next.value !== null && (
          <button type="button" onClick={() => void load(next.value)}>
            More
          </button>
        )}
      </div>
    </main>
  );
}

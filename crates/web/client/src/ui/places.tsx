// Where one can go, and as whom one is here.

import { user } from "../app.ts";
import { go } from "../router.ts";
import { unread } from "../talk.ts";
import { Bell } from "./bell.tsx";

export function Places() {
  const who = user.value;
  const link = (path: string, label: string) => (
    <a
      href={path}
      onClick={(event) => {
        event.preventDefault();
        go(path);
      }}
    >
      {label}
    </a>
  );
  return (
    <nav class="places" aria-label="Pages">
      {link("/", "Play")}
      {link("/leaderboard", "Leaderboard")}
      {who !== null && link("/talk", unread.value > 0 ? `Talk (${unread.value})` : "Talk")}
      {who !== null && <Bell />}
      {link("/account", who !== null && !who.guest ? who.name : "Sign in")}
    </nav>
  );
}

// The pages, told apart by the path.

import { signal } from "@preact/signals";

export type Route =
  | { page: "home" | "account" | "leaderboard" | "docs" | "talk" }
  | { page: "player"; player: string }
  | { page: "play" | "watch" | "match" | "replay"; match: string };

export const route = signal<Route>(parse(location.pathname));

/** Leads to a page of this site. */
export function go(path: string): void {
  if (path === location.pathname) return;
  history.pushState(null, "", path);
  route.value = parse(path);
}

addEventListener("popstate", () => {
  route.value = parse(location.pathname);
});

export function parse(path: string): Route {
  const [, page, match] = /^\/(play|watch|match|replay)\/([^/]+)\/?$/.exec(path) ?? [];
  if (match !== undefined) return { page: page as "play" | "watch" | "match" | "replay", match };
  const [, player] = /^\/player\/([^/]+)\/?$/.exec(path) ?? [];
  if (player !== undefined) return { page: "player", player };
  const [, alone] = /^\/(account|leaderboard|docs|talk)\/?$/.exec(path) ?? [];
  return { page: (alone as "account" | "leaderboard" | "docs" | "talk" | undefined) ?? "home" };
}

/** The match that a link or an id given by hand means; null if it is neither. */
export function matchIn(text: string): string | null {
  const found = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i.exec(text);
  return found ? found[0].toLowerCase() : null;
}

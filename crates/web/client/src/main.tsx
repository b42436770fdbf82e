// The frame around the pages. Each page is loaded when it is first gone to.

import "./style.css";

import { effect } from "@preact/signals";
import { render, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

import { route, type Route } from "./router.ts";

type Page = ComponentType<{ match: string; player: string }>;

const PAGES: Record<Route["page"], () => Promise<{ default: Page }>> = {
  home: () => import("./pages/home.tsx"),
  account: () => import("./pages/account.tsx"),
  leaderboard: () => import("./pages/leaderboard.tsx"),
  docs: () => import("./pages/docs.tsx"),
  match: () => import("./pages/match.tsx"),
  replay: () => import("./pages/replay.tsx"),
  player: () => import("./pages/player.tsx"),
  talk: () => import("./pages/talk.tsx"),
  play: () => import("./pages/play.tsx"),
  watch: () => import("./pages/watch.tsx"),
};

function App() {
  const now = route.value;
  const [loaded, setLoaded] = useState<{ page: Route["page"]; Page: Page } | null>(null);
  const [failed, setFailed] = useState(false);

  useEffect(() => {
    let wanted = true;
    setFailed(false);
    PAGES[now.page]().then(
      (module) => wanted && setLoaded({ page: now.page, Page: module.default }),
      () => wanted && setFailed(true),
    );
    return () => {
      wanted = false;
    };
  }, [now.page]);

  if (failed) {
    return (
      <main class="lone">
        <p>This page could not be loaded.</p>
        <button type="button" class="primary" onClick={() => location.reload()}>
          Try again
        </button>
      </main>
    );
  }
  if (loaded === null || loaded.page !== now.page) return null;
  const match = "match" in now ? now.match : "";
  const player = "player" in now ? now.player : "";
  return (
    <>
      <loaded.Page key={match + player} match={match} player={player} />
      <Over />
    </>
  );
}

/** What stands over every page; it comes after it. */
function Over() {
  const [Invitations, set] = useState<ComponentType | null>(null);
  useEffect(() => {
    // Without it one is not invited.
    import("./ui/invitations.tsx").then((module) => set(() => module.default)).catch(() => {});
  }, []);
  return Invitations === null ? null : <Invitations />;
}

const TITLES: Record<Route["page"], string> = {
  home: "Rally",
  account: "Rally – you",
  leaderboard: "Rally – leaderboard",
  docs: "Rally – the API",
  match: "Rally – match",
  replay: "Rally – replay",
  player: "Rally – player",
  talk: "Rally – talk",
  play: "Rally – play",
  watch: "Rally – watch",
};
effect(() => {
  document.title = TITLES[route.value.page];
});

render(<App />, document.getElementById("app")!);

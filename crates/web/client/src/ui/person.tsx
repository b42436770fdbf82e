// Somebody's name, which leads to that one's page.

import type { Id } from "rally-sdk";

import { go } from "../router.ts";

export function Person({ who }: { who: { id: Id; name: string } }) {
  const path = `/player/${who.id}`;
  return (
    <a
      class="person"
      href={path}
      onClick={(event) => {
        event.preventDefault();
        go(path);
      }}
    >
      {who.name}
    </a>
  );
}

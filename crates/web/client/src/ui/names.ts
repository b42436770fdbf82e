// What to call a player.
import type { Player } from "../protocol/index.ts";

export function nameOf(player: Player | null, otherwise: string): string {
  return player?.name ?? otherwise;
}

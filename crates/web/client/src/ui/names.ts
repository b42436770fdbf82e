// What to call a player.
import type { Player } from "rally-sdk";

export function nameOf(player: Player | null, otherwise: string): string {
  return player?.name ?? otherwise;
}

// One scripted player of one match, without a socket and without a clock: messages and times in, messages out. The k6
// and the artillery script both put it on their own sockets, so that they measure the same thing.
//
// It says hello, queues, joins the match it is given, is ready, moves its paddle up and down while the match is in
// play, and gives up (the left one) or waits for that (the right one) after `play_ms`, so that no seat stays taken.

export const SUBPROTOCOL = "rally.v1.json";
export const INPUT_EVERY_MS = 100;

const PING_EVERY_MS = 1_000;
/** The right player gives up too, when the left one has not for this long. */
const GRACE_MS = 2_000;
/** Inputs whose snapshot is awaited at once. More means that none comes. */
const AWAITED_MAX = 64;
/** Everything after the opponent is found and beside play itself: join, countdown, result. */
const OVERHEAD_MS = 15_000;

/** The edge of the `n`th player: neighbours in the queue, who tend to meet, are on different ones. */
export function edgeOf(urls, n) {
  const edges = urls.split(",").map((url) => url.trim().replace(/\/$/, "")).filter(Boolean);
  return edges[n % edges.length];
}

/** A guest's name that nobody else is likely to have: 3 to 20 of [A-Za-z0-9_]. */
export function guestName(prefix) {
  return `${prefix}_${Math.random().toString(36).slice(2, 12)}`;
}

export class Player {
  /**
   * @param {{token: string, play_ms: number, wait_ms: number}} options what `POST /api/v1/auth/guest` gave, how long
   *   to play, and how long to wait for an opponent
   */
  constructor({ token, play_ms, wait_ms }) {
    this.token = token;
    this.play_ms = play_ms;
    this.wait_ms = wait_ms;
    /** `connecting`, `queued`, `joining`, `playing`, `leaving`, then `played`, `unpaired` or `failed`. */
    this.state = "connecting";
    /** What was refused or did not come, in the order in which it happened. */
    this.errors = [];
    /** Times from an input to the snapshot that shows it applied, in ms; the caller takes them away. */
    this.input_to_snapshot_ms = [];
    this.snapshots = 0;
    this.inputs = 0;
    this.seq = 0;
    this.acked = 0;
    this.awaited = [];
    this.deadline_ms = Infinity;
    this.pinged_ms = 0;
    this.in_play = false;
    this.left_queue = false;
  }

  get done() {
    return this.state === "played" || this.state === "unpaired" || this.state === "failed";
  }

  /** The socket is open. */
  opened(now_ms) {
    this.deadline_ms = now_ms + OVERHEAD_MS;
    return [{ type: "hello", token: this.token }];
  }

  /** The socket closed. */
  closed(code) {
    if (!this.done) this.fail(`closed ${code} while ${this.state}`);
  }

  fail(error) {
    this.errors.push(error);
    this.state = "failed";
    return [];
  }

  /** A message came. */
  received(message, now_ms) {
    if (this.done) return [];
    switch (message.type) {
      case "welcome":
        this.state = "queued";
        this.deadline_ms = now_ms + this.wait_ms;
        return [{ type: "queue_join", mode: "casual", skill: "smash" }];
      case "match_found":
        this.state = "joining";
        this.match = message.match;
        this.deadline_ms = now_ms + OVERHEAD_MS;
        return [{ type: "match_join", match: this.match, as: "player" }];
      case "match_joined":
        this.side = message.side === "left" ? 0 : 1;
        return [{ type: "ready", match: this.match }];
      case "snapshot":
        return message.match === this.match ? this.seen(message, now_ms) : [];
      case "game_over":
        // Over before a single input came back: then nothing was measured, however well it ended.
        if (this.inputs > 0 && this.acked > 0) this.state = "played";
        else this.fail(`over (${message.reason}) before an input was applied`);
        return [];
      case "queue_left":
        this.state = "unpaired";
        return [];
      case "error":
        // Both may give up in the same instant, and then one of them gives up a match that is over.
        if (message.of === "forfeit" && this.state === "leaving") return [];
        // Or be found in the instant in which it gives up waiting.
        if (message.of === "queue_leave" && this.match) return [];
        return this.fail(`${message.code} for ${message.of}`);
      case "reconnect":
        return this.fail(`sent away: ${message.reason}`);
      default:
        return [];
    }
  }

  seen(snapshot, now_ms) {
    this.snapshots += 1;
    this.acked = snapshot.ack[this.side];
    while (this.awaited.length > 0 && this.awaited[0].seq <= this.acked) {
      this.input_to_snapshot_ms.push(now_ms - this.awaited.shift().sent_ms);
    }
    this.in_play = snapshot.phase === "playing";
    if (this.in_play && this.state === "joining") {
      this.state = "playing";
      this.until_ms = now_ms + this.play_ms;
      this.deadline_ms = this.until_ms + OVERHEAD_MS;
    }
    return [];
  }

  /** To be called every `INPUT_EVERY_MS`. */
  tick(now_ms) {
    if (this.done || this.state === "connecting") return [];
    if (now_ms > this.deadline_ms) {
      if (this.state !== "queued") return this.fail(`nothing came while ${this.state}`);
      // Alone at the end of a run: no failure, but it must not stay in the queue.
      this.deadline_ms = now_ms + GRACE_MS;
      if (this.left_queue) return this.fail("queue_leave was not answered");
      this.left_queue = true;
      return [{ type: "queue_leave" }];
    }
    const messages = [];
    if (this.match && now_ms - this.pinged_ms >= PING_EVERY_MS) {
      this.pinged_ms = now_ms;
      messages.push({ type: "ping", t: Math.round(now_ms) });
    }
    if (this.state === "playing") {
      if (now_ms >= this.until_ms + (this.side === 0 ? 0 : GRACE_MS)) {
        this.state = "leaving";
        messages.push({ type: "forfeit", match: this.match });
      } else if (this.in_play && now_ms < this.until_ms) {
        messages.push(this.input(now_ms));
      }
    }
    return messages;
  }

  input(now_ms) {
    this.seq += 1;
    this.inputs += 1;
    this.awaited.push({ seq: this.seq, sent_ms: now_ms });
    if (this.awaited.length > AWAITED_MAX) this.fail(`${AWAITED_MAX} inputs were not applied`);
    // Half a second up, half a second down; the skill once in three seconds.
    const dir = this.seq % 10 < 5 ? -1 : 1;
    return { type: "input", match: this.match, seq: this.seq, dir, press: this.seq % 30 === 0 };
  }
}

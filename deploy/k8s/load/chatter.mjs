// One scripted person in a chat channel, without a socket and without a clock, like player.mjs: reads the channel, says
// something now and then, and holds the cluster to its word that offsets rise by one.

/** From saying something to reading it. Later it counts as lost. */
const LOST_AFTER_MS = 10_000;

export class Chatter {
  /** @param {{token: string, name: string, every_ms: number, stay_ms: number, channel?: string}} options */
  constructor({ token, name, every_ms, stay_ms, channel = "global" }) {
    Object.assign(this, { token, name, every_ms, stay_ms, channel });
    /** `connecting`, `joining`, `talking`, then `done` or `failed`. */
    this.state = "connecting";
    this.errors = [];
    /** Times from a message said to the same one read, in ms; the caller takes them away. */
    this.said_to_read_ms = [];
    this.read = 0;
    this.said = 0;
    this.waiting = new Map();
  }

  get done() {
    return this.state === "done" || this.state === "failed";
  }

  fail(error) {
    this.errors.push(error);
    this.state = "failed";
    return [];
  }

  opened(now_ms) {
    this.deadline_ms = now_ms + LOST_AFTER_MS;
    return [{ type: "hello", token: this.token }];
  }

  closed(code) {
    if (!this.done) this.fail(`closed ${code} while ${this.state}`);
  }

  received(message, now_ms) {
    if (this.done) return [];
    switch (message.type) {
      case "welcome":
        this.state = "joining";
        return [{ type: "channel_join", channel: this.channel, since: null }];
      case "channel_joined":
        if (this.state !== "joining") return [];
        this.state = "talking";
        this.offset = message.last_offset;
        this.until_ms = now_ms + this.stay_ms;
        this.next_ms = now_ms;
        return [];
      case "chat_message":
        return message.channel === this.channel ? this.heard(message, now_ms) : [];
      case "error":
        return this.fail(`${message.code} for ${message.of}`);
      case "reconnect":
        return this.fail(`sent away: ${message.reason}`);
      default:
        return [];
    }
  }

  heard(message, now_ms) {
    this.read += 1;
    if (message.offset !== this.offset + 1) return this.fail(`offset ${message.offset} after ${this.offset}`);
    this.offset = message.offset;
    const said_ms = this.waiting.get(message.nonce);
    if (said_ms !== undefined) {
      this.waiting.delete(message.nonce);
      this.said_to_read_ms.push(now_ms - said_ms);
    }
    return [];
  }

  /** To be called now and then, more often than `every_ms`. */
  tick(now_ms) {
    if (this.done) return [];
    if (this.state !== "talking") return now_ms > this.deadline_ms ? this.fail(`nothing came while ${this.state}`) : [];
    const [oldest_ms] = this.waiting.values();
    if (now_ms - oldest_ms > LOST_AFTER_MS) return this.fail("what was said was never read");
    if (now_ms >= this.until_ms) {
      if (this.waiting.size === 0) this.state = "done";
      return [];
    }
    if (now_ms < this.next_ms) return [];
    this.next_ms = now_ms + this.every_ms;
    this.said += 1;
    const nonce = `${this.name}-${this.said}`;
    this.waiting.set(nonce, now_ms);
    return [{ type: "chat_send", channel: this.channel, text: `message ${this.said}`, nonce }];
  }
}

// Time that stands until it is told, and sockets without a network.
import type { Env, Socket } from "../src/connection.ts";
import type { ClientMessage, ServerMessage } from "../src/protocol/index.ts";
import { read, write } from "./wire.ts";

export class FakeSocket implements Socket {
  binaryType = "";
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly url: string;
  readonly subprotocol: string;
  sent: ClientMessage[] = [];

  constructor(url: string, subprotocol: string) {
    this.url = url;
    this.subprotocol = subprotocol;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 1) throw new Error("sent on a socket that is not open");
    this.sent.push(read(bytes));
  }

  close(): void {
    this.readyState = 3;
  }

  // What the network does.

  opens(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  says(message: ServerMessage): void {
    this.onmessage?.({ data: new Uint8Array(write(message)).buffer });
  }

  closes(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }

  get live(): boolean {
    return this.readyState < 2;
  }
}

export class FakeEnv implements Env {
  nowMs = 0;
  randomNumber = 0.5;
  sockets: FakeSocket[] = [];
  #timers: { atMs: number; run: () => void }[] = [];

  now(): number {
    return this.nowMs;
  }

  random(): number {
    return this.randomNumber;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  open(url: string, subprotocol: string): FakeSocket {
    const socket = new FakeSocket(url, subprotocol);
    this.sockets.push(socket);
    if (this.sockets.filter((other) => other.live).length > 1) throw new Error("two live sockets");
    return socket;
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** Lets time pass, timer by timer, and what promises are due settle in between. */
  async pass(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    await settled();
    for (;;) {
      const next = this.#timers.filter((timer) => timer.atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.nowMs = end;
  }

  /** Time passes while the page sleeps: timers run only afterwards. */
  async sleep(ms: number): Promise<void> {
    this.nowMs += ms;
    await this.pass(0);
  }
}

export async function settled(): Promise<void> {
  for (let i = 0; i < 8; i++) await Promise.resolve();
}

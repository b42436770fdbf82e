import { beforeEach, describe, expect, test } from "vitest";

import { backoffMs } from "../src/backoff.ts";
import { Connection, TokenRefused, type ConnectionState } from "../src/connection.ts";
import { CLOSE, SUBPROTOCOL, type ServerMessage, type Welcome } from "../src/protocol/index.ts";
import { FakeEnv } from "./fake.ts";

const SESSION = "0191e8a4-7b1c-7def-8123-456789abcdef";
const HOME = "http://one:8080";
const OTHER = "https://two:8443";

const welcome = (change: Partial<Welcome> = {}): Welcome => ({
  type: "welcome",
  session: SESSION,
  user: { id: SESSION, name: "ann", guest: true },
  serverTimeMs: 0,
  tickHz: 60,
  resumed: false,
  edge: "one",
  edges: [HOME, OTHER],
  tokenExpiresInS: 900,
  match: null,
  queue: null,
  channels: [],
  ...change,
});

let env: FakeEnv;
let connection: Connection;
let states: string[];
let heard: ServerMessage[];
/** What the next request for a token gets. */
let token: () => Promise<string>;

beforeEach(() => {
  env = new FakeEnv();
  states = [];
  heard = [];
  token = () => Promise.resolve("token");
  connection = new Connection(env, { fresh: () => token() }, HOME);
  connection.onState = (state: ConnectionState) => states.push(state.kind);
  connection.onMessage = (message) => heard.push(message);
});

async function live(change: Partial<Welcome> = {}): Promise<void> {
  connection.start();
  await env.pass(0);
  env.last.opens();
  env.last.says(welcome(change));
}

/** Waits for the next attempt; how long that took. */
async function retry(): Promise<number> {
  const { state } = connection;
  if (state.kind !== "waiting") throw new Error(`it is ${state.kind}`);
  const ms = state.untilMs - env.nowMs;
  await env.pass(ms);
  return ms;
}

describe("connecting", () => {
  test("says hello first and is live with the welcome", async () => {
    connection.start();
    await env.pass(0);
    expect(env.last).toMatchObject({ url: "ws://one:8080/ws", subprotocol: SUBPROTOCOL, binaryType: "arraybuffer" });
    env.last.opens();
    expect(env.last.sent).toEqual([{ type: "hello", token: "token", resume: null }]);
    expect(connection.send({ type: "queue_leave" })).toBe(false);
    env.last.says(welcome());
    expect(states).toEqual(["connecting", "live"]);
    expect(connection.send({ type: "queue_leave" })).toBe(true);
    expect(heard).toEqual([welcome()]);
  });

  test("starting twice is starting once", async () => {
    connection.start();
    connection.start();
    await env.pass(0);
    expect(env.sockets).toHaveLength(1);
  });

  test("an edge that does not welcome in time is given up", async () => {
    connection.start();
    await env.pass(0);
    env.last.opens();
    await env.pass(4999);
    expect(env.last.live).toBe(true);
    await env.pass(1);
    expect(env.sockets[0]!.live).toBe(false);
    expect(connection.state.kind).toBe("waiting");
  });

  test("without a token nothing is opened; refused for good, it stops", async () => {
    token = () => Promise.reject(new Error("no network"));
    connection.start();
    await env.pass(0);
    expect(connection.state.kind).toBe("waiting");
    token = () => Promise.reject(new TokenRefused());
    await env.pass(10_000);
    expect(connection.state).toEqual({ kind: "stopped", reason: "unauthenticated" });
    expect(env.sockets).toHaveLength(0);
  });
});

describe("reconnecting", () => {
  test("comes back with its session", async () => {
    await live();
    env.last.closes(1006);
    expect(connection.state.kind).toBe("waiting");
    await env.pass(1000);
    expect(env.sockets).toHaveLength(2);
    env.last.opens();
    expect(env.last.sent[0]).toEqual({ type: "hello", token: "token", resume: { session: SESSION, channels: [] } });
    env.last.says(welcome({ resumed: true }));
    expect(connection.state.kind).toBe("live");
  });

  test("waits longer each time, drawn at random, up to a bound", () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 50].map((attempt) => backoffMs(attempt, 0.999999));
    expect(waits.map(Math.round)).toEqual([250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
    expect(backoffMs(3, 0)).toBe(500);
  });

  test("backs off while the edge is away and starts afresh once it was live", async () => {
    await live({ edges: [] });
    env.last.closes(1006);
    const gaps: number[] = [];
    for (let i = 0; i < 5; i++) {
      gaps.push(await retry());
      env.last.closes(1006);
    }
    expect(gaps).toEqual([187.5, 187.5, 375, 750, 1500]);
    await retry();
    env.last.opens();
    env.last.says(welcome());
    env.last.closes(1006);
    expect(await retry()).toBe(187.5);
  });

  test("tries one edge after the other, and begins again with the one that answers", async () => {
    await live();
    env.last.closes(1006);
    const urls: string[] = [];
    for (let i = 0; i < 4; i++) {
      await retry();
      urls.push(env.last.url);
      env.last.closes(1006);
    }
    expect(urls).toEqual(["wss://two:8443/ws", "ws://one:8080/ws", "wss://two:8443/ws", "ws://one:8080/ws"]);
    await retry();
    expect(env.last.url).toBe("wss://two:8443/ws");
    env.last.opens();
    env.last.says(welcome({ edge: "two" }));
    env.last.closes(1006);
    await retry();
    expect(env.last.url).toBe("ws://one:8080/ws");
  });

  test("the people of one edge spread over all others", async () => {
    const edges = [HOME, "http://b:1", "http://c:1", "http://d:1"];
    const first = new Set<string>();
    for (const randomNumber of [0, 0.2, 0.4, 0.6, 0.8, 0.99]) {
      env = new FakeEnv();
      env.randomNumber = randomNumber;
      connection = new Connection(env, { fresh: () => token() }, HOME);
      await live({ edges });
      env.last.closes(1006);
      await retry();
      first.add(env.last.url);
    }
    expect(first.size).toBe(3);
    expect(first).not.toContain("ws://one:8080/ws");
  });

  test("its own origin is not forgotten when no edge names it", async () => {
    await live({ edges: [OTHER] });
    env.last.closes(1006);
    await retry();
    env.last.opens();
    env.last.says(welcome({ edges: [OTHER] }));
    env.last.closes(1006);
    await retry();
    expect(env.last.url).toBe("ws://one:8080/ws");
  });

  test("an edge that says odd URLs changes nothing", async () => {
    await live({ edges: ["javascript:alert(1)", "not a url", ""] });
    env.last.closes(1006);
    for (let i = 0; i < 4; i++) {
      await retry();
      expect(env.last.url).toBe("ws://one:8080/ws");
      env.last.closes(1006);
    }
  });

  test("hurries when the network is back", async () => {
    await live();
    env.last.closes(1006);
    connection.hurry();
    await env.pass(0);
    expect(env.sockets).toHaveLength(2);
  });

  test("what an old socket still says is not heard", async () => {
    await live();
    const old = env.last;
    connection.stop();
    old.says({ type: "queued", mode: "casual", waitS: null });
    old.closes(1006);
    expect(heard).toHaveLength(1);
    expect(connection.state).toEqual({ kind: "stopped", reason: "closed" });
    await env.pass(60_000);
    expect(env.sockets).toHaveLength(1);
  });
});

describe("being told to go", () => {
  test.each([
    [CLOSE.seatTaken, "seat_taken"],
    [CLOSE.unauthenticated, "unauthenticated"],
  ])("after %i it stays away until the person wants it", async (code, reason) => {
    await live();
    env.last.closes(code);
    expect(connection.state).toEqual({ kind: "stopped", reason });
    connection.hurry();
    await env.pass(600_000);
    expect(env.sockets).toHaveLength(1);
    connection.start();
    await env.pass(0);
    expect(env.sockets).toHaveLength(2);
  });

  test.each([CLOSE.restart, CLOSE.timeout, CLOSE.tooMany, CLOSE.policy, CLOSE.normal])("after %i it comes back", async (code) => {
    await live();
    env.last.closes(code);
    await env.pass(1000);
    expect(env.sockets).toHaveLength(2);
  });

  test("leaves a restarting edge when told to, for another one", async () => {
    await live();
    env.last.says({ type: "reconnect", afterMs: 3000, reason: "drain" });
    await env.pass(2999);
    expect(env.sockets).toHaveLength(1);
    expect(connection.state.kind).toBe("live");
    await env.pass(1);
    expect(env.sockets[0]!.live).toBe(false);
    expect(env.last.url).toBe("wss://two:8443/ws");
  });

  test("closed before that time, it still waits for it", async () => {
    await live();
    env.last.says({ type: "reconnect", afterMs: 3000, reason: "drain" });
    await env.pass(500);
    env.last.closes(CLOSE.restart);
    connection.hurry();
    await env.pass(2499);
    expect(env.sockets).toHaveLength(1);
    await env.pass(1);
    expect(env.sockets).toHaveLength(2);
    expect(env.last.url).toBe("wss://two:8443/ws");
  });
});

describe("heartbeat", () => {
  const pings = () => env.last.sent.filter(({ type }) => type === "ping").length;
  const pong = () => env.last.says({ type: "pong", t: 0, serverTimeMs: 0 });

  test("pings each second in a match, else every 30 s", async () => {
    await live();
    expect(pings()).toBe(1);
    await env.pass(30_000);
    expect(pings()).toBe(2);
    pong();
    connection.setInMatch(true);
    for (let i = 0; i < 5; i++) {
      pong();
      await env.pass(1000);
    }
    expect(pings()).toBe(8);
  });

  test("two silent seconds in a match are a dead link, a minute otherwise", async () => {
    await live();
    await env.pass(59_999);
    expect(connection.state.kind).toBe("live");
    pong();
    connection.setInMatch(true);
    await env.pass(1999);
    expect(connection.state.kind).toBe("live");
    pong();
    await env.pass(1999);
    expect(connection.state.kind).toBe("live");
    await env.pass(1);
    expect(connection.state.kind).toBe("waiting");
    expect(env.sockets[0]!.live).toBe(false);
  });

  test("a page that slept hears what waits for it before it judges", async () => {
    await live();
    connection.setInMatch(true);
    await env.sleep(60_000);
    expect(connection.state.kind).toBe("live");
    pong();
    await env.pass(1500);
    expect(connection.state.kind).toBe("live");
    await env.sleep(60_000);
    await env.pass(600);
    expect(connection.state.kind).toBe("waiting");
  });

  test("the way there and back is the median of the last pongs", async () => {
    await live();
    for (const ms of [20, 21, 300, 19, 22]) {
      const t = env.nowMs * 1000;
      await env.pass(ms);
      env.last.says({ type: "pong", t, serverTimeMs: 0 });
    }
    expect(connection.rttMs).toBe(21);
  });
});

describe("tokens", () => {
  const auths = () => env.last.sent.filter(({ type }) => type === "auth");

  test("is replaced before it ends, again and again", async () => {
    await live({ tokenExpiresInS: 900 });
    const heartbeat = async (seconds: number) => {
      for (let s = 0; s < seconds; s += 20) {
        env.last.says({ type: "pong", t: 0, serverTimeMs: 0 });
        await env.pass(20_000);
      }
    };
    token = () => Promise.resolve("fresh");
    await heartbeat(820);
    expect(auths()).toEqual([]);
    await heartbeat(40);
    expect(auths()).toEqual([{ type: "auth", token: "fresh" }]);
    env.last.says({ type: "authenticated", tokenExpiresInS: 900 });
    await heartbeat(860);
    expect(auths()).toHaveLength(2);
  });

  test("is asked for again when that fails, and ends the session when refused", async () => {
    await live({ tokenExpiresInS: 70 });
    token = () => Promise.reject(new Error("no network"));
    await env.pass(11_000);
    expect(connection.state.kind).toBe("live");
    token = () => Promise.reject(new TokenRefused());
    await env.pass(6000);
    expect(connection.state).toEqual({ kind: "stopped", reason: "unauthenticated" });
  });
});

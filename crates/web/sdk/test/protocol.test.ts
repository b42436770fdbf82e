// Golden bytes: what the edges' encoder (crates/protocol) makes of these messages. They never change, since shapes
// are frozen by version.
import { expect, test } from "vitest";
import { encode as pack } from "@msgpack/msgpack";

import { decode, encode, idFromBytes, idToBytes, type ClientMessage, type ServerMessage } from "../src/protocol/index.ts";

const ID = "0191e8a4-7b1c-7def-8123-456789abcdef";
const ID_HEX = "c4100191e8a47b1c7def8123456789abcdef";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

const CLIENT: [string, ClientMessage][] = [
  ["9301a3616263c0", { type: "hello", token: "abc", resume: null }],
  [
    `9301a361626392${ID_HEX}9192a56c6f62627905`,
    { type: "hello", token: "abc", resume: { session: ID, channels: [{ channel: "lobby", offset: 5 }] } },
  ],
  ["9202a3616263", { type: "auth", token: "abc" }],
  ["9203ce075bcd15", { type: "ping", t: 123456789 }],
  ["93040101", { type: "queue_join", mode: "casual", skill: "dash" }],
  ["9105", { type: "queue_leave" }],
  [`9406${ID_HEX}01c0`, { type: "match_join", match: ID, as: "spectator", skill: null }],
  [`9207${ID_HEX}`, { type: "match_leave", match: ID }],
  [`9208${ID_HEX}`, { type: "ready", match: ID }],
  [`9209${ID_HEX}`, { type: "pause", match: ID }],
  [`920a${ID_HEX}`, { type: "resume", match: ID }],
  [`920b${ID_HEX}`, { type: "forfeit", match: ID }],
  [`930c${ID_HEX}c0`, { type: "rematch", match: ID, skill: null }],
  [`960d${ID_HEX}cd012cffc301`, { type: "input", match: ID, seq: 300, dir: -1, press: true, side: "right" }],
  [`960d${ID_HEX}0100c2c0`, { type: "input", match: ID, seq: 1, dir: 0, press: false, side: null }],
];

const SNAPSHOT_FIELDS = `${ID_HEX}ce00011170cd011802029207cd012c9292cd21c0ff92f0019194cd3c00cd21c0cd0258d1fed492030a9292ccb40c92000091950902cd0fa0cd1388cd021c92930101cd012c9302c0cd01e0`;
const SNAPSHOT = {
  type: "snapshot" as const,
  match: ID,
  tick: 70000,
  clock: 280,
  epoch: 2,
  phase: "playing" as const,
  ack: [7, 300] as [number, number],
  paddles: [
    { y: 8640, dir: -1 as const },
    { y: -16, dir: 1 as const },
  ] as [{ y: number; dir: -1 }, { y: number; dir: 1 }],
  balls: [{ x: 15360, y: 8640, vx: 600, vy: -300 }],
  score: [3, 10] as [number, number],
  skills: [
    { cooldown: 180, active: 12 },
    { cooldown: 0, active: 0 },
  ] as [{ cooldown: number; active: number }, { cooldown: number; active: number }],
  powerUps: [{ id: 9, kind: "blackhole" as const, x: 4000, y: 5000, ticksLeft: 540 }],
  effects: [
    { kind: "blackout" as const, side: "right" as const, ticksLeft: 300 },
    { kind: "blackhole" as const, side: null, ticksLeft: 480 },
  ],
};

const SERVER: [string, ServerMessage][] = [
  [
    `9c40${ID_HEX}93${ID_HEX}a3616e6ec3cf000001a1ee565e7b3cc2a6656467652d3191b5687474703a2f2f6c6f63616c686f73743a38303830cd0384c00190`,
    {
      type: "welcome",
      session: ID,
      user: { id: ID, name: "ann", guest: true },
      serverTimeMs: 1795000000123,
      tickHz: 60,
      resumed: false,
      edge: "edge-1",
      edges: ["http://localhost:8080"],
      tokenExpiresInS: 900,
      match: null,
      queue: "casual",
      channels: [],
    },
  ],
  ["9241cd0384", { type: "authenticated", tokenExpiresInS: 900 }],
  ["934207cf000001a1ee565e7b", { type: "pong", t: 7, serverTimeMs: 1795000000123 }],
  [
    `9543b0616c72656164795f696e5f6d61746368ad6f6e6520617420612074696d65aa71756575655f6a6f696e${ID_HEX}`,
    { type: "error", code: "already_in_match", detail: "one at a time", of: "queue_join", match: ID, until: null },
  ],
  ["934400c0", { type: "queued", mode: "ranked", waitS: null }],
  [
    `9546${ID_HEX}010193${ID_HEX}a3626f62c3`,
    {
      type: "match_found",
      match: ID,
      mode: "casual",
      side: "right",
      opponent: { id: ID, name: "bob", guest: true },
    },
  ],
  [
    `9c47${ID_HEX}009298${ID_HEX}a3616e6ec001c3c3031ec003009c${SNAPSHOT_FIELDS}c20bc304c0`,
    {
      type: "match_joined",
      match: ID,
      side: "left",
      players: [
        {
          user: ID,
          name: "ann",
          bot: null,
          skill: "dash",
          connected: true,
          ready: true,
          pausesLeft: 3,
          awayLeftS: 30,
        },
        null,
      ],
      mode: "duel",
      phase: "waiting",
      snapshot: SNAPSHOT,
      classic: false,
      scoreToWin: 11,
      private: true,
      lastEvent: 4,
      over: null,
    },
  ],
  [`9d48${SNAPSHOT_FIELDS}`, SNAPSHOT],
  [
    `9b49${ID_HEX}ce00011171050100c0fb92040ac0c0`,
    {
      type: "match_event",
      match: ID,
      tick: 70001,
      n: 5,
      event: "goal",
      side: "left",
      value: null,
      y: -5,
      score: [4, 10],
      skill: null,
      powerUp: null,
    },
  ],
  [
    `964a${ID_HEX}00920b0a009292cd05dccd05e892cd05dccd05d0`,
    {
      type: "game_over",
      match: ID,
      winner: "left",
      score: [11, 10],
      reason: "score",
      ratings: [
        [1500, 1512],
        [1500, 1488],
      ],
    },
  ],
  ["9352cd05dca5647261696e", { type: "reconnect", afterMs: 1500, reason: "drain" }],
];

test.each(CLIENT)("%s is what is sent", (golden, message) => {
  expect(hex(encode(message))).toBe(golden);
});

test.each(SERVER)("%s is understood", (golden, message) => {
  expect(decode(bytes(golden))).toEqual(message);
});

test("fields appended by a newer edge are ignored, optional ones may be left out at the end", () => {
  expect(decode(pack([65, 900, "new"]))).toEqual({ type: "authenticated", tokenExpiresInS: 900 });
  expect(decode(pack([68, 1]))).toEqual({ type: "queued", mode: "casual", waitS: null });
});

test("what is no message is null, and never throws", () => {
  const golden = bytes(SERVER[6]![0]);
  for (let length = 0; length < golden.length; length++) expect(decode(golden.subarray(0, length))).toBeNull();
  for (const items of [[200], ["64"], {}, 7, [66, "7", 8], [68, 99], [72, new Uint8Array(15)]]) {
    expect(decode(pack(items))).toBeNull();
  }
});

test("ids are text here and 16 bytes there", () => {
  expect(idFromBytes(idToBytes(ID))).toBe(ID);
  expect(() => idToBytes("../etc")).toThrow(RangeError);
});

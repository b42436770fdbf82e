// What play.yml and chat.yml call: sign a guest in over HTTP, then play one match, or talk, over the socket that artillery
// opened.

import { Chatter } from "../lib/chatter.mjs";
import { INPUT_EVERY_MS, Player, SUBPROTOCOL, edgeOf, guestName } from "../lib/player.mjs";

const BASE_URLS = process.env.BASE_URLS ?? "http://localhost:8080,http://localhost:8081";
const PLAY_MS = 1000 * Number(process.env.PLAY_S ?? 5);
const WAIT_MS = 10_000;

let players = 0;

/** Runs before the connection, and says where to. */
export function signIn(connection, context, done) {
  const base = edgeOf(BASE_URLS, players++);
  guest(base).then(
    ({ token, api_ms }) => {
      connection.target = `${base.replace(/^http/, "ws")}/ws`;
      connection.subprotocols = [SUBPROTOCOL];
      context.vars.api_ms = api_ms;
      context.vars.token = token;
      done();
    },
    (error) => done(error),
  );
}

async function guest(base) {
  const began_ms = performance.now();
  const answer = await fetch(`${base}/api/v1/auth/guest`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username: guestName("art") }),
    signal: AbortSignal.timeout(10_000),
  });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`guest sign-in: ${answer.status} ${body}`);
  return { token: JSON.parse(body).access_token, api_ms: performance.now() - began_ms };
}

/** Lives somebody's life on the socket, which Artillery closes afterwards. `histogram` is told of the times in `spans_ms`. */
async function live(context, events, person, every_ms, histogram, spans_ms) {
  events.emit("histogram", "rally.api_ms", context.vars.api_ms);
  let timer;
  await new Promise((finished) => {
    const socket = context.ws;
    const send = (messages) => {
      for (const message of messages) socket.send(JSON.stringify(message));
      for (const ms of spans_ms.splice(0)) events.emit("histogram", histogram, ms);
      if (person.done) finished();
    };
    timer = setInterval(() => send(person.tick(performance.now())), every_ms);
    socket.on("message", (data) => send(person.received(JSON.parse(data), performance.now())));
    socket.on("close", (code) => {
      person.closed(code);
      finished();
    });
    send(person.opened(performance.now()));
  });
  clearInterval(timer);
  events.emit("counter", "rally.errors", person.errors.length);
}

/** What went wrong, for people and for Artillery. */
function judge(person) {
  for (const error of person.errors) console.error(error);
  if (person.state === "failed") throw new Error(person.errors.join("; "));
}

/** One match. */
export async function play(context, events) {
  const player = new Player({ token: context.vars.token, play_ms: PLAY_MS, wait_ms: WAIT_MS });
  await live(context, events, player, INPUT_EVERY_MS, "rally.input_to_snapshot_ms", player.input_to_snapshot_ms);
  events.emit("counter", "rally.snapshots", player.snapshots);
  events.emit("counter", "rally.played", player.state === "played" ? 1 : 0);
  events.emit("counter", "rally.unpaired", player.state === "unpaired" ? 1 : 0);
  judge(player);
}

/** A stay in the global channel. */
export async function chat(context, events) {
  const stay_ms = 1000 * Number(process.env.STAY_S ?? 20);
  const chatter = new Chatter({ token: context.vars.token, name: guestName("art"), every_ms: 3_000, stay_ms });
  await live(context, events, chatter, 100, "rally.said_to_read_ms", chatter.said_to_read_ms);
  events.emit("counter", "rally.stayed", chatter.state === "done" ? 1 : 0);
  judge(chatter);
}

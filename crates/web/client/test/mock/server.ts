// A stand-in for an edge, for tests and for work on the page: sign-in, queue, matches, and the built page with the
// policy that the edges send. One process, no Redis, no Postgres, no second edge.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer, type WebSocket } from "ws";

import {
  CLOSE,
  SUBPROTOCOL,
  type ClientMessage,
  type Id,
  type Level,
  type Mode,
  type ServerMessage,
  type Skill,
  type UserInfo,
} from "rally-sdk";
import { MockMatch, person, type Viewer } from "./pong.ts";
import { read, write } from "../../../sdk/test/wire.ts";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const POLICY = fileURLToPath(new URL("../../../src/content_security_policy.txt", import.meta.url));
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

interface Peer {
  socket: WebSocket;
  session: Id;
  user: UserInfo;
  viewer: Viewer | null;
  match: MockMatch | null;
}

export class MockServer {
  matches = new Map<Id, MockMatch>();
  peers = new Set<Peer>();
  /** As many joins to come are refused as if the match could not be reached. */
  joinsToRefuse = 0;
  scoreToWin = 11;
  #users = new Map<string, UserInfo>();
  #queue: { peer: Peer; mode: Mode; skill: Skill | null }[] = [];
  #http = createServer((request, response) => void this.#serve(request, response));
  #timer: NodeJS.Timeout | null = null;

  async listen(port = 0): Promise<string> {
    const sockets = new WebSocketServer({
      server: this.#http,
      path: "/ws",
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    sockets.on("connection", (socket) => this.#connected(socket));
    await new Promise<void>((done) => this.#http.listen(port, "127.0.0.1", done));
    const start = performance.now();
    let ticks = 0;
    this.#timer = setInterval(() => {
      for (; ticks < ((performance.now() - start) * 60) / 1000; ticks++) {
        for (const match of this.matches.values()) match.step();
      }
    }, 4);
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { socket } of this.peers) socket.terminate();
    this.#http.closeAllConnections();
    await new Promise((done) => this.#http.close(done));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://mock").pathname;
    if (request.method === "POST") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = JSON.parse(Buffer.concat(chunks).toString() || "{}") as Record<string, unknown>;
      const token = request.headers.authorization?.replace("Bearer ", "") ?? "";
      const [status, answer] = this.#api(path.replace("/api/v1", ""), body, token);
      response.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json" });
      response.end(JSON.stringify(answer));
      return;
    }
    const file = extname(path) === "" ? "index.html" : normalize(path);
    try {
      const bytes = await readFile(join(DIST, file));
      response.writeHead(200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-security-policy": (await readFile(POLICY, "utf8")).trim(),
      });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  }

  #api(path: string, body: Record<string, unknown>, token: string): [number, unknown] {
    if (path === "/auth/guest" || path === "/auth/refresh") {
      const known = this.#users.get(String(body.refresh_token));
      if (path === "/auth/refresh" && known === undefined) return [401, { code: "unauthenticated", detail: "unknown" }];
      const user = known ?? { id: randomUUID(), name: String(body.username), guest: true };
      const access = randomUUID();
      this.#users.set(access, user);
      return [200, { user, access_token: access, refresh_token: access, expires_in_s: 900 }];
    }
    const user = this.#users.get(token);
    if (path !== "/matches" || user === undefined) return [401, { code: "unauthenticated", detail: "no token" }];
    const skill = body.classic === true ? null : ((body.skill as Skill | undefined) ?? "smash");
    const you = person(user.id, user.name, skill);
    const options = { classic: body.classic === true, scoreToWin: this.scoreToWin };
    const bot = { ...person("", "Bot", skill), user: null, bot: (body.level as Level | undefined) ?? "normal" };
    Object.assign(bot, { connected: true, ready: true });
    const match =
      body.mode === "practice"
        ? new MockMatch(randomUUID(), "practice", [you, bot], options)
        : body.mode === "local"
          ? new MockMatch(randomUUID(), "local", [you, { ...you, name: `${user.name} (2)` }], options)
          : new MockMatch(randomUUID(), "duel", [you, null], options);
    this.matches.set(match.id, match);
    return [201, { match: match.id }];
  }

  #connected(socket: WebSocket): void {
    let peer: Peer | null = null;
    socket.on("message", (frame: Buffer) => {
      const message = read(frame);
      if (message.type === "hello") {
        const user = this.#users.get(message.token);
        if (user === undefined) {
          socket.close(CLOSE.unauthenticated);
          return;
        }
        peer = { socket, session: message.resume?.session ?? randomUUID(), user, viewer: null, match: null };
        this.peers.add(peer);
        this.#send(peer, {
          type: "welcome",
          session: peer.session,
          user,
          serverTimeMs: Date.now(),
          tickHz: 60,
          resumed: message.resume !== null,
          edge: "mock",
          edges: [],
          tokenExpiresInS: 900,
          match: null,
          queue: null,
          channels: [],
        });
      } else if (peer !== null) {
        this.#take(peer, message);
      }
    });
    socket.on("close", () => {
      if (peer === null) return;
      this.peers.delete(peer);
      this.#queue = this.#queue.filter((waiting) => waiting.peer !== peer);
      if (peer.viewer !== null) peer.match?.leave(peer.viewer);
    });
  }

  #take(peer: Peer, message: ClientMessage): void {
    switch (message.type) {
      case "ping":
        this.#send(peer, { type: "pong", t: message.t, serverTimeMs: Date.now() });
        break;
      case "auth":
        this.#send(peer, { type: "authenticated", tokenExpiresInS: 900 });
        break;
      case "queue_join":
        this.#enqueue(peer, message.mode, message.skill);
        break;
      case "queue_leave":
        this.#queue = this.#queue.filter((waiting) => waiting.peer !== peer);
        break;
      case "match_join":
        this.#join(peer, message);
        break;
      case "match_leave":
        if (peer.viewer !== null) peer.match?.leave(peer.viewer);
        peer.viewer = null;
        break;
      default:
        if (peer.viewer !== null) peer.match?.command(peer.viewer, message);
    }
  }

  #enqueue(peer: Peer, mode: Mode, skill: Skill | null): void {
    const other = this.#queue.find((waiting) => waiting.mode === mode);
    this.#send(peer, { type: "queued", mode, waitS: 8 });
    if (other === undefined) {
      this.#queue.push({ peer, mode, skill });
      return;
    }
    this.#queue = this.#queue.filter((waiting) => waiting !== other);
    const players = [person(other.peer.user.id, other.peer.user.name, other.skill), person(peer.user.id, peer.user.name, skill)] as const;
    const match = new MockMatch(randomUUID(), mode, [...players], { classic: mode === "classic", scoreToWin: this.scoreToWin });
    this.matches.set(match.id, match);
    this.#send(other.peer, { type: "match_found", match: match.id, mode, side: "left", opponent: peer.user });
    this.#send(peer, { type: "match_found", match: match.id, mode, side: "right", opponent: other.peer.user });
  }

  #join(peer: Peer, message: Extract<ClientMessage, { type: "match_join" }>): void {
    const match = this.matches.get(message.match);
    const refuse = (code: string) =>
      this.#send(peer, { type: "error", code, detail: code, of: "match_join", match: message.match, until: null });
    if (match === undefined) return refuse("not_found");
    if (this.joinsToRefuse > 0) {
      this.joinsToRefuse--;
      return refuse("unavailable");
    }
    if (peer.viewer !== null) match.viewers.delete(peer.viewer);
    const seats = match.players.map((player) => player?.user ?? null);
    let side = seats.indexOf(peer.user.id);
    if (message.as === "player" && side < 0) {
      side = match.players.indexOf(null);
      if (side < 0) return refuse("forbidden");
      match.players[side as 0 | 1] = person(peer.user.id, peer.user.name, message.skill ?? "smash");
    }
    const place = message.as === "spectator" ? "spectator" : match.mode === "local" ? "both" : side === 0 ? "left" : "right";
    peer.match = match;
    peer.viewer = { place, user: peer.user.id, send: (sent) => this.#send(peer, sent) };
    match.join(peer.viewer);
  }

  #send(peer: Peer, message: ServerMessage): void {
    if (peer.socket.readyState === peer.socket.OPEN) peer.socket.send(write(message));
  }
}

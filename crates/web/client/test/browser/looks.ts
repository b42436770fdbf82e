// Pictures of every state of the page, on the mock server, for eyes: SCREENSHOTS=folder npm run test:looks

import { MockServer } from "../mock/server.ts";
import type { MockMatch } from "../mock/pong.ts";
import { Watched, launch } from "./browser.ts";

process.env.SCREENSHOTS ??= "looks";
const server = new MockServer();
const url = await server.listen();
const browser = await launch();
const faults: string[] = [];

async function visit(name: string, options: Parameters<typeof Watched.open>[2] = {}) {
  const watched = await Watched.open(browser, name, options);
  await watched.page.goto(url);
  await watched.page.getByLabel("Your name").fill(name);
  return watched;
}
const newest = (): MockMatch => [...server.matches.values()].at(-1)!;
const playing = (match: MockMatch) => until(() => match.phase === "playing");
async function until(done: () => boolean) {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 10));
}

try {
  const ann = await visit("Ann");
  await ann.page.waitForTimeout(1500);
  await ann.shoot("home");
  await ann.page.getByRole("button", { name: "Play", exact: true }).click();
  await ann.page.getByText("Looking for an opponent").waitFor();
  await ann.page.waitForTimeout(1200);
  await ann.shoot("queue");

  const bob = await visit("Bob");
  await bob.page.getByText("Dash", { exact: true }).click();
  await bob.page.getByRole("button", { name: "Play", exact: true }).click();
  await ann.page.waitForURL("**/play/*");
  await until(() => newest().phase === "countdown");
  await ann.page.waitForTimeout(1450);
  await ann.shoot("countdown");
  const match = newest();
  match.bots = [0, 1];
  await playing(match);
  match.score = [7, 5];
  await ann.page.waitForTimeout(1400);
  match.powerUps = [
    { id: 1, kind: "split", x: 500 * 16, y: 300 * 16, ticksLeft: 400 },
    { id: 2, kind: "blackout", x: 960 * 16, y: 760 * 16, ticksLeft: 300 },
    { id: 3, kind: "blackhole", x: 1400 * 16, y: 420 * 16, ticksLeft: 520 },
  ];
  await ann.page.waitForTimeout(500);
  await ann.shoot("power-ups");
  match.powerUps = [];
  match.event("power_up", { side: 0, powerUp: "blackhole" });
  match.effects = [{ kind: "blackhole", side: null, ticksLeft: 400 }];
  match.balls.push({ x: 700, y: 300, vx: 900, vy: 500 }, { x: 1200, y: 800, vx: -1100, vy: -500 });
  await ann.page.waitForTimeout(700);
  await ann.shoot("blackhole-split");
  match.effects = [{ kind: "blackout", side: "left", ticksLeft: 240 }];
  await ann.page.waitForTimeout(350);
  await ann.shoot("blackout-own");
  await bob.shoot("blackout-other");
  match.effects = [];
  match.balls = [{ x: 300, y: match.paddles[0].y - 20, vx: -1200, vy: 0 }];
  match.press(1);
  match.press(0);
  await ann.page.waitForTimeout(260);
  await ann.shoot("smash");
  await bob.shoot("dash");

  const eve = await Watched.open(browser, "Eve");
  await eve.page.goto(`${url}/watch/${match.id}`);
  await eve.page.getByText("Ann").first().waitFor();
  await eve.page.waitForTimeout(600);
  await eve.shoot("watch");

  // Every link is cut: the pages come back by themselves.
  for (const { socket } of server.peers) socket.terminate();
  await ann.page.getByText("Reconnecting…").waitFor();
  await ann.shoot("reconnecting");
  for (const { page } of [ann, bob, eve]) await page.getByText("Reconnecting…").waitFor({ state: "detached" });
  await until(() => match.viewers.size === 3);
  match.phase = "playing";

  match.bots = [0];
  match.paddles[1].dir = 0;
  match.balls = [{ x: 1700, y: 200, vx: 1300, vy: -200 }];
  const [before] = match.score;
  await until(() => match.score[0] > before);
  await ann.page.waitForTimeout(180);
  await ann.shoot("goal");
  await bob.page.keyboard.press("p");
  await ann.page.getByText("Paused").waitFor();
  await ann.page.waitForTimeout(400);
  await ann.shoot("paused");
  await ann.page.keyboard.press("Escape");
  await playing(match);
  match.event("away", { side: 1, value: 27 });
  match.phase = "paused";
  await ann.page.getByText("is away").waitFor();
  await ann.page.waitForTimeout(400);
  await ann.shoot("away");
  match.score = [11, 6];
  match.end(0, "score");
  await ann.page.getByText("Victory").waitFor();
  await bob.page.getByText("Defeat").waitFor();
  await ann.page.waitForTimeout(500);
  await ann.shoot("victory");
  await bob.shoot("defeat");
  await ann.page.getByRole("button", { name: "Home" }).click();
  await ann.page.getByRole("button", { name: "Invite by link" }).click();
  await ann.page.getByText("Invite your opponent").waitFor();
  await ann.page.waitForTimeout(400);
  await ann.shoot("invite");

  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
  const zoe = await visit("Zoe", phone);
  await zoe.page.waitForTimeout(900);
  await zoe.shoot("mobile-home");
  await zoe.page.getByRole("button", { name: "Normal" }).click();
  await zoe.page.waitForURL("**/play/*");
  await playing(newest());
  await zoe.page.waitForTimeout(900);
  const touch = await zoe.page.context().newCDPSession(zoe.page);
  const finger = (type: "touchStart" | "touchMove" | "touchEnd", y: number) =>
    touch.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x: 100, y }] });
  await finger("touchStart", 600);
  await finger("touchMove", 680);
  await until(() => newest().paddles[0].y > 700);
  await zoe.shoot("mobile-play");
  await finger("touchEnd", 680);
  await until(() => newest().paddles[0].dir === 0);
  await zoe.page.getByRole("button", { name: "smash" }).tap();
  await until(() => newest().paddles[0].cooldown > 0);
  newest().score = [1, 11];
  newest().end(1, "score");
  await zoe.page.getByText("Defeat").waitFor();
  await zoe.page.waitForTimeout(400);
  await zoe.shoot("mobile-end");
  const max = await visit("Max", { ...phone, viewport: { width: 844, height: 390 } });
  await max.page.getByRole("button", { name: "Two at one keyboard" }).click();
  await max.page.waitForURL("**/play/*");
  await playing(newest());
  await max.page.waitForTimeout(900);
  await max.shoot("mobile-landscape");
  for (const { socket } of server.peers) socket.close(4409);
  await max.page.getByText("You went on in another tab").waitFor();
  await max.shoot("seat-taken");
  await max.page.getByRole("button", { name: "Play here instead" }).click();
  await max.page.getByText("You went on in another tab").waitFor({ state: "detached" });
  for (const watched of [ann, bob, eve, zoe, max]) faults.push(...watched.faults);
} finally {
  await browser.close();
  await server.close();
}
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exitCode = 1;
}

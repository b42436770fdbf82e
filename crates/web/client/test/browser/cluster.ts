// The page in a real browser on a real cluster: people on different edges play each other to the end.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";

import { People, button, launch, type Watched } from "./browser.ts";
import { startCluster, type Cluster } from "./rally.ts";

let cluster: Cluster;
let browser: Browser;
const people = new People();

before(async () => {
  cluster = await startCluster();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await cluster?.stop();
});
afterEach((context) => people.leave(context));

const open = (name: string, path: string, edge: 0 | 1) => people.open(browser, name, cluster.urls[edge] + path);

async function arrive(name: string, edge: 0 | 1): Promise<Watched> {
  const watched = await open(name, "/", edge);
  await watched.page.getByLabel("Your name").fill(name);
  return watched;
}

const path = (page: Page) => new URL(page.url()).pathname;

async function playing(page: Page): Promise<void> {
  await button(page, "Pause").waitFor();
}

/** Centre of a paddle on the canvas, as a part of its height, found by its colour; null where none is drawn. */
function paddle(page: Page, side: "left" | "right"): Promise<number | null> {
  return page.locator(".floor canvas").evaluate((canvas: HTMLCanvasElement, side) => {
    const strip = document.createElement("canvas");
    [strip.width, strip.height] = [1, canvas.height];
    const context = strip.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(canvas, -Math.round((canvas.width * (side === "left" ? 36 : 1884)) / 1920), 0);
    const { data } = context.getImageData(0, 0, 1, canvas.height);
    const rows: number[] = [];
    for (let row = 0; row < canvas.height; row++) {
      const [r, , b] = data.subarray(row * 4);
      if (side === "left" ? r! > 225 : b! > 225) rows.push(row);
    }
    return rows.length === 0 ? null : rows[rows.length >> 1]! / canvas.height;
  }, side);
}

/** Waits until it is drawn within these parts of the height. */
async function paddleWithin(page: Page, side: "left" | "right", low: number, high: number): Promise<void> {
  let seen: number | null = null;
  await until(
    () => `the ${side} paddle is within ${low} and ${high}, not at ${seen}`,
    async () => {
      seen = await paddle(page, side);
      return seen !== null && seen >= low && seen <= high;
    },
  );
}

async function until(what: () => string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, what());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("two on different edges find each other and play to the end, a third watches", { timeout: 120_000 }, async () => {
  const ann = await arrive("Ann", 0);
  const bob = await arrive("Bob", 1);
  await ann.shoot("home");
  // Without power-ups nothing bends a straight serve.
  for (const { page } of [ann, bob]) await page.getByText("Classic", { exact: true }).click();
  await button(ann.page, "Play").click();
  await ann.page.getByText("Looking for an opponent").waitFor();
  await ann.shoot("queue");
  await button(bob.page, "Play").click();
  await Promise.all([ann, bob].map(({ page }) => page.waitForURL("**/play/*")));
  assert.equal(path(ann.page), path(bob.page), "both are in the same match");
  assert.notEqual(new URL(ann.page.url()).host, new URL(bob.page.url()).host, "on different edges");
  for (const { page } of [ann, bob]) {
    await page.locator(".board").getByText("Ann").waitFor();
    await page.locator(".board").getByText("Bob").waitFor();
  }

  const link = await button(ann.page, "Watch link").getAttribute("data-link");
  const eve = await open("Eve", new URL(link!).pathname, 1);
  await eve.page.locator(".board").getByText("Ann").waitFor();

  // Who does not move returns every serve. Bob leaves the middle as soon as he can, and misses them all.
  await bob.page.keyboard.down("KeyW");
  await playing(ann.page);
  const side = (await bob.page.locator(".seat.left .you").count()) === 1 ? "left" : "right";
  await Promise.all([ann, bob, eve].map(({ page }) => paddleWithin(page, side, 0, 0.1)));
  await bob.page.keyboard.up("KeyW");
  await ann.shoot("playing");
  await eve.shoot("watching");
  await until(() => "the link is measured", async () => /ping\s+\d/.test(await ann.page.locator(".figures").innerText()));

  await ann.page.getByRole("heading", { name: "Victory" }).waitFor({ timeout: 60_000 });
  await bob.page.getByRole("heading", { name: "Defeat" }).waitFor();
  await eve.page.getByRole("heading", { name: "Ann wins" }).waitFor();
  const results = await Promise.all([ann, bob, eve].map(({ page }) => page.locator(".final").innerText()));
  assert.equal(new Set(results).size, 1, `all see the same: ${results.join(" | ")}`);
  const goals = results[0]!.match(/\d+/g)!.map(Number).sort();
  assert.deepEqual(goals, [0, 2]);
  assert.equal(await ann.page.locator(".final").getAttribute("data-result"), "score");
  await ann.shoot("victory");
  await bob.shoot("defeat");

  // Once more, for somebody who was not there: a worker plays it again for her alone.
  const zoe = await open("Zoe", path(ann.page).replace("/play/", "/replay/"), 1);
  const bar = zoe.page.locator(".replay");
  await zoe.page.locator(".board").getByText("Ann").waitFor();
  await paddleWithin(zoe.page, side, 0, 0.1);
  await zoe.shoot("replay");
  await bar.getByLabel("Speed").selectOption("800");
  await button(zoe.page, "Again").waitFor({ timeout: 30_000 });
  const shown = async () => (await zoe.page.locator(".score span").allInnerTexts()).map(Number).sort();
  await until(() => "the last score is shown", async () => (await shown()).join() === "0,2");
  await bar.getByLabel("Where the replay stands").press("Home");
  await until(() => "it is back before the first goal", async () => (await shown())[1] === 0);
  await button(zoe.page, "Stop").click();
  await button(zoe.page, "Play").waitFor();
  const at = await bar.locator(".at").innerText();
  await zoe.page.waitForTimeout(500);
  assert.equal(await bar.locator(".at").innerText(), at, "it stands still");
});

test("a match against the bot is paused, resumed and given up", { timeout: 90_000 }, async () => {
  const ann = await arrive("Ann_bot", 0);
  const { page } = ann;
  await button(page, "Hard").click();
  await page.waitForURL("**/play/*");
  await playing(page);
  await paddleWithin(page, "left", 0.45, 0.55);
  await page.keyboard.down("ArrowDown");
  await paddleWithin(page, "left", 0.65, 1);
  await page.keyboard.press("Space");
  await ann.shoot("bot-smash");
  await page.keyboard.up("ArrowDown");
  await page.keyboard.press("KeyP");
  await page.getByRole("heading", { name: "Paused" }).waitFor();
  await page.getByText("You have 2 pauses left.").waitFor();
  await ann.shoot("bot-paused");
  await page.locator(".card").getByRole("button", { name: "Resume" }).click();
  await playing(page);
  await button(page, "Give up").click();
  await button(page, "Really give up?").click();
  await page.getByRole("heading", { name: "Defeat" }).waitFor();
  await page.getByText("You gave up.").waitFor();
  await button(page, "Play again").click();
  await until(() => "another match begins", async () => (await page.getByRole("heading", { name: "Defeat" }).count()) === 0);
  await playing(page);
});

test("a friend comes by link, on another edge, and a reload keeps the seat", { timeout: 90_000 }, async () => {
  const ann = await arrive("Ann_host", 0);
  await button(ann.page, "Invite by link").click();
  const field = ann.page.getByLabel("Link to this match");
  const link = new URL(await field.inputValue());
  const bob = await open("Bob_guest", link.pathname, 1);
  await bob.page.getByLabel("Your name").fill("Bob_guest");
  await bob.page.getByText("Dash", { exact: true }).click();
  await button(bob.page, "Play").click();
  await Promise.all([playing(ann.page), playing(bob.page)]);
  await ann.page.locator(".board").getByText("Bob_guest").waitFor();
  await bob.page.locator(".board .seat.right").getByText("Dash").waitFor();

  await bob.page.reload();
  await bob.page.locator(".board").getByText("Ann_host").waitFor();
  await bob.page.locator(".seat.right .you").waitFor();
  await button(ann.page, "Give up").waitFor();
  await button(bob.page, "Give up").click();
  await button(bob.page, "Really give up?").click();
  await ann.page.getByRole("heading", { name: "Victory" }).waitFor();
  await ann.page.getByText("The other gave up.").waitFor();

  // Once more, if both want it: with the sides swapped.
  await button(ann.page, "Rematch").click();
  await button(bob.page, "Rematch? The other wants one").click();
  await Promise.all([playing(ann.page), playing(bob.page)]);
  await bob.page.locator(".seat.left .you").waitFor();
  await button(bob.page, "Give up").click();
  await button(bob.page, "Really give up?").click();
  await ann.page.getByRole("heading", { name: "Victory" }).waitFor();
});

test("a friend on the other edge is invited to a duel, and the match is in both histories", { timeout: 120_000 }, async () => {
  const names = ["Ann", "Bob"].map((name) => `${name}_${Date.now() % 1e9}`);
  const [ann, bob] = await Promise.all(
    names.map(async (name, edge) => {
      const who = await open(`${name.slice(0, 3)}_friend`, "/account", edge === 0 ? 0 : 1);
      await who.page.getByText("Sign up", { exact: true }).click();
      await who.page.getByLabel("Name").fill(name);
      await who.page.getByLabel("Password").fill("six blue lamps on a boat");
      await button(who.page, "Create account").click();
      await button(who.page, "Done").click();
      return who;
    }),
  );
  await ann!.page.getByLabel("Name of a friend").fill(names[1]!);
  await button(ann!.page, "Ask").click();
  await button(bob!.page, "Accept").click({ timeout: 20_000 });
  await button(ann!.page, "Duel").click({ timeout: 20_000 });
  const toast = bob!.page.locator(".toast").filter({ hasText: `${names[0]} wants to play` });
  await toast.waitFor();
  await bob!.shoot("invited");
  await button(bob!.page, "Play").click();
  await Promise.all([playing(ann!.page), playing(bob!.page)]);
  await button(ann!.page, "Give up").click();
  await button(ann!.page, "Really give up?").click();
  await bob!.page.getByRole("heading", { name: "Victory" }).waitFor();
  await button(bob!.page, "Home").click();
  await bob!.page.getByRole("link", { name: names[1]! }).click();
  await bob!.page.locator(".history li").filter({ hasText: `against ${names[0]}` }).waitFor();
  await button(bob!.page, "More about it").click();
  await bob!.page.getByRole("heading", { name: new RegExp(`${names[0]} \\d+:\\d+ ${names[1]}`) }).waitFor();
  await bob!.shoot("match");
});

test("two play at one keyboard by classic rules", { timeout: 60_000 }, async () => {
  const max = await arrive("Max", 1);
  const { page } = max;
  await page.getByText("Classic rules here").click();
  await button(page, "Two at one keyboard").click();
  await page.waitForURL("**/play/*");
  await playing(page);
  assert.equal(await page.locator("meter").count(), 0, "no skills in classic rules");
  await page.keyboard.down("KeyW");
  await page.keyboard.down("ArrowDown");
  await paddleWithin(page, "left", 0, 0.3);
  await paddleWithin(page, "right", 0.7, 1);
  await page.keyboard.up("KeyW");
  await page.keyboard.up("ArrowDown");
  await max.shoot("local");
});

test("a guest signs up, is known in a new tab, and talks to somebody on the other edge", { timeout: 90_000 }, async () => {
  const name = `Ann_${Date.now() % 1e9}`;
  const ann = await open("Ann_account", "/account", 0);
  const { page } = ann;
  await page.getByText("Sign up", { exact: true }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill("six blue lamps on a boat");
  await button(page, "Create account").click();
  assert.match(await page.locator(".recovery").innerText(), /^[A-Z2-7-]{31}$/);
  await ann.shoot("recovery");
  await page.getByRole("heading", { name }).waitFor();
  await page.getByText("Rating 1500").waitFor();

  // The cookie is out of reach of scripts, and lets a new tab in, also at the other edge.
  assert.equal(await page.evaluate(() => document.cookie), "");
  const tab = await page.context().newPage();
  await tab.goto(`${cluster.urls[1]}/account`);
  // What says that somebody is signed in here belongs to the other edge's address.
  await tab.getByLabel("Name").fill(name);
  await tab.getByLabel("Password").fill("six blue lamps on a boat");
  await button(tab, "Enter").click();
  await tab.getByRole("heading", { name }).waitFor();
  const again = await page.context().newPage();
  await again.goto(`${cluster.urls[1]}/account`);
  await again.getByRole("heading", { name }).waitFor();

  const bob = await arrive("Bob_talks", 1);
  await button(bob.page, "Play").click();
  await page.getByRole("link", { name: "Play" }).click();
  for (const who of [page, bob.page]) await who.getByPlaceholder("Say something to everybody").waitFor();
  const words = `<b>hello</b> ${Date.now()}`;
  await page.getByPlaceholder("Say something to everybody").fill(words);
  await button(page, "Say").click();
  for (const who of [page, bob.page]) await who.locator(".chat li").filter({ hasText: words }).waitFor();
  await bob.shoot("chat");
  await button(bob.page, "Cancel").click();

  await page.getByRole("link", { name }).click();
  await button(page, "Sign out").click();
  await button(page, "Enter").waitFor();
  await page.getByRole("link", { name: "Leaderboard" }).click();
  await page.getByRole("heading", { name: "Leaderboard" }).waitFor();
});

test("people on two edges talk in a group, where its owner keeps order", { timeout: 120_000 }, async () => {
  const people = [];
  for (const [i, who] of ["Ann", "Bob"].entries()) {
    const name = `${who}_${Date.now() % 1e9}`;
    const watched = await open(`${who}_group`, "/account", i as 0 | 1);
    const { page } = watched;
    await page.getByText("Sign up", { exact: true }).click();
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill("six blue lamps on a boat");
    await button(page, "Create account").click();
    await page.getByRole("heading", { name }).waitFor();
    await page.getByRole("link", { name: "Talk" }).click();
    await page.getByRole("heading", { name: "Everybody" }).waitFor();
    people.push({ name, page, watched });
  }
  const [ann, bob] = people as [(typeof people)[0], (typeof people)[0]];

  const title = `Paddlers ${Date.now() % 1e6}`;
  await ann.page.getByLabel("Title of a new group").fill(title);
  await button(ann.page, "Create group").click();
  await ann.page.getByRole("heading", { name: title }).waitFor();
  await button(ann.page, "Members").click();
  await ann.page.getByLabel("Whom to invite").fill(bob.name);
  await button(ann.page, "Invite").click();
  await ann.page.locator(".affairs li").filter({ hasText: "invited" }).waitFor();

  // The bell says it, and leads into the group.
  await bob.page.getByRole("button", { name: "1 notifications" }).click();
  await bob.page.getByText(`${ann.name} invites you to ${title}.`).first().waitFor();
  await bob.watched.shoot("bell");
  await bob.page.getByRole("dialog", { name: "Notifications" }).getByRole("button", { name: "Join" }).click();
  await bob.page.getByRole("heading", { name: title }).waitFor();
  await bob.page.getByRole("button", { name: "No notifications" }).waitFor();

  const say = async (page: Page, words: string) => {
    await page.getByLabel("Say something").fill(words);
    await button(page, "Say").click();
  };
  const words = `<i>hello</i> @${bob.name} ${Date.now()}`;
  await say(ann.page, words);
  for (const { page } of people) await page.locator(".chat li").filter({ hasText: words }).waitFor();
  await bob.page.locator(".chat li.called").waitFor();
  await bob.watched.shoot("group");

  // What was said is found again; what one takes back is not.
  await ann.page.getByLabel("Words that were said").fill("hello");
  await button(ann.page, "Find").click();
  await ann.page.locator(".search li").filter({ hasText: words }).waitFor();

  const row = ann.page.locator(".affairs li").filter({ hasText: bob.name });
  await row.getByRole("button", { name: "Mute 10 min" }).click();
  await row.getByRole("button", { name: "Unmute" }).waitFor();
  await say(bob.page, "can you hear me?");
  await bob.page.getByText("You are muted here until").waitFor();
  await ann.watched.shoot("affairs");
  await row.getByRole("button", { name: "Kick" }).click();
  await bob.page.getByRole("heading", { name: "Everybody" }).waitFor();
  await ann.page.locator(".chat").getByRole("button", { name: ann.name }).click();
  await button(ann.page, "Take back").click();
  await until(() => "it is taken back", async () => (await ann.page.locator(".chat li").count()) === 0);
});

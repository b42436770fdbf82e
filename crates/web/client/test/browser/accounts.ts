// Accounts in a real browser on a real cluster: other sites, second factors, letters; and other people's pages.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";

import { People, button, launch, type Watched } from "./browser.ts";
import { Inbox, Site, totp } from "./elsewhere.ts";
import { startCluster, type Cluster } from "./rally.ts";

const GOOD = "six blue lamps on a boat";
const OTHER = "nine green kites over a barn";

let cluster: Cluster;
let browser: Browser;
let site: Site;
let inbox: Inbox;
const people = new People();

before(async () => {
  [site, inbox] = [await Site.start(`octo-${Date.now() % 1e6}`), await Inbox.start()];
  cluster = await startCluster({ ...site.env, ...inbox.env });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await cluster?.stop();
  site?.stop();
  inbox?.stop();
});
afterEach((context) => people.leave(context));

const open = (name: string, path: string, edge: 0 | 1) => people.open(browser, name, cluster.urls[edge] + path);


async function signUp(name: string, edge: 0 | 1): Promise<Watched> {
  const watched = await open(name, "/account", edge);
  const { page } = watched;
  await page.getByText("Sign up", { exact: true }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(GOOD);
  await button(page, "Create account").click();
  await button(page, "Done").click();
  await page.getByRole("heading", { name }).waitFor();
  return watched;
}

async function signOut(page: Page): Promise<void> {
  await button(page, "Sign out").click();
  await button(page, "Enter").waitFor();
}

test("somebody signs in by another site, and is asked for a second factor from then on", { timeout: 120_000 }, async () => {
  const octo = await open("Octo", "/account", 0);
  const { page } = octo;
  await octo.shoot("account-sites");
  await button(page, "Sign in with GitHub").click();
  const heading = page.getByRole("heading", { name: /^octo_\d+$/ });
  await heading.waitFor();
  const name = await heading.innerText();

  await page.getByText("Signing in", { exact: true }).click();
  await button(page, "Remove GitHub").waitFor();
  await button(page, "Use an authenticator").click();
  const secret = await page.locator(".secret").innerText();
  await octo.shoot("account-factor");
  await page.getByLabel("The code that it shows").fill(totp(secret));
  await button(page, "Confirm code").click();
  const papers = await page.locator(".papers code").allInnerTexts();
  assert.equal(papers.length, 10);
  await octo.shoot("account-papers");
  await signOut(page);

  await button(page, "Sign in with GitHub").click();
  await page.getByText("The other site has said who you are.").waitFor();
  await octo.shoot("account-arrival");
  await page.getByLabel("Code of your authenticator").fill(papers[0]!);
  await button(page, "Enter").click();
  await page.getByRole("heading", { name }).waitFor();
  assert.equal(new URL(page.url()).search, "");

  // With a password of one's own the site can go.
  await page.getByText("Signing in", { exact: true }).click();
  await page.getByLabel("Code of your authenticator").fill(papers[1]!);
  await page.getByLabel("New password").fill(GOOD);
  await button(page, "Set password").click();
  await page.getByText("It is set.").waitFor();
  await page.getByLabel("Your password, for what you change here").fill(GOOD);
  await page.getByLabel("Code of your authenticator").fill(papers[2]!);
  await button(page, "Remove GitHub").click();
  await page.getByText("You do not sign in with GitHub any more.").waitFor();
  await octo.shoot("account-unlinked");
  await button(page, "Add GitHub").waitFor();
});

test("who has forgotten the password gets another by a letter", { timeout: 90_000 }, async () => {
  const name = `Ann_${Date.now() % 1e9}`;
  const ann = await signUp(name, 1);
  const { page } = ann;
  await page.getByText("Signing in", { exact: true }).click();
  await page.getByLabel("Your password, for what you change here").fill(GOOD);
  await page.getByLabel("Your address").fill("ann@rally.test");
  await button(page, "Send me a code").click();
  await page.getByText("on its way to ann@rally.test").waitFor();
  await ann.shoot("account-letter");
  await page.getByLabel("Code of the letter").fill(await inbox.nextCode());
  await button(page, "Confirm address").click();
  await page.getByText("They go to ann@rally.test.").waitFor();
  await signOut(page);

  await page.getByLabel("Name").fill(name);
  await button(page, "Forgotten the password?").click();
  await button(page, "Send me a letter").click();
  await page.getByText("a letter with a code is on its way").waitFor();
  await page.getByLabel("Code", { exact: true }).fill(await inbox.nextCode());
  await page.getByLabel("New password").fill(OTHER);
  await ann.shoot("account-forgotten");
  await button(page, "Set it").click();
  await page.getByRole("heading", { name }).waitFor();
  await signOut(page);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(OTHER);
  await button(page, "Enter").click();
  await page.getByRole("heading", { name }).waitFor();
});

test("a name leads to its person, who can be befriended, challenged and blocked", { timeout: 120_000 }, async () => {
  const ann = await signUp(`Ann_${Date.now() % 1e9}`, 0);
  const bob = await signUp(`Bob_${Date.now() % 1e9}`, 1);
  for (const { page } of [ann, bob]) {
    await page.getByRole("link", { name: "Talk" }).click();
    await page.getByRole("heading", { name: "Everybody" }).waitFor();
  }
  await ann.page.getByLabel("Say something").fill("who plays?");
  await button(ann.page, "Say").click();
  await bob.page.locator(".chat").getByRole("button", { name: ann.name }).click();
  await button(bob.page, "Profile").click();
  await bob.page.getByRole("heading", { name: ann.name }).waitFor();
  await bob.page.getByText("Rating 1500").waitFor();
  await button(bob.page, "Ask for friendship").click();
  await button(bob.page, "Asked").waitFor();
  await bob.shoot("player");

  await button(bob.page, "Duel").click();
  await ann.page.locator(".toast").filter({ hasText: `${bob.name} wants to play` }).waitFor();
  await ann.shoot("player-challenged");
  await ann.page.locator(".toast").getByRole("button", { name: "Play" }).click();
  await Promise.all([ann, bob].map(({ page }) => page.waitForURL("**/play/*")));
  await bob.page.locator(".board").getByText(ann.name).waitFor();
  await button(bob.page, "Pause").waitFor();
  await button(bob.page, "Give up").click();
  await button(bob.page, "Really give up?").click();
  await bob.page.getByRole("heading", { name: "Defeat" }).waitFor();

  // What they have played stands on the page of either.
  await bob.page.goto(`${cluster.urls[1]}/account`);
  await bob.page.locator(".history").getByRole("link", { name: ann.name }).click();
  await bob.page.locator(".history li").filter({ hasText: `against ${bob.name}` }).waitFor();
  await bob.shoot("player-history");
  await button(bob.page, "Block").click();
  await button(bob.page, "Unblock").waitFor();
  assert.equal(await button(bob.page, "Duel").count(), 0);
});

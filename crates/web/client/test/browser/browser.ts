// A Chromium for the tests, and pages that remember everything that went wrong in them.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: FLAGS });
}

/** All who are in a test. */
export class People {
  #watched: Watched[] = [];

  async open(browser: Browser, name: string, url: string): Promise<Watched> {
    const watched = await Watched.open(browser, name);
    watched.page.setDefaultTimeout(30_000);
    this.#watched.push(watched);
    await watched.page.goto(url);
    return watched;
  }

  /** After each test. What one looks like that failed is kept. */
  async leave(context: object): Promise<void> {
    const watched = this.#watched.splice(0);
    if ("passed" in context && context.passed === false) {
      for (const one of watched) {
        await one.shoot(`failed-${one.name}`).catch(() => {});
        console.error(one.name, one.page.url(), await one.page.locator("body").innerText().catch(() => ""));
      }
    }
    for (const { page } of watched) await page.context().close();
    // Console errors, violations of the content security policy among them, fail whatever test they happen in.
    assert.deepEqual(watched.flatMap(({ faults }) => faults), []);
  }
}

export const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

export class Watched {
  readonly faults: string[] = [];
  readonly page: Page;
  readonly name: string;

  private constructor(name: string, page: Page) {
    this.name = name;
    this.page = page;
    // Violations of the policy come as console errors too.
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.faults.push(`${name}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.faults.push(`${name}: ${error.stack ?? error.message}`));
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText ?? "";
      // A page that is left drops what it was loading.
      if (!why.includes("ERR_ABORTED")) this.faults.push(`${name}: ${request.url()} ${why}`);
    });
  }

  /** A page in a context of its own: another person. */
  static async open(browser: Browser, name: string, options: BrowserContextOptions = {}): Promise<Watched> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    return new Watched(name, await context.newPage());
  }

  async shoot(what: string): Promise<void> {
    const folder = process.env.SCREENSHOTS;
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${what}.png`) });
  }
}

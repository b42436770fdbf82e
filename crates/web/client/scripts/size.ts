// What a browser loads before the page can be used, compressed: the document, its styles, the entry, and the page with
// all that it imports. Fails where the largest first load is over the limit.

import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";

const LIMIT_BYTES = 80 * 1024;
const root = fileURLToPath(new URL("..", import.meta.url));

const output = (await build({ root, logLevel: "error", build: { write: false } })) as Rolldown.RolldownOutput;
const files = new Map(output.output.map((file) => [file.fileName, file]));
const html = output.output.find((file) => file.fileName === "index.html");
const entry = output.output.find((file) => file.type === "chunk" && file.isEntry);
if (html === undefined || entry?.type !== "chunk") throw new Error("the build has no page");

/** With all that it imports at once; a dynamic import waits. */
function withImports(name: string, seen = new Set<string>()): Set<string> {
  const file = files.get(name);
  if (file === undefined || seen.has(name)) return seen;
  seen.add(name);
  if (file.type === "chunk") for (const next of file.imports) withImports(next, seen);
  return seen;
}

const styles = output.output.filter((file) => file.fileName.endsWith(".css")).map((file) => file.fileName);
const first = [...withImports(entry.fileName), ...styles, "index.html"];
const size = (names: Iterable<string>, compress: (bytes: Buffer) => Buffer) => {
  let bytes = 0;
  for (const name of names) {
    const file = files.get(name)!;
    bytes += compress(Buffer.from(file.type === "chunk" ? file.code : file.source)).length;
  }
  return bytes;
};

let failed = false;
console.log("first load of".padEnd(16), "gzip".padStart(9), "brotli".padStart(9));
for (const page of entry.dynamicImports) {
  const names = new Set([...first, ...withImports(page)]);
  const gzip = size(names, gzipSync);
  const brotli = size(names, brotliCompressSync);
  const name = /([a-z]+)-/.exec(page)?.[1] ?? page;
  console.log(name.padEnd(16), `${kib(gzip)} KiB`.padStart(9), `${kib(brotli)} KiB`.padStart(9));
  // The larger counts: not every browser takes brotli.
  if (gzip > LIMIT_BYTES) failed = true;
}
if (failed) {
  console.error(`over the limit of ${LIMIT_BYTES / 1024} KiB`);
  process.exitCode = 1;
}

function kib(bytes: number): string {
  return (bytes / 1024).toFixed(1);
}

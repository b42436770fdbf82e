// Everything that the package gives. `Rally` is what most need; the parts below it stand for themselves.

export * from "./api.ts";
export { backoffMs } from "./backoff.ts";
export * from "./connection.ts";
export * as own from "./own.ts";
export * from "./protocol/index.ts";
export * from "./rally.ts";
export { Rtt } from "./rtt.ts";
export * from "./session.ts";
export * as talk from "./talk.ts";

// The client protocol, version 1: what `crates/protocol/src/client/v1.rs` says, in this page's language.
export * from "./codec.ts";
export * from "./enums.ts";
export * from "./ids.ts";
export * from "./messages.ts";

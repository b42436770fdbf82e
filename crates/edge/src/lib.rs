//! The shell of an edge: HTTP API, WebSocket gateway, web client.

//! The web client, built and embedded.

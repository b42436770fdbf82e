//! Postgres behind our own types: migrations, users, matches, epochs, results.

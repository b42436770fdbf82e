//! The shell of a worker: tick loop, hosted matches, directors.

//! A client's connection and an edge's view of its matches, as state machines without IO.

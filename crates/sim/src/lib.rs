//! The rules of Pong as a pure function of state, inputs and a seed.

//! A match's life from waiting to result, as a state machine without IO.

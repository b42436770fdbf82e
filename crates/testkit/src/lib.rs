//! Real servers on free ports, and builders, for tests.

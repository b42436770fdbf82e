//! The rules, one group to a file. `World::sub_step` says in which order they apply.

pub(crate) mod ball;
pub(crate) mod goals;
pub(crate) mod paddle;
pub(crate) mod power_ups;
pub(crate) mod skills;

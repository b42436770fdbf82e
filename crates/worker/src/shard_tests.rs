//! The tick thread's whole behaviour, in virtual time.
#![allow(clippy::unwrap_used)]

mod creating;
mod ending;
mod playing;
mod scene;
mod showing;
mod standing_still;

//! What nodes say to each other, through Redis.

pub mod v1;

mod bundle;
mod control;

pub use bundle::{
    BundleError, BundleHeader, BundleKeys, BundleReader, BundleWriter, Entries, Entry, EntryKind, KeyError,
};

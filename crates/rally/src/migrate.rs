//! `rally migrate`.

use anyhow::Context as _;
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::Store;

use crate::node;

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![node::DATABASE_VARS]
}

/// Brings the database to this version. Run by several at once, one works and the others wait.
pub(crate) async fn run() -> anyhow::Result<()> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let config = node::read_store(&mut env);
    let store = Store::new(&env.finish(config)?)?;
    let version = store.migrate().await.context("cannot migrate the database")?;
    println!("the database is at version {version}");
    Ok(())
}

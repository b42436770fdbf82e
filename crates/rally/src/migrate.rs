//! `rally migrate`.

use anyhow::anyhow;
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::Store;

use crate::servers::{self, DatabaseConfig};

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![servers::DATABASE_VARS]
}

/// Brings the database to this version. Run by several at once, one works and the others wait.
pub(crate) async fn run() -> anyhow::Result<()> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let config = DatabaseConfig::read(&mut env);
    let store = Store::new(&env.finish(config)?.store()?)?;
    let version =
        store.migrate().await.map_err(|error| anyhow!("cannot migrate the database: {}", servers::explain(&error)))?;
    println!("the database is at version {version}");
    Ok(())
}

//! `rally admin`: what operators do with people, by way of the database.

mod accounts;
mod reports;

use clap::{Args, Subcommand};
use rally_service::env::{Env, ProcessEnv, Var};
use rally_store::Store;

use crate::servers::{self, DatabaseConfig};

/// Every variable that it reads.
pub(crate) fn vars() -> Vec<&'static [Var]> {
    vec![servers::DATABASE_VARS]
}

/// Options of `rally admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes an operator's account, or makes an account an operator's.
    Create {
        /// Its name.
        name: String,
    },
    /// Prints a code with which the owner of an account sets another password, once and within a day.
    Reset {
        /// Its name.
        name: String,
        /// Take the second factor away too, for who has lost that as well.
        #[arg(long)]
        totp: bool,
    },
    /// Lists what people have reported, and closes it.
    Reports(reports::ReportsArgs),
    /// Makes a channel slow: each says something once in so long, operators aside.
    Slow(reports::SlowArgs),
}

/// Does it.
pub(crate) async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let strings = ProcessEnv;
    let mut env = Env::new(&strings);
    let config = DatabaseConfig::read(&mut env);
    let store = Store::new(&env.finish(config)?.store()?)?;
    match args.what {
        What::Create { name } => accounts::create(&store, &name).await,
        What::Reset { name, totp } => accounts::reset(&store, &name, totp).await,
        What::Reports(args) => reports::run(&store, args).await,
        What::Slow(args) => reports::slow(&store, &args).await,
    }
}

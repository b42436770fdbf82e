//! One executable, one role per subcommand.

mod admin;
mod admin_client;
mod cluster;
mod dev;
mod edge;
mod keys;
mod migrate;
mod node;
mod replay;
mod servers;
mod worker;

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use rally_service::env::{EXIT_CONFIG, Faults, help};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rally: a realtime game cluster.
#[derive(Debug, Parser)]
#[command(name = "rally", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A whole cluster on this machine: two edges, two workers, and a private Redis and Postgres.
    Dev(dev::DevArgs),
    /// An edge: HTTP API, WebSocket gateway, web client.
    Edge(NodeArgs),
    /// A worker: runs matches.
    Worker(NodeArgs),
    /// Brings the database to this version.
    Migrate,
    /// Shows the nodes of a cluster and its matches; drains a node, moves a match.
    Cluster(cluster::ClusterArgs),
    /// Plays stored matches again.
    Replay(replay::ReplayArgs),
    /// What operators do with people: accounts, reports of abuse, slow channels.
    Admin(admin::AdminArgs),
    /// Asks nodes' admin ports whether they may have traffic; exits with 0 or 1.
    Health(admin_client::HealthArgs),
    /// Prints new keys: for the cluster's bundles and for access tokens.
    Keys,
}

/// Options of a node; all else comes from the environment.
#[derive(Clone, Copy, Debug, Args)]
struct NodeArgs {
    /// Print the variables that are set wrongly, and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    // One provider of cryptography for all that speak TLS. It fails where there is one already: there is none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // The help of a role lists every variable that it reads.
    let command = Cli::command()
        .mut_subcommand("edge", |edge| edge.after_help(help(&edge::vars())))
        .mut_subcommand("worker", |worker| worker.after_help(help(&worker::vars())))
        .mut_subcommand("migrate", |migrate| migrate.after_help(help(&migrate::vars())))
        .mut_subcommand("cluster", |cluster| cluster.after_help(help(&cluster::vars())))
        .mut_subcommand("replay", |replay| replay.after_help(help(&replay::vars())))
        .mut_subcommand("admin", |admin| admin.after_help(help(&admin::vars())))
        .mut_subcommand("keys", |keys| keys.after_help(keys::HELP))
        .mut_subcommand("health", |health| health.after_help(help(&[rally_service::admin::VARS])))
        .mut_subcommand("dev", |dev| dev.after_help(help(&[dev::VARS])));
    let cli = match Cli::from_arg_matches(&command.get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rally: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Edge(args) => edge::run(args.check_config).await,
            Command::Worker(args) => worker::run(args.check_config).await,
            Command::Migrate => migrate::run().await,
            Command::Cluster(args) => cluster::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Admin(args) => admin::run(args).await,
            Command::Health(args) => admin_client::health(args).await,
            Command::Keys => keys::print(),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rally: {error:#}");
            let is_config = error.downcast_ref::<Faults>().is_some();
            if is_config { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

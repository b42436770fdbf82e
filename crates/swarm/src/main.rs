//! `swarm`: the load generator. `swarm --help` says what it can do.

use std::process::ExitCode;

use clap::Parser as _;
use rally_swarm::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One thread: what is comfortable runs here, what is fast has threads of its own.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(rally_swarm::run(&cli)));
    outcome.unwrap_or_else(|error| {
        eprintln!("swarm: {error:#}");
        ExitCode::from(2)
    })
}

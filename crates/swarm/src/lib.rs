//! Load generator for Rally: many scripted players over several edges, and what they measured.
//!
//! It shares the machine with the servers that it measures, so that its own CPU time per snapshot must be small: a
//! thread with one epoll instance reads all sockets (`engine`, `conn`, `frame`), skims what a player needs of a
//! snapshot (`seen`), and everything slow is left to a dialer. What it measures is told in `play`, `idle`, `api`,
//! `chat`, `hpa` and `floor`.
//!
//! Nothing that a server does ends a run: errors are counted by their codes.

mod aim;
pub mod api;
pub mod chat;
pub mod cli;
mod conn;
mod dialer;
mod engine;
pub mod expect;
pub mod floor;
mod frame;
pub mod hpa;
pub mod idle;
pub mod nodes;
pub mod play;
mod player;
mod redis_info;
mod run;
mod seen;
pub mod stats;
pub mod watch;

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    cli::{Cli, Command, FloorArgs},
    floor::{Floor, FloorOptions},
};

/// Runs a command and prints what it measured. Exits with 1 when an expectation was not met.
pub async fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Play(args) => {
            let report = play::play(args).await?;
            print!("{}", report.table());
            finish(args.target.json.as_deref(), &report, &report.shortfalls)
        }
        Command::Idle(args) => {
            let report = idle::idle(args).await?;
            print!("{}", report.table());
            finish(args.target.json.as_deref(), &report, &report.shortfalls)
        }
        Command::Api(args) => {
            let report = api::api(args).await?;
            print!("{}", report.table());
            finish(args.json.as_deref(), &report, &report.shortfalls)
        }
        Command::Chat(args) => {
            let report = chat::chat(args).await?;
            print!("{}", report.table());
            finish(args.target.json.as_deref(), &report, &report.shortfalls)
        }
        Command::Hpa(args) => {
            let report = hpa::hpa(args).await?;
            print!("{}", report.table());
            finish(args.target.json.as_deref(), &report, &report.shortfalls)
        }
        Command::Floor(FloorArgs { rounds, messages, json }) => {
            let floor = Floor::measure(FloorOptions { rounds: *rounds, messages: (*messages).max(1) })?;
            println!("CPU time of one 64-byte message over loopback, best of {rounds} rounds:");
            println!("  blocking  send {:>6.2} us   receive {:>6.2} us", floor.send_us, floor.receive_us);
            println!("  epoll     send {:>6.2} us   receive {:>6.2} us", floor.send_epoll_us, floor.receive_epoll_us);
            finish(json.as_deref(), &floor, &[])
        }
    }
}

fn finish(json: Option<&Path>, report: &impl Serialize, shortfalls: &[String]) -> anyhow::Result<ExitCode> {
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(report)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if shortfalls.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

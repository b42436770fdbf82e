//! `rally admin reports` and `rally admin slow`: keeping order where nobody else does.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rally_store::{OUTCOME_CHARS_MAX, Report, SLOW_S_MAX, Store};
use serde_json::json;
use uuid::Uuid;

/// Options of `rally admin reports`.
#[derive(Debug, Args)]
pub(crate) struct ReportsArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    /// List those that are closed.
    #[arg(long)]
    closed: bool,
    /// Reports at most, the oldest first.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Closes a report.
    Close {
        /// Which.
        id: Uuid,
        /// What came of it, in your words.
        outcome: String,
    },
}

/// Options of `rally admin slow`.
#[derive(Debug, Args)]
pub(crate) struct SlowArgs {
    /// `global`, `match:ID` or `watch:ID`; those of groups are their moderators' affair.
    channel: String,
    /// How long, in seconds; 0: off.
    seconds: u32,
}

/// Lists reports, or closes one.
pub(crate) async fn run(store: &Store, args: ReportsArgs) -> anyhow::Result<()> {
    if let Some(What::Close { id, outcome }) = args.what {
        let fits = (1..=OUTCOME_CHARS_MAX).contains(&outcome.chars().count());
        anyhow::ensure!(fits, "an outcome has 1 to {OUTCOME_CHARS_MAX} characters");
        let closed = store.close_report(id, &outcome).await.context("cannot close the report")?;
        anyhow::ensure!(closed, "there is no such report, or it is closed");
        println!("closed");
        return Ok(());
    }
    let reports = store.reports(!args.closed, args.limit).await.context("cannot ask Postgres for reports")?;
    if args.json {
        let reports: Vec<_> = reports.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&reports)?);
        return Ok(());
    }
    if reports.is_empty() {
        println!("(no report is {})", if args.closed { "closed" } else { "open" });
    }
    reports.iter().for_each(|report| print!("{}", shown(report)));
    Ok(())
}

/// Makes a channel slow.
pub(crate) async fn slow(store: &Store, args: &SlowArgs) -> anyhow::Result<()> {
    let is_open = |kind| args.channel.strip_prefix(kind).is_some_and(|id| Uuid::try_parse(id).is_ok());
    let is_known = args.channel == "global" || is_open("match:") || is_open("watch:");
    anyhow::ensure!(is_known, "expected global, match:ID or watch:ID");
    anyhow::ensure!(args.seconds <= SLOW_S_MAX, "expected at most {SLOW_S_MAX} seconds");
    store.set_slow_mode(&args.channel, args.seconds).await.context("cannot change the channel")?;
    match args.seconds {
        0 => println!("{} is no longer slow", args.channel),
        seconds => println!("in {} each says something once in {seconds} s", args.channel),
    }
    Ok(())
}

fn to_json(report: &Report) -> serde_json::Value {
    json!({
        "id": report.id,
        "at": report.at,
        "reason": report.reason.as_str(),
        "text": report.text,
        "reporter": { "id": report.reporter.0, "name": report.reporter.1 },
        "user": report.user.as_ref().map(|(id, name)| json!({ "id": id, "name": name })),
        "message": report.message.as_ref().map(|(channel, offset, text)| {
            json!({ "channel": channel, "offset": offset, "text": text })
        }),
        "match": report.match_id,
        "closed_at": report.closed.as_ref().map(|(at, _)| at),
        "outcome": report.closed.as_ref().map(|(_, outcome)| outcome),
    })
}

/// What people wrote, on one line and without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shown(report: &Report) -> String {
    let mut lines = vec![format!(
        "{}  {:.0}  {:<8} by {} ({})",
        report.id,
        report.at,
        report.reason.as_str(),
        plain(&report.reporter.1),
        report.reporter.0
    )];
    if let Some((id, name)) = &report.user {
        lines.push(format!("about {} ({id})", plain(name)));
    }
    if let Some((channel, offset, text)) = &report.message {
        lines.push(format!("said in {channel} at {offset}: {}", plain(text)));
    }
    if let Some(id) = report.match_id {
        lines.push(format!("match {id}"));
    }
    if !report.text.is_empty() {
        lines.push(plain(&report.text));
    }
    if let Some((at, outcome)) = &report.closed {
        lines.push(format!("closed {at:.0}: {}", plain(outcome)));
    }
    lines.join("\n    ") + "\n"
}

#[cfg(test)]
mod tests {
    use rally_store::ReportReason;
    use rally_units::UserId;

    use super::*;

    #[test]
    fn what_people_write_is_shown_on_one_line() {
        let report = Report {
            id: Uuid::nil(),
            reporter: (UserId::from_bytes([1; 16]), "ada".into()),
            user: Some((UserId::from_bytes([2; 16]), "bob".into())),
            message: Some(("global".into(), 7, "an\ninsult\u{1b}[2J".into())),
            match_id: None,
            reason: ReportReason::Abuse,
            text: "look".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            closed: None,
        };
        let shown = shown(&report);
        assert!(shown.contains("said in global at 7: an insult [2J"), "{shown}");
        assert_eq!(shown.lines().count(), 4);
        assert_eq!(to_json(&report)["message"]["offset"], 7);
    }
}

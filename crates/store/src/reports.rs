//! What people report to operators: somebody, a message, a match.

use jiff::Timestamp;
use rally_units::{MatchId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Store, StoreError,
    error::Fault,
    metrics::failed,
    pool::{execute, query, query_opt},
    types::text_enum,
};

/// Reports of a user that nobody has looked at yet, at most.
pub const OPEN_REPORTS_MAX: i64 = 20;
/// Characters of a report's text at most.
pub const REPORT_CHARS_MAX: usize = 1_000;
/// Characters of an outcome at most.
pub const OUTCOME_CHARS_MAX: usize = 500;

text_enum! {
    /// Why something is reported.
    ReportReason {
        /// Insults, threats, hate.
        Abuse = "abuse",
        /// Advertising, floods.
        Spam = "spam",
        /// Play that is no fair play.
        Cheating = "cheating",
        /// A name or a picture that should not be.
        Name = "name",
        /// What the text says.
        Other = "other",
    }
}

/// What is reported. The caller has seen to it that the reporter may read the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportAbout {
    /// Somebody.
    User(UserId),
    /// Something that was said: its channel, as nodes call it, and its offset.
    Message(String, u64),
    /// A match.
    Match(MatchId),
}

/// A report, as operators read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which. Later ones are greater.
    pub id: Uuid,
    /// Who reports, by id and name.
    pub reporter: (UserId, String),
    /// Who is reported.
    pub user: Option<(UserId, String)>,
    /// Channel and offset of a message, and what it said then.
    pub message: Option<(String, u64, String)>,
    /// A match.
    pub match_id: Option<MatchId>,
    /// Why.
    pub reason: ReportReason,
    /// In the reporter's words.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// When it was closed, and what came of it.
    pub closed: Option<(Timestamp, String)>,
}

/// Why nothing was reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no such thing, or it is oneself.
    #[error("there is no such thing to report")]
    NoSuchThing,
    /// Too many of this user's reports are open.
    #[error("too many reports are open")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Reports something to operators. The same by the same is one report, as long as it is open; returns its id.
    ///
    /// # Errors
    /// There is no such thing, too many are open, or the store failed.
    pub async fn report(
        &self,
        reporter: UserId,
        about: &ReportAbout,
        reason: ReportReason,
        text: &str,
    ) -> Result<Uuid, ReportError> {
        const OPERATION: &str = "report";
        const LOCK: &str = "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE";
        const OPEN: &str = "SELECT count(*) FROM reports WHERE reporter_id = $1 AND closed_at IS NULL";
        const SAME: &str = "SELECT id FROM reports WHERE reporter_id = $1 AND closed_at IS NULL
            AND user_id IS NOT DISTINCT FROM $2 AND channel IS NOT DISTINCT FROM $3
            AND message_offset IS NOT DISTINCT FROM $4 AND match_id IS NOT DISTINCT FROM $5 AND reason = $6";
        const INSERT: &str = "INSERT INTO reports
                (id, reporter_id, user_id, channel, message_offset, message_body, match_id, reason, body)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let reported = self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let me = reporter.as_uuid();
            query(&tx, LOCK, &[&me]).await?;
            let Some(found) = Found::read(&tx, about).await? else { return Ok(Err(ReportError::NoSuchThing)) };
            if found.user == Some(me) {
                return Ok(Err(ReportError::NoSuchThing));
            }
            let Found { user, channel, offset, body, match_id } = found;
            let reason = reason.as_str();
            if let Some(row) = query_opt(&tx, SAME, &[&me, &user, &channel, &offset, &match_id, &reason]).await? {
                return Ok(Ok(row.try_get("id")?));
            }
            let open = query_opt(&tx, OPEN, &[&me]).await?.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
            if open >= OPEN_REPORTS_MAX {
                return Ok(Err(ReportError::TooMany));
            }
            let id = Uuid::now_v7();
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
                [&id, &me, &user, &channel, &offset, &body, &match_id, &reason, &text];
            execute(&tx, INSERT, &params).await?;
            tx.commit().await?;
            Ok(Ok(id))
        });
        reported.await?.inspect_err(|error| {
            failed(
                OPERATION,
                match error {
                    ReportError::NoSuchThing => "no_such_thing",
                    ReportError::TooMany => "too_many",
                    ReportError::Store(error) => error.kind.as_str(),
                },
            );
        })
    }

    /// Reports, the oldest first: those that are open, or those that were closed; `limit` at most.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reports(&self, are_open: bool, limit: usize) -> Result<Vec<Report>, StoreError> {
        const SQL: &str = "SELECT r.id, r.reporter_id, a.name AS reporter, r.user_id, b.name AS reported, r.channel,
                r.message_offset, r.message_body, r.match_id, r.reason, r.body, r.created_at, r.closed_at, r.outcome
            FROM reports r JOIN users a ON a.id = r.reporter_id LEFT JOIN users b ON b.id = r.user_id
            WHERE (r.closed_at IS NULL) = $1 ORDER BY r.id LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run("reports", async |client| {
            query(client, SQL, &[&are_open, &limit]).await?.iter().map(read_report).collect()
        })
        .await
    }

    /// Closes a report, in an operator's words. `false`: there is none, or it is closed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn close_report(&self, id: Uuid, outcome: &str) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE reports SET closed_at = now(), outcome = $2 WHERE id = $1 AND closed_at IS NULL";
        self.run("close_report", async |client| Ok(execute(client, SQL, &[&id, &outcome]).await? > 0)).await
    }
}

/// What is reported, as far as it is there.
struct Found {
    user: Option<Uuid>,
    channel: Option<String>,
    offset: Option<i64>,
    body: Option<String>,
    match_id: Option<Uuid>,
}

impl Found {
    async fn read(tx: &impl deadpool_postgres::GenericClient, about: &ReportAbout) -> Result<Option<Self>, Fault> {
        const USER: &str = "SELECT FROM users WHERE id = $1 AND deleted_at IS NULL";
        const MESSAGE: &str = "SELECT user_id, body FROM channel_messages WHERE channel = $1 AND message_offset = $2";
        const MATCH: &str = "SELECT FROM matches WHERE id = $1";
        let nothing = Self { user: None, channel: None, offset: None, body: None, match_id: None };
        Ok(match about {
            ReportAbout::User(user) => {
                let user = user.as_uuid();
                query_opt(tx, USER, &[&user]).await?.map(|_| Self { user: Some(user), ..nothing })
            }
            ReportAbout::Message(channel, offset) => {
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                match query_opt(tx, MESSAGE, &[channel, &offset]).await? {
                    Some(row) => Some(Self {
                        user: Some(row.try_get("user_id")?),
                        channel: Some(channel.clone()),
                        offset: Some(offset),
                        body: Some(row.try_get("body")?),
                        match_id: None,
                    }),
                    None => None,
                }
            }
            ReportAbout::Match(id) => {
                let id = id.as_uuid();
                query_opt(tx, MATCH, &[&id]).await?.map(|_| Self { match_id: Some(id), ..nothing })
            }
        })
    }
}

fn read_report(row: &Row) -> Result<Report, Fault> {
    let user: Option<Uuid> = row.try_get("user_id")?;
    let (channel, offset, body): (Option<String>, Option<i64>, Option<String>) =
        (row.try_get("channel")?, row.try_get("message_offset")?, row.try_get("message_body")?);
    let (closed_at, outcome): (Option<Timestamp>, Option<String>) =
        (row.try_get("closed_at")?, row.try_get("outcome")?);
    let reported: Option<String> = row.try_get("reported")?;
    Ok(Report {
        id: row.try_get("id")?,
        reporter: (UserId::from_uuid(row.try_get("reporter_id")?), row.try_get("reporter")?),
        user: user.map(UserId::from_uuid).zip(reported),
        message: channel
            .zip(offset.and_then(|offset| u64::try_from(offset).ok()))
            .zip(body)
            .map(|((channel, offset), body)| (channel, offset, body)),
        match_id: row.try_get::<_, Option<Uuid>>("match_id")?.map(MatchId::from_uuid),
        reason: ReportReason::read(row.try_get("reason")?)?,
        text: row.try_get("body")?,
        at: row.try_get("created_at")?,
        closed: closed_at.zip(outcome),
    })
}

//! Appending to a channel: who may, when, and in which order.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::GenericClient;
use jiff::{Timestamp, ToSpan as _};
use rally_units::{GroupId, UserId};
use uuid::Uuid;

use super::{Appended, COLUMNS, Message, NewMessage, read};
use crate::{
    GroupRole,
    error::Fault,
    groups::seconds,
    pool::{execute, query, query_opt},
};

/// What is known of those who want to say something, under the channel's lock.
struct Rules {
    now: Timestamp,
    slow_s: u32,
    /// Of those in the group; `None`: the channel is no group's.
    members: Option<HashMap<UserId, (GroupRole, Option<Timestamp>)>>,
    /// Whether nobody here says anything: one of two blocks the other.
    closed: bool,
    operators: HashSet<UserId>,
    /// When the last ones in a slow channel may say something again.
    next: HashMap<UserId, Timestamp>,
}

impl Rules {
    async fn read(
        tx: &impl GenericClient,
        channel: &str,
        (now, slow_s): (Timestamp, u32),
        new: &[NewMessage],
    ) -> Result<Self, Fault> {
        const MEMBERS: &str = "SELECT m.user_id, m.role, x.muted_until FROM group_members m
            LEFT JOIN group_mutes x ON x.group_id = m.group_id AND x.user_id = m.user_id
            WHERE m.group_id = $1 AND m.user_id = ANY($2)";
        const CLOSED: &str = "SELECT FROM blocks WHERE (user_id, blocked_id) IN (($1, $2), ($2, $1))";
        const OPERATORS: &str = "SELECT user_id FROM accounts WHERE role = 'operator' AND user_id = ANY($1)";
        const SAID: &str = "SELECT user_id, said_at FROM channel_reads
            WHERE channel = $1 AND user_id = ANY($2) AND said_at IS NOT NULL";
        let mut rules =
            Self { now, slow_s, members: None, closed: false, operators: HashSet::new(), next: HashMap::new() };
        let users: Vec<Uuid> = new.iter().map(|message| message.user.as_uuid()).collect();
        match channel.split_once(':') {
            Some(("group", id)) => {
                let id: GroupId = id.parse().map_err(|_| Fault::Malformed("name of a group's channel"))?;
                let mut members = HashMap::new();
                for row in query(tx, MEMBERS, &[&id.as_uuid(), &users]).await? {
                    let role = GroupRole::read(row.try_get("role")?)?;
                    let until: Option<Timestamp> = row.try_get("muted_until")?;
                    members.insert(UserId::from_uuid(row.try_get("user_id")?), (role, until));
                }
                rules.members = Some(members);
            }
            Some(("direct", two)) => {
                let two = two.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                if let Some((low, high)) = two {
                    let (low, high): (Uuid, Uuid) = (low, high);
                    rules.closed = query_opt(tx, CLOSED, &[&low, &high]).await?.is_some();
                }
            }
            _ if slow_s > 0 || new.iter().any(NewMessage::takes_back) => {
                for row in query(tx, OPERATORS, &[&users]).await? {
                    rules.operators.insert(UserId::from_uuid(row.try_get("user_id")?));
                }
            }
            _ => {}
        }
        if slow_s > 0 {
            for row in query(tx, SAID, &[&channel, &users]).await? {
                let said: Timestamp = row.try_get("said_at")?;
                rules.next.insert(UserId::from_uuid(row.try_get("user_id")?), said + i64::from(slow_s).seconds());
            }
        }
        Ok(rules)
    }

    /// Whether this one keeps order here.
    fn moderates(&self, user: UserId) -> bool {
        match &self.members {
            Some(members) => members.get(&user).is_some_and(|(role, _)| role.moderates()),
            None => self.operators.contains(&user),
        }
    }

    /// Why this is not said, if it is not. What is said counts.
    fn refuses(&mut self, message: &NewMessage, author: Option<(UserId, bool)>) -> Option<Appended> {
        let user = message.user;
        let muted_until = match &self.members {
            Some(members) => match members.get(&user) {
                Some((_, until)) => *until,
                None => return Some(Appended::NotAllowed),
            },
            None => None,
        };
        if self.closed {
            return Some(Appended::NotAllowed);
        }
        if let Some(until) = muted_until.filter(|until| *until > self.now) {
            return Some(Appended::Muted { until });
        }
        if message.edits.is_some() {
            let is_allowed = match author {
                Some((author, true)) if author == user => true,
                Some(_) => message.takes_back() && self.moderates(user),
                None => false,
            };
            return (!is_allowed).then_some(Appended::NotEditable);
        }
        if self.slow_s > 0 && !self.moderates(user) {
            if let Some(until) = self.next.get(&user).copied().filter(|until| *until > self.now) {
                return Some(Appended::TooSoon { until });
            }
            self.next.insert(user, self.now + i64::from(self.slow_s).seconds());
        }
        None
    }
}

impl NewMessage {
    fn takes_back(&self) -> bool {
        self.edits.is_some() && self.text.is_empty()
    }
}

pub(super) async fn append(tx: &impl GenericClient, channel: &str, new: &[NewMessage]) -> Result<Vec<Appended>, Fault> {
    const MAKE: &str = "INSERT INTO channels (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    const LOCK: &str = "SELECT last_offset, slow_s FROM channels WHERE name = $1 FOR NO KEY UPDATE";
    // After the lock is held: who waited for it has waited.
    const NOW: &str = "SELECT clock_timestamp() AS now";
    const EDITABLE: &str = "SELECT message_offset, user_id, sent_at > now() - interval '5 minutes' AS is_recent
        FROM channel_messages WHERE channel = $1 AND message_offset = ANY($2) AND edits IS NULL AND body <> ''";
    const INSERT: &str = "INSERT INTO channel_messages
            (channel, message_offset, id, user_id, nonce, body, edits, mentions)
        SELECT $1, n.o, n.id, n.user_id, n.nonce, n.body, n.edits, string_to_array(n.mentions, ',')::uuid[]
        FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[])
            AS n (o, id, user_id, nonce, body, edits, mentions)";
    // The text that was is no longer what is found; what was taken back is gone.
    const REPLACE: &str = "UPDATE channel_messages SET replaced = true, body = CASE WHEN $4 THEN '' ELSE body END
        WHERE channel = $1 AND (message_offset = $2 OR edits = $2) AND message_offset < $3";
    const RAISE: &str = "UPDATE channels SET last_offset = $2 WHERE name = $1";
    const SAID: &str = "INSERT INTO channel_reads (user_id, channel, read_offset, said_at)
        SELECT DISTINCT user_id, $1, 0, $3::timestamptz FROM unnest($2::uuid[]) AS s (user_id)
        ON CONFLICT (user_id, channel) DO UPDATE SET said_at = excluded.said_at";
    // A group's channel comes and goes with the group.
    if !channel.starts_with("group:") {
        execute(tx, MAKE, &[&channel]).await?;
    }
    let Some(row) = query_opt(tx, LOCK, &[&channel]).await? else {
        return Ok(vec![Appended::NotAllowed; new.len()]);
    };
    let mut last: i64 = row.try_get("last_offset")?;
    let slow_s = seconds(&row, "slow_s")?;
    let before = last;
    let now = query_opt(tx, NOW, &[]).await?.ok_or(Fault::Malformed("absence of the time"))?;
    let now: Timestamp = now.try_get("now")?;
    let mut rules = Rules::read(tx, channel, (now, slow_s), new).await?;

    // What came with the same marks before, in this batch or in an earlier one.
    let (users, nonces): (Vec<Uuid>, Vec<&str>) =
        new.iter().map(|message| (message.user.as_uuid(), message.nonce.as_str())).unzip();
    let mut known = stored(tx, channel, &users, &nonces).await?;
    let edited: Vec<i64> = new.iter().filter_map(|message| i64::try_from(message.edits?).ok()).collect();
    let mut authors = HashMap::new();
    if !edited.is_empty() {
        for row in query(tx, EDITABLE, &[&channel, &edited]).await? {
            let author = UserId::from_uuid(row.try_get("user_id")?);
            authors.insert(row.try_get::<_, i64>("message_offset")?, (author, row.try_get::<_, bool>("is_recent")?));
        }
    }

    let (mut offsets, mut ids, mut senders, mut marks, mut bodies, mut edits, mut mentions) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut repeated = Vec::with_capacity(new.len());
    let mut refused: Vec<Option<Appended>> = vec![None; new.len()];
    for (n, message) in new.iter().enumerate() {
        let user = message.user.as_uuid();
        let mark = (user, message.nonce.clone());
        let is_known = known.contains_key(&mark)
            || new[..n].iter().zip(&refused).any(|(earlier, refused)| {
                refused.is_none() && earlier.user == message.user && earlier.nonce == message.nonce
            });
        repeated.push(is_known);
        if is_known {
            continue;
        }
        let edits_offset = message.edits.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX));
        refused[n] = rules.refuses(message, edits_offset.and_then(|offset| authors.get(&offset).copied()));
        if refused[n].is_some() {
            continue;
        }
        last += 1;
        offsets.push(last);
        ids.push(Uuid::now_v7());
        senders.push(user);
        marks.push(message.nonce.as_str());
        bodies.push(message.text.as_str());
        edits.push(edits_offset);
        // Arrays of arrays must be as long as each other.
        mentions.push(message.mentions.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
    if last > before {
        execute(tx, INSERT, &[&channel, &offsets, &ids, &senders, &marks, &bodies, &edits, &mentions]).await?;
        for ((offset, edited), body) in offsets.iter().zip(&edits).zip(&bodies) {
            if let Some(edited) = edited {
                execute(tx, REPLACE, &[&channel, edited, offset, &body.is_empty()]).await?;
            }
        }
        execute(tx, RAISE, &[&channel, &last]).await?;
        if slow_s > 0 {
            execute(tx, SAID, &[&channel, &senders, &now]).await?;
        }
        known = stored(tx, channel, &users, &nonces).await?;
    }
    new.iter()
        .zip(repeated)
        .zip(refused)
        .map(|((message, repeated), refused)| {
            if let Some(refused) = refused {
                return Ok(refused);
            }
            let mark = (message.user.as_uuid(), message.nonce.clone());
            let message = known.get(&mark).cloned().ok_or(Fault::Malformed("absence of a message"))?;
            Ok(Appended::Stored { message, repeated })
        })
        .collect()
}

/// What stands in a channel with these marks.
async fn stored(
    tx: &impl GenericClient,
    channel: &str,
    users: &[Uuid],
    nonces: &[&str],
) -> Result<HashMap<(Uuid, String), Message>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM unnest($2::uuid[], $3::text[]) AS n (user_id, nonce)
        JOIN channel_messages m ON m.channel = $1 AND m.user_id = n.user_id AND m.nonce = n.nonce
        JOIN users u ON u.id = m.user_id"
    );
    let rows = query(tx, &sql, &[&channel, &users, &nonces]).await?;
    let messages = rows.iter().map(read);
    messages.map(|message| message.map(|m| ((m.user.as_uuid(), m.nonce.clone()), m))).collect()
}

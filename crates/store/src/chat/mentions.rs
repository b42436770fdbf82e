//! Who is meant by a name, among those who may read a channel.

use deadpool_postgres::GenericClient;
use rally_units::{GroupId, MatchId, UserId};
use uuid::Uuid;

use crate::{Store, StoreError, error::Fault, pool::query};

/// People who are named in a message at most.
pub const MENTIONS_MAX: usize = 5;

impl Store {
    /// Who is meant by these names (in small letters) in a channel: of a group its members, of a direct channel the two,
    /// of a match its players; where everybody may read (in `global`, and among those who watch a match), accounts. With the name, at most [`MENTIONS_MAX`] for each.
    ///
    /// # Errors
    /// The store failed.
    pub async fn named_in(&self, channel: &str, names: &[String]) -> Result<Vec<(String, UserId)>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.run("named_in", async |client| named(client, channel, names).await).await
    }
}

async fn named(client: &impl GenericClient, channel: &str, names: &[String]) -> Result<Vec<(String, UserId)>, Fault> {
    const MEMBERS: &str = "SELECT lower(u.name) AS name, u.id FROM group_members m JOIN users u ON u.id = m.user_id
        WHERE m.group_id = $2 AND lower(u.name) = ANY($1) ORDER BY m.joined_at LIMIT 50";
    const TWO: &str = "SELECT lower(name) AS name, id FROM users WHERE id = ANY($2) AND lower(name) = ANY($1)";
    const ACCOUNTS: &str = "SELECT lower(name) AS name, id FROM users WHERE kind = 'account' AND lower(name) = ANY($1)";
    const PLAYERS: &str =
        "SELECT lower(u.name) AS name, u.id FROM matches m JOIN users u ON u.id IN (m.left_user, m.right_user)
        WHERE m.id = $2 AND lower(u.name) = ANY($1)";
    let rows = match channel.split_once(':') {
        None | Some(("watch", _)) => query(client, ACCOUNTS, &[&names]).await?,
        Some(("group", id)) => {
            let id: GroupId = id.parse().map_err(|_| Fault::Malformed("name of a group's channel"))?;
            query(client, MEMBERS, &[&names, &id.as_uuid()]).await?
        }
        Some(("direct", two)) => {
            let two: Vec<Uuid> = two.split(':').filter_map(|id| id.parse().ok()).collect();
            query(client, TWO, &[&names, &two]).await?
        }
        Some(("match", id)) => {
            let id: MatchId = id.parse().map_err(|_| Fault::Malformed("name of a match's channel"))?;
            query(client, PLAYERS, &[&names, &id.as_uuid()]).await?
        }
        Some(_) => return Ok(Vec::new()),
    };
    rows.iter().map(|row| Ok((row.try_get("name")?, UserId::from_uuid(row.try_get("id")?)))).collect()
}

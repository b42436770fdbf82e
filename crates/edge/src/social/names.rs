//! Names of channels: who may read which, and what each is called by whom.
//!
//! A direct channel has one name for each of its two: `direct:` and the other's id. Among nodes and in Postgres it has
//! one for both.

use std::{fmt, str::FromStr};

use rally_protocol::client::v1::ErrorCode;
use rally_store::{Store, StoreError};
use rally_units::{GroupId, MatchId, UserId};

/// A channel, as one of its readers calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChannelName {
    /// Everybody's.
    Global,
    /// The players' of a match.
    Match(MatchId),
    /// Those who watch a match.
    Watch(MatchId),
    /// With somebody alone.
    Direct(UserId),
    /// A group's.
    Group(GroupId),
}

impl FromStr for ChannelName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            None if text == "global" => Ok(Self::Global),
            Some(("match", id)) => id.parse().map(Self::Match).map_err(drop),
            Some(("watch", id)) => id.parse().map(Self::Watch).map_err(drop),
            Some(("direct", id)) => id.parse().map(Self::Direct).map_err(drop),
            Some(("group", id)) => id.parse().map(Self::Group).map_err(drop),
            _ => Err(()),
        }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Match(id) => write!(f, "match:{id}"),
            Self::Watch(id) => write!(f, "watch:{id}"),
            Self::Direct(id) => write!(f, "direct:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
        }
    }
}

impl ChannelName {
    /// What this user's channel is called among nodes and in Postgres.
    pub(crate) fn key(&self, user: UserId) -> String {
        match self {
            Self::Direct(other) => {
                let (low, high) = (user.min(*other), user.max(*other));
                format!("direct:{}:{}", low.as_uuid().simple(), high.as_uuid().simple())
            }
            name => name.to_string(),
        }
    }

    /// What this user calls the channel of this key.
    pub(crate) fn of_key(key: &str, user: UserId) -> Option<Self> {
        let Some((low, high)) = key.strip_prefix("direct:").and_then(|two| two.split_once(':')) else {
            return key.parse().ok();
        };
        let (low, high): (UserId, UserId) = (low.parse().ok()?, high.parse().ok()?);
        Some(Self::Direct(if low == user { high } else { low }))
    }
}

/// Whether this user may read (and write) here: `Ok(Err(..))` says why not.
pub(crate) async fn may_read(
    store: &Store,
    user: UserId,
    name: ChannelName,
) -> Result<Result<(), (ErrorCode, &'static str)>, StoreError> {
    Ok(match name {
        ChannelName::Global => Ok(()),
        ChannelName::Match(id) => match store.active_match(user).await? {
            Some(seat) if seat.match_id == id => Ok(()),
            _ => Err((ErrorCode::Forbidden, "only its players talk there")),
        },
        ChannelName::Watch(id) => {
            if store.has_match(id).await? {
                Ok(())
            } else {
                Err((ErrorCode::NotFound, "there is no such match"))
            }
        }
        ChannelName::Direct(other) => {
            if other != user && store.may_meet(user, other).await? {
                store.open_direct(&name.key(user), [user, other]).await?;
                Ok(())
            } else {
                // A block is not told apart from somebody who does not exist.
                Err((ErrorCode::NotFound, "there is no such user to talk to"))
            }
        }
        // Nor is a group of which one is no member.
        ChannelName::Group(id) => match store.group_role(id, user).await? {
            Some(_) => Ok(()),
            None => Err((ErrorCode::NotFound, "there is no such channel")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_way_and_both_call_a_direct_channel_by_the_other() {
        let [a, b] = [1, 2].map(|n| UserId::from_bytes([n; 16]));
        for name in [
            ChannelName::Global,
            ChannelName::Match(MatchId::from_bytes([3; 16])),
            ChannelName::Watch(MatchId::from_bytes([3; 16])),
            ChannelName::Direct(a),
            ChannelName::Group(GroupId::from_bytes([3; 16])),
        ] {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(ChannelName::of_key(&name.key(b), b), Some(name));
            assert!(name.to_string().len() <= rally_protocol::limits::CHANNEL_CHARS_MAX);
            assert!(name.key(b).len() <= 100);
        }
        assert_eq!(ChannelName::Direct(a).key(b), ChannelName::Direct(b).key(a));
        let key = ChannelName::Direct(a).key(b);
        assert_eq!(ChannelName::of_key(&key, b), Some(ChannelName::Direct(a)));
        assert_eq!(ChannelName::of_key(&key, a), Some(ChannelName::Direct(b)));
        for bad in ["", "Global", "match:", "match:7", "direct:global", "group:x", "global:", "tournament:x"] {
            assert_eq!(bad.parse::<ChannelName>(), Err(()), "{bad}");
        }
    }
}

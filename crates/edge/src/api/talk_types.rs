//! What travels over the HTTP API about talking: channels, groups, notifications, reports.

use jiff::Timestamp;
use rally_protocol::client::v1::UserInfo;
use rally_store::{GROUP_TITLE_CHARS_MAX, GroupRole, REPORT_CHARS_MAX, ReportReason, SEARCH_CHARS_MAX, SLOW_S_MAX};
use rally_units::{MatchId, UserId};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    body::{Fields, ReadFields},
    schemas,
    types::ChatMessageView,
};

/// Seconds that somebody is silenced at most: a year.
const MUTE_S_MAX: u32 = 365 * 24 * 60 * 60;
/// Notifications that are read at once, one by one, at most.
const READ_IDS_MAX: usize = 100;

/// A channel that one has. What is of groups only is left out of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChannelView {
    /// For `channel_join`.
    pub name: String,
    /// Of its last message; not of `global`.
    pub last_offset: Option<u64>,
    /// What others have said after the last `read`, up to 100; not of `global`.
    pub unread: Option<u32>,
    /// What a group is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What one is in a group: `owner`, `moderator`, `member`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Slow mode of a group, in seconds; 0: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_s: Option<u32>,
    /// Until when one says nothing in a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
}

/// What one is invited to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvitationView {
    /// The group's channel.
    pub channel: String,
    /// What it is called.
    pub title: String,
    /// By whom.
    #[schema(value_type = schemas::UserInfo)]
    pub by: UserInfo,
    /// When.
    pub at: Timestamp,
}

/// `GET /channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Channels {
    /// `global`, then groups and direct ones, the last used first.
    pub items: Vec<ChannelView>,
    /// Groups that one may come into.
    pub invitations: Vec<InvitationView>,
}

/// Reads a title: 1 to 60 characters on one line.
fn title(fields: &mut Fields) -> Option<Option<String>> {
    let title: Option<String> = fields.optional("title")?;
    let title = title.map(|title| title.trim().nfc().collect::<String>());
    let fits = |title: &String| {
        (1..=GROUP_TITLE_CHARS_MAX).contains(&title.chars().count()) && !title.chars().any(char::is_control)
    };
    fields.check(
        title.as_ref().is_none_or(fits),
        "title",
        "expected 1 to 60 characters, none of them control characters",
    );
    Some(title)
}

/// `POST /channels`.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewGroup {
    /// What it is called: on one line.
    #[schema(min_length = 1, max_length = 60)]
    pub title: String,
}

impl ReadFields for NewGroup {
    fn read(fields: &mut Fields) -> Option<Self> {
        let title = title(fields)?;
        fields.check(title.is_some(), "title", "missing");
        Some(Self { title: title? })
    }
}

/// `PATCH /channels/{name}`: what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct PatchGroup {
    /// Another title, on one line.
    #[schema(min_length = 1, max_length = 60)]
    pub title: Option<String>,
    /// Slow mode, in seconds; 0: off.
    #[schema(maximum = 21_600)]
    pub slow_s: Option<u32>,
}

impl ReadFields for PatchGroup {
    fn read(fields: &mut Fields) -> Option<Self> {
        let title = title(fields);
        let slow_s = fields.optional::<u32>("slow_s");
        if let Some(Some(slow_s)) = slow_s {
            fields.check(slow_s <= SLOW_S_MAX, "slow_s", "expected seconds, at most 21600");
        }
        Some(Self { title: title?, slow_s: slow_s? })
    }
}

/// `PATCH /channels/{name}/members/{id}`: what is absent stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub struct PatchMember {
    /// What the member is from now on; `owner` hands the group over.
    #[schema(value_type = Option<String>, pattern = "^(owner|moderator|member)$")]
    pub role: Option<GroupRole>,
    /// For how many seconds the member says nothing; 0: no longer.
    #[schema(maximum = 31_536_000)]
    pub mute_s: Option<u32>,
}

impl ReadFields for PatchMember {
    fn read(fields: &mut Fields) -> Option<Self> {
        let role = fields.word("role", GroupRole::parse, "expected owner, moderator or member");
        let mute_s = fields.optional::<u32>("mute_s");
        if let Some(Some(mute_s)) = mute_s {
            fields.check(mute_s <= MUTE_S_MAX, "mute_s", "expected seconds, at most a year");
        }
        Some(Self { role: role?, mute_s: mute_s? })
    }
}

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberView {
    /// Who.
    #[schema(value_type = schemas::UserInfo)]
    pub user: UserInfo,
    /// `owner`, `moderator`, `member`.
    pub role: &'static str,
    /// Since when.
    pub joined_at: Timestamp,
    /// Until when that one says nothing there.
    pub muted_until: Option<Timestamp>,
}

/// Somebody who is invited to a group, or kept out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AtTheDoor {
    /// Who.
    #[schema(value_type = schemas::UserInfo)]
    pub user: UserInfo,
    /// Since when.
    pub at: Timestamp,
}

/// `GET /channels/{name}`, of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupView {
    /// Its channel.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// What one is in it.
    pub role: &'static str,
    /// Slow mode, in seconds; 0: off.
    pub slow_s: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// The owner first, then moderators.
    pub members: Vec<MemberView>,
    /// Who has not answered yet.
    pub invited: Vec<AtTheDoor>,
}

/// `GET /channels/{name}/bans`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bans {
    /// The latest last.
    pub items: Vec<AtTheDoor>,
}

/// `GET /messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// Words; in quotes, one after the other; with a dash, without.
    pub words: String,
    /// Where; absent: in all of one's groups and direct channels, and in `global`.
    pub channel: Option<String>,
    /// Only what was said before this message.
    pub before: Option<Uuid>,
    /// Messages at most.
    pub limit: usize,
}

impl ReadFields for SearchQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let words: Option<String> = fields.required("search");
        if let Some(words) = &words {
            let fits = (1..=SEARCH_CHARS_MAX).contains(&words.chars().count());
            fields.check(fits && !words.contains('\0'), "search", "expected 1 to 100 characters");
        }
        let channel = fields.optional("channel");
        let before = fields.parsed("before", "expected what `next` said");
        let paging = fields.paging();
        Some(Self { words: words?, channel: channel?, before: before?, limit: paging?.limit })
    }
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundMessage {
    /// Where.
    pub channel: String,
    /// What.
    #[serde(flatten)]
    pub message: ChatMessageView,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Found {
    /// The latest first.
    pub items: Vec<FoundMessage>,
    /// For `before`, if there may be more.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub next: Option<Uuid>,
}

/// `GET /notifications`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationsQuery {
    /// Only what is older than this one.
    pub before: Option<Uuid>,
    /// Notifications at most.
    pub limit: usize,
}

impl ReadFields for NotificationsQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.parsed("before", "expected what `next` said");
        let paging = fields.paging();
        Some(Self { before: before?, limit: paging?.limit })
    }
}

/// Something that one is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotificationView {
    /// For `POST /notifications/read`; those of later ones are greater.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// `friend_request`, `friend_accepted`, `mention`, `group_invitation`, `duel_invitation`, `tournament_call`.
    pub kind: String,
    /// On whose account.
    #[schema(value_type = Option<schemas::UserInfo>)]
    pub from: Option<UserInfo>,
    /// The group, the invitation, the tournament.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub subject: Option<MatchId>,
    /// The channel in which something was said, or of the group.
    pub channel: Option<String>,
    /// What was said there.
    pub offset: Option<u64>,
    /// What was said, or what it is called.
    pub text: Option<String>,
    /// When, in ms since 1970.
    pub at: u64,
}

/// What one has not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Notifications {
    /// The latest first.
    pub items: Vec<NotificationView>,
    /// For `before`, if there may be more.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub next: Option<Uuid>,
}

/// `POST /notifications/read`: either, or both.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct ReadNotifications {
    /// These.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    pub ids: Vec<Uuid>,
    /// This one, and whatever is older.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub through: Option<Uuid>,
}

impl ReadFields for ReadNotifications {
    fn read(fields: &mut Fields) -> Option<Self> {
        let ids = fields.optional::<Vec<Uuid>>("ids");
        let through = fields.optional("through");
        if let (Some(ids), Some(through)) = (&ids, &through) {
            fields.check(ids.is_some() || through.is_some(), "ids", "missing, and so is through");
            let fits = ids.as_ref().is_none_or(|ids| ids.len() <= READ_IDS_MAX);
            fields.check(fits, "ids", "expected at most 100");
        }
        Some(Self { ids: ids?.unwrap_or_default(), through: through? })
    }
}

/// A message, as somebody who reads it names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, ToSchema)]
pub struct MessageRef {
    /// Where.
    pub channel: String,
    /// Its place there.
    pub offset: u64,
}

/// What is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Somebody.
    User(UserId),
    /// Something that was said.
    Message(MessageRef),
    /// A match.
    Match(MatchId),
}

/// `POST /reports`: one of `user`, `message`, `match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// What.
    pub about: Reported,
    /// Why.
    pub reason: ReportReason,
    /// In one's own words.
    pub text: String,
}

impl ReadFields for ReportRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let user = fields.optional::<UserId>("user");
        let message = fields.optional::<MessageRef>("message");
        let match_id = fields.optional::<MatchId>("match");
        let reason = fields.word("reason", ReportReason::parse, "expected abuse, spam, cheating, name or other");
        if let Some(None) = reason {
            fields.check(false, "reason", "missing");
        }
        let text = fields.optional::<String>("text");
        if let Some(Some(text)) = &text {
            let fits = text.chars().count() <= REPORT_CHARS_MAX && !text.contains('\0');
            fields.check(fits, "text", "expected at most 1000 characters");
        }
        let about = match (user?, message?, match_id?) {
            (Some(user), None, None) => Some(Reported::User(user)),
            (None, Some(message), None) => Some(Reported::Message(message)),
            (None, None, Some(match_id)) => Some(Reported::Match(match_id)),
            _ => {
                fields.check(false, "user", "expected one of user, message and match");
                None
            }
        };
        Some(Self { about: about?, reason: reason??, text: text?.unwrap_or_default() })
    }
}

/// A report that operators will read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportMade {
    /// Which.
    #[schema(value_type = String, format = Uuid)]
    pub id: Uuid,
}

/// How a [`ReportRequest`] is written: one of `user`, `message`, `match`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, never made")]
pub(crate) struct ReportBody {
    /// Somebody.
    #[schema(value_type = Option<String>, format = Uuid)]
    user: Option<UserId>,
    /// Something that was said.
    message: Option<MessageRef>,
    /// A match.
    #[schema(value_type = Option<String>, format = Uuid)]
    r#match: Option<MatchId>,
    /// Why.
    #[schema(pattern = "^(abuse|spam|cheating|name|other)$")]
    reason: String,
    /// In one's own words.
    #[schema(max_length = 1_000)]
    text: Option<String>,
}

//! Duels by invitation, and rematches: asked, answered, and then a match that both are told of.
//!
//! What waits for an answer is kept in Redis, for a minute, and is taken once. The match is made when it is taken; that
//! both are free for it is decided where every match is made. Everything here runs in tasks of its own.

use std::time::Duration;

use jiff::Timestamp;
use rally_fabric::{Fabric, Left, RedisError, SharedRate};
use rally_link::Talk;
use rally_protocol::{
    client::v1::{
        DuelAnswer, DuelAnswered, DuelCancel, DuelInvite, DuelInvited, DuelOver, DuelSent, ErrorCode, MatchFound, Mode,
        Rematch, RematchWanted, ServerMessage, Side, Skill, Status, UserInfo,
    },
    cluster::v1::{MatchSpec, SeatSpec},
};
use rally_store::{Store, StoreError};
use rally_units::{MatchId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::{PeopleNews, announce};
use crate::hub;

/// How long an invitation waits for its answer, and how long after a match its players may want another.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How often one may invite, answer or want a rematch: five at once, then one in five seconds; in the whole cluster.
const RATE: SharedRate =
    SharedRate { name: "duel", interval: Duration::from_secs(5), burst: 5, growth_max: 1, remember: Duration::ZERO };

/// Who asks, and by which connection.
pub(super) struct Asker {
    pub(super) user: UserInfo,
    pub(super) session: SessionId,
}

/// What stands in an invitation, and in the wish for a rematch.
#[derive(Serialize, Deserialize)]
struct Wish {
    from: UserInfo,
    session: SessionId,
    skill: Skill,
    classic: bool,
}

/// Why there is no invitation, or no match.
pub(super) type Refused = (ErrorCode, String);

fn refused(code: ErrorCode, detail: &str) -> Refused {
    (code, detail.to_owned())
}

fn redis_away(error: RedisError) -> Refused {
    tracing::warn!(%error, "a duel cannot be arranged");
    refused(ErrorCode::Unavailable, "invitations are away")
}

fn database_away(error: StoreError) -> Refused {
    tracing::warn!(%error, "cannot look up who may play whom");
    refused(ErrorCode::Unavailable, "the database is away")
}

/// How much of it is under way at once, at one edge.
pub(super) const DUELS_MAX: usize = 64;

/// Invitations and their answers.
pub(super) struct Duels {
    pub(super) fabric: Fabric,
    pub(super) store: Store,
    pub(super) hub: hub::Handle,
}

impl Duels {
    /// Does what somebody wants. Returns what the asking connection is told.
    pub(super) async fn perform(&self, asker: Asker, talk: Talk) -> Result<Option<Box<ServerMessage>>, Refused> {
        match talk {
            Talk::Cancel(cancel) => self.cancel(asker.user.id, cancel).await.map(|()| None),
            Talk::Answer(answer) => self.answer(asker, answer).await.map(|()| None),
            Talk::Invite(invite) => {
                self.charge(asker.user.id).await?;
                self.invite(asker, invite).await.map(|sent| Some(Box::new(sent.into())))
            }
            Talk::Rematch(rematch) => {
                self.charge(asker.user.id).await?;
                self.rematch(asker, rematch).await.map(|()| None)
            }
            _ => Ok(None),
        }
    }

    async fn charge(&self, user: UserId) -> Result<(), Refused> {
        match self.fabric.limits().charge(&RATE, &user.to_string()).await.map_err(redis_away)? {
            None => Ok(()),
            Some(_) => Err(refused(ErrorCode::RateLimited, "too many invitations")),
        }
    }

    async fn tell(&self, to: UserId, session: Option<SessionId>, message: ServerMessage) -> Result<(), Refused> {
        announce(&self.fabric, &PeopleNews::tell(to, session, &message)).await.map_err(redis_away)
    }

    async fn invite(&self, Asker { user, session }: Asker, duel: DuelInvite) -> Result<DuelSent, Refused> {
        let classic = match duel.mode {
            Mode::Duel => false,
            Mode::Classic => true,
            _ => return Err(refused(ErrorCode::InvalidInput, "mode: expected duel or classic")),
        };
        let to = duel.user;
        if user.id == to {
            return Err(refused(ErrorCode::InvalidInput, "user: expected somebody else"));
        }
        let (may_meet, own, other) = tokio::join!(
            self.store.may_meet(user.id, to),
            self.store.active_match(user.id),
            self.store.active_match(to),
        );
        // A block is not told apart from somebody who does not exist.
        if !may_meet.map_err(database_away)? {
            return Err(refused(ErrorCode::NotFound, "there is no such user to play against"));
        }
        if own.map_err(database_away)?.is_some() {
            return Err(refused(ErrorCode::AlreadyInMatch, "one match at a time"));
        }
        if other.map_err(database_away)?.is_some() {
            return Err(refused(ErrorCode::AlreadyInMatch, "the other is in a match"));
        }
        if self.is_busy(to).await? {
            return Err(refused(ErrorCode::Forbidden, "the other does not want to be disturbed"));
        }
        let invite = MatchId::from_uuid(Uuid::now_v7());
        let wish = Wish { from: user.clone(), session, skill: duel.skill.unwrap_or(Skill::Smash), classic };
        let kept = self.fabric.invites().put(invite, [user.id, to], wish.to_bytes(), GOOD_FOR).await;
        if !kept.map_err(redis_away)? {
            return Err(refused(ErrorCode::AtCapacity, "too many invite this user"));
        }
        let expires_in_s = GOOD_FOR.as_secs() as u32;
        let invited = DuelInvited { invite, from: user, mode: duel.mode, expires_in_s };
        self.tell(to, None, invited.into()).await?;
        Ok(DuelSent { invite, user: to, expires_in_s })
    }

    /// Whether somebody has said so on one of the devices.
    async fn is_busy(&self, user: UserId) -> Result<bool, Refused> {
        let nodes = self.fabric.nodes();
        let sessions = self.fabric.presence().get(&[user]).await.map_err(redis_away)?;
        let lives = |presence: &&rally_fabric::Presence| nodes.lives(presence.node, presence.incarnation);
        Ok(sessions.iter().flat_map(|of_user| of_user.values()).filter(lives).any(|one| one.status == Status::Busy))
    }

    async fn cancel(&self, user: UserId, cancel: DuelCancel) -> Result<(), Refused> {
        let DuelCancel { invite, user: to } = cancel;
        if self.fabric.invites().cancel(invite, [user, to]).await.map_err(redis_away)? {
            self.tell(to, None, DuelOver { invite }.into()).await?;
        }
        Ok(())
    }

    async fn answer(&self, asker: Asker, answer: DuelAnswer) -> Result<(), Refused> {
        let DuelAnswer { invite, accept, skill } = answer;
        let user = asker.user.id;
        let taken = self.fabric.invites().take(invite, user).await.map_err(redis_away)?;
        let Some(wish) = taken.and_then(|says| Wish::from_bytes(&says)) else {
            return Err(refused(ErrorCode::NotFound, "the invitation has expired, or was answered before"));
        };
        let inviter = wish.from.id;
        let answered = |accept| -> ServerMessage { DuelAnswered { invite, accept }.into() };
        self.tell(user, None, DuelOver { invite }.into()).await?;
        if !accept {
            return self.tell(inviter, None, answered(false)).await;
        }
        let own = Wish { from: asker.user, session: asker.session, skill: skill.unwrap_or(Skill::Smash), ..wish };
        let made = match self.store.may_meet(inviter, user).await {
            Ok(true) => self.play(wish.seats_with(own)).await,
            Ok(false) => Err(refused(ErrorCode::NotFound, "there is no such user to play against")),
            Err(error) => Err(database_away(error)),
        };
        // Who has invited waits for an answer all the same.
        self.tell(inviter, None, answered(made.is_ok())).await?;
        self.tell_found(made?).await
    }

    async fn rematch(&self, asker: Asker, rematch: Rematch) -> Result<(), Refused> {
        let Rematch { match_id: finished, skill } = rematch;
        let no_match = || refused(ErrorCode::NotFound, "no match that has just ended");
        let detail = self.store.match_detail(finished).await.map_err(database_away)?.ok_or_else(no_match)?;
        let [left, right] = detail.listed.sides.map(|side| side.seat.user());
        let user = asker.user.id;
        // Only between two people, and one of them.
        let (Some(left), Some(right)) = (left, right) else { return Err(no_match()) };
        let other = if user == left { right } else { left };
        if user != left && user != right {
            return Err(no_match());
        }
        let ended = detail.listed.ended_at.ok_or_else(no_match)?;
        let since = Duration::try_from(Timestamp::now().duration_since(ended)).unwrap_or_default();
        let left_over = GOOD_FOR.checked_sub(since).ok_or_else(no_match)?;
        if !self.store.may_meet(user, other).await.map_err(database_away)? {
            return Err(no_match());
        }
        let classic = detail.listed.classic;
        let own = Wish { from: asker.user, session: asker.session, skill: skill.unwrap_or(Skill::Smash), classic };
        let said =
            self.fabric.invites().rematch(finished, user, own.to_bytes(), left_over).await.map_err(redis_away)?;
        let Some(theirs) = said.and_then(|says| Wish::from_bytes(&says)) else {
            return self.tell(other, None, RematchWanted { match_id: finished }.into()).await;
        };
        // Sides swapped.
        let seats = if user == left { [theirs, own] } else { [own, theirs] };
        let found = self.play(seats).await?;
        self.tell_found(found).await
    }

    /// Has a match hosted for these two, out of whatever line they stand in.
    async fn play(&self, seats: [Wish; 2]) -> Result<Found, Refused> {
        for wish in &seats {
            if let Left::Pending { .. } = self.fabric.queue().leave(wish.from.id).await.map_err(redis_away)? {
                return Err(refused(ErrorCode::AlreadyInMatch, "an opponent has been found elsewhere"));
            }
        }
        let match_id = MatchId::from_uuid(Uuid::now_v7());
        let spec = MatchSpec {
            id: match_id,
            mode: Mode::Duel,
            classic: seats[0].classic,
            private: false,
            seats: [0, 1].map(|side: usize| {
                let Wish { from, skill, .. } = &seats[side];
                SeatSpec::User { id: from.id, name: from.name.clone(), guest: from.guest, skill: *skill }
            }),
        };
        self.hub.create_match(spec).await.map_err(|refusal| (refusal.code, refusal.detail))?;
        Ok(Found { match_id, seats })
    }

    async fn tell_found(&self, Found { match_id, seats: [left, right] }: Found) -> Result<(), Refused> {
        for (one, other, side) in [(&left, &right, Side::Left), (&right, &left, Side::Right)] {
            let opponent = Some(other.from.clone());
            let found = MatchFound { match_id, mode: Mode::Duel, side, opponent };
            // By the connection that wanted it; should that be gone, by any.
            let present = self.fabric.presence().get(&[one.from.id]).await.unwrap_or_default();
            let is_here = present.iter().any(|sessions| sessions.contains_key(&one.session));
            self.tell(one.from.id, is_here.then_some(one.session), found.into()).await?;
        }
        Ok(())
    }
}

/// A match that two are to be told of, left and right.
struct Found {
    match_id: MatchId,
    seats: [Wish; 2],
}

impl Wish {
    fn to_bytes(&self) -> bytes::Bytes {
        // Writing these fields to memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).inspect_err(|error| tracing::warn!(%error, "an invitation cannot be read")).ok()
    }

    /// Who has invited sits left.
    fn seats_with(self, other: Self) -> [Self; 2] {
        [self, other]
    }
}

//! Staying in a match whose owner has changed, or has not been heard for a while: those who are here are named to the
//! owner, with their seats and generations, and nothing changes for their clients. Only if the owner does not know them
//! so does everybody come in anew.

use bytes::Bytes;
use rally_link::Asked;
use rally_protocol::{
    client::{
        codec::{Encoding, Messages as _},
        v1::{ErrorCode, Place, ServerMessage},
    },
    cluster::v1::{Control, Present},
    limits::PRESENT_MAX,
};
use rally_units::{Instant, MatchId, NodeId};
use tracing::Span;

use super::{
    batch::Origin,
    matches::{Join, LocalMatch, Member},
    people::Person,
    run::Hub,
};
use crate::{fanout::Frames, metrics};

impl Hub {
    /// The owner has been lost, and this node has gone on with the match: at once, instead of at the next look.
    pub(super) fn here(&mut self, now: Instant, origin: Origin) {
        let Origin { from, match_id, epoch } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        if epoch <= local.relay.epoch() || local.members.is_empty() {
            return metrics::entry_refused("older_epoch");
        }
        local.relay.detach(now);
        self.ask(now, match_id, from);
    }

    /// Those who are in the match name themselves to its owner.
    pub(super) fn ask_to_stay(&mut self, now: Instant, match_id: MatchId, owner: NodeId) {
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        let is_asked = local.attaching.is_some_and(|asked| asked.awaits(owner, now));
        if local.members.is_empty() || is_asked {
            return;
        }
        if local.joins_anew || local.over {
            return join_anew(local);
        }
        let mut present = Vec::with_capacity(local.members.len().min(PRESENT_MAX));
        for member in local.members.iter().take(PRESENT_MAX) {
            let Some((_, Person { user, .. })) = self.people.person(member.conn) else { continue };
            let (place, generation) = local.place(member);
            present.push(Present { session: member.session, user: user.id, place, generation });
        }
        let beyond: Vec<Join> = local.members.iter().skip(PRESENT_MAX).map(Member::join).collect();
        for join in beyond {
            if !local.joins.iter().any(|other| other.conn == join.conn) {
                local.joins.push(join);
            }
        }
        self.last_request += 1;
        let request = self.last_request;
        let control = Control::Attach { request, last_event: local.relay.last_event(), present };
        match self.pairs.control(owner, match_id, local.relay.epoch(), &control) {
            Ok(()) => local.attaching = Some(Asked::new(request, owner, now)),
            // The next look asks again.
            Err(error) => tracing::warn!(%error, %owner, %match_id, "cannot ask to stay"),
        }
    }

    /// They may stay, and this is what they have missed.
    pub(super) fn attached(
        &mut self,
        now: Instant,
        origin: Origin,
        request: u64,
        last_event: u32,
        missed: Vec<Vec<u8>>,
    ) {
        let Origin { from, match_id, epoch } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        if local.attaching.is_none_or(|asked| asked.request != request) {
            return metrics::entry_refused("unexpected");
        }
        local.attaching = None;
        let missed: Vec<(ServerMessage, Bytes)> = missed
            .into_iter()
            .filter_map(|bytes| Some((ServerMessage::decode(Encoding::Msgpack, &bytes).ok()?, bytes.into())))
            .collect();
        if let Err(refusal) = local.relay.attached(now, from, epoch, last_event, false, false) {
            return metrics::entry_refused(refusal.label());
        }
        local.attempts = 0;
        for (message, bytes) in &missed {
            let ServerMessage::MatchEvent(event) = message else { continue };
            let mut frames = Frames::new(message, bytes);
            for member in &mut local.members {
                if event.n <= member.last_event {
                    continue;
                }
                member.last_event = event.n;
                if let Some(frame) = frames.get(member.peer.encoding) {
                    member.peer.queue(now, frame);
                    self.unflushed.push(member.peer.clone());
                }
            }
        }
        for member in &mut local.members {
            member.last_event = member.last_event.max(last_event);
        }
        if local.relay.has_unsent() && !local.is_unsent {
            local.is_unsent = true;
            self.unsent.push(match_id);
        }
        self.hold(match_id);
    }

    /// The owner does not know them so, or is none.
    pub(super) fn may_not_stay(&mut self, now: Instant, origin: Origin, code: ErrorCode) {
        let Origin { from, match_id, .. } = origin;
        let Some(local) = self.matches.get_mut(&match_id) else { return };
        local.attaching = None;
        if code == ErrorCode::NotFound {
            // Redis may remember a former owner. Postgres knows.
            local.relay.detach(now);
            return self.locate(now, match_id, true);
        }
        local.joins_anew = true;
        join_anew(local);
        self.ask(now, match_id, from);
    }
}

impl LocalMatch {
    /// Where a member is, and by which attachment.
    fn place(&self, member: &Member) -> (Place, u16) {
        use rally_protocol::client::v1::Side;
        let has = |side| self.is_seated(member.conn, side);
        let generation = |side| self.relay.generation(side).unwrap_or_default();
        match (has(Side::Left), has(Side::Right)) {
            (true, true) => (Place::Both, generation(Side::Left)),
            (true, false) => (Place::Left, generation(Side::Left)),
            (false, true) => (Place::Right, generation(Side::Right)),
            (false, false) => (Place::Spectator, 0),
        }
    }
}

impl Member {
    /// Its way in, once more.
    fn join(&self) -> Join {
        let Self { conn, session, join_as, skill, .. } = *self;
        Join { conn, session, join_as, skill, deadline: None, asked: None, is_checked: false, span: Span::none() }
    }
}

fn join_anew(local: &mut LocalMatch) {
    for member in &local.members {
        if !local.joins.iter().any(|join| join.conn == member.conn) {
            local.joins.push(member.join());
        }
    }
}

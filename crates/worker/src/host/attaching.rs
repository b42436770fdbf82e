//! Edges that attach with people who are in the match already: the match has changed over to this worker, or was not
//! heard for a while. Nobody comes in anew, so that seats, generations and the clients' numbers stay as they are.

use rally_protocol::{
    client::v1::{ErrorCode, JoinAs, Place},
    cluster::v1::{Control, Present},
    limits::PRESENT_MAX,
};
use rally_units::{Incarnation, MatchId, NodeId};

use super::{Host, VIEWERS_MAX, hosted::Standing, phase_of};
use crate::effect::Refused;

impl Host {
    pub(super) fn attach(
        &mut self,
        (edge, incarnation): (NodeId, Incarnation),
        match_id: MatchId,
        request: u64,
        last_event: u32,
        present: &[Present],
    ) {
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else {
            return self.refuse(edge, match_id, request, Refused::new(ErrorCode::NotFound, "not played here"));
        };
        let joins_again = |detail| Refused::new(ErrorCode::InvalidInput, detail);
        // Whoever comes into a match that is over wants its result, which is in the picture.
        if hosted.standing == Standing::Over {
            return self.refuse(edge, match_id, request, joins_again("the match is over"));
        }
        let room = &mut hosted.room;
        let missed: Option<Vec<_>> =
            room.told_since(last_event).map(|events| events.map(|event| event.message.to_vec()).collect());
        let stays = |each: &Present| {
            each.place == Place::Spectator || room.has_place(each.session, each.user, each.place, each.generation)
        };
        let (true, Some(missed)) = (present.iter().all(stays), missed) else {
            return self.refuse(edge, match_id, request, joins_again("join again"));
        };
        if present.len() < PRESENT_MAX {
            hosted.speaks_up(edge, present);
        }
        for each in present {
            if each.place == Place::Spectator {
                let is_full = hosted.room.viewers() >= VIEWERS_MAX;
                if is_full || hosted.room.join(each.session, each.user, JoinAs::Spectator).is_err() {
                    return self.refuse(edge, match_id, request, joins_again("join again"));
                }
            }
            hosted.attach_present(edge, incarnation, each.session, each.user);
        }
        let (epoch, last_event) = (hosted.epoch, hosted.room.last_told());
        self.tell(edge, match_id, epoch, Control::Attached { request, last_event, missed });
    }
}

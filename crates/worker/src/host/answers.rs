//! What Postgres, Redis and directors say.

use rally_protocol::{
    client::v1::{EndReason, GameOver, Side},
    cluster::v1::{Control, MatchSpec},
};
use rally_room::Room;
use rally_units::{Epoch, Instant, MatchId, NodeId, Tick};
use tokio::sync::oneshot;

use super::{
    Asker, Copied, Doubt, Host, Question, Why,
    hosted::{Hosted, Standing},
    phase_of,
};
use crate::effect::{Answer, Effect, Grant, Joining, Refused, TakeFor};

impl Host {
    pub(crate) fn answer(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Created { spec, grant } => self.granted(now, *spec, grant),
            Answer::Claimed { match_id, side, join, granted } => self.claimed(match_id, side, *join, granted),
            Answer::Finished { match_id, ratings } => self.recorded(now, match_id, ratings),
            Answer::Fenced { match_id, epoch } => self.refused(now, match_id, epoch),
            Answer::NotNoted { match_id } => {
                if let Some(hosted) = self.find(match_id) {
                    hosted.is_noted = false;
                }
            }
            Answer::Voided { match_id } => self.voided(now, match_id),
            Answer::CalledOff { match_id } => self.called_off(now, match_id),
            Answer::Confirmed { lost, .. } => {
                lost.into_iter().for_each(|(match_id, epoch)| self.refused(now, match_id, epoch));
            }
            Answer::Copied(copied) => self.copied(now, copied),
            Answer::Owners(owners) => self.owners_found(now, owners),
            Answer::Orphans { owner, matches } => self.orphans_found(now, owner, matches),
            Answer::Taken { why: TakeFor::Recovery, taken, .. } => self.orphans_taken(taken),
            Answer::Taken { why: TakeFor::Move, expected, taken } => self.offer_taken(now, &expected, &taken),
            Answer::TakenBack { match_id, before, epoch } => self.taken_back(match_id, before, epoch),
            Answer::Fetched { match_id, epoch, found } => self.fetched(now, match_id, epoch, found),
            Answer::Place { worker, spec, reply } => self.place(now, worker, *spec, reply),
            Answer::Tell { edge, match_id, control } => self.tell(edge, match_id, Epoch::default(), *control),
            Answer::Move { match_id, to } => self.want_move(match_id, to, Why::Order),
            Answer::Replay { showing, found } => self.replay_found(showing, found),
            Answer::Drain => {
                self.draining = true;
                self.end_showings();
            }
            Answer::GiveUp => self.give_up(),
        }
    }

    fn granted(&mut self, now: Instant, spec: MatchSpec, grant: Grant) {
        let match_id = spec.id;
        let creating = self.creating.remove(&match_id).unwrap_or_default();
        let result = match grant {
            Grant::Here { epoch, seed } => {
                let room = Room::new(spec.clone(), seed, epoch, self.config.room);
                let mut hosted = Hosted::new(spec, room);
                if self.gives_up {
                    hosted.standing = Standing::Closing;
                    self.effects.push(Effect::Void { match_id, epoch });
                }
                self.phases[phase_of(match_id)].insert(match_id, hosted);
                self.effects.push(Effect::Own(vec![(match_id, epoch)]));
                self.metrics.matches_created.increment(1);
                Ok(())
            }
            Grant::Elsewhere => Ok(()),
            Grant::Refused(refused) => Err(refused),
            Grant::Unknown(refused) => {
                self.doubts.insert(match_id, Doubt { since: now, is_ending: false });
                Err(refused)
            }
        };
        for asker in creating.askers {
            self.created(match_id, asker, result.clone());
        }
        // Those that came early. Where the match is not here, they are told so.
        for join in creating.joins {
            self.join(match_id, join);
        }
    }

    fn claimed(&mut self, match_id: MatchId, side: Side, join: Joining, granted: Result<(), Refused>) {
        let asker = (match_id, join.session);
        let is_waited_for = self.claiming.get(&asker) == Some(&(join.edge, join.request));
        if is_waited_for {
            self.claiming.remove(&asker);
        }
        if let Err(refused) = granted {
            return self.refuse(join.edge, match_id, join.request, refused);
        }
        if let Some(hosted) = self.find(match_id)
            && let Err(refusal) = hosted.room.claim(side, join.user, &join.name, join.skill)
        {
            // Over meanwhile, or the same user's other connection was quicker: the join tells which.
            tracing::debug!(%match_id, %refusal, "a seat was granted in vain");
        }
        // Whoever has left meanwhile has the seat, and is absent.
        if is_waited_for {
            self.join(match_id, join);
        }
    }

    fn recorded(&mut self, now: Instant, match_id: MatchId, ratings: Option<[(i32, i32); 2]>) {
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { return };
        if hosted.standing != Standing::Closing {
            return;
        }
        if let Some(over) = hosted.room.recorded(ratings) {
            // What waited for a copy.
            hosted.room.tick(&mut self.outputs);
            hosted.tell_events(self.outputs.events.drain(..), &mut self.words, &mut self.effects);
            hosted.tell_over(&mut self.words, over);
        }
        let tickets = hosted.take_waiting_again();
        self.effects.extend(tickets.into_iter().map(|ticket| Effect::Requeue(Box::new(ticket))));
        self.ended(now, match_id);
    }

    fn voided(&mut self, now: Instant, match_id: MatchId) {
        if self.doubts.remove(&match_id).is_some() {
            return;
        }
        let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { return };
        if hosted.standing != Standing::Closing {
            return;
        }
        let over = GameOver {
            match_id,
            winner: None,
            score: hosted.room.score(),
            reason: EndReason::Abandoned,
            ratings: None,
        };
        hosted.tell_over(&mut self.words, over);
        self.ended(now, match_id);
    }

    /// Unless its own end is what was heard of.
    fn called_off(&mut self, now: Instant, match_id: MatchId) {
        if let Some(hosted) = self.find(match_id)
            && hosted.standing == Standing::Live
        {
            tracing::warn!(%match_id, "somebody has called this match off");
            hosted.standing = Standing::Closing;
            self.voided(now, match_id);
        }
    }

    /// The end is recorded: the afterlife begins.
    fn ended(&mut self, now: Instant, match_id: MatchId) {
        let Some(hosted) = self.find(match_id) else { return };
        hosted.standing = Standing::Over;
        let epoch = hosted.epoch;
        self.afterlife.push_back((now, match_id));
        self.effects.push(Effect::Forget(match_id, epoch));
    }

    /// Copies have been made, or have not.
    fn copied(&mut self, now: Instant, copied: Vec<(MatchId, Epoch, Tick, Copied)>) {
        let mut superseded = Vec::new();
        for (match_id, epoch, tick, copied) in copied {
            let Some(hosted) = self.phases[phase_of(match_id)].get_mut(&match_id) else { continue };
            if hosted.epoch != epoch {
                continue;
            }
            if let Some(head) = hosted.copies.made(tick, copied) {
                hosted.room.copied(&head);
            }
            match copied {
                Copied::Kept => {}
                Copied::Superseded => superseded.push((match_id, epoch)),
                Copied::Hole | Copied::Failed => self.metrics.copies_failed.increment(1),
            }
            // It is not ticked any more: what waited for the copy is told now.
            if hosted.standing == Standing::Closing {
                hosted.room.tick(&mut self.outputs);
                hosted.tell_events(self.outputs.events.drain(..), &mut self.words, &mut self.effects);
                if copied == Copied::Kept && !hosted.is_copied_over {
                    let copy = hosted.copy_if_due();
                    self.effects.extend(copy.map(|copy| Effect::Copy(vec![copy])));
                }
            }
        }
        // Who has written or taken a copy at a higher epoch was granted it by Postgres.
        for (match_id, epoch) in superseded {
            self.refused(now, match_id, epoch);
        }
    }

    /// A write at this epoch was refused: another owner has the match, unless it is ours by a later one.
    fn refused(&mut self, now: Instant, match_id: MatchId, epoch: Epoch) {
        self.doubts.remove(&match_id);
        let is_ours = self.find(match_id).is_some_and(|hosted| hosted.granted.unwrap_or(hosted.epoch) > epoch);
        if !is_ours && !self.is_handing_over(now, match_id) {
            self.fenced(match_id);
        }
    }

    /// Another owner has the last word about this match: ours does not count, and is not said any more.
    pub(super) fn fenced(&mut self, match_id: MatchId) {
        // What is recorded is recorded, and known as such.
        if self.find(match_id).is_none_or(|hosted| hosted.standing == Standing::Over) {
            return;
        }
        if let Some(hosted) = self.phases[phase_of(match_id)].remove(&match_id) {
            self.metrics.fenced.increment(1);
            tracing::warn!(%match_id, epoch = %hosted.epoch, "another owner has taken this match");
            self.effects.push(Effect::Disown(match_id, hosted.epoch));
            for attached in hosted.attached {
                self.tell(attached.edge, match_id, hosted.epoch, Control::NotHere);
            }
        }
    }

    /// The lease has lapsed and is back: asks which matches are still ours. `false` if there are none to ask for.
    ///
    /// Those whose end is being recorded need not be asked for: that will say.
    pub(crate) fn confirm(&mut self, lapse: u64) -> bool {
        let live = self.phases.iter().flatten().filter(|(_, hosted)| hosted.standing == Standing::Live);
        let matches: Vec<_> = live.map(|(match_id, hosted)| (*match_id, hosted.epoch)).collect();
        let asks = !matches.is_empty();
        if asks {
            self.effects.push(Effect::Confirm { lapse, matches });
        }
        asks
    }

    /// The deadline of a drain has come. What is given up stands still, so that it cannot end in two ways.
    fn give_up(&mut self) {
        self.gives_up = true;
        for (match_id, hosted) in self.phases.iter_mut().flatten() {
            if hosted.standing == Standing::Live {
                hosted.standing = Standing::Closing;
                self.effects.push(Effect::Void { match_id: *match_id, epoch: hosted.epoch });
            }
        }
    }

    fn place(&mut self, now: Instant, worker: NodeId, spec: MatchSpec, reply: oneshot::Sender<Result<(), Refused>>) {
        if worker == self.config.me {
            return self.create(spec, Asker::Director(reply));
        }
        let request = self.next_question;
        self.next_question += 1;
        self.questions.insert(request, Question { reply, asked: now });
        self.tell(worker, spec.id, Epoch::default(), Control::Create { request, spec: Box::new(spec) });
    }
}

//! Who sits where, by which connection, and who watches.

use std::collections::BTreeSet;

use rally_protocol::{
    client::v1::{Level, Place, Side, Skill},
    cluster::v1::SeatSpec,
};
use rally_units::{SessionId, UserId};

use crate::{
    Replaced,
    inbox::Inbox,
    limits::NAME_BYTES_MAX,
    referee::SeatKind,
    save::{Reader, RestoreError, Writer},
};

/// Who has a seat.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    Open,
    Bot(Level),
    User { id: UserId, name: String },
}

impl Holder {
    /// The name to show.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Open => String::new(),
            Self::Bot(level) => format!("Bot ({level})"),
            Self::User { name, .. } => name.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) holder: Holder,
    pub(crate) skill: Skill,
    /// The connection that has it now.
    pub(crate) session: Option<SessionId>,
    pub(crate) inbox: Inbox,
}

impl Seat {
    fn new(spec: SeatSpec) -> Self {
        let (holder, skill) = match spec {
            SeatSpec::Open => (Holder::Open, Skill::Smash),
            SeatSpec::Bot { level } => (Holder::Bot(level), Skill::Smash),
            SeatSpec::User { id, name, skill, .. } => (Holder::User { id, name }, skill),
        };
        Self { holder, skill, session: None, inbox: Inbox::default() }
    }

    fn user(&self) -> Option<UserId> {
        match self.holder {
            Holder::User { id, .. } => Some(id),
            Holder::Open | Holder::Bot(_) => None,
        }
    }
}

/// A session that took its seat.
pub(crate) struct Taken {
    pub(crate) generation: u16,
    pub(crate) replaced: Option<Replaced>,
    /// Whether nobody sat there before.
    pub(crate) was_empty: bool,
    pub(crate) inputs_lost: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Seats {
    seats: [Seat; 2],
    /// One connection has both.
    shared: bool,
    spectators: BTreeSet<SessionId>,
}

impl Seats {
    pub(crate) fn new(specs: [SeatSpec; 2], shared: bool) -> Self {
        Self { seats: specs.map(Seat::new), shared, spectators: BTreeSet::new() }
    }

    /// All but those who watch.
    pub(crate) fn save(&self, to: &mut Writer<'_>) {
        for Seat { holder, skill, session, inbox } in &self.seats {
            match holder {
                Holder::Open => to.byte(0),
                Holder::Bot(level) => to.bytes(&[1, level.number()]),
                Holder::User { id, name } => {
                    to.byte(2);
                    to.bytes(id.as_bytes());
                    to.varint(name.len() as u32);
                    to.bytes(name.as_bytes());
                }
            }
            to.byte(skill.number());
            to.flag(session.is_some());
            to.bytes(session.unwrap_or(SessionId::from_bytes([0; 16])).as_bytes());
            inbox.save(to);
        }
    }

    pub(crate) fn restore(from: &mut Reader<'_>, shared: bool) -> Result<Self, RestoreError> {
        let mut seat = |side: Side| {
            let holder = match from.byte("holder", 0, 2)? {
                0 => Holder::Open,
                1 => Holder::Bot(from.level()?),
                _ => {
                    let id = UserId::from_bytes(from.take()?);
                    let name = from.counted("name", NAME_BYTES_MAX)?.to_vec();
                    Holder::User { id, name: String::from_utf8(name).map_err(|_| RestoreError::OutOfRange("name"))? }
                }
            };
            let skill = from.skill()?;
            let has_session = from.flag("session")?;
            let session = Some(SessionId::from_bytes(from.take()?)).filter(|_| has_session);
            Ok::<_, RestoreError>(Seat { holder, skill, session, inbox: Inbox::restore(from, side)? })
        };
        Ok(Self { seats: [seat(Side::Left)?, seat(Side::Right)?], shared, spectators: BTreeSet::new() })
    }

    pub(crate) fn kinds(&self) -> [SeatKind; 2] {
        let [left, right] = [0, 1].map(|i| match self.seats[i].holder {
            Holder::Open => SeatKind::Open,
            Holder::Bot(_) => SeatKind::Bot,
            Holder::User { .. } => SeatKind::Person,
        });
        [left, if self.shared { SeatKind::Shared } else { right }]
    }

    pub(crate) fn get(&self, side: Side) -> &Seat {
        &self.seats[side.index()]
    }

    pub(crate) fn inbox_mut(&mut self, side: Side) -> &mut Inbox {
        &mut self.seats[side.index()].inbox
    }

    pub(crate) fn open(&self) -> Option<Side> {
        let is_open = |side: &&Side| matches!(self.get(**side).holder, Holder::Open);
        Side::ALL.iter().find(is_open).copied()
    }

    pub(crate) fn claim(&mut self, side: Side, id: UserId, name: &str, skill: Skill) {
        let seat = &mut self.seats[side.index()];
        seat.holder = Holder::User { id, name: name.to_owned() };
        seat.skill = skill;
    }

    pub(crate) fn viewers(&self) -> usize {
        self.spectators.len()
    }

    pub(crate) fn watch(&mut self, session: SessionId) {
        self.spectators.insert(session);
    }

    /// The place that belongs to a user.
    pub(crate) fn place_of_user(&self, user: UserId) -> Option<Place> {
        self.place(|seat| seat.user() == Some(user))
    }

    /// The seat that a session has now.
    pub(crate) fn place_of_session(&self, session: SessionId) -> Option<Place> {
        self.place(|seat| seat.session == Some(session))
    }

    fn place(&self, fits: impl Fn(&Seat) -> bool) -> Option<Place> {
        let side = Side::ALL.iter().find(|side| fits(self.get(**side)))?;
        Some(if self.shared { Place::Both } else { (*side).into() })
    }

    /// Lets a session take its place; `None` if the generations are used up.
    pub(crate) fn take(&mut self, place: Place, session: SessionId) -> Option<Taken> {
        let first = *sides(place).first()?;
        let seat = self.get(first);
        let generation = seat.inbox.generation().checked_add(1)?;
        let before = seat.session;
        let mut inputs_lost = 0;
        for side in sides(place) {
            let seat = &mut self.seats[side.index()];
            seat.session = Some(session);
            inputs_lost += seat.inbox.begin(generation);
        }
        self.spectators.remove(&session);
        let replaced = before.filter(|before| *before != session).map(|session| Replaced { session, side: first });
        Some(Taken { generation, replaced, was_empty: before.is_none(), inputs_lost })
    }

    /// Takes a session out. Returns where it was, and how many of its inputs were waiting.
    pub(crate) fn leave(&mut self, session: SessionId) -> Option<(Place, usize)> {
        if self.spectators.remove(&session) {
            return Some((Place::Spectator, 0));
        }
        let place = self.place_of_session(session)?;
        let mut inputs_lost = 0;
        for side in sides(place) {
            let seat = &mut self.seats[side.index()];
            seat.session = None;
            inputs_lost += seat.inbox.clear();
        }
        Some((place, inputs_lost))
    }
}

/// The sides of a place. The first is the one whose connection counts.
pub(crate) const fn sides(place: Place) -> &'static [Side] {
    match place {
        Place::Left => &[Side::Left],
        Place::Right => &[Side::Right],
        Place::Both => &[Side::Left, Side::Right],
        Place::Spectator => &[],
    }
}

//! Where a client is: what a new connection has to take up again, and how inputs are numbered.
//!
//! Without IO: told what is sent and what came, it says what to send after a `welcome`.

use std::collections::BTreeMap;

use rally_protocol::{
    Bounded, Text,
    client::v1::{
        ChannelJoin, ChannelOffset, ClientMessage, ErrorCode, MatchJoin, Resume, ServerMessage, Side, Welcome,
    },
    limits::RESUME_CHANNELS_MAX,
};
use rally_units::{MatchId, SessionId};

/// Matches that are joined again after a reconnect; with more, the later ones are not.
const MATCHES_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Place {
    session: Option<SessionId>,
    matches: BTreeMap<MatchId, Attendance>,
    channels: BTreeMap<String, u64>,
}

/// One match that the client has joined or asked to join.
#[derive(Debug)]
struct Attendance {
    join: MatchJoin,
    /// The last `seq` of each side, once `match_joined` has come over this connection.
    last_seq: Option<[u32; 2]>,
}

impl Place {
    /// For `hello`.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let channels = self.channels.iter().filter_map(|(channel, offset)| {
            Some(ChannelOffset { channel: Text::try_from(channel.as_str()).ok()?, offset: *offset })
        });
        let channels = Bounded::try_from(channels.take(RESUME_CHANNELS_MAX).collect::<Vec<_>>()).unwrap_or_default();
        self.session.map(|session| Resume { session, channels })
    }

    /// Whether pings must be frequent.
    pub(crate) fn in_match(&self) -> bool {
        !self.matches.is_empty()
    }

    /// The connection is gone: numbers start anew after the next `match_joined`.
    pub(crate) fn disconnected(&mut self) {
        for attendance in self.matches.values_mut() {
            attendance.last_seq = None;
        }
    }

    /// A `welcome` came: what to send now.
    pub(crate) fn welcomed(&mut self, welcome: &Welcome) -> Vec<ClientMessage> {
        self.session = Some(welcome.session);
        let matches = self.matches.values().map(|attendance| attendance.join.clone().into());
        let channels = self.channels.iter().filter(|(name, _)| !welcome.channels.contains(*name));
        let channels = channels.filter_map(|(name, offset)| {
            Some(ChannelJoin { channel: Text::try_from(name.as_str()).ok()?, since: Some(*offset) }.into())
        });
        matches.chain(channels).collect()
    }

    /// The user wants to send this. `false`: it would be refused, since the match is not joined yet.
    pub(crate) fn sending(&mut self, message: &mut ClientMessage) -> bool {
        match message {
            ClientMessage::MatchJoin(join)
                if self.matches.len() < MATCHES_MAX || self.matches.contains_key(&join.match_id) =>
            {
                self.matches.insert(join.match_id, Attendance { join: join.clone(), last_seq: None });
            }
            ClientMessage::MatchLeave(leave) => drop(self.matches.remove(&leave.match_id)),
            ClientMessage::InputMessage(input) => {
                let Some(attendance) = self.matches.get_mut(&input.match_id) else { return false };
                let Some(last_seq) = &mut attendance.last_seq else { return false };
                let last_seq = &mut last_seq[input.side.unwrap_or(Side::Left).index()];
                *last_seq += 1;
                input.seq = *last_seq;
            }
            ClientMessage::ChannelLeave(leave) => drop(self.channels.remove(&*leave.channel)),
            _ => {}
        }
        true
    }

    /// This came.
    pub(crate) fn received(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::MatchJoined(joined) => {
                if let Some(attendance) = self.matches.get_mut(&joined.match_id) {
                    attendance.last_seq = Some([0; 2]);
                }
                if joined.over.is_some() {
                    self.matches.remove(&joined.match_id);
                }
            }
            ServerMessage::GameOver(over) => drop(self.matches.remove(&over.match_id)),
            ServerMessage::ErrorMessage(error) if error.of.as_deref() == Some("match_join") => {
                // Others pass: the match may only be between two owners.
                if matches!(error.code, ErrorCode::NotFound | ErrorCode::Forbidden | ErrorCode::InvalidInput)
                    && let Some(match_id) = error.match_id
                {
                    self.matches.remove(&match_id);
                }
            }
            ServerMessage::ChannelJoined(joined)
                if self.channels.len() < RESUME_CHANNELS_MAX || self.channels.contains_key(&joined.channel) =>
            {
                self.channels.insert(joined.channel.clone(), joined.last_offset);
            }
            ServerMessage::ChatMessage(message) => {
                if let Some(offset) = self.channels.get_mut(&message.channel) {
                    *offset = (*offset).max(message.offset);
                }
            }
            _ => {}
        }
    }
}

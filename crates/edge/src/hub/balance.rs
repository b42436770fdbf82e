//! Giving a new edge its share: connections live for hours, so that an edge that is added would relieve nobody.
//!
//! An edge that has clearly more connections than the mean of all for some seconds asks idle people to reconnect, a few
//! a second. Their clients try the other edges in an order of their own, so that no edge is told who comes. Whoever
//! plays, watches or waits in a queue is left alone: he will be idle soon enough.

use rally_fabric::{Nodes, Role};
use rally_protocol::client::v1::{Reconnect, close};
use rally_service::entropy;
use rally_units::NodeId;

use super::run::Hub;
use crate::socket::ConnId;

/// People sent elsewhere at each look, which is once a second.
const LEAVE_MAX: usize = 20;
/// Looks at which an edge must have had too many before it acts: those who come and go even out by themselves.
const LOOKS_MIN: u32 = 5;
/// What is too many: so much more than the mean, in percent, and so many connections more.
const ABOVE_PERCENT: u64 = 10;
const ABOVE: u64 = 50;
/// Those sent away come back within this time, each after one of his own.
const JITTER_MS_MAX: u64 = 1_000;

/// How many connections an edge has beyond its share, if that is worth anybody's reconnect.
fn excess(own: u64, others: impl Iterator<Item = u64>) -> usize {
    let (edges, all) = others.fold((1, own), |(edges, all), one| (edges + 1, all + one));
    let mean = all / edges;
    if edges < 2 || own <= mean + mean * ABOVE_PERCENT / 100 + ABOVE {
        return 0;
    }
    usize::try_from(own - mean).unwrap_or(usize::MAX)
}

/// The loads of the other edges that take connections.
fn others(nodes: &Nodes, me: NodeId) -> impl Iterator<Item = u64> {
    let edges = nodes.iter().filter(|node| node.role == Role::Edge && !node.load.draining && node.public_url.is_some());
    edges.filter(move |node| node.id != me).map(|node| u64::from(node.load.items))
}

impl Hub {
    /// To be called once a second.
    pub(super) fn balance(&mut self) {
        if self.drain.is_some() {
            return;
        }
        let own = self.people.len() as u64;
        let leave = excess(own, others(&self.fabric.nodes(), self.fabric.node())).min(LEAVE_MAX);
        self.crowded_looks = if leave == 0 { 0 } else { self.crowded_looks + 1 };
        if self.crowded_looks < LOOKS_MIN {
            return;
        }
        let idle = self.people.iter().filter(|(_, connected)| {
            let person = connected.person.as_deref();
            person.is_some_and(|person| person.matches.is_empty() && person.ticket.is_none())
        });
        let going: Vec<ConnId> = idle.map(|(conn, _)| conn).take(leave).collect();
        if !going.is_empty() {
            tracing::info!(connections = own, going = going.len(), "sending idle people to other edges");
        }
        for conn in going {
            let Some(connected) = self.people.get(conn) else { continue };
            let after_ms = (entropy::random_u64() % JITTER_MS_MAX) as u32;
            connected.peer.send(&Reconnect { after_ms, reason: "rebalance".into() }.into());
            connected.peer.close(close::RESTART, "other edges have more room", "rebalance");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_surplus_moves_anybody() {
        assert_eq!(excess(5_000, [].into_iter()), 0, "nobody else");
        assert_eq!(excess(90, [0].into_iter()), 0, "too few to matter");
        assert_eq!(excess(130, [0].into_iter()), 65);
        assert_eq!(excess(1_000, [1_000, 1_100].into_iter()), 0);
        assert_eq!(excess(1_000, [1_000, 0].into_iter()), 334);
        assert_eq!(excess(0, [1_000, 1_000].into_iter()), 0);
    }

    #[test]
    fn edges_come_to_rest_when_one_is_added() {
        let mut edges = [3_000_u64, 3_000, 0];
        for _ in 0..200 {
            let now = edges;
            for i in 0..edges.len() {
                let others = (0..now.len()).filter(|j| *j != i).map(|j| now[j]);
                let leave = excess(now[i], others).min(LEAVE_MAX) as u64;
                edges[i] -= leave;
                // By halves to each of the other two.
                edges[(i + 1) % 3] += leave / 2;
                edges[(i + 2) % 3] += leave - leave / 2;
            }
        }
        assert_eq!(edges.iter().sum::<u64>(), 6_000);
        assert!(edges.iter().all(|connections| (1_500..=2_500).contains(connections)), "{edges:?}");
    }
}

//! A Redis Cluster of three masters.

use std::time::Duration;

use crate::{Authority, Certificate, eventually_ok, redis::Redis, redis::cli};

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// Masters: enough for redirections, moved slots and a node's death.
const MASTERS: u16 = 3;

/// Three masters on loopback that share all slots: node 0 has 0 to 5461, node 1 to 10922, node 2 the rest.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    ids: Vec<String>,
    /// One of each master, or none at all.
    replicas: Vec<Redis>,
}

impl RedisCluster {
    /// Starts them; returns once each says that the cluster is ok and knows the others.
    pub async fn start() -> Self {
        Self::start_all(false, None).await
    }

    /// The same, whose nodes speak TLS with clients at a port of their own, and with each other.
    pub async fn start_with_tls(authority: &Authority, certificate: &Certificate) -> Self {
        Self::start_all(false, Some((authority, certificate))).await
    }

    /// The same with a replica of each master, which takes over when its master has been silent for two seconds.
    pub async fn start_with_replicas() -> Self {
        Self::start_all(true, None).await
    }

    async fn start_all(with_replicas: bool, tls: Option<(&Authority, &Certificate)>) -> Self {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        let count = if with_replicas { 2 * MASTERS } else { MASTERS };
        for _ in 0..count {
            let (node, bus_port) = start_node(tls).await;
            nodes.push(node);
            bus_ports.push(bus_port);
        }
        let mut ids = Vec::new();
        for (i, node) in (0..MASTERS).zip(&nodes) {
            ids.push(node.cli(&["CLUSTER", "MYID"]).await);
            let (from, to) = (first_slot(i).to_string(), (first_slot(i + 1) - 1).to_string());
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]).await;
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]).await;
        }
        for (node, bus_port) in nodes.iter().zip(&bus_ports).skip(1) {
            let (port, bus_port) = (node.port().to_string(), bus_port.to_string());
            nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]).await;
        }
        let replicas = nodes.split_off(MASTERS.into());
        let cluster = Self { nodes, ids, replicas };
        for node in cluster.nodes.iter().chain(&cluster.replicas) {
            eventually_ok(Duration::from_secs(30), || is_ok(node.port(), count)).await;
        }
        for (replica, master) in cluster.replicas.iter().zip(&cluster.ids) {
            replica.cli(&["CLUSTER", "REPLICATE", master]).await;
        }
        for replica in &cluster.replicas {
            eventually_ok(Duration::from_secs(30), || has_copied(replica.port())).await;
        }
        cluster
    }

    /// Kills a master for good; its replica, which there must be, takes over after a while.
    pub async fn kill_master(&mut self, i: usize) {
        self.nodes[i].kill().await;
    }

    /// Whether the replica of a master has taken its place, and all other nodes take the cluster for whole again.
    ///
    /// # Panics
    /// When there are no replicas.
    pub async fn has_taken_over(&self, i: usize) -> bool {
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, node)| node);
        for node in others.chain(&self.replicas) {
            if !cli(node.port(), &["CLUSTER", "INFO"]).await.is_ok_and(|info| info.contains("cluster_state:ok")) {
                return false;
            }
        }
        cli(self.replicas[i].port(), &["ROLE"]).await.is_ok_and(|role| role.starts_with("master"))
    }

    /// `redis-cluster://…` naming all nodes, as fred reads it.
    pub fn url(&self) -> String {
        let others: Vec<String> = self.nodes[1..].iter().map(|n| format!("node=127.0.0.1:{}", n.port())).collect();
        format!("redis-cluster://127.0.0.1:{}?{}", self.nodes[0].port(), others.join("&"))
    }

    /// The same over TLS, for a cluster that was started with it.
    pub fn tls_url(&self) -> String {
        let others: Vec<String> = self.nodes[1..].iter().map(|n| format!("node=127.0.0.1:{}", n.tls_port())).collect();
        format!("rediss-cluster://127.0.0.1:{}?{}", self.nodes[0].tls_port(), others.join("&"))
    }

    /// `redis://127.0.0.1:PORT` of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// One of the nodes.
    pub fn node(&self, i: usize) -> &Redis {
        &self.nodes[i]
    }

    /// One of the nodes, to pause or kill.
    pub fn node_mut(&mut self, i: usize) -> &mut Redis {
        &mut self.nodes[i]
    }

    /// The slot of a key (its part in braces, where there is one).
    pub async fn slot_of(&self, key: &str) -> u16 {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await;
        slot.parse().unwrap_or_else(|e| panic!("slot {slot}: {e}"))
    }

    /// Which node owns a slot, by the word of node 0.
    pub async fn owner_of(&self, slot: u16) -> usize {
        let nodes = self.nodes[0].cli(&["CLUSTER", "NODES"]).await;
        nodes
            .lines()
            .find(|line| line.split(' ').skip(8).any(|range| holds(range, slot)))
            .and_then(|line| self.ids.iter().position(|id| line.starts_with(id.as_str())))
            .unwrap_or_else(|| panic!("nobody owns slot {slot}: {nodes}"))
    }

    /// Moves a slot with its keys to another node, live, as an operator's resharding would; returns once every node
    /// knows.
    pub async fn move_slot(&self, slot: u16, to: usize) {
        let from = self.owner_of(slot).await;
        if from == to {
            return;
        }
        let text = slot.to_string();
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        target.cli(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &self.ids[from]]).await;
        source.cli(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &self.ids[to]]).await;
        let port = target.port().to_string();
        loop {
            let listed = source.cli(&["CLUSTER", "GETKEYSINSLOT", &text, "100"]).await;
            let keys: Vec<&str> = listed.lines().filter(|k| !k.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys);
            source.cli(&command).await;
        }
        // The target first: were it the source, the slot would have no owner for a moment.
        for i in [to, from].into_iter().chain((0..self.nodes.len()).filter(|i| *i != to && *i != from)) {
            self.nodes[i].cli(&["CLUSTER", "SETSLOT", &text, "NODE", &self.ids[to]]).await;
        }
    }
}

/// A node and the port of its bus. Both are free ones, since the usual bus port (the client port + 10,000) may lie
/// beyond the last. Somebody may be quicker to take it: then another is tried.
async fn start_node(tls: Option<(&Authority, &Certificate)>) -> (Redis, u16) {
    crate::eventually_ok(Duration::from_secs(30), async || {
        let bus_port = rally_service::local::free_port().map_err(|e| format!("no free port: {e}"))?;
        let text = bus_port.to_string();
        let settings = [
            ("cluster-enabled", "yes"),
            ("cluster-config-file", "nodes.conf"),
            ("cluster-node-timeout", "2000"),
            ("cluster-port", text.as_str()),
        ];
        let node = match tls {
            None => Redis::try_start(&settings).await,
            Some((authority, certificate)) => {
                let settings = [&settings[..], &[("tls-cluster", "yes"), ("tls-replication", "yes")]].concat();
                Redis::try_start_with_tls(authority, certificate, &settings).await
            }
        };
        node.map(|node| (node, bus_port)).map_err(|e| e.to_string())
    })
    .await
}

/// The first slot of a node.
fn first_slot(node: u16) -> u16 {
    u16::try_from((u32::from(SLOTS) * u32::from(node)).div_ceil(u32::from(MASTERS))).unwrap_or(SLOTS)
}

fn holds(range: &str, slot: u16) -> bool {
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
}

/// Whether a replica follows its master and has its data.
pub(crate) async fn has_copied(port: u16) -> Result<(), String> {
    let info = cli(port, &["INFO", "replication"]).await?;
    let is_up = info.lines().any(|line| line.trim() == "master_link_status:up");
    if is_up { Ok(()) } else { Err(format!("no copy yet: {info}")) }
}

async fn is_ok(port: u16, known: u16) -> Result<(), String> {
    let info = cli(port, &["CLUSTER", "INFO"]).await?;
    let wanted =
        ["cluster_state:ok", &format!("cluster_known_nodes:{known}"), &format!("cluster_slots_assigned:{SLOTS}")];
    let missing = wanted.iter().find(|w| !info.lines().any(|l| l.trim() == **w));
    missing.map_or(Ok(()), |m| Err(format!("no {m} in {info}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_share_all_slots() {
        assert_eq!([0, 1, 2, 3].map(first_slot), [0, 5462, 10_923, SLOTS]);
    }

    #[test]
    fn ranges_hold_their_ends() {
        assert!(holds("0-5460", 5460) && holds("7", 7) && !holds("0-5460", 5461) && !holds("[7->-abc]", 7));
    }
}

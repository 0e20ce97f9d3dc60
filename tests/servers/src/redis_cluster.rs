//! A Redis Cluster of a few nodes on this machine, and moving its slots.

use std::path::Path;
use std::time::Duration;

use crate::patience::within;
use crate::process::free_port;
use crate::redis::{Fsync, Redis};

/// How many slots every cluster has.
const SLOTS: u32 = 16_384;

/// The nodes have found each other and serve every slot within this.
const FORM_MAX: Duration = Duration::from_secs(30);

/// The others declare a node dead that has not answered for this long. Then its replica takes over.
const NODE_TIMEOUT_MS: &str = "1500";

/// Primaries that share the slots, and replicas of the first primary.
pub struct RedisCluster {
    nodes: Vec<Node>,
    primaries: usize,
}

struct Node {
    redis: Redis,
    id: String,
}

impl RedisCluster {
    /// Starts the nodes in `home`, and waits until they serve every slot. All replicas are of the first primary.
    ///
    /// # Errors
    /// Redis is not installed, or a folder cannot be made.
    pub async fn start(home: &Path, primaries: usize, replicas: usize) -> Result<Self, String> {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for number in 0..primaries + replicas {
            let bus_port = free_port().to_string();
            let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus_port];
            let settings = [&settings[..], &["--cluster-node-timeout", NODE_TIMEOUT_MS]].concat();
            let redis = Redis::start_with(home, &format!("node-{number}"), Fsync::EverySecond, &settings).await?;
            // Nodes with the same epoch would contend for each other's slots.
            redis.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            let id = redis.command(&["CLUSTER", "MYID"]).await.remove(0);
            nodes.push(Node { redis, id });
            bus_ports.push(bus_port);
        }
        let cluster = Self { nodes, primaries };
        cluster.share_slots().await;
        for (node, bus_port) in cluster.nodes.iter().zip(&bus_ports).skip(1) {
            let port = node.redis.port().to_string();
            cluster.nodes[0].redis.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus_port]).await;
        }
        let known = format!("cluster_known_nodes:{}", cluster.nodes.len());
        cluster.until("they know each other", &["CLUSTER", "INFO"], &["cluster_state:ok", &known]).await;
        for replica in &cluster.nodes[primaries..] {
            replica.redis.command(&["CLUSTER", "REPLICATE", &cluster.nodes[0].id]).await;
        }
        if replicas > 0 {
            let replicating = format!("connected_slaves:{replicas}");
            cluster
                .until_one(0, "its replicas follow", &["INFO", "replication"], &[&replicating, "state=online"])
                .await;
        }
        Ok(cluster)
    }

    /// The node of this number. Primaries come first.
    pub fn node(&mut self, number: usize) -> &mut Redis {
        &mut self.nodes[number].redis
    }

    /// Runs one command on every primary, and answers the lines of each.
    pub async fn on_primaries(&self, words: &[&str]) -> Vec<Vec<String>> {
        let asked = self.nodes[..self.primaries].iter().map(|node| node.redis.command(words));
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await);
        }
        answers
    }

    /// The slot of a key, and the number of the primary that the slot began at.
    pub async fn first_home(&self, key: &str) -> (u32, usize) {
        let slot = self.nodes[0].redis.command(&["CLUSTER", "KEYSLOT", key]).await.remove(0);
        let slot: u32 = slot.parse().expect("a number");
        (slot, (0..self.primaries).rfind(|&number| self.slots_from(number) <= slot).expect("one has it"))
    }

    /// Begins to move a slot from one primary to another. From now on its keys may be at either.
    pub async fn open_slot(&self, slot: u32, from: usize, to: usize) {
        let (slot, from, to) = (slot.to_string(), &self.nodes[from], &self.nodes[to]);
        to.redis.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.id]).await;
        from.redis.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id]).await;
    }

    /// Moves one key of an open slot. Answers whether there was one left.
    pub async fn move_key(&self, slot: u32, from: usize, to: usize) -> bool {
        let (from, to) = (&self.nodes[from].redis, self.nodes[to].redis.port().to_string());
        let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1"]).await;
        let Some(key) = keys.first().filter(|key| !key.is_empty()) else { return false };
        from.command(&["MIGRATE", "127.0.0.1", &to, key, "0", "5000"]).await;
        true
    }

    /// Ends the move. The slot belongs to the other primary now.
    pub async fn close_slot(&self, slot: u32, to: usize) {
        let (slot, id) = (slot.to_string(), &self.nodes[to].id);
        self.nodes[to].redis.command(&["CLUSTER", "SETSLOT", &slot, "NODE", id]).await;
        for node in &self.nodes[..self.primaries] {
            node.redis.command(&["CLUSTER", "SETSLOT", &slot, "NODE", id]).await;
        }
    }

    fn slots_from(&self, number: usize) -> u32 {
        SLOTS * number as u32 / self.primaries as u32
    }

    async fn share_slots(&self) {
        for number in 0..self.primaries {
            let (from, to) = (self.slots_from(number), self.slots_from(number + 1) - 1);
            let range = [from, to].map(|slot| slot.to_string());
            self.nodes[number].redis.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await;
        }
    }

    async fn until(&self, what: &str, words: &[&str], wanted: &[&str]) {
        for number in 0..self.nodes.len() {
            self.until_one(number, what, words, wanted).await;
        }
    }

    /// Waits until a node's answer contains all of `wanted`.
    async fn until_one(&self, number: usize, what: &str, words: &[&str], wanted: &[&str]) {
        let redis = &self.nodes[number].redis;
        let found = within(FORM_MAX, async || {
            let answer = redis.command(words).await.join("\n");
            wanted.iter().all(|wanted| answer.contains(wanted))
        });
        assert!(found.await.is_some(), "node {number} of the cluster, not within {FORM_MAX:?}: {what}");
    }
}

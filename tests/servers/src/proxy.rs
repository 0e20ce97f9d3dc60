//! A TCP way to a server that a test can hurt: cut it, let it fall silent, slow it down, lead it elsewhere, or lose the
//! answers to COMMITs.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// More than most messages have; what is longer goes in several chunks.
const CHUNK_BYTES: usize = 16 * 1024;

/// A way to the server that can be cut and mended.
pub(crate) struct Road {
    port: u16,
    traffic: Option<JoinSet<()>>,
    rules: watch::Sender<Rules>,
    /// Each change silences the connections that there are; the value tells whether new ones are silent too.
    silence: watch::Sender<bool>,
    commits: Arc<Commits>,
}

/// What happens to traffic. New chunks go by the present rules.
#[derive(Clone)]
struct Rules {
    server: String,
    /// How long each chunk waits before it is passed on.
    latency: Duration,
    /// Of so many COMMITs to MySQL one is cut off; 0 means none.
    commits_per_cut: u64,
}

/// COMMITs that passed, and those that were cut off, since the way was built.
#[derive(Default)]
struct Commits {
    seen: AtomicU64,
    cut: AtomicU64,
}

impl Road {
    /// A way to the database of a URL, and the URL that goes this way.
    pub(crate) async fn to_database(url: &str) -> (Self, String) {
        let (user, place) = url.split_once('@').expect("a user");
        let (server, schema) = place.split_once('/').expect("a schema");
        let road = Self::to(server).await;
        let url = format!("{user}@127.0.0.1:{}/{schema}", road.port);
        (road, url)
    }

    /// A way to a host and port.
    pub(crate) async fn to(server: &str) -> Self {
        let rules = Rules { server: server.to_owned(), latency: Duration::ZERO, commits_per_cut: 0 };
        let mut road = Self {
            port: 0,
            traffic: None,
            rules: watch::Sender::new(rules),
            silence: watch::Sender::new(false),
            commits: Arc::default(),
        };
        road.mend().await;
        road
    }

    /// Where the way begins.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts whatever there is, and lets new connections pass unharmed.
    pub(crate) async fn mend(&mut self) {
        self.cut().await;
        self.silence.send_replace(false);
        self.slow(Duration::ZERO);
        self.cut_commits(0);
        let listener = self.listen().await;
        self.port = listener.local_addr().expect("it listens").port();
        let traveller = Traveller { rules: self.rules.subscribe(), commits: self.commits.clone() };
        let silence = self.silence.clone();
        let mut traffic = JoinSet::new();
        traffic.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("accepts");
                let (traveller, mut silence) = (traveller.clone(), silence.subscribe());
                connections.spawn(async move {
                    if *silence.borrow_and_update() {
                        // The client must find it open.
                        let _client = client;
                        return pending().await;
                    }
                    let mut journey = std::pin::pin!(traveller.travel(client));
                    tokio::select! {
                        // Its end, whatever it is, is an end.
                        _ = &mut journey => {}
                        _ = silence.changed() => pending().await,
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        self.traffic = Some(traffic);
    }

    /// Below the ports that the kernel gives to outgoing connections: else one of them could take the port while the
    /// way is cut.
    async fn listen(&self) -> TcpListener {
        loop {
            let port = if self.port == 0 { fastrand::u16(10_000..32_000) } else { self.port };
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => return listener,
                Err(error) => assert!(self.port == 0, "port {port} is ours: {error}"),
            }
        }
    }

    /// From now on nothing goes over the connections that there are, and nobody is told, as when a host vanishes. New
    /// ones work.
    pub(crate) fn silence(&self) {
        self.silence.send_replace(false);
    }

    /// As [`silence`](Self::silence), and new connections come about but nothing goes over them, as when the server is
    /// stopped.
    pub(crate) fn silence_all(&self) {
        self.silence.send_replace(true);
    }

    /// Ends all connections and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(mut traffic) = self.traffic.take() {
            traffic.shutdown().await;
        }
    }

    /// From now on each chunk, of either direction, waits so long.
    pub(crate) fn slow(&self, latency: Duration) {
        self.rules.send_modify(|rules| rules.latency = latency);
    }

    /// From now on one of so many COMMITs ends its connection, in turn after the server has answered it but before the
    /// client has, and before the server sees it; 0 ends this.
    pub(crate) fn cut_commits(&self, commits_per_cut: u64) {
        self.rules.send_modify(|rules| rules.commits_per_cut = commits_per_cut);
    }

    /// How many COMMITs were cut off so far.
    pub(crate) fn commits_cut(&self) -> u64 {
        self.commits.cut.load(Ordering::Relaxed)
    }

    /// New connections go to another server; those that there are end.
    pub(crate) async fn lead_to(&mut self, server: &str) {
        self.rules.send_modify(|rules| server.clone_into(&mut rules.server));
        self.mend().await;
    }
}

/// One connection through.
#[derive(Clone)]
struct Traveller {
    rules: watch::Receiver<Rules>,
    commits: Arc<Commits>,
}

/// What becomes of the connection at a COMMIT.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Pass,
    /// The server does not see it.
    CutBefore,
    /// The server has answered it, the client does not see that.
    CutAfter,
}

impl Traveller {
    async fn travel(self, client: TcpStream) -> io::Result<()> {
        let server = self.rules.borrow().server.clone();
        let server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (doomed, doom) = watch::channel(false);
        tokio::select! {
            ended = self.requests(from_client, to_server, doomed) => ended,
            ended = self.replies(from_server, to_client, doom) => ended,
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doomed: watch::Sender<bool>,
    ) -> io::Result<()> {
        let (mut chunk, mut packets) = (vec![0; CHUNK_BYTES], MysqlPackets::default());
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            let rules = self.rules.borrow().clone();
            let commits = packets.complete(&chunk[..count]).iter().any(|packet| commits(packet));
            let fate = if commits { self.fate(rules.commits_per_cut) } else { Fate::Pass };
            if fate == Fate::CutBefore {
                return Ok(());
            }
            if fate == Fate::CutAfter {
                doomed.send_replace(true);
            }
            pause(rules.latency).await;
            to.write_all(&chunk[..count]).await?;
        }
    }

    async fn replies(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doom: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let (mut chunk, mut withheld) = (vec![0; CHUNK_BYTES], MysqlPackets::default());
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            // MySQL answers one request after the other: what comes now are the answers to the statements before the
            // COMMIT, then the one to it.
            if *doom.borrow() {
                if withheld.complete(&chunk[..count]).iter().any(|packet| is_last_answer(packet)) {
                    return Ok(());
                }
                continue;
            }
            let latency = self.rules.borrow().latency;
            pause(latency).await;
            to.write_all(&chunk[..count]).await?;
        }
    }

    fn fate(&self, commits_per_cut: u64) -> Fate {
        if commits_per_cut == 0 || !self.commits.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(commits_per_cut) {
            return Fate::Pass;
        }
        let cut = self.commits.cut.fetch_add(1, Ordering::Relaxed);
        if cut.is_multiple_of(2) { Fate::CutAfter } else { Fate::CutBefore }
    }
}

async fn pause(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

/// Finds the packets in what one side of a connection to MySQL sends, wherever chunks end: a length of three bytes, a
/// number, the content.
#[derive(Default)]
struct MysqlPackets {
    /// What has come of the packet that is not complete.
    begun: Vec<u8>,
}

impl MysqlPackets {
    /// The contents of those packets that are complete now.
    fn complete(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.begun.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let [low, middle, high, _, content @ ..] = &self.begun[..] {
            let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
            let Some(content) = content.get(..length) else { break };
            complete.push(content.to_vec());
            self.begun.drain(..4 + length);
        }
        complete
    }
}

/// Whether the statements of a packet end with a COMMIT.
fn commits(packet: &[u8]) -> bool {
    const QUERY: u8 = 3;
    packet.first() == Some(&QUERY) && packet.to_ascii_uppercase().ends_with(b"COMMIT")
}

/// Whether no answer follows to the statements of a packet, of which none asks for rows.
fn is_last_answer(packet: &[u8]) -> bool {
    const OK: u8 = 0;
    const MORE_FOLLOW: u8 = 8;
    // Two numbers of their own length stand before the flags.
    let number = |bytes: &mut &[u8]| {
        let length = match bytes.first() {
            Some(0xfc) => 3,
            Some(0xfd) => 4,
            Some(0xfe) => 9,
            _ => 1,
        };
        *bytes = bytes.get(length..).unwrap_or_default();
    };
    let Some((&OK, mut rest)) = packet.split_first() else { return true };
    number(&mut rest);
    number(&mut rest);
    rest.first().is_none_or(|flags| flags & MORE_FOLLOW == 0)
}

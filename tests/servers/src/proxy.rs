//! A TCP proxy in front of a server. A test can cut its connections, silence them, slow them down, redirect them, or
//! cut them at a COMMIT.

mod mysql;

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

use mysql::{Packets, is_last_answer};

/// Most messages are shorter; longer ones pass in several chunks.
const CHUNK_BYTES: usize = 16 * 1024;

/// A proxy in front of one server.
pub struct Proxy {
    port: u16,
    /// The task that accepts connections, which owns them; `None` while the proxy is cut.
    traffic: Option<JoinSet<()>>,
    rules: watch::Sender<Rules>,
    /// Each change silences the open connections. The value says whether new connections are silent too.
    silence: watch::Sender<bool>,
    commits: Arc<Commits>,
}

/// What happens to traffic. A change applies from the next chunk on.
#[derive(Clone)]
struct Rules {
    server: String,
    /// How long each chunk waits before it is passed on.
    latency: Duration,
    /// One in this many COMMITs to MySQL is cut off; 0 means none.
    commits_per_cut: u64,
}

/// How many COMMITs were seen under a rule that cuts some, and how many were cut off, since the proxy was started.
#[derive(Default)]
struct Commits {
    seen: AtomicU64,
    cut: AtomicU64,
}

impl Proxy {
    /// Starts a proxy in front of the database of a URL. Answers the proxy, and the URL that goes through it.
    pub async fn to_database(url: &str) -> (Self, String) {
        let (user, place) = url.split_once('@').expect("a user");
        let (server, schema) = place.split_once('/').expect("a schema");
        let proxy = Self::to(server).await;
        let url = format!("{user}@127.0.0.1:{}/{schema}", proxy.port);
        (proxy, url)
    }

    /// Starts a proxy in front of a host and port.
    pub async fn to(server: &str) -> Self {
        let rules = Rules { server: server.to_owned(), latency: Duration::ZERO, commits_per_cut: 0 };
        let mut proxy = Self {
            port: 0,
            traffic: None,
            rules: watch::Sender::new(rules),
            silence: watch::Sender::new(false),
            commits: Arc::default(),
        };
        proxy.mend().await;
        proxy
    }

    /// Where the proxy listens. The port stays the same while the proxy is cut.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, and lets new ones pass unharmed.
    pub async fn mend(&mut self) {
        self.cut().await;
        self.silence.send_replace(false);
        self.slow(Duration::ZERO);
        self.cut_commits(0);
        let listener = self.listen().await;
        self.port = listener.local_addr().expect("it listens").port();
        let connection = Connection { rules: self.rules.subscribe(), commits: self.commits.clone() };
        let silence = self.silence.clone();
        let mut traffic = JoinSet::new();
        traffic.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("accepts");
                let (connection, mut silence) = (connection.clone(), silence.subscribe());
                connections.spawn(async move {
                    if *silence.borrow_and_update() {
                        // The connection stays open, and nothing reads from it.
                        let _client = client;
                        return pending().await;
                    }
                    let mut passing = std::pin::pin!(connection.pass(client));
                    tokio::select! {
                        // An error ends the connection just as its regular end does.
                        _ = &mut passing => {}
                        _ = silence.changed() => pending().await,
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        self.traffic = Some(traffic);
    }

    /// Listens on a port below those that the kernel gives to outgoing connections. Otherwise one of them could take
    /// the port while the proxy is cut.
    async fn listen(&self) -> TcpListener {
        loop {
            let port = if self.port == 0 { fastrand::u16(10_000..32_000) } else { self.port };
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => return listener,
                Err(error) => assert!(self.port == 0, "port {port} is ours: {error}"),
            }
        }
    }

    /// Silences the open connections: from now on nothing passes, and neither side is told, as when a host vanishes.
    /// New connections work.
    pub fn silence(&self) {
        self.silence.send_replace(false);
    }

    /// Silences the open connections, as [`silence`](Self::silence) does, and new ones too. New connections are
    /// accepted but nothing passes, as when the server's process is stopped.
    pub fn silence_all(&self) {
        self.silence.send_replace(true);
    }

    /// Ends all connections and refuses new ones.
    pub async fn cut(&mut self) {
        if let Some(mut traffic) = self.traffic.take() {
            traffic.shutdown().await;
        }
    }

    /// From now on each chunk, in either direction, waits for `latency`.
    pub fn slow(&self, latency: Duration) {
        self.rules.send_modify(|rules| rules.latency = latency);
    }

    /// From now on one in this many COMMITs ends its connection. Every other time the server has committed by then, and
    /// only its answer is lost; the other times the server never sees the COMMIT. 0 ends this.
    pub fn cut_commits(&self, commits_per_cut: u64) {
        self.rules.send_modify(|rules| rules.commits_per_cut = commits_per_cut);
    }

    /// How many COMMITs were cut off so far.
    pub fn commits_cut(&self) -> u64 {
        self.commits.cut.load(Ordering::Relaxed)
    }

    /// Ends all connections, and passes new ones to another server.
    pub async fn redirect_to(&mut self, server: &str) {
        self.rules.send_modify(|rules| server.clone_into(&mut rules.server));
        self.mend().await;
    }
}

/// What one connection through the proxy goes by.
#[derive(Clone)]
struct Connection {
    rules: watch::Receiver<Rules>,
    commits: Arc<Commits>,
}

/// What happens to the connection at a COMMIT.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Pass,
    /// The server does not see the COMMIT.
    CutBefore,
    /// The server answers the COMMIT, and the client does not see the answer.
    CutAfter,
}

impl Connection {
    async fn pass(self, client: TcpStream) -> io::Result<()> {
        let server = self.rules.borrow().server.clone();
        let server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (cut_after, is_cut_after) = watch::channel(false);
        tokio::select! {
            ended = self.pass_requests(from_client, to_server, cut_after) => ended,
            ended = self.pass_replies(from_server, to_client, is_cut_after) => ended,
        }
    }

    async fn pass_requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        cut_after: watch::Sender<bool>,
    ) -> io::Result<()> {
        let (mut chunk, mut packets) = (vec![0; CHUNK_BYTES], Packets::default());
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            let rules = self.rules.borrow().clone();
            let commits = packets.complete(&chunk[..count]).iter().any(|packet| mysql::commits(packet));
            let fate = if commits { self.fate(rules.commits_per_cut) } else { Fate::Pass };
            if fate == Fate::CutBefore {
                return Ok(());
            }
            if fate == Fate::CutAfter {
                cut_after.send_replace(true);
            }
            pause(rules.latency).await;
            to.write_all(&chunk[..count]).await?;
        }
    }

    async fn pass_replies(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        is_cut_after: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let (mut chunk, mut withheld) = (vec![0; CHUNK_BYTES], Packets::default());
        loop {
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            // MySQL answers one statement after the other. What comes now are the answers to the statements before the
            // COMMIT, and last the answer to the COMMIT.
            if *is_cut_after.borrow() {
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

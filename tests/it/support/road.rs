//! A TCP connection to a server that a test can cut or let fall silent.

use std::future::pending;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A way to the server that can be cut and mended.
pub(crate) struct Road {
    server: String,
    port: u16,
    traffic: Option<JoinSet<()>>,
    /// Each change silences the connections that there are; the value tells whether new ones are silent too.
    silence: watch::Sender<bool>,
}

impl Road {
    /// A way to the database of a URL, and the URL that goes this way.
    pub(crate) async fn to_database(url: &str) -> (Self, String) {
        let (user, place) = url.split_once('@').expect("a user");
        let (server, schema) = place.split_once('/').expect("a schema");
        let silence = watch::Sender::new(false);
        let mut road = Self { server: server.to_owned(), port: 0, traffic: None, silence };
        road.mend().await;
        let url = format!("{user}@127.0.0.1:{}/{schema}", road.port);
        (road, url)
    }

    pub(crate) async fn mend(&mut self) {
        self.cut().await;
        self.silence.send_replace(false);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port is free");
        self.port = listener.local_addr().expect("it listens").port();
        let (server, silence) = (self.server.clone(), self.silence.clone());
        let mut traffic = JoinSet::new();
        traffic.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.expect("accepts");
                let (server, mut silence) = (server.clone(), silence.subscribe());
                connections.spawn(async move {
                    if *silence.borrow_and_update() {
                        return pending().await;
                    }
                    let mut server = TcpStream::connect(server).await.expect("the server is there");
                    tokio::select! {
                        // Its end, whatever it is, is an end.
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = silence.changed() => pending().await,
                    }
                });
            }
        });
        self.traffic = Some(traffic);
    }

    /// From now on nothing goes over the connections that there are, and nobody is told, as when a host vanishes. New ones work.
    pub(crate) fn silence(&self) {
        self.silence.send_replace(false);
    }

    /// As [`silence`](Self::silence), and new connections come about but nothing goes over them, as when the server is stopped.
    pub(crate) fn silence_all(&self) {
        self.silence.send_replace(true);
    }

    pub(crate) async fn cut(&mut self) {
        if let Some(mut traffic) = self.traffic.take() {
            traffic.shutdown().await;
        }
    }
}

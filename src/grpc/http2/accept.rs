//! Accepts connections. When this process runs out of file descriptors it pauses: asking again at once would spin.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::telemetry::ration::Ration;

/// Long enough for some connections to end, short enough for those that wait.
const PAUSE: Duration = Duration::from_millis(500);

static FAILED: Ration = Ration::new(1, Duration::from_secs(10));

/// The next connection.
pub(super) async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A small answer must not wait for the acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection refuses TCP_NODELAY");
                }
                return stream;
            }
            // The peer gave up while it waited.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                if let Some(omitted) = FAILED.take() {
                    tracing::warn!(%error, omitted, "cannot accept connections, pausing");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

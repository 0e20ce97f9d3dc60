//! One connection from its first byte to its last. It ends when
//! - its peer ends it, breaks the rules of HTTP/2, or does not answer a ping;
//! - nothing has been under way on it for long, it is old, or the server stops: its peer is told first (GOAWAY), and
//!   what is under way is finished;
//! - another one needs its place and it is at rest: its peer is told, and it is closed at once, or after a moment if
//!   streams wait on it.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use super::backlog::Backlog;
use super::bounds::ConnectionsConfig;
use super::connections::{OpenConnection, REST_MIN};
use super::request_body::RequestBody;
use super::socket::Socket;
use super::{media_type, stream};
use crate::grpc::unsent::{Unsent, UnsentBytes};
use crate::telemetry::ration::Ration;

/// How long a peer that was told to go may take to close a connection on which nothing is under way.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// How long streams that wait may stay open on a connection whose place is needed. Idle sessions end before that. It is
/// also how long a peer that was told to go may still begin a call.
const WAITING_MAX: Duration = Duration::from_secs(2);

/// How long it may take to tell a peer whose place is needed.
const LEAVE_MAX: Duration = Duration::from_millis(250);

static BROKEN: Ration = Ration::new(1, Duration::from_secs(10));

type Connection = h2::server::Connection<Socket, UnsentBytes>;

/// What all connections have in common.
pub(super) struct Common {
    pub(super) builder: Builder,
    pub(super) config: ConnectionsConfig,
    pub(super) unsent: Unsent,
    pub(super) stop: CancellationToken,
}

/// Serves it to its end.
pub(super) async fn serve<S>(tcp: TcpStream, open: OpenConnection, service: S, common: Arc<Common>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let unsent = &open.caller().unsent;
    let backlog = Arc::new(Backlog::new(unsent.clone()));
    let socket = Socket::new(tcp, unsent.write_all(common.config.stall_max), backlog.clone());
    let mut connection = tokio::select! {
        begun = timeout(common.config.preface_max, common.builder.handshake(socket)) => match begun {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::debug!(%error, "a peer does not speak HTTP/2"),
            Err(_) => return tracing::debug!("a peer says nothing"),
        },
        // It carries no request, so nothing is lost.
        () = open.bell() => return,
    };
    let now = Instant::now();
    // h2 answers it once, and this is the first time.
    let Some(pings) = connection.ping_pong() else { return };
    let life = Life {
        connection,
        pings,
        backlog,
        service,
        ping_at: now + common.config.ping_every,
        awaits_pong: false,
        ends_at: now + spread(common.config.age_max, open.caller().peer.id),
        is_ending: false,
        open,
        common,
    };
    life.live().await;
}

struct Life<S> {
    connection: Connection,
    pings: PingPong,
    open: OpenConnection,
    backlog: Arc<Backlog>,
    service: S,
    common: Arc<Common>,
    /// When the next ping is due, or the answer to the last one.
    ping_at: Instant,
    awaits_pong: bool,
    /// When its peer is told to go, or was.
    ends_at: Instant,
    is_ending: bool,
}

impl<S> Life<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    async fn live(mut self) {
        if self.common.stop.is_cancelled() {
            self.end();
        }
        let mut due = pin!(sleep_until(self.due_at()));
        loop {
            tokio::select! {
                biased;
                accepted = poll_fn(|cx| self.backlog.drive(|| self.connection.poll_accept(cx))) => match accepted {
                    Some(Ok((request, respond))) => self.begin(request, respond).await,
                    Some(Err(error)) => return told_of(&error),
                    None => return,
                },
                () = pong(&mut self.pings), if self.awaits_pong => {
                    self.awaits_pong = false;
                    self.ping_at = Instant::now() + self.common.config.ping_every;
                    due.as_mut().reset(self.due_at());
                }
                // A timer needs some of the task's budget. A peer who floods the connection would leave it none.
                () = unconstrained(&mut due) => {
                    if self.is_over() {
                        return;
                    }
                    if self.open.told().is_some_and(|told| told >= WAITING_MAX) && self.is_done() {
                        return self.close().await;
                    }
                    due.as_mut().reset(self.due_at());
                }
                () = self.open.bell() => {
                    if self.open.told().is_some() && self.leaves() {
                        return self.close().await;
                    }
                    if self.common.stop.is_cancelled() {
                        self.end();
                    }
                    due.as_mut().reset(self.due_at());
                }
            }
        }
    }

    async fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<UnsentBytes>) {
        if self.is_ending && self.ends_at.elapsed() >= WAITING_MAX {
            // The peer was told long ago, and may repeat it elsewhere.
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let caller = self.open.caller();
        let open = caller.activity.stream();
        let write = caller.unsent.write(self.common.config.stall_max);
        let backlog = self.backlog.clone();
        let answer = match media_type::refusal(&request) {
            Some(refusal) => Either::Left(Box::pin(ready(Ok(refusal)))),
            None => {
                let mut request = request.map(|stream| Body::new(RequestBody::new(stream)));
                request.extensions_mut().insert(caller.clone());
                let Ok(service) = self.service.ready().await;
                Either::Right(service.call(request))
            }
        };
        tokio::spawn(stream::answer(answer, respond, write, backlog).map(|()| drop(open)));
    }

    /// When there is something to do next, whatever the peer does.
    fn due_at(&self) -> Instant {
        let next = if self.is_ending {
            Instant::now() + CLOSE_MAX
        } else {
            let idle = self.open.caller().activity.idle().unwrap_or_default();
            self.ends_at.min(Instant::now() + self.common.config.idle_max.saturating_sub(idle))
        };
        next.min(self.ping_at)
    }

    /// Does what is due. True if the connection is to be dropped.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.ping_at <= now {
            if self.awaits_pong {
                tracing::debug!("a peer does not answer pings");
                return true;
            }
            self.ping();
        }
        let idle = self.open.caller().activity.idle().unwrap_or_default();
        if self.is_ending {
            return now >= self.ends_at + CLOSE_MAX && idle >= CLOSE_MAX && !self.connection.has_streams();
        }
        if self.ends_at <= now || idle >= self.common.config.idle_max {
            self.end();
        }
        false
    }

    /// True if it is at rest and what its peer was told is sent.
    fn is_done(&self) -> bool {
        let at_rest = self.open.caller().activity.at_rest();
        at_rest.is_some_and(|at_rest| at_rest >= REST_MIN) && !self.backlog.is_blocked()
    }

    fn ping(&mut self) {
        // It fails only when the connection has ended.
        self.awaits_pong = self.pings.send_ping(Ping::opaque()).is_ok();
        self.ping_at = Instant::now() + self.common.config.pong_max;
    }

    /// Tells the peer to begin nothing more here. The connection ends with what is under way.
    fn end(&mut self) {
        if !self.is_ending {
            self.is_ending = true;
            self.ends_at = Instant::now();
            self.open.caller().ending.cancel();
            self.connection.graceful_shutdown();
        }
    }

    /// Makes room for another connection, if this one is at rest. True if it can be closed at once. Else the streams
    /// that wait are told first, and [`WAITING_MAX`] is their time to end.
    fn leaves(&mut self) -> bool {
        let activity = &self.open.caller().activity;
        let is_at_rest = activity.at_rest().is_some();
        if is_at_rest && activity.has_streams() {
            self.end();
            return false;
        }
        let leaves = is_at_rest && !self.connection.has_streams();
        if !leaves {
            self.open.stays();
        }
        leaves
    }

    /// Tells the peer what was begun, and ends.
    async fn close(mut self) {
        self.connection.abrupt_shutdown(Reason::NO_ERROR);
        let _ = timeout(LEAVE_MAX, poll_fn(|cx| self.connection.poll_closed(cx))).await;
    }
}

async fn pong(pings: &mut PingPong) {
    // An error means that the connection has ended, which `accept` tells too.
    let _ = poll_fn(|cx| pings.poll_pong(cx)).await;
}

/// Between nine and eleven tenths, so that connections that came together do not end together.
fn spread(age_max: Duration, id: u64) -> Duration {
    // The golden ratio spreads successive numbers evenly.
    let part = (id as f64 * 0.618_033_988_749_895).fract();
    age_max.mul_f64(0.9 + part / 5.0)
}

fn told_of(error: &h2::Error) {
    if error.is_library()
        && let Some(omitted) = BROKEN.take()
    {
        tracing::warn!(%error, omitted, "a peer broke the rules of HTTP/2 and lost its connection");
    } else {
        tracing::debug!(%error, "a connection broke off");
    }
}

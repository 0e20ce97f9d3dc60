//! A stream that carries many calls, each answered when it is done.
//!
//! A request is read only when there is a place for its answer. So the session stops reading from a caller who does not
//! read their answers, no call waits for such a caller, and [`UNANSWERED_MAX`] answers wait at most. The bytes of calls
//! bound what they take: a request holds some from when it is read until its answer is handed over to be sent. When the
//! connection has used up its share of them, the request is refused. Then the session reads on only when everything
//! before it was answered and read.

mod registry;

use std::error::Error;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use futures::{FutureExt, Stream, StreamExt, stream};
use prost::Message;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::Instrument;

use self::registry::{Open, Registry, Unanswered};
use super::many::Carrier;
use super::permits::Permit;
use super::v1::session_request::Request;
use super::{answer, status, v1};

/// How many requests of one session may be under way, or answered and not yet sent.
const UNANSWERED_MAX: usize = 1024;

/// How long an idle session is still read from when it makes way for another one, or its connection ends. One round
/// trip is enough for its caller to learn of it.
const MAKING_WAY: Duration = Duration::from_secs(1);

/// All sessions that are open.
pub struct Sessions {
    open: Registry,
    stop: CancellationToken,
    read_on: Duration,
}

impl Sessions {
    /// None yet, and at most so many. At `stop` their callers are told that the server is about to end. The sessions
    /// are read from for `read_on` after that. The same goes for a session whose connection is to end.
    pub fn until(stop: CancellationToken, read_on: Duration, sessions_max: usize) -> Self {
        Self { open: Registry::new(sessions_max), stop, read_on }
    }

    /// Serves until the caller has closed or left, until it makes way for another one, until its connection is to end,
    /// or until the end of all.
    pub(super) fn open(
        &self,
        carrier: Carrier,
        requests: Streaming<v1::SessionRequest>,
    ) -> Result<impl Stream<Item = Sent> + use<>, Status> {
        let (caller, going_away) = (&carrier.parent.caller, self.stop.child_token());
        let open = self.open.open(caller, going_away.clone()).ok_or_else(status::overloaded)?;
        let end = End { stop: self.stop.clone(), ending: caller.ending.clone(), going_away, read_on: self.read_on };
        let (answers, answered) = mpsc::channel(UNANSWERED_MAX);
        let stream = open.stream();
        let session = Arc::new(Session { carrier, open, answers });
        tokio::spawn(session.serve(Box::new(requests), end).in_current_span());
        Ok(ReceiverStream::new(answered).map(move |Unsent { answer, .. }| {
            let _held = &stream;
            answer
        }))
    }
}

/// What a session sends.
type Sent = Result<v1::SessionResponse, Status>;

/// An answer that was not yet handed over to be sent.
struct Unsent {
    answer: Sent,
    _held: Option<Held>,
}

/// What a request has from when it was read until its answer is handed over.
struct Held {
    bytes: Permit,
    _unanswered: Unanswered,
}

impl Unsent {
    /// Of no request that holds anything.
    fn free(answer: Sent) -> Self {
        Self { answer, _held: None }
    }
}

/// A session that is served. It stops counting as open when all is answered, even if the answers are not read: the
/// bytes of calls bound those.
struct Session {
    carrier: Carrier,
    open: Open,
    answers: Sender<Unsent>,
}

/// What a session reads from, in a box because every read moves it.
type Requests = Box<Streaming<v1::SessionRequest>>;

/// A request that was read, and its place among the answers.
struct Read {
    place: OwnedPermit<Unsent>,
    held: Held,
    request: v1::SessionRequest,
}

/// A request that could not be read. Nothing behind it is read either, because tonic would go on in the middle of it
/// and take its bytes for other requests.
struct Unreadable {
    place: OwnedPermit<Unsent>,
    failure: Status,
    /// If it were dropped, h2 would count every further frame against the connection for good.
    _unread: Requests,
}

impl Session {
    async fn serve(self: Arc<Self>, requests: Requests, end: End) {
        let requests = stream::try_unfold((self.clone(), requests), |(session, requests)| async {
            Ok(session.next(requests).await?.map(|(read, requests)| (read, (session, requests))))
        });
        let requests = requests.take_until(end.reached(self.clone()));
        let calls = requests.map(|read| match read {
            Ok(read) => Either::Left(self.call(read).map(Ok)),
            Err(unreadable) => Either::Right(ready(Err(unreadable))),
        });
        // A refusal is the last item of the stream, so it waits until all requests before it are answered.
        let calls = calls.buffer_unordered(UNANSWERED_MAX).fold(Ok(()), |all, one| ready(all.and(one)));
        tokio::select! {
            ended = calls => if let Err(Unreadable { place, failure, .. }) = ended {
                place.send(Unsent::free(Err(self.carrier.parent.id.refuse_whole(&failure))));
            },
            // The caller is gone: drop what can be dropped.
            () = self.answers.closed() => {}
        }
    }

    /// The next request that is to be done.
    async fn next(&self, mut requests: Requests) -> Result<Option<(Read, Requests)>, Unreadable> {
        loop {
            let Ok(place) = self.answers.clone().reserve_owned().await else { return Ok(None) };
            let request = match requests.next().await {
                Some(Ok(request)) => request,
                Some(Err(failure)) if is_heard(&failure) => {
                    return Err(Unreadable { place, failure, _unread: requests });
                }
                _ => return Ok(None),
            };
            let unanswered = self.open.request();
            match self.carrier.take_bytes(request.encoded_len()) {
                Ok(bytes) => {
                    let held = Held { bytes, _unanswered: unanswered };
                    return Ok(Some((Read { place, held, request }, requests)));
                }
                Err(failure) => {
                    let outcome = self.carrier.refusal(request.id, &failure);
                    place.send(Unsent::free(Ok(response(request.id, outcome))));
                    // The refusal holds no bytes, so there must not be many.
                    let _all = self.answers.reserve_many(UNANSWERED_MAX).await;
                }
            }
        }
    }

    /// Does a request and sends its answer.
    ///
    /// It is no `async fn`, which would hold the request beside its work. Every request copies this future.
    fn call(&self, Read { place, mut held, request }: Read) -> impl Future<Output = ()> {
        let (carrier, id) = (&self.carrier, request.id);
        let work = request.request.map(|request| match request {
            Request::Reserve(request) => carrier.work(request),
            Request::Confirm(request) => carrier.work(request),
            Request::Cancel(request) => carrier.work(request),
            Request::Extend(request) => carrier.work(request),
            Request::GetReservation(request) => carrier.work(request),
        });
        let outcome = async move {
            match work {
                Some(work) => carrier.outcome(id, work).await,
                None => carrier.refusal(id, &status::required("request")),
            }
        };
        outcome.map(move |outcome| {
            held.bytes.overdraw_to(answer::memory_bytes(&outcome));
            place.send(Unsent { answer: Ok(response(id, outcome)), _held: Some(held) });
        })
    }
}

fn response(id: u64, outcome: v1::Outcome) -> v1::SessionResponse {
    v1::SessionResponse { id, outcome: Some(outcome), going_away: false }
}

/// True if a request could not be read. Its caller can be told then. If the connection broke, there is no caller left
/// to tell. Such an error may have any code, but it always has a cause, and the other kind never has one.
fn is_heard(failure: &Status) -> bool {
    failure.source().is_none()
}

/// When a session ends whose caller does not close it.
struct End {
    stop: CancellationToken,
    ending: CancellationToken,
    going_away: CancellationToken,
    read_on: Duration,
}

impl End {
    /// Waits until the caller shall no longer be read from. They are told before.
    async fn reached(self, session: Arc<Session>) {
        tokio::select! {
            () = self.going_away.cancelled() => {}
            () = self.ending.cancelled() => self.going_away.cancel(),
        }
        let makes_way = !self.stop.is_cancelled() && session.open.is_idle();
        let read_on = if makes_way { MAKING_WAY } else { self.read_on };
        let word = v1::SessionResponse { going_away: true, ..Default::default() };
        // A caller who does not read has no room for the word.
        let word = timeout(read_on, session.answers.send(Unsent::free(Ok(word))));
        let _ = tokio::join!(sleep(read_on), word);
    }
}

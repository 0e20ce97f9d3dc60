//! A stream that carries many calls, each answered when it is done.
//!
//! Every request takes a place among the answers before it is read. So a caller who does not read his answers is no
//! longer read from, nothing that was begun waits for him, and the server remembers as many answers for him as it does
//! for a connection of single calls. Their number is bounded, and that of the sessions; their bytes are only by what an
//! answer can have.

use std::error::Error;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::Instrument;

use super::many::Carrier;
use super::v1::session_request::Request;
use super::{STREAMS_MAX, status, v1};

/// Requests that may be under way or answered and not yet sent: as many as calls on a connection.
const UNANSWERED_MAX: usize = STREAMS_MAX as usize;

/// Sessions that may be open at once, over all connections; more are refused.
const SESSIONS_MAX: usize = 1024;

type Answer = Result<v1::SessionResponse, Status>;

/// All sessions that are open.
pub struct Sessions {
    places: Arc<Semaphore>,
    end: End,
}

/// When sessions end whose callers do not close them.
#[derive(Clone)]
struct End {
    stop: CancellationToken,
    read_on: Duration,
}

impl Sessions {
    /// None yet. At `stop` their callers are told that the server is about to end; they are read from for `read_on`
    /// after it.
    pub fn until(stop: CancellationToken, read_on: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(SESSIONS_MAX)), end: End { stop, read_on } }
    }

    /// Serves until the caller has closed or left, or until the end of all.
    pub(super) fn open(
        &self,
        carrier: Carrier,
        requests: Streaming<v1::SessionRequest>,
    ) -> Result<impl Stream<Item = Answer> + use<>, Status> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| status::overloaded())?;
        let (answers, answered) = mpsc::channel(UNANSWERED_MAX);
        tokio::spawn(serve(carrier, requests, answers, self.end.clone()).in_current_span());
        // It has the place until its answers are read, or nobody is there to read them.
        Ok(ReceiverStream::new(answered).inspect(move |_| _ = &place))
    }
}

async fn serve(carrier: Carrier, requests: Streaming<v1::SessionRequest>, answers: Sender<Answer>, end: End) {
    let requests = stream::try_unfold((requests, answers.clone()), |(mut requests, answers)| async move {
        let Ok(room) = answers.clone().reserve_owned().await else { return Ok(None) };
        match requests.next().await {
            Some(Ok(request)) => Ok(Some(((room, request), (requests, answers)))),
            Some(Err(failure)) if is_heard(&failure) => Err(Unreadable { room, failure, _unread: requests }),
            _ => Ok(None),
        }
    });
    let requests = requests.take_until(end.reached(answers.clone()));
    let calls = requests.map(async |read| {
        let (room, request) = read?;
        room.send(Ok(call(&carrier, request).await));
        Ok(())
    });
    // The stream ends with a refusal, so that it waits until all before it are answered.
    let calls = calls.buffer_unordered(UNANSWERED_MAX).fold(Ok(()), |all, one| ready(all.and(one)));
    tokio::select! {
        ended = calls => if let Err(Unreadable { room, failure, .. }) = ended {
            room.send(Err(carrier.whole.id.refuse_whole(&failure)));
        },
        // Who has left takes along what can be dropped.
        () = answers.closed() => {}
    }
}

/// A request that could not be read. Nothing behind it is: tonic would read on from within it, and take its bytes for
/// others.
struct Unreadable {
    room: OwnedPermit<Answer>,
    failure: Status,
    /// If it was dropped, h2 would count what else is sent against the connection for good.
    _unread: Streaming<v1::SessionRequest>,
}

/// False where the connection broke: nobody hears what is answered, and nothing is wrong here. Such an error has one of
/// many codes, and a cause; that of a request that cannot be read has none.
fn is_heard(failure: &Status) -> bool {
    failure.source().is_none()
}

impl End {
    /// Waits until the caller shall no longer be read from; he is told before.
    async fn reached(self, answers: Sender<Answer>) {
        self.stop.cancelled().await;
        let word = v1::SessionResponse { going_away: true, ..Default::default() };
        // Who has left needs no word, and for one who does not read there is no room.
        let _ = tokio::join!(sleep(self.read_on), timeout(self.read_on, answers.send(Ok(word))));
    }
}

async fn call(carrier: &Carrier, v1::SessionRequest { id, request }: v1::SessionRequest) -> v1::SessionResponse {
    let outcome = match request {
        Some(Request::Reserve(request)) => carrier.outcome(id, request).await,
        Some(Request::Confirm(request)) => carrier.outcome(id, request).await,
        Some(Request::Cancel(request)) => carrier.outcome(id, request).await,
        Some(Request::Extend(request)) => carrier.outcome(id, request).await,
        Some(Request::GetReservation(request)) => carrier.outcome(id, request).await,
        None => carrier.refusal(id, &status::required("request")),
    };
    v1::SessionResponse { id, outcome: Some(outcome), going_away: false }
}

//! The stream that callers share: which caller waits for which answer, and when another stream is needed.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::v1::outcome::Outcome;
use crate::v1::reservation_service_client::ReservationServiceClient;
use crate::v1::session_request::Request;
use crate::v1::{Reservation, SessionRequest, SessionResponse};

/// The largest request that a server takes, in bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Requests that wait to be sent. Further callers wait until one of them is sent.
const UNSENT_MAX: usize = 1024;

type Answer = Result<Reservation, Status>;

/// The present stream, if there is one. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    channel: Channel,
    present: Mutex<Option<Session>>,
}

/// Our end of a stream, which closes when it is dropped.
#[derive(Clone, Debug)]
struct Session {
    requests: mpsc::Sender<SessionRequest>,
    waiting: Arc<Waiting>,
}

/// The callers who wait for answers of a stream.
#[derive(Debug, Default)]
struct Waiting(Mutex<Callers>);

#[derive(Debug, Default)]
struct Callers {
    last_id: u64,
    by_id: HashMap<u64, oneshot::Sender<Answer>>,
}

/// Nothing that can panic is done under a lock of this module.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub(crate) fn over(channel: Channel) -> Self {
        Self(Arc::new(Shared { channel, present: Mutex::new(None) }))
    }

    pub(crate) async fn call(&self, request: Request) -> Answer {
        let mut request = SessionRequest { id: u64::MAX, request: Some(request) };
        // The server would end the stream because of it, and with it the calls of others.
        if request.encoded_len() > REQUEST_BYTES_MAX {
            let bytes = request.encoded_len();
            return Err(Status::invalid_argument(format!(
                "the request has {bytes} bytes, more than {REQUEST_BYTES_MAX}"
            )));
        }
        let (requests, entry, answered) = self.enter();
        request.id = entry.id;
        // A stream that has ended takes no requests, and tells all its callers why.
        let _ = requests.send(request).await;
        answered.await.unwrap_or_else(|_| Err(ended("")))
    }

    /// Enters a caller among those who wait for answers of the present stream, which is opened if there is none.
    fn enter(&self) -> (mpsc::Sender<SessionRequest>, Entry, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        // Under this lock, so that no caller enters a stream that is known to have ended.
        let mut present = lock(&self.0.present);
        let mut opening = None;
        let Session { requests, waiting } = present
            .get_or_insert_with(|| {
                let (session, run) = Session::open(&self.0);
                opening = Some(run);
                session
            })
            .clone();
        let mut callers = lock(&waiting.0);
        callers.last_id += 1;
        let id = callers.last_id;
        callers.by_id.insert(id, answer);
        drop((callers, present));
        // Without the locks, which it takes when it ends. That may be at once, if the runtime is ending.
        opening.map(tokio::spawn);
        (requests, Entry { id, waiting }, answered)
    }
}

impl Session {
    /// A stream, and the task that runs it.
    fn open(shared: &Arc<Shared>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (requests, unsent) = mpsc::channel(UNSENT_MAX);
        let waiting = Arc::<Waiting>::default();
        let client = ReservationServiceClient::new(shared.channel.clone());
        let ending = Ending { waiting: waiting.clone(), shared: Arc::downgrade(shared), failure: ended("") };
        (Self { requests, waiting }, run(client, unsent, ending))
    }
}

/// A caller who waits. It is removed when the caller leaves.
struct Entry {
    id: u64,
    waiting: Arc<Waiting>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.waiting.take(self.id);
    }
}

impl Waiting {
    fn take(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        lock(&self.0).by_id.remove(&id)
    }
}

impl Shared {
    /// Lets no other caller enter a stream.
    fn leave(&self, waiting: &Arc<Waiting>) {
        lock(&self.present).take_if(|present| Arc::ptr_eq(&present.waiting, waiting));
    }
}

/// Owned by the task that runs a stream. However the task ends, no other caller enters the stream, and all who wait are
/// told.
struct Ending {
    waiting: Arc<Waiting>,
    shared: Weak<Shared>,
    failure: Status,
}

impl Ending {
    fn leave(&self) {
        self.shared.upgrade().iter().for_each(|shared| shared.leave(&self.waiting));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.leave();
        let callers = std::mem::take(&mut lock(&self.waiting.0).by_id);
        for caller in callers.into_values() {
            // A caller who has left meanwhile needs no answer.
            let _ = caller.send(Err(self.failure.clone()));
        }
    }
}

async fn run(client: ReservationServiceClient<Channel>, unsent: mpsc::Receiver<SessionRequest>, mut ending: Ending) {
    if let Err(failure) = deliver(client, unsent, &ending).await {
        ending.failure = failure;
    }
}

async fn deliver(
    mut client: ReservationServiceClient<Channel>,
    unsent: mpsc::Receiver<SessionRequest>,
    ending: &Ending,
) -> Result<(), Status> {
    let opened = client.session(ReceiverStream::new(unsent)).await.map_err(|status| match status.source() {
        Some(_) => broken(&status),
        // The server refused the stream: nothing was done.
        None => status,
    });
    let mut answers = opened?.into_inner();
    while let Some(SessionResponse { id, outcome, going_away }) =
        answers.message().await.map_err(|status| broken(&status))?
    {
        if going_away {
            ending.leave();
        }
        if let (Some(caller), Some(outcome)) = (ending.waiting.take(id), outcome) {
            let _ = caller.send(answer(outcome.outcome));
        }
    }
    Ok(())
}

fn answer(outcome: Option<Outcome>) -> Answer {
    match outcome {
        Some(Outcome::Reservation(reservation)) => Ok(reservation),
        // It has the fields of a google.rpc.Status, whose bytes are the details of a status.
        Some(Outcome::Error(error)) => {
            let details = error.encode_to_vec();
            Err(Status::with_details(Code::from(error.code), error.message, details.into()))
        }
        None => Err(Status::internal("the server answered with a kind of outcome that this client does not know")),
    }
}

/// The error of a stream that broke says nothing about the calls that wait, whether it is about the connection, for
/// which tonic has many codes, or came from the server.
fn broken(status: &Status) -> Status {
    let cause = status.source().map_or_else(String::new, |cause| format!(": {cause}"));
    ended(&format!(" ({}{cause})", status.message()))
}

fn ended(why: &str) -> Status {
    let what = "the stream ended before the answer: it may be done or not; repeat under the same id";
    Status::unavailable(format!("{what}{why}"))
}

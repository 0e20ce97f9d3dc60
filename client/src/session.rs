//! The stream that callers share: who waits for which answer, and when another stream is needed.

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

/// What those who waited are told.
const ENDED: &str = "the stream ended before the answer: it may be done or not; repeat under the same id";

/// Requests that wait to be sent. Further callers wait for room.
const UNSENT_MAX: usize = 1024;

type Answer = Result<Reservation, Status>;

/// The present stream, if there is one.
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

/// Who waits for the answers of a stream.
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
        let (requests, place, answered) = self.enter();
        // A stream that has ended takes no more, and has told all its callers why.
        let _ = requests.send(SessionRequest { id: place.id, request: Some(request) }).await;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Takes a place among those who wait for the present stream, which is opened if there is none.
    fn enter(&self) -> (mpsc::Sender<SessionRequest>, Place, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        // Under this lock, so that nobody enters a stream that is known to have ended.
        let mut present = lock(&self.0.present);
        let Session { requests, waiting } = present.get_or_insert_with(|| Session::open(&self.0)).clone();
        let mut callers = lock(&waiting.0);
        callers.last_id += 1;
        let id = callers.last_id;
        callers.by_id.insert(id, answer);
        drop(callers);
        (requests, Place { id, waiting }, answered)
    }
}

impl Session {
    fn open(shared: &Arc<Shared>) -> Self {
        let (requests, unsent) = mpsc::channel(UNSENT_MAX);
        let waiting = Arc::<Waiting>::default();
        let client = ReservationServiceClient::new(shared.channel.clone());
        tokio::spawn(run(client, unsent, waiting.clone(), Arc::downgrade(shared)));
        Self { requests, waiting }
    }
}

/// Of one who waits, given up when he leaves.
struct Place {
    id: u64,
    waiting: Arc<Waiting>,
}

impl Drop for Place {
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
    /// Lets nobody else enter a stream.
    fn leave(&self, waiting: &Arc<Waiting>) {
        lock(&self.present).take_if(|present| Arc::ptr_eq(&present.waiting, waiting));
    }
}

/// Runs a stream until it ends, and tells all who still wait then why it did.
async fn run(
    client: ReservationServiceClient<Channel>,
    unsent: mpsc::Receiver<SessionRequest>,
    waiting: Arc<Waiting>,
    shared: Weak<Shared>,
) {
    let leave = || shared.upgrade().iter().for_each(|shared| shared.leave(&waiting));
    let failure = deliver(client, unsent, &waiting, leave).await.map_or_else(of_stream, |()| ended());
    leave();
    let callers = std::mem::take(&mut lock(&waiting.0).by_id);
    for caller in callers.into_values() {
        // One who has left meanwhile needs no answer.
        let _ = caller.send(Err(failure.clone()));
    }
}

async fn deliver(
    mut client: ReservationServiceClient<Channel>,
    unsent: mpsc::Receiver<SessionRequest>,
    waiting: &Waiting,
    leave: impl Fn(),
) -> Result<(), Status> {
    let mut answers = client.session(ReceiverStream::new(unsent)).await?.into_inner();
    while let Some(SessionResponse { id, outcome, going_away }) = answers.message().await? {
        if going_away {
            leave();
        }
        if let (Some(caller), Some(outcome)) = (waiting.take(id), outcome) {
            let _ = caller.send(answer(outcome.outcome));
        }
    }
    Ok(())
}

fn answer(outcome: Option<Outcome>) -> Answer {
    match outcome {
        Some(Outcome::Reservation(reservation)) => Ok(reservation),
        // The same fields as google.rpc.Status, which is what a status has its details from.
        Some(Outcome::Error(error)) => {
            let details = error.encode_to_vec();
            Err(Status::with_details(Code::from(error.code), error.message, details.into()))
        }
        None => Err(Status::internal("the server answered with a kind of outcome that this client does not know")),
    }
}

/// What ended a stream, in the words of the server if they are; else it was a connection, of which tonic has many codes to tell.
fn of_stream(status: Status) -> Status {
    match status.source() {
        Some(cause) => Status::unavailable(format!("{ENDED} ({}: {cause})", status.message())),
        None => status,
    }
}

fn ended() -> Status {
    Status::unavailable(ENDED)
}

//! How requests travel. Another way needs a variant here and in [`Caller`], and nothing else.

use std::fmt;

use stockhold_client::Client;
use stockhold_client::v1;
use stockhold_client::v1::outcome::Outcome;
use stockhold_client::v1::reservation_service_client::ReservationServiceClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Fewer streams than a server allows on one connection, so that no call waits for another. One session may have as
/// many unanswered requests.
const STREAMS_EACH: usize = 1000;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each operation is a call of its own.
    Unary,
    /// Callers share the session of the batching client.
    Session,
    /// Each caller has this many operations at a time, whose steps share calls.
    Many(usize),
}

/// A caller's end of a way. They use it for one operation, or one group of operations, at a time.
#[derive(Clone)]
pub(crate) enum Caller {
    Unary(ReservationServiceClient<Channel>),
    Session(Client),
    Many(ReservationServiceClient<Channel>),
}

impl Way {
    /// Opens the connections to this port that this many callers need, and gives each caller an end.
    pub(crate) async fn open(self, port: u16, callers: usize) -> Result<Vec<Caller>, tonic::transport::Error> {
        let mut ends = Vec::new();
        for _ in 0..callers.div_ceil(STREAMS_EACH) {
            let channel = connect(port).await?;
            ends.push(match self {
                Self::Unary => Caller::Unary(ReservationServiceClient::new(channel)),
                Self::Session => Caller::Session(Client::new(channel)),
                Self::Many(_) => Caller::Many(ReservationServiceClient::new(channel)),
            });
        }
        Ok(ends.into_iter().cycle().take(callers).collect())
    }

    /// Operations of one caller at a time.
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Unary | Self::Session => 1,
            Self::Many(group) => group,
        }
    }
}

pub(crate) async fn connect(port: u16) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await
}

/// An answer to each request of a group, in their order.
type Answers = Vec<Result<(), Status>>;

/// The same call by every way. Where a way has no call for many, requests are sent one by one; a group has only one
/// then.
macro_rules! call {
    ($name:ident, $request:ty $(, $many:ident, $many_request:ident)?) => {
        pub(crate) async fn $name(&mut self, requests: Vec<$request>) -> Answers {
            let mut answers = Vec::with_capacity(requests.len());
            match self {
                $(Self::Many(client) => {
                    let count = requests.len();
                    let answer = client.$many(v1::$many_request { requests }).await;
                    return outcomes(count, answer.map(|answer| answer.into_inner().outcomes));
                })?
                Self::Session(client) => {
                    for request in requests {
                        answers.push(client.$name(request).await.map(drop));
                    }
                }
                #[allow(unreachable_patterns, reason = "only where many can be asked for at once")]
                Self::Unary(client) | Self::Many(client) => {
                    for request in requests {
                        answers.push(client.$name(request).await.map(drop));
                    }
                }
            }
            answers
        }
    };
}

impl Caller {
    call!(reserve, v1::ReserveRequest, reserve_many, ReserveManyRequest);
    call!(confirm, v1::ConfirmRequest, confirm_many, ConfirmManyRequest);
    call!(cancel, v1::CancelRequest, cancel_many, CancelManyRequest);
    call!(extend, v1::ExtendRequest);
}

/// The outcome of each of the `count` requests of a call.
fn outcomes(count: usize, answer: Result<Vec<v1::Outcome>, Status>) -> Answers {
    let outcomes = match answer {
        Ok(outcomes) => outcomes,
        Err(status) => return vec![Err(status); count],
    };
    let outcome = |outcome: v1::Outcome| match outcome.outcome {
        Some(Outcome::Reservation(_)) => Ok(()),
        Some(Outcome::Error(error)) => Err(Status::new(error.code.into(), error.message)),
        None => Err(Status::internal("an outcome without an outcome")),
    };
    outcomes.into_iter().map(outcome).collect()
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unary => f.write_str("unary"),
            Self::Session => f.write_str("session"),
            Self::Many(group) => write!(f, "many({group})"),
        }
    }
}

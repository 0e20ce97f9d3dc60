//! Many requests that came together: each a call of its own, with an outcome of its own.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use prost::Message;
use tonic::Status;

use super::calls::{Calls, Parent};
use super::permits::Permit;
use super::reservation_request::ReservationRequest;
use super::{answer, checked, v1};
use crate::service::{Error, Service};

/// What carries the requests: a call, or a stream.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) service: Arc<Service>,
    pub(super) calls: Calls,
    pub(super) parent: Parent,
}

/// The work of one request.
pub(super) struct Work {
    /// The path of the call that carries nothing but this request.
    rpc: &'static str,
    answer: BoxFuture<'static, Result<v1::Reservation, Error>>,
}

impl Carrier {
    /// Does all requests at the same time. The outcomes are in the order of the requests.
    pub(super) async fn outcomes<R: ReservationRequest>(&self, requests: Vec<R>) -> Result<Vec<v1::Outcome>, Status> {
        checked::many(requests.len())?;
        let outcomes = (0..).zip(requests).map(async |(part, request)| {
            // They are held until all are done, because the answer waits for that. The whole pays for the requests.
            let mut bytes = match self.take_bytes(0) {
                Ok(bytes) => bytes,
                Err(failure) => return (self.refusal(part, &failure), None),
            };
            let outcome = self.outcome(part, self.work(request)).await;
            bytes.overdraw_to(answer::memory_bytes(&outcome));
            (outcome, Some(bytes))
        });
        let (outcomes, _held): (_, Vec<_>) = join_all(outcomes).await.into_iter().unzip();
        Ok(outcomes)
    }

    /// The bytes of one part.
    pub(super) fn take_bytes(&self, request_bytes: usize) -> Result<Permit, Status> {
        self.calls.take_bytes(self.parent.caller.peer, request_bytes)
    }

    /// What a request asks for. Nothing is done yet.
    pub(super) fn work<R: ReservationRequest>(&self, request: R) -> Work {
        Work { rpc: R::RPC, answer: request.perform(self.service.clone()) }
    }

    /// Does one; `part` tells it from the others.
    pub(super) async fn outcome(&self, part: u64, work: Work) -> v1::Outcome {
        let answer = self.calls.run_part(work.rpc, &self.parent, work.answer).await;
        match answer.and_then(|answer| answer.map_err(Status::from)) {
            Ok(reservation) => v1::Outcome { outcome: Some(v1::outcome::Outcome::Reservation(reservation)) },
            Err(failure) => self.refusal(part, &failure),
        }
    }

    /// The outcome of a request that failed.
    pub(super) fn refusal(&self, part: u64, failure: &Status) -> v1::Outcome {
        let status = self.parent.id.refuse_part(part, failure);
        // Its details are a google.rpc.Status with code and message, and an Error is the same under another name.
        let details = v1::Error::decode(status.details()).map(|error| error.details).unwrap_or_default();
        let error = v1::Error { code: status.code().into(), message: status.message().to_owned(), details };
        v1::Outcome { outcome: Some(v1::outcome::Outcome::Error(error)) }
    }
}

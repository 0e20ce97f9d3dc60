//! Many requests that came together: each a call of its own, with an outcome of its own.

use std::sync::Arc;

use futures::future::join_all;
use prost::Message;
use tonic::Status;

use super::ask::Ask;
use super::calls::{Calls, Whole};
use super::{checked, v1};
use crate::service::Service;

/// What carries the requests: a call, or a stream.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) service: Arc<Service>,
    pub(super) calls: Calls,
    pub(super) whole: Whole,
}

impl Carrier {
    /// Does all at the same time; the outcomes are in the order of the requests.
    pub(super) async fn outcomes<A: Ask>(&self, requests: Vec<A>) -> Result<Vec<v1::Outcome>, Status> {
        checked::many(requests.len())?;
        let outcomes = (0..).zip(requests).map(|(part, request)| self.outcome(part, request));
        Ok(join_all(outcomes).await)
    }

    /// Does one; `part` tells it from the others.
    pub(super) async fn outcome<A: Ask>(&self, part: u64, request: A) -> v1::Outcome {
        let answer = self.calls.one_of_many(A::RPC, &self.whole, request.ask(self.service.clone())).await;
        match answer.and_then(|answer| answer.map_err(Status::from)) {
            Ok(reservation) => v1::Outcome { outcome: Some(v1::outcome::Outcome::Reservation(reservation)) },
            Err(failure) => self.refusal(part, &failure),
        }
    }

    /// The outcome of a request that failed.
    pub(super) fn refusal(&self, part: u64, failure: &Status) -> v1::Outcome {
        let status = self.whole.id.refuse_part(part, failure);
        // What its details are is a google.rpc.Status with code and message, and an Error is the same by another name.
        let details = v1::Error::decode(status.details()).map(|error| error.details).unwrap_or_default();
        let error = v1::Error { code: status.code().into(), message: status.message().to_owned(), details };
        v1::Outcome { outcome: Some(v1::outcome::Outcome::Error(error)) }
    }
}

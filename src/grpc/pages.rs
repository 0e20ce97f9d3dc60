//! Pages: the answers of lists, which may take megabytes each before they are encoded and count as unsent. So many are
//! made at a time; other lists wait for their turn.

use std::sync::Arc;

use http::Response;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;

/// Pages that are made at a time. The largest take some 7 MiB each, decoded and encoded.
const PAGES_MAX: usize = 8;

const LISTS: [&str; 2] = ["/stockhold.v1.ReservationService/ListReservations", "/stockhold.v1.StockService/ListStock"];

/// All pages that are being made.
#[derive(Clone, Debug)]
pub(super) struct Pages(Arc<Semaphore>);

/// The turn of one page.
#[derive(Debug)]
pub(super) struct Turn(OwnedSemaphorePermit);

impl Pages {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PAGES_MAX)))
    }

    /// Waits for the turn of a list. Other calls need none.
    pub(super) async fn turn(&self, rpc: &str) -> Option<Turn> {
        if !LISTS.contains(&rpc) {
            return None;
        }
        // The semaphore is never closed.
        self.0.clone().acquire_owned().await.ok().map(Turn)
    }
}

impl Turn {
    /// Ends the turn when the page is encoded.
    pub(super) fn until_encoded(self, response: Response<Body>) -> Response<Body> {
        let mut turn = Some(self.0);
        response.map(|body| Body::new(body.inspect_frame(move |_| drop(turn.take()))))
    }
}

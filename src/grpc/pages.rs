//! Pages: the answers of lists, which may take megabytes each before they are encoded and count as unsent. A connection
//! makes one page at a time, and all connections together make [`PAGES_MAX`]. Other lists wait for their turn. So many
//! lists of one caller hold up no other caller.

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

/// In which a connection makes one page at a time. How much memory a page will take is not known before.
#[derive(Clone, Debug)]
pub(super) struct PeerPage(Arc<Semaphore>);

/// The turn of one page: that of its connection, and that among all connections.
#[derive(Debug)]
pub(super) struct Turn([OwnedSemaphorePermit; 2]);

impl Pages {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PAGES_MAX)))
    }

    /// Waits for the turn of a list. Other calls need none.
    pub(super) async fn turn(&self, rpc: &str, of_peer: &PeerPage) -> Option<Turn> {
        if !LISTS.contains(&rpc) {
            return None;
        }
        // The semaphores are never closed.
        let of_peer = of_peer.0.clone().acquire_owned().await.ok()?;
        let of_all = self.0.clone().acquire_owned().await.ok()?;
        Some(Turn([of_peer, of_all]))
    }
}

impl PeerPage {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turn {
    /// Ends the turn when the page is encoded.
    pub(super) fn until_encoded(self, response: Response<Body>) -> Response<Body> {
        let mut turn = Some(self.0);
        response.map(|body| Body::new(body.inspect_frame(move |_| drop(turn.take()))))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_caller_of_many_lists_holds_up_no_other() {
        let (pages, greedy, other) = (Pages::new(), PeerPage::new(), PeerPage::new());
        let first = pages.turn(LISTS[0], &greedy).await;
        let wait = async |(pages, of_peer): (Pages, PeerPage)| pages.turn(LISTS[1], &of_peer).await;
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(wait((pages.clone(), greedy.clone())))).collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|turn| !turn.is_finished()), "one page at a time");
        pages.turn(LISTS[0], &other).now_or_never().expect("no other connection waits").expect("a turn");
        drop(first);
        for turn in waiting {
            turn.await.expect("does not panic").expect("a turn");
        }
    }
}

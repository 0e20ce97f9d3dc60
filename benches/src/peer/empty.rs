//! A Reserve that does nothing, on the same server: the ceiling of requests that travel one to a call.

use stockhold::grpc::v1;
use tonic::Status;

use super::Peer;

pub(crate) struct Empty;

impl Peer for Empty {
    async fn set_stock(&self, _: v1::SetStockRequest) -> Result<(), Status> {
        Ok(())
    }

    async fn reserve(&self, _: v1::ReserveRequest) -> Result<v1::ReserveResponse, Status> {
        Ok(v1::ReserveResponse::default())
    }
}

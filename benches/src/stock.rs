//! Stocks a system before it is put under a load.

use std::time::Duration;

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use stockhold_client::v1;
use stockhold_client::v1::stock_service_client::StockServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::shape::Shape;
use crate::way::connect;
use crate::workload::{Workload, location, new_id};

/// The most items of a request.
const ITEMS_MAX: usize = 100;

/// The first call waits until the system has made its tables.
const STOCK_MAX: Duration = Duration::from_secs(60);

/// Requests of one location at a time.
const AT_ONCE: usize = 4;

/// Sets the stock that this workload needs in every location.
pub(crate) async fn stock_up(port: u16, workload: Workload, shape: Shape) -> Result<(), Box<dyn std::error::Error>> {
    let client = StockServiceClient::new(connect(port).await?);
    let locations = (0..shape.locations).map(async |number| {
        let stock = workload.stock(shape);
        let requests = stock.chunks(ITEMS_MAX).map(|items| set_stock(&client, location(number), items.to_vec()));
        stream::iter(requests).buffer_unordered(AT_ONCE).try_collect::<()>().await
    });
    try_join_all(locations).await?;
    Ok(())
}

/// Sets some skus.
pub(crate) async fn set_stock(
    client: &StockServiceClient<Channel>,
    location: String,
    items: Vec<v1::SetStockItem>,
) -> Result<(), Status> {
    let mut request = Request::new(v1::SetStockRequest { location, request_id: new_id(), items });
    request.set_timeout(STOCK_MAX);
    client.clone().set_stock(request).await.map(drop)
}

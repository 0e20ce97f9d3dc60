//! Stocks a system before it is put under a load.

use std::time::Duration;

use futures::future::try_join_all;
use stockhold_client::v1;
use stockhold_client::v1::stock_service_client::StockServiceClient;
use tonic::Request;

use crate::cell::Shape;
use crate::way::connect;
use crate::workload::{Workload, location, new_id};

/// As many as one request may set.
const ITEMS_MAX: usize = 100;

/// The first call waits until the system has made its tables.
const STOCK_MAX: Duration = Duration::from_secs(60);

/// Brings in what this workload needs in every location.
pub(crate) async fn stock_up(port: u16, workload: Workload, shape: Shape) -> Result<(), Box<dyn std::error::Error>> {
    let client = StockServiceClient::new(connect(port).await?);
    let locations = (0..shape.locations).map(async |number| {
        let mut client = client.clone();
        for items in workload.stock(shape).chunks(ITEMS_MAX) {
            let request =
                v1::SetStockRequest { location: location(number), request_id: new_id(), items: items.to_vec() };
            let mut request = Request::new(request);
            request.set_timeout(STOCK_MAX);
            client.set_stock(request).await?;
        }
        Ok::<_, tonic::Status>(())
    });
    try_join_all(locations).await?;
    Ok(())
}

//! `stockhold.v1.StockService`: each RPC checks its fields, calls one use case, and says its answer in protobuf.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::fields::Fields;
use super::v1::stock_service_server::StockService;
use super::{answer, page_token, v1};
use crate::domain::{Adjustment, StockTarget};
use crate::service::Service;

/// The most skus in one SetStock or AdjustStock: they are one transaction.
const CHANGES_MAX: usize = 100;

/// The most skus in one GetStock.
const SKUS_MAX: usize = 1000;

/// The handlers of supply.
pub(super) struct Stock(pub(super) Arc<Service>);

#[tonic::async_trait]
impl StockService for Stock {
    async fn set_stock(&self, request: Request<v1::SetStockRequest>) -> Result<Response<v1::SetStockResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let request_id = fields.request_id(&request.request_id);
        let targets = fields.items(
            "items",
            &request.items,
            CHANGES_MAX,
            |item| &item.sku,
            |fields, path, sku, item| {
                let on_hand = fields.units(format!("{path}.on_hand"), item.on_hand);
                let floor = fields.units(format!("{path}.floor"), item.floor);
                let expected_version = fields.version(format!("{path}.expected_version"), item.expected_version);
                Some(StockTarget {
                    sku: sku?,
                    on_hand: on_hand?,
                    floor: floor?,
                    retired: item.retired,
                    expected_version: expected_version?,
                })
            },
        );
        let (Some(location), Some(request_id), Some(targets)) = (location, request_id, targets) else {
            return Err(fields.refuse().into());
        };
        let items = self.0.set_stock(&location, request_id, targets).await?;
        Ok(Response::new(v1::SetStockResponse { items: answer::stock(items) }))
    }

    async fn adjust_stock(
        &self,
        request: Request<v1::AdjustStockRequest>,
    ) -> Result<Response<v1::AdjustStockResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let request_id = fields.request_id(&request.request_id);
        let reason = fields.reason(request.reason);
        let changes = fields.items(
            "changes",
            &request.changes,
            CHANGES_MAX,
            |change| &change.sku,
            |fields, path, sku, change| {
                let delta = fields.delta(format!("{path}.delta"), change.delta);
                Some(Adjustment { sku: sku?, delta: delta? })
            },
        );
        let (Some(location), Some(request_id), Some(reason), Some(changes)) = (location, request_id, reason, changes)
        else {
            return Err(fields.refuse().into());
        };
        let items = self.0.adjust_stock(&location, request_id, reason, changes).await?;
        Ok(Response::new(v1::AdjustStockResponse { items: answer::stock(items) }))
    }

    async fn get_stock(&self, request: Request<v1::GetStockRequest>) -> Result<Response<v1::GetStockResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let skus = fields.skus(&request.skus, SKUS_MAX);
        let (Some(location), Some(skus)) = (location, skus) else { return Err(fields.refuse().into()) };
        let items = self.0.get_stock(&location, skus).await?;
        Ok(Response::new(v1::GetStockResponse { items: answer::stock(items) }))
    }

    async fn list_stock(
        &self,
        request: Request<v1::ListStockRequest>,
    ) -> Result<Response<v1::ListStockResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let location = fields.location(&request.location);
        let page_size = fields.page_size(request.page_size);
        let after = fields.page_token(&request.page_token, page_token::read_sku);
        let (Some(location), Some(page_size), Some(after)) = (location, page_size, after) else {
            return Err(fields.refuse().into());
        };
        let (items, next) = self.0.list_stock(&location, page_size, after).await?;
        let next_page_token = next.as_ref().map(page_token::write_sku).unwrap_or_default();
        Ok(Response::new(v1::ListStockResponse { items: answer::stock(items), next_page_token }))
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::ReconcileResponse>, Status> {
        let request = request.into_inner();
        let mut fields = Fields::default();
        let Some(location) = fields.location(&request.location) else { return Err(fields.refuse().into()) };
        let report = self.0.reconcile(&location, request.validate_only).await?;
        Ok(Response::new(answer::report(report)))
    }
}

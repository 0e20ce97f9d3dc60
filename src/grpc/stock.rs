//! `stockhold.v1.StockService`: each RPC checks its fields, calls one use case, and answers in protobuf.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::v1::stock_service_server::StockService;
use super::{answer, checked, page_token, v1};
use crate::service::Service;

/// The handlers of supply.
pub(super) struct Stock(pub(super) Arc<Service>);

#[tonic::async_trait]
impl StockService for Stock {
    async fn set_stock(&self, request: Request<v1::SetStockRequest>) -> Result<Response<v1::SetStockResponse>, Status> {
        let (location, request_id, targets) = checked::set_stock(request.get_ref())?;
        let items = self.0.set_stock(&location, request_id, targets).await?;
        Ok(Response::new(v1::SetStockResponse { items: answer::stock(items) }))
    }

    async fn adjust_stock(
        &self,
        request: Request<v1::AdjustStockRequest>,
    ) -> Result<Response<v1::AdjustStockResponse>, Status> {
        let (location, request_id, reason, changes) = checked::adjust_stock(request.into_inner())?;
        let items = self.0.adjust_stock(&location, request_id, reason, changes).await?;
        Ok(Response::new(v1::AdjustStockResponse { items: answer::stock(items) }))
    }

    async fn get_stock(&self, request: Request<v1::GetStockRequest>) -> Result<Response<v1::GetStockResponse>, Status> {
        let (location, skus) = checked::get_stock(request.get_ref())?;
        let items = self.0.get_stock(&location, skus).await?;
        Ok(Response::new(v1::GetStockResponse { items: answer::stock(items) }))
    }

    async fn list_stock(
        &self,
        request: Request<v1::ListStockRequest>,
    ) -> Result<Response<v1::ListStockResponse>, Status> {
        let (location, page_size, after) = checked::list_stock(request.get_ref())?;
        let (items, next) = self.0.list_stock(&location, page_size, after).await?;
        let next_page_token = next.as_ref().map(page_token::write_sku).unwrap_or_default();
        Ok(Response::new(v1::ListStockResponse { items: answer::stock(items), next_page_token }))
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::ReconcileResponse>, Status> {
        let location = checked::reconcile(request.get_ref())?;
        let report = self.0.reconcile(&location, request.get_ref().validate_only).await?;
        Ok(Response::new(answer::report(report)))
    }
}

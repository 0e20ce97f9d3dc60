//! What each request asks for, in the words of the domain. Every field is checked, and a request is refused for all its
//! bad fields at once.

use std::time::Duration;

use super::fields::Fields;
use super::{page_token, v1};
use crate::domain::{Adjustment, Lines, Location, RequestId, ReservationId, Sku, StockTarget};
use crate::holds::Position;
use crate::service::{Error, LatePolicy, Limits};

/// The most skus in one SetStock or AdjustStock: they are one transaction.
pub(super) const CHANGES_MAX: usize = 100;

/// The most skus in one GetStock.
pub(super) const SKUS_MAX: usize = 1000;

/// The most requests in one ReserveMany, ConfirmMany or CancelMany.
const REQUESTS_MAX: usize = 1000;

/// The number of `requests`.
pub(super) fn many(requests: usize) -> Result<(), Error> {
    let mut fields = Fields::default();
    let counted = fields.count("requests", requests, REQUESTS_MAX);
    fields.all_or_refuse(|| counted)
}

pub(super) fn reserve(
    request: &v1::ReserveRequest,
    limits: &Limits,
) -> Result<(Location, ReservationId, Lines, Duration), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let id = fields.reservation_id(&request.reservation_id);
    let lines = fields.lines(&request.lines);
    let ttl = fields.ttl(request.ttl, limits);
    fields.all_or_refuse(|| Some((location?, id?, lines?, ttl?)))
}

/// Without lines: all that was reserved.
pub(super) fn confirm(
    request: &v1::ConfirmRequest,
) -> Result<(Location, ReservationId, Option<Lines>, LatePolicy), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let id = fields.reservation_id(&request.reservation_id);
    let lines = fields.lines_or_all(&request.lines);
    let late = fields.late_policy(request.late_policy);
    fields.all_or_refuse(|| Some((location?, id?, lines?, late?)))
}

/// The expire time in Unix milliseconds.
pub(super) fn extend(request: &v1::ExtendRequest) -> Result<(Location, ReservationId, u64, LatePolicy), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let id = fields.reservation_id(&request.reservation_id);
    let expire_ms = fields.expire_ms(request.expire_time);
    let late = fields.late_policy(request.late_policy);
    fields.all_or_refuse(|| Some((location?, id?, expire_ms?, late?)))
}

/// The fields of Cancel and GetReservation, which name one reservation and nothing else.
pub(super) fn named(location: &str, reservation_id: &str) -> Result<(Location, ReservationId), Error> {
    let mut fields = Fields::default();
    let location = fields.location(location);
    let id = fields.reservation_id(reservation_id);
    fields.all_or_refuse(|| Some((location?, id?)))
}

/// Without a sku: all of them. The page's size, and where the one before it ended.
pub(super) fn list_reservations(
    request: &v1::ListReservationsRequest,
) -> Result<(Location, Option<Sku>, usize, Option<Position>), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let sku = fields.sku_or_all(&request.sku);
    let page_size = fields.page_size(request.page_size);
    let after = fields.page_token(&request.page_token, page_token::read_position);
    fields.all_or_refuse(|| Some((location?, sku?, page_size?, after?)))
}

pub(super) fn set_stock(request: &v1::SetStockRequest) -> Result<(Location, RequestId, Vec<StockTarget>), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let request_id = fields.request_id(&request.request_id);
    let targets = fields.items(
        "items",
        &request.items,
        CHANGES_MAX,
        |item| &item.sku,
        |fields, path, sku, item| {
            let on_hand = fields.units(format_args!("{path}.on_hand"), item.on_hand);
            let floor = fields.units(format_args!("{path}.floor"), item.floor);
            let expected_version = fields.version(format_args!("{path}.expected_version"), item.expected_version);
            Some(StockTarget {
                sku: sku?,
                on_hand: on_hand?,
                floor: floor?,
                retired: item.retired,
                expected_version: expected_version?,
            })
        },
    );
    fields.all_or_refuse(|| Some((location?, request_id?, targets?)))
}

/// With the reason.
pub(super) fn adjust_stock(
    request: v1::AdjustStockRequest,
) -> Result<(Location, RequestId, String, Vec<Adjustment>), Error> {
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
            let delta = fields.delta(format_args!("{path}.delta"), change.delta);
            Some(Adjustment { sku: sku?, delta: delta? })
        },
    );
    fields.all_or_refuse(|| Some((location?, request_id?, reason?, changes?)))
}

pub(super) fn get_stock(request: &v1::GetStockRequest) -> Result<(Location, Vec<Sku>), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let skus = fields.skus(&request.skus, SKUS_MAX);
    fields.all_or_refuse(|| Some((location?, skus?)))
}

/// The page's size, and the last sku of the one before it.
pub(super) fn list_stock(request: &v1::ListStockRequest) -> Result<(Location, usize, Option<Sku>), Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    let page_size = fields.page_size(request.page_size);
    let after = fields.page_token(&request.page_token, page_token::read_sku);
    fields.all_or_refuse(|| Some((location?, page_size?, after?)))
}

pub(super) fn reconcile(request: &v1::ReconcileRequest) -> Result<Location, Error> {
    let mut fields = Fields::default();
    let location = fields.location(&request.location);
    fields.all_or_refuse(|| location)
}

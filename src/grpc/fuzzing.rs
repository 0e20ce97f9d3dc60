//! What `fuzz/` runs, and the test below for a moment: any message is checked as its handler does, and what passes must
//! be within its bounds.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use super::{checked, page_token, v1};
use crate::domain::lines::{LINES_MAX, QUANTITY_MAX};
use crate::domain::stock::UNITS_MAX;
use crate::service::{Error, Limits};

const LIMITS: Limits = Limits {
    ttl_default: Duration::from_secs(600),
    ttl_min: Duration::from_secs(1),
    ttl_max: Duration::from_secs(3600),
    lifetime_max: Duration::from_secs(86_400),
};

/// The most bytes of an error's details; twice as many as the cut leaves of a list of violations.
const DETAILS_BYTES_MAX: usize = 6 * 1024;

/// Checks one message, of a kind chosen by a number.
///
/// # Panics
/// If a promise of this module is broken.
pub fn check(kind: u8, bytes: &[u8]) {
    // Bytes that are no such message are refused by the codec.
    let _ = match kind % 8 {
        0 => v1::ReserveRequest::decode(bytes).map(|request| reserve(&request)),
        1 => v1::ConfirmRequest::decode(bytes).map(|request| drop(let_through(checked::confirm(&request)))),
        2 => v1::ExtendRequest::decode(bytes).map(|request| drop(let_through(checked::extend(&request)))),
        3 => v1::ListReservationsRequest::decode(bytes).map(|request| list_reservations(&request)),
        4 => v1::SetStockRequest::decode(bytes).map(|request| set_stock(&request)),
        5 => v1::AdjustStockRequest::decode(bytes).map(|request| drop(let_through(checked::adjust_stock(request)))),
        6 => v1::GetStockRequest::decode(bytes).map(|request| get_stock(&request)),
        _ => v1::ListStockRequest::decode(bytes).map(|request| list_stock(&request)),
    };
}

/// What was let through; a refusal has a form that can be sent.
fn let_through<T>(checked: Result<T, Error>) -> Option<T> {
    let refusal = match checked {
        Ok(values) => return Some(values),
        Err(error) => Status::from(error),
    };
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let details = refusal.details().len();
    assert!(details <= DETAILS_BYTES_MAX, "{details} bytes of details");
    None
}

fn reserve(request: &v1::ReserveRequest) {
    let Some((_, _, lines, ttl)) = let_through(checked::reserve(request, &LIMITS)) else { return };
    assert!((LIMITS.ttl_min..=LIMITS.ttl_max).contains(&ttl), "{ttl:?}");
    assert!((1..=LINES_MAX).contains(&lines.len()));
    assert!(lines.iter().all(|line| (1..=QUANTITY_MAX).contains(&line.quantity)));
    assert!(lines.iter().is_sorted_by(|one, next| one.sku < next.sku));
    let asked: u64 = request.lines.iter().map(|line| u64::from(line.quantity)).sum();
    assert_eq!(lines.iter().map(|line| u64::from(line.quantity)).sum::<u64>(), asked);
}

fn list_reservations(request: &v1::ListReservationsRequest) {
    if let Some((_, _, _, Some(position))) = let_through(checked::list_reservations(request)) {
        assert_eq!(page_token::read_position(&page_token::write_position(&position)), Some(position));
    }
}

fn list_stock(request: &v1::ListStockRequest) {
    if let Some((_, _, Some(sku))) = let_through(checked::list_stock(request)) {
        assert_eq!(page_token::read_sku(&page_token::write_sku(&sku)), Some(sku));
    }
}

fn set_stock(request: &v1::SetStockRequest) {
    let Some((_, _, targets)) = let_through(checked::set_stock(request)) else { return };
    let mut units = targets.iter().flat_map(|target| [target.on_hand, target.floor]);
    assert!(units.all(|units| (-UNITS_MAX..=UNITS_MAX).contains(&units)), "{targets:?}");
}

fn get_stock(request: &v1::GetStockRequest) {
    if let Some((_, skus)) = let_through(checked::get_stock(request)) {
        assert!(skus.is_sorted_by(|one, next| one < next));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::encoding::encode_varint;

    use super::*;

    /// Fields of a message, of any number and with any content that the wire knows: most of them fit some message of
    /// ours.
    fn fields(content: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
        let field = |tag: u8, number: u64, content: &[u8]| {
            let mut bytes = vec![tag];
            encode_varint(number, &mut bytes);
            bytes.extend(content);
            bytes
        };
        let number = prop_oneof![any::<u64>(), 0_u64..5];
        let number = (1_u8..6, number).prop_map(move |(name, number)| field(name << 3, number, &[]));
        let text = (1_u8..6, content);
        let text = text.prop_map(move |(name, content)| field(name << 3 | 2, content.len() as u64, &content));
        vec(prop_oneof![1 => number, 3 => text], 0..6).prop_map(|fields| fields.concat()).boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_let_through_is_within_its_bounds(
            kind in 0_u8..8,
            message in fields(prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                "[a-c]".prop_map(String::into_bytes),
                fields("[a-c ]{0,2}".prop_map(String::into_bytes).boxed()),
            ].boxed()),
        ) {
            check(kind, &message);
        }
    }
}

//! The fields of requests, from protobuf to the words of the domain. Each method answers the value if it is within its
//! bounds. Otherwise it notes what is wrong and answers `None`, so a request is refused for all its bad fields at once.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::time::Duration;

use super::{PAGE_SIZE_MAX, v1};
use crate::domain::lines::{LINES_MAX, LinesError, QUANTITY_MAX};
use crate::domain::stock::UNITS_MAX;
use crate::domain::{FieldViolation, Lines, Location, Refusal, RequestId, ReservationId, Sku};
use crate::service::{Error, LatePolicy, Limits};

/// The most lines before those of one sku are added up: room for several lines a sku, and a bound on the work.
const RAW_LINES_MAX: usize = 10 * LINES_MAX;

/// The longest reason of a change of supply, in bytes.
const REASON_BYTES_MAX: usize = 128;

/// What is wrong with a page token that no page gave.
const PAGE_TOKEN: &str = "must be empty or the next_page_token of a page before";

/// What a `page_size` of 0 means.
const PAGE_SIZE_DEFAULT: usize = 100;

/// The last second of a `google.protobuf.Timestamp`, in the year 9999; more than enough for a time span, too.
const SECONDS_MAX: i64 = 253_402_300_799;

/// What is wrong with a request so far.
#[derive(Default)]
pub(super) struct Fields(Vec<FieldViolation>);

impl Fields {
    /// The values, if all are there. Otherwise the request is refused for everything that was noted.
    ///
    /// # Errors
    /// `InvalidFields`.
    pub(super) fn all_or_refuse<T>(self, values: impl FnOnce() -> Option<T>) -> Result<T, Error> {
        let values = values();
        debug_assert_eq!(values.is_some(), self.0.is_empty(), "a value is missing if and only if something was noted");
        values.ok_or(Error::Refused(Refusal::InvalidFields(self.0)))
    }

    /// The name of a field is formatted only if something is wrong with it.
    fn take<T>(&mut self, field: impl Display, value: Result<T, String>) -> Option<T> {
        value.map_err(|description| self.0.push(FieldViolation { field: field.to_string(), description })).ok()
    }

    pub(super) fn location(&mut self, text: &str) -> Option<Location> {
        self.take("location", Location::parse(text))
    }

    pub(super) fn reservation_id(&mut self, text: &str) -> Option<ReservationId> {
        self.take("reservation_id", ReservationId::parse(text))
    }

    pub(super) fn request_id(&mut self, text: &str) -> Option<RequestId> {
        self.take("request_id", RequestId::parse(text))
    }

    pub(super) fn lines(&mut self, lines: &[v1::Line]) -> Option<Lines> {
        self.take("lines", at_most(lines.len(), RAW_LINES_MAX))?;
        let lines: Vec<_> = (0..).zip(lines).map(|(index, line)| self.line(index, line)).collect();
        let merged = Lines::merge(lines.into_iter().collect::<Option<Vec<_>>>()?);
        merged.map_err(|error| self.0.push(lines_violation(&error))).ok()
    }

    fn line(&mut self, index: usize, line: &v1::Line) -> Option<(Sku, u32)> {
        let sku = self.take(format_args!("lines[{index}].sku"), Sku::parse(&line.sku));
        let quantity = match line.quantity {
            quantity @ 1..=QUANTITY_MAX => Ok(quantity),
            quantity => Err(format!("must be 1 to {QUANTITY_MAX}, is {quantity}")),
        };
        let quantity = self.take(format_args!("lines[{index}].quantity"), quantity);
        sku.zip(quantity)
    }

    /// No lines mean all that was reserved.
    pub(super) fn lines_or_all(&mut self, lines: &[v1::Line]) -> Option<Option<Lines>> {
        if lines.is_empty() { Some(None) } else { self.lines(lines).map(Some) }
    }

    /// The default where there is none. Fractions of a millisecond are cut off.
    pub(super) fn ttl(&mut self, ttl: Option<prost_types::Duration>, limits: &Limits) -> Option<Duration> {
        let span = match ttl {
            None => Ok(limits.ttl_default),
            Some(prost_types::Duration { seconds: seconds @ 0..=SECONDS_MAX, nanos: nanos @ 0..1_000_000_000 }) => {
                limits.check_ttl(Duration::from_millis(millis(seconds, nanos)))
            }
            Some(_) => Err(format!("must be 0 to {SECONDS_MAX} s, its nanos 0 to 999999999")),
        };
        self.take("ttl", span)
    }

    /// Fractions of a millisecond are cut off.
    pub(super) fn expire_ms(&mut self, time: Option<prost_types::Timestamp>) -> Option<u64> {
        let time = match time {
            None => Err("is required".to_owned()),
            Some(prost_types::Timestamp { seconds: seconds @ 0..=SECONDS_MAX, nanos: nanos @ 0..1_000_000_000 }) => {
                Ok(millis(seconds, nanos))
            }
            Some(_) => Err("must be a time from 1970 to 9999, its nanos 0 to 999999999".to_owned()),
        };
        self.take("expire_time", time)
    }

    pub(super) fn late_policy(&mut self, value: i32) -> Option<LatePolicy> {
        let policy = match v1::LatePolicy::try_from(value) {
            Ok(v1::LatePolicy::Unspecified | v1::LatePolicy::Reject) => Ok(LatePolicy::Reject),
            Ok(v1::LatePolicy::Reacquire) => Ok(LatePolicy::Reacquire),
            Err(_) => Err(format!("must be a value of LatePolicy, is {value}")),
        };
        self.take("late_policy", policy)
    }

    pub(super) fn page_size(&mut self, size: i32) -> Option<usize> {
        let size = match size {
            0 => Ok(PAGE_SIZE_DEFAULT),
            1..=PAGE_SIZE_MAX => Ok(size.unsigned_abs() as usize),
            _ => Err(format!("must be 0 to {PAGE_SIZE_MAX}, is {size}")),
        };
        self.take("page_size", size)
    }

    /// Where the page before ended, as `read` understands it; none for the first page.
    pub(super) fn page_token<T>(&mut self, token: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
        let position = if token.is_empty() { Ok(None) } else { read(token).map(Some).ok_or(PAGE_TOKEN.to_owned()) };
        self.take("page_token", position)
    }

    /// No sku means all.
    pub(super) fn sku_or_all(&mut self, text: &str) -> Option<Option<Sku>> {
        if text.is_empty() { Some(None) } else { self.take("sku", Sku::parse(text)).map(Some) }
    }

    /// How many items a field has.
    pub(super) fn count(&mut self, field: &str, count: usize, count_max: usize) -> Option<()> {
        self.take(field, some_at_most(count, count_max))
    }

    /// Sorted, each once.
    pub(super) fn skus(&mut self, skus: &[String], count_max: usize) -> Option<Vec<Sku>> {
        self.count("skus", skus.len(), count_max)?;
        let skus: Vec<_> = (0..)
            .zip(skus)
            .map(|(index, sku): (usize, _)| self.take(format_args!("skus[{index}]"), Sku::parse(sku)))
            .collect();
        let skus = skus.into_iter().collect::<Option<BTreeSet<_>>>()?;
        Some(skus.into_iter().collect())
    }

    /// Makes one part of each item with `part`, which is given the item's path, and its sku if that is valid. No two
    /// items may name the same sku.
    pub(super) fn items<I, T>(
        &mut self,
        field: &str,
        items: &[I],
        count_max: usize,
        name: impl Fn(&I) -> &str,
        part: impl Fn(&mut Self, fmt::Arguments<'_>, Option<Sku>, &I) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.count(field, items.len(), count_max)?;
        let mut seen = BTreeSet::new();
        let mut parts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format_args!("{field}[{index}]");
            let sku = match Sku::parse(name(item)) {
                Ok(sku) if !seen.insert(sku.clone()) => Err("must not be named twice".to_owned()),
                sku => sku,
            };
            let sku = self.take(format_args!("{path}.sku"), sku);
            parts.push(part(self, path, sku, item));
        }
        parts.into_iter().collect()
    }

    pub(super) fn units(&mut self, field: impl Display, units: i64) -> Option<i64> {
        let bounded = (-UNITS_MAX..=UNITS_MAX).contains(&units);
        self.take(
            field,
            if bounded { Ok(units) } else { Err(format!("must be -{UNITS_MAX} to {UNITS_MAX}, is {units}")) },
        )
    }

    pub(super) fn delta(&mut self, field: impl Display, delta: i64) -> Option<i64> {
        if delta == 0 { self.take(field, Err("must not be 0".to_owned())) } else { self.units(field, delta) }
    }

    pub(super) fn version(&mut self, field: impl Display, version: Option<i64>) -> Option<Option<i64>> {
        self.take(
            field,
            if version >= Some(0) || version.is_none() { Ok(version) } else { Err("must not be negative".to_owned()) },
        )
    }

    pub(super) fn reason(&mut self, reason: String) -> Option<String> {
        let reason = match reason.len() {
            0 => Err("is required".to_owned()),
            1..=REASON_BYTES_MAX => Ok(reason),
            bytes => Err(format!("must have at most {REASON_BYTES_MAX} bytes, has {bytes}")),
        };
        self.take("reason", reason)
    }
}

fn at_most(count: usize, count_max: usize) -> Result<(), String> {
    if count <= count_max { Ok(()) } else { Err(format!("must have at most {count_max} entries, has {count}")) }
}

fn some_at_most(count: usize, count_max: usize) -> Result<(), String> {
    if count == 0 { Err("is required".to_owned()) } else { at_most(count, count_max) }
}

fn lines_violation(error: &LinesError) -> FieldViolation {
    let (field, description) = match error {
        LinesError::Empty => ("lines".to_owned(), "is required".to_owned()),
        LinesError::TooMany => ("lines".to_owned(), format!("must name at most {LINES_MAX} distinct skus")),
        LinesError::Quantity(index) => (
            format!("lines[{index}].quantity"),
            format!("must be at most {QUANTITY_MAX} for all lines of its sku together"),
        ),
    };
    FieldViolation { field, description }
}

/// Of two parts that are not negative.
fn millis(seconds: i64, nanos: i32) -> u64 {
    seconds.unsigned_abs() * 1000 + u64::from(nanos.unsigned_abs() / 1_000_000)
}

#[cfg(test)]
mod tests;

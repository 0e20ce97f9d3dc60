//! The words of the command line that clap does not know: `sku=units`, times, addresses.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// `sku=units`. A sku may contain `=` itself, so the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Units<N> {
    pub(super) sku: String,
    pub(super) units: N,
}

impl<N: FromStr<Err = std::num::ParseIntError>> FromStr for Units<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sku, units) = text.rsplit_once('=').ok_or("write it as SKU=UNITS, such as sku-a=2")?;
        let units = units.parse().map_err(|error| format!("{units:?} is no number of units: {error}"))?;
        Ok(Self { sku: sku.to_owned(), units })
    }
}

/// tonic panics when it is given a timeout that is far beyond it.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A length of time such as `90s` or `1h 30m`, longer than none.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 90s or 10m"))?;
    if duration.is_zero() || duration > DURATION_MAX {
        Err("must be longer than nothing and at most ten years".into())
    } else {
        Ok(duration)
    }
}

/// A point in time, in UTC.
pub(super) fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text).map_err(|error| format!("{error}; write it in UTC, as 2026-11-22T16:00:00Z"))
}

/// Where the service listens: `http://host:port`, or just `host:port`.
pub(super) fn address(text: &str) -> Result<http::Uri, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}; write it as http://host:port or host:port"))?;
    match uri.scheme_str() {
        Some("http") => Ok(uri),
        other => Err(format!("{:?} is not spoken here, only http", other.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_at_the_last_equals_sign() {
        for (text, sku, units) in [
            ("sku-a=2", "sku-a", 2),
            ("sku-a=+10", "sku-a", 10),
            ("sku-a=-3", "sku-a", -3),
            ("size=xl=7", "size=xl", 7),
            ("a==1", "a=", 1),
            // The server says what is wrong with an empty sku, in the same words to every client.
            ("=1", "", 1),
        ] {
            assert_eq!(text.parse(), Ok(Units { sku: sku.into(), units: units as i64 }), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_units_is_named() {
        for (text, reason) in [
            ("sku-a", "SKU=UNITS"),
            ("sku-a=", "empty string"),
            ("sku-a=1.5", "\"1.5\""),
            ("sku-a=-1", "\"-1\""),
            ("sku-a=4294967296", "too large"),
        ] {
            let error = text.parse::<Units<u32>>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_come_with_or_without_their_scheme() {
        for (text, uri) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051/"),
            ("127.0.0.1:50051", "http://127.0.0.1:50051/"),
            ("stock.internal:80", "http://stock.internal:80/"),
            ("[::1]:50051", "http://[::1]:50051/"),
        ] {
            assert_eq!(address(text).map(|uri| uri.to_string()), Ok(uri.into()));
        }
        for bad in ["https://host:1", "unix:///run/socket", "", "host port"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_of_time_are_longer_than_none() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "10", "0s", "-1s", "11y", "9999999999y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}

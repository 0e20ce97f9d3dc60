//! Arguments of the client commands that clap cannot read by itself: `sku=units`, points in time, addresses.

use std::str::FromStr;
use std::time::SystemTime;

/// `sku=units`. A sku may contain `=`, so the last one separates.
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

/// A point in time, in UTC.
pub(super) fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text).map_err(|error| format!("{error}; write it in UTC, as 2026-11-22T16:00:00Z"))
}

/// The address of a service: `http://host:port`, `https://host:port`, or `host:port`, which means http.
pub(super) fn address(text: &str) -> Result<http::Uri, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}; write it as http://host:port or host:port"))?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        other => Err(format!("the scheme must be http or https, not {:?}", other.unwrap_or_default())),
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
            // The server refuses an empty sku, in the same words for every client.
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
            ("https://stock.internal", "https://stock.internal/"),
            ("[::1]:50051", "http://[::1]:50051/"),
        ] {
            assert_eq!(address(text).map(|uri| uri.to_string()), Ok(uri.into()));
        }
        for bad in ["ftp://host:1", "unix:///run/socket", "", "host port"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}

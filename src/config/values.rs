//! Reads the value of one setting; what does not fit is refused with its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::{ByteSize, MIB, TIB};
use clap::builder::RangedU64ValueParser;

/// The stores count in milliseconds: less would be nothing.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// Beyond it nothing here makes sense, and arithmetic in milliseconds is far from its limits.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Beyond it nothing here makes sense.
const COUNT_MAX: u64 = 1_000_000;

/// A length of time such as `500ms` or `1h 30m`, 1 ms to ten years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 10s, 5m or 1h 30m"))?;
    if (DURATION_MIN..=DURATION_MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err("must be at least 1ms and at most ten years".to_owned())
    }
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|error| format!("{error}; write an IP address and a port, as 127.0.0.1:50051 or 0.0.0.0:50051"))
}

pub(super) fn count() -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    |text| match text.parse() {
        Ok(count) if (1..=COUNT_MAX).contains(&count) => usize::try_from(count).map_err(|error| error.to_string()),
        _ => Err(format!("must be 1 to {COUNT_MAX}")),
    }
}

/// An amount of memory such as `64MiB`, 1 MiB to 1 TiB.
pub(super) fn memory(text: &str) -> Result<usize, String> {
    let ByteSize(bytes) = text.parse().map_err(|error| format!("{error}; write 64MiB or 1GiB"))?;
    if (MIB..=TIB).contains(&bytes) {
        usize::try_from(bytes).map_err(|error| error.to_string())
    } else {
        Err("must be 1MiB to 1TiB".to_owned())
    }
}

pub(super) fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

pub(super) fn connections() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(6..=COUNT_MAX)
}

/// The prefix must leave the location's braces the first in a key: they choose the slot in a cluster.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let fit = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte));
    if fit {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 visible ASCII characters, none of them { or }".to_owned())
    }
}

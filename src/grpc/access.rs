//! The access log: one line for each call that failed, and on request for each one that did not. It has a target of its
//! own, [`ACCESS`], so `RUST_LOG` can turn it on or off alone. A failure is logged here and nowhere else.
//!
//! | level | what is logged | bound |
//! | --- | --- | --- |
//! | ERROR | bugs | [`LINES_MAX`] each [`PERIOD`] |
//! | WARN | a store was away | the same |
//! | INFO | refusals | the same |
//! | DEBUG | also the calls that were answered | none, and no bound for the others |
//!
//! The bound is there because callers cause these lines: a flood of refusals must not fill a disk. What is beyond it is
//! counted, and the next line says how many there were.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tracing::{Level, Span};

use crate::telemetry::chain;
use crate::telemetry::ration::Ration;

/// What `RUST_LOG` calls it.
pub const ACCESS: &str = "stockhold::access";

/// The longest path that is logged, in bytes. Callers choose it. The paths that are served are much shorter.
const RPC_BYTES_MAX: usize = 128;

/// Lines of one level each [`PERIOD`].
const LINES_MAX: u64 = 100;

/// Long enough for the bound to mean some 10 lines a second.
const PERIOD: Duration = Duration::from_secs(10);

/// Each level has a bound of its own. So refusals cannot hide bugs.
static BUGS: Ration = Ration::new(LINES_MAX, PERIOD);
static FAILURES: Ration = Ration::new(LINES_MAX, PERIOD);
static REFUSALS: Ration = Ration::new(LINES_MAX, PERIOD);

/// What a call's lines have in common. It has the highest level, so that a bug is logged with its request id at every
/// level that shows it.
pub(super) fn span(path: &str, request_id: &str) -> Span {
    let rpc = &path[..path.floor_char_boundary(RPC_BYTES_MAX)];
    tracing::error_span!(target: ACCESS, "call", rpc, request_id)
}

/// A call was answered. In the call's span.
pub(super) fn answered(elapsed: Duration) {
    tracing::debug!(target: ACCESS, elapsed_us = elapsed.as_micros(), "answered");
}

/// A call failed, or the part of it that has this number. `status` is what its caller is told, and `failure` has the
/// causes. In the call's span.
pub(super) fn failed(status: &Status, failure: &Status, part: Option<u64>) {
    let (code, answer) = (status.code(), status.message());
    let ration = match code {
        Code::Internal => &BUGS,
        Code::Unavailable => &FAILURES,
        _ => &REFUSALS,
    };
    // An operator who asks for every call gets every call.
    let every = tracing::enabled!(target: ACCESS, Level::DEBUG);
    let omitted = match ration.take() {
        _ if every => None,
        Some(omitted) => (omitted > 0).then_some(omitted),
        None => return,
    };
    let cause = failure.source().map(chain);
    match code {
        Code::Internal => tracing::error!(target: ACCESS, part, ?code, answer, cause, omitted, "failed"),
        Code::Unavailable => tracing::warn!(target: ACCESS, part, ?code, answer, cause, omitted, "failed"),
        _ => tracing::info!(target: ACCESS, part, ?code, answer, omitted, "refused"),
    }
}

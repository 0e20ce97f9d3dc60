//! Page tokens: where the page before ended, in a form that nobody is tempted to build by himself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::Refusal;

/// The token of a place.
pub(super) fn write(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place of a token, read by `parse`; none for the first page.
///
/// # Errors
/// `InvalidFields`: no page gave this token.
pub(super) fn read<T>(token: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = || parse(&String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?);
    match place() {
        Some(place) => Ok(Some(place)),
        None => Err(Refusal::invalid("page_token", "must be empty or the next_page_token of a page before")),
    }
}

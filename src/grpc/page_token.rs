//! Page tokens: where the page before ended, in a form that no caller is tempted to build. Reading answers `None` for a
//! token that came from no page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{ReservationId, Sku};
use crate::holds::{Index, Position};

pub(super) fn write_sku(sku: &Sku) -> String {
    write(sku.as_str())
}

pub(super) fn read_sku(token: &str) -> Option<Sku> {
    Sku::parse(&read(token)?).ok()
}

pub(super) fn write_position(position: &Position) -> String {
    let index = match position.index {
        Index::Deadlines => "held",
        Index::Unsettled => "confirming",
    };
    write(&format!("{index}\t{}\t{}", position.score_ms, position.id))
}

pub(super) fn read_position(token: &str) -> Option<Position> {
    let position = read(token)?;
    let mut parts = position.split('\t');
    let index = match parts.next()? {
        "held" => Index::Deadlines,
        "confirming" => Index::Unsettled,
        _ => return None,
    };
    Some(Position { index, score_ms: parts.next()?.parse().ok()?, id: ReservationId::parse(parts.next()?).ok()? })
}

fn write(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(position)
}

fn read(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

//! Reads what the library answers. The forms are described in `lua/formats.lua`. Anything else is `Corrupt`, never a
//! panic.

use std::iter;
use std::str::FromStr;

use fred::types::Value;

use crate::domain::{Fingerprint, Lines, Reservation, ReservationId, Shortage, Sku, State, StockItem, StockRow};
use crate::holds::{Command, Held, HoldsError, Index, Page, Position, Reply};

/// What a record begins with.
const RECORD_FORM: &str = "1";

type Result<T> = std::result::Result<T, HoldsError>;

/// Reads the replies to the first of these commands, one each.
pub(super) fn read(commands: &[Command], value: Value) -> Result<Vec<Reply>> {
    let Value::Array(values) = value else { return Err(corrupt("an answer", &value)) };
    if values.len() > commands.len() {
        return Err(HoldsError::Corrupt(format!("{} answers to {} commands", values.len(), commands.len())));
    }
    // One that cannot be read takes nothing away from the others.
    let read = |(command, value)| read_reply(command, value).unwrap_or_else(|error| Reply::Corrupt(error.to_string()));
    Ok(commands.iter().zip(values).map(read).collect())
}

fn read_reply(command: &Command, value: Value) -> Result<Reply> {
    // Only where records of several reservations are answered fields have tabs themselves.
    if let Value::Array(values) = &value {
        let fields: Vec<_> = values
            .iter()
            .map(|field| field.as_str().ok_or_else(|| corrupt("a field", field)))
            .collect::<Result<_>>()?;
        let mut fields = Fields(fields.iter().map(|field| &**field).collect::<Vec<_>>().into_iter());
        return match fields.next()? {
            "page" => Ok(Reply::Page(fields.page()?)),
            "claimed" => Ok(Reply::Claimed(fields.all(Fields::identified)?)),
            other => Err(corrupt("several records", &other)),
        };
    }
    let text = value.as_str().ok_or_else(|| corrupt("a reply", &value))?;
    let (kind, rest) = text.split_once('\t').map_or((&*text, None), |(kind, rest)| (kind, Some(rest)));
    match kind {
        RECORD_FORM => return Ok(Reply::Accepted(read_record(addressed(command)?, &text)?)),
        "ended" => return Ok(Reply::Ended(read_record(addressed(command)?, rest.unwrap_or_default())?)),
        "corrupt" => return Ok(Reply::Corrupt(rest.unwrap_or_default().into())),
        _ => {}
    }
    let mut fields = Fields(rest.map_or_else(Vec::new, |rest| rest.split('\t').collect()).into_iter());
    Ok(match kind {
        "id_reused" => Reply::IdReused,
        "not_found" => Reply::NotFound,
        "mismatch" => Reply::Mismatch,
        "unknown_location" => Reply::UnknownLocation,
        "tombstones_full" => Reply::TombstonesFull,
        "more" => Reply::More,
        "beyond_lifetime" => Reply::BeyondLifetime(fields.number()?),
        "missing" => {
            let mut skus = fields.all(Fields::sku)?;
            skus.sort();
            Reply::Missing(skus)
        }
        "retired" => Reply::Retired(fields.all(Fields::sku)?),
        "short" => Reply::Short(fields.all(Fields::shortage)?),
        "pushed" => Reply::Pushed(fields.number()?),
        "stock" => {
            let Command::Stock { skus } = command else { return Err(corrupt("stock", command)) };
            let item = |sku: &Sku| {
                let (row, held) = fields.counters()?;
                let row = row.ok_or_else(|| HoldsError::Corrupt(format!("no register of {sku}")))?;
                Ok(StockItem { sku: sku.clone(), row, held: held.units })
            };
            Reply::Stock(skus.iter().map(item).collect::<Result<_>>()?)
        }
        "counters" => Reply::Counters(fields.all(Fields::counters)?),
        "skus" => {
            let cursor = fields.next()?.to_owned();
            Reply::Skus(fields.all(Fields::sku)?, cursor)
        }
        "unindexed" => {
            let cursor = fields.next()?.to_owned();
            Reply::Unindexed(fields.all(Fields::id)?, cursor)
        }
        "swept" => Reply::Swept { holds: fields.number()?, more: fields.number::<u8>()? == 1 },
        "synced" => Reply::Synced(fields.optional()?),
        other => return Err(corrupt("a kind of reply", &other)),
    })
}

/// The reservation that a command is about.
fn addressed(command: &Command) -> Result<ReservationId> {
    match command {
        Command::Reserve { id, .. }
        | Command::Begin { id, .. }
        | Command::Cancel { id }
        | Command::Extend { id, .. }
        | Command::Get { id } => Ok(id.clone()),
        Command::Settle { settlement, .. } => Ok(settlement.id.clone()),
        _ => Err(HoldsError::Corrupt(format!("a record in answer to {command:?}"))),
    }
}

fn corrupt(what: &str, value: &impl std::fmt::Debug) -> HoldsError {
    HoldsError::Corrupt(format!("{what}: {value:?}"))
}

/// The fields of a reply, or of a packed value, read from left to right.
struct Fields<'a>(std::vec::IntoIter<&'a str>);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a str> {
        self.0.next().ok_or_else(|| HoldsError::Corrupt("a reply ended early".into()))
    }

    fn all<T>(&mut self, read: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        while self.0.len() > 0 {
            found.push(read(self)?);
        }
        Ok(found)
    }

    fn number<T: FromStr>(&mut self) -> Result<T> {
        read_number(self.next()?)
    }

    fn optional<T: FromStr>(&mut self) -> Result<Option<T>> {
        let text = self.next()?;
        if text.is_empty() { Ok(None) } else { read_number(text).map(Some) }
    }

    fn sku(&mut self) -> Result<Sku> {
        read_sku(self.next()?)
    }

    fn id(&mut self) -> Result<ReservationId> {
        let text = self.next()?;
        ReservationId::parse(text).map_err(|_| corrupt("an id", &text))
    }

    fn shortage(&mut self) -> Result<Shortage> {
        Ok(Shortage { sku: self.sku()?, requested: self.number()?, available: self.number()?, held: self.number()? })
    }

    fn counters(&mut self) -> Result<(Option<StockRow>, Held)> {
        Ok((read_row(self.next()?)?, read_held(self.next()?)?))
    }

    fn identified(&mut self) -> Result<Reservation> {
        let id = self.id()?;
        self.record(id)
    }

    fn record(&mut self, id: ReservationId) -> Result<Reservation> {
        read_record(id, self.next()?)
    }

    fn page(&mut self) -> Result<Page> {
        let now_ms = self.number()?;
        let index = self.next()?;
        let next = match index {
            "" => {
                self.next()?;
                self.next()?;
                None
            }
            "deadlines" => Some(Position { index: Index::Deadlines, score_ms: self.number()?, id: self.id()? }),
            "unsettled" => Some(Position { index: Index::Unsettled, score_ms: self.number()?, id: self.id()? }),
            _ => return Err(corrupt("an index", &index)),
        };
        Ok(Page { now_ms, next, reservations: self.all(Self::identified)? })
    }
}

fn read_number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| corrupt("a number", &text))
}

fn read_sku(text: &str) -> Result<Sku> {
    Sku::parse(text).map_err(|_| corrupt("a sku", &text))
}

fn read_row(text: &str) -> Result<Option<StockRow>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.split(' ').collect::<Vec<_>>()[..] {
        [version, on_hand, floor, retired] => Ok(Some(StockRow {
            version: read_number(version)?,
            on_hand: read_number(on_hand)?,
            floor: read_number(floor)?,
            retired: retired == "1",
        })),
        _ => Err(corrupt("a register", &text)),
    }
}

fn read_held(text: &str) -> Result<Held> {
    let (units, changes) = text.split_once(' ').ok_or_else(|| corrupt("a held counter", &text))?;
    Ok(Held { units: read_number(units)?, changes: read_number(changes)? })
}

fn read_record(id: ReservationId, text: &str) -> Result<Reservation> {
    let mut parts = text.splitn(8, '\t');
    let mut part = || parts.next().ok_or_else(|| corrupt("a record", &text));
    if part()? != RECORD_FORM {
        return Err(corrupt("a record", &text));
    }
    let state = match part()? {
        "HELD" => State::Held,
        "CONFIRMING" => State::Confirming,
        "CONFIRMED" => State::Confirmed,
        "CANCELLED" => State::Cancelled,
        "EXPIRED" => State::Expired,
        "REJECTED" => State::Rejected,
        other => return Err(corrupt("a state", &other)),
    };
    fn time<T: FromStr>(text: &str) -> Result<Option<T>> {
        if text.is_empty() { Ok(None) } else { read_number(text).map(Some) }
    }
    let print = |text: &str| match text {
        "" => Ok(None),
        _ => Fingerprint::parse(text).map(Some).ok_or_else(|| corrupt("a fingerprint", &text)),
    };
    let (create_ms, ttl_ms, end_ms) = (time::<u64>(part()?)?, time(part()?)?, time(part()?)?);
    let expire =
        |(create_ms, ttl_ms): (u64, i64)| create_ms.checked_add_signed(ttl_ms).ok_or_else(|| corrupt("a ttl", &text));
    let expire_ms = create_ms.zip(ttl_ms).map(expire).transpose()?;
    let (reserved, confirmed) = (print(part()?)?, print(part()?)?);
    let lines = read_lines(part()?)?;
    Ok(Reservation { id, state, lines, reserved, confirmed, create_ms, expire_ms, end_ms })
}

fn read_lines(text: &str) -> Result<Lines> {
    let mut parts = text.split('\t').filter(|part| !part.is_empty());
    let line = || {
        let sku = parts.next()?;
        let quantity = parts.next().ok_or_else(|| corrupt("lines", &text));
        Some(quantity.and_then(|quantity| Ok((read_sku(sku)?, read_number(quantity)?))))
    };
    iter::from_fn(line).collect()
}

#[cfg(test)]
mod tests;

//! Writes commands as the argument of a call. The forms are described in `lua/formats.lua`. Writing to memory cannot
//! fail.

use std::fmt::{Display, Write};

use fred::bytes::Bytes;
use rmp::encode::{write_array_len, write_str};

use crate::domain::{Fingerprint, Lines, Outcome, Settlement, Sku, StockRow};
use crate::holds::{Command, Held, Index, Position, Rows};

/// What MessagePack writes before a long array.
const ARRAY_BYTES: usize = 5;

/// Commands packed into the one argument of a call. They have hundreds of texts, and Redis and its client do more for
/// an argument than for a text in a list.
#[derive(Default)]
pub(super) struct Request {
    texts: Vec<u8>,
    count: u32,
    /// The one that is being written.
    text: String,
}

impl Request {
    /// Adds the name of a command and its arguments.
    pub(super) fn add(&mut self, command: &Command) {
        match command {
            Command::Reserve { id, lines, ttl_ms } => self
                .name("reserve")
                .one(id)
                .with(|text| write_terms(text, Some(lines.fingerprint()), None, lines))
                .one(ttl_ms),
            Command::Begin { id, lines, reacquire } => {
                let part = |text: &mut String| {
                    lines.iter().for_each(|lines| write_terms(text, None, Some(lines.fingerprint()), lines));
                };
                self.name("begin").one(id).with(part).flag(*reacquire)
            }
            Command::Cancel { id } => self.name("cancel").one(id),
            Command::Extend { id, expire_ms, lifetime_ms, reacquire } => {
                self.name("extend").one(id).one(expire_ms).one(lifetime_ms).flag(*reacquire)
            }
            Command::Settle { settlement: Settlement { id, outcome, reserved, confirmed, lines, time_ms }, rows } => {
                self.name("settle")
                    .one(id)
                    .one(word_of(*outcome))
                    .one(time_ms)
                    .with(|text| write_terms(text, *reserved, *confirmed, lines))
                    .with(|text| write_rows(text, rows))
            }
            Command::Push { rows } => self.name("push").with(|text| write_rows(text, rows)),
            Command::ReplaceRegister { sku, judged, row } => self
                .name("replace_register")
                .one(sku)
                .with(|text| write_row(text, judged.as_ref()))
                .with(|text| write_row(text, row.as_ref())),
            Command::ReplaceHeld { sku, judged: Held { units: held, changes }, units } => {
                self.name("replace_held").one(sku).one(format_args!("{held} {changes}")).one(units)
            }
            Command::Stock { skus } => self.name("stock").with(|text| write_skus(text, skus)),
            Command::Counters { skus } => self.name("counters").with(|text| write_skus(text, skus)),
            Command::Skus { cursor } => self.name("skus").one(cursor),
            Command::Get { id } => self.name("get").one(id),
            Command::Reindex { cursor, repair } => self.name("reindex").one(cursor).flag(*repair),
            Command::List { after: None, limit } => self.name("list").one("").one("").one("").one(limit),
            Command::List { after: Some(Position { index, score_ms, id }), limit } => {
                self.name("list").one(name_of(*index)).one(score_ms).one(id).one(limit)
            }
            Command::Sweep => self.name("sweep"),
            Command::Claim { limit, grace_ms } => self.name("claim").one(limit).one(grace_ms),
            Command::GetSynced => self.name("get_synced"),
            Command::SetSynced { judged, version } => self.name("set_synced").optional(*judged).one(version),
        };
    }

    /// Adds one argument of a command.
    pub(super) fn one(&mut self, argument: impl Display) -> &mut Self {
        self.with(|text| {
            let _ = write!(text, "{argument}");
        })
    }

    /// All of it.
    pub(super) fn packed(self) -> Bytes {
        let mut packed = Vec::with_capacity(ARRAY_BYTES + self.texts.len());
        let _ = write_array_len(&mut packed, self.count);
        packed.extend(self.texts);
        packed.into()
    }

    fn with(&mut self, write: impl FnOnce(&mut String)) -> &mut Self {
        self.text.clear();
        write(&mut self.text);
        let _ = write_str(&mut self.texts, &self.text);
        self.count += 1;
        self
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.with(|text| text.push_str(name))
    }

    fn optional(&mut self, argument: Option<impl Display>) -> &mut Self {
        match argument {
            Some(argument) => self.one(argument),
            None => self.one(""),
        }
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.one(u8::from(flag))
    }
}

fn write_terms(text: &mut String, reserved: Option<Fingerprint>, confirmed: Option<Fingerprint>, lines: &Lines) {
    for fingerprint in [reserved, confirmed] {
        if let Some(fingerprint) = fingerprint {
            let _ = write!(text, "{fingerprint}");
        }
        text.push('\t');
    }
    for (number, line) in lines.iter().enumerate() {
        let tab = if number > 0 { "\t" } else { "" };
        let _ = write!(text, "{tab}{}\t{}", line.sku, line.quantity);
    }
}

fn write_skus(text: &mut String, skus: &[Sku]) {
    for (number, sku) in skus.iter().enumerate() {
        let tab = if number > 0 { "\t" } else { "" };
        let _ = write!(text, "{tab}{sku}");
    }
}

fn write_rows(text: &mut String, rows: &Rows) {
    for (number, (sku, row)) in rows.iter().enumerate() {
        let tab = if number > 0 { "\t" } else { "" };
        let _ = write!(text, "{tab}{sku}\t");
        write_row(text, row.as_ref());
    }
}

fn write_row(text: &mut String, row: Option<&StockRow>) {
    if let Some(StockRow { version, on_hand, floor, retired }) = row {
        let _ = write!(text, "{version} {on_hand} {floor} {}", u8::from(*retired));
    }
}

fn word_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Confirmed => "CONFIRMED",
        Outcome::Cancelled => "CANCELLED",
        Outcome::Rejected => "REJECTED",
    }
}

fn name_of(index: Index) -> &'static str {
    match index {
        Index::Deadlines => "deadlines",
        Index::Unsettled => "unsettled",
    }
}

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index as Place, select};

use super::*;
use crate::domain::{Outcome, Settlement};
use crate::holds::Rows;

// What is read: replies as the library writes them, and the commands that they answer.

fn names<T>(parse: impl Fn(&str) -> std::result::Result<T, String>) -> impl Strategy<Value = T>
where
    T: std::fmt::Debug,
{
    let text = prop_oneof![
        "[a-c]",
        "[!-~]([ -~]{0,20}[!-~])?",
        "\\PC{1,30}",
        Just("é".repeat(64)),
        Just("1 5 0 0".to_owned()),
        Just("e\u{301}".to_owned()),
    ];
    text.prop_filter_map("a name", move |text| parse(&text).ok())
}

fn skus() -> impl Strategy<Value = Sku> {
    names(Sku::parse)
}

fn ids() -> impl Strategy<Value = ReservationId> {
    names(ReservationId::parse)
}

fn prints() -> impl Strategy<Value = Fingerprint> {
    any::<u64>().prop_map(|seed| Fingerprint::of_text(&seed.to_string()))
}

fn lines() -> impl Strategy<Value = Lines> {
    btree_map(skus(), any::<u32>(), 0..5).prop_map(|lines| lines.into_iter().collect())
}

fn reservations(id: impl Strategy<Value = ReservationId>) -> impl Strategy<Value = Reservation> {
    let states = [State::Held, State::Confirming, State::Confirmed, State::Cancelled, State::Expired, State::Rejected];
    // What has no time of creation has no deadline either.
    let lifetime = option::of((0..u64::MAX / 4, 0..u64::MAX / 4));
    let times = (lifetime, option::of(any::<u64>()));
    (id, select(states.to_vec()), lines(), option::of(prints()), option::of(prints()), times).prop_map(
        |(id, state, lines, reserved, confirmed, (lifetime, end_ms))| Reservation {
            id,
            state,
            lines,
            reserved,
            confirmed,
            create_ms: lifetime.map(|(create_ms, _)| create_ms),
            expire_ms: lifetime.map(|(_, expire_ms)| expire_ms),
            end_ms,
        },
    )
}

fn rows() -> impl Strategy<Value = StockRow> {
    (any::<i64>(), any::<i64>(), any::<i64>(), any::<bool>()).prop_map(|(version, on_hand, floor, retired)| StockRow {
        version,
        on_hand,
        floor,
        retired,
    })
}

fn held() -> impl Strategy<Value = Held> {
    (any::<i64>(), any::<i64>()).prop_map(|(units, changes)| Held { units, changes })
}

fn shortages() -> impl Strategy<Value = Shortage> {
    (skus(), any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(sku, requested, available, held)| Shortage {
        sku,
        requested,
        available,
        held,
    })
}

fn pages() -> impl Strategy<Value = Page> {
    let index = select(&[Index::Deadlines, Index::Unsettled][..]);
    let next = (index, any::<u64>(), ids()).prop_map(|(index, score_ms, id)| Position { index, score_ms, id });
    (vec(reservations(ids()), 0..4), option::of(next), any::<u64>()).prop_map(|(reservations, next, now_ms)| Page {
        reservations,
        next,
        now_ms,
    })
}

/// A command that is about one reservation, of each kind.
fn about(id: ReservationId) -> impl Strategy<Value = Command> {
    let settlement = Settlement {
        id: id.clone(),
        outcome: Outcome::Cancelled,
        reserved: None,
        confirmed: None,
        lines: Lines::default(),
        time_ms: 0,
    };
    select(vec![
        Command::Reserve { id: id.clone(), lines: Lines::default(), ttl_ms: 1 },
        Command::Begin { id: id.clone(), lines: None, reacquire: false },
        Command::Cancel { id: id.clone() },
        Command::Extend { id: id.clone(), expire_ms: 1, lifetime_ms: 1, reacquire: true },
        Command::Settle { settlement, rows: Rows::new() },
        Command::Get { id },
    ])
}

/// A command and a reply that it may have.
fn answered() -> impl Strategy<Value = (Command, Reply)> {
    let of_record = ids().prop_flat_map(|id| {
        let reply = reservations(Just(id.clone()));
        let reply = (reply, any::<bool>())
            .prop_map(|(record, accepted)| if accepted { Reply::Accepted(record) } else { Reply::Ended(record) });
        (about(id), reply)
    });
    let of_stock = vec((skus(), rows(), any::<i64>()), 0..4).prop_map(|items| {
        let items: Vec<_> = items.into_iter().map(|(sku, row, held)| StockItem { sku, row, held }).collect();
        (Command::Stock { skus: items.iter().map(|item| item.sku.clone()).collect() }, Reply::Stock(items))
    });
    let missing = vec(skus(), 0..4).prop_map(|mut skus| {
        skus.sort();
        Reply::Missing(skus)
    });
    let of_any = prop_oneof![
        select(vec![
            Reply::IdReused,
            Reply::NotFound,
            Reply::Mismatch,
            Reply::UnknownLocation,
            Reply::TombstonesFull,
            Reply::More,
        ]),
        "[ -~]{0,20}".prop_map(Reply::Corrupt),
        any::<u64>().prop_map(Reply::BeyondLifetime),
        vec(shortages(), 0..4).prop_map(Reply::Short),
        vec(skus(), 0..4).prop_map(Reply::Retired),
        missing,
        any::<usize>().prop_map(Reply::Pushed),
        vec((option::of(rows()), held()), 0..4).prop_map(Reply::Counters),
        (vec(skus(), 0..4), "(|(stock|held) [0-9]{1,5})").prop_map(|(skus, cursor)| Reply::Skus(skus, cursor)),
        (vec(ids(), 0..4), "[0-9]{0,5}").prop_map(|(ids, cursor)| Reply::Unindexed(ids, cursor)),
        pages().prop_map(Reply::Page),
        (any::<usize>(), any::<bool>()).prop_map(|(holds, more)| Reply::Swept { holds, more }),
        vec(reservations(ids()), 0..4).prop_map(Reply::Claimed),
        option::of(any::<i64>()).prop_map(Reply::Synced),
    ];
    prop_oneof![1 => of_record, 1 => of_stock, 4 => of_any.prop_map(|reply| (Command::Sweep, reply))]
}

// How the Lua writes them.

fn write(reply: &Reply) -> Vec<String> {
    let (kind, fields): (_, Vec<String>) = match reply {
        Reply::Accepted(record) => return vec![write_record(record)],
        Reply::Ended(record) => ("ended", vec![write_record(record)]),
        Reply::IdReused => ("id_reused", vec![]),
        Reply::NotFound => ("not_found", vec![]),
        Reply::Mismatch => ("mismatch", vec![]),
        Reply::UnknownLocation => ("unknown_location", vec![]),
        Reply::TombstonesFull => ("tombstones_full", vec![]),
        Reply::More => ("more", vec![]),
        Reply::Corrupt(what) => ("corrupt", vec![what.clone()]),
        Reply::BeyondLifetime(latest_ms) => ("beyond_lifetime", vec![latest_ms.to_string()]),
        Reply::Short(short) => ("short", short.iter().flat_map(write_shortage).collect()),
        Reply::Retired(skus) => ("retired", skus.iter().map(Sku::to_string).collect()),
        Reply::Missing(skus) => ("missing", skus.iter().map(Sku::to_string).collect()),
        Reply::Pushed(count) => ("pushed", vec![count.to_string()]),
        Reply::Stock(items) => {
            let fields = |item: &StockItem| [write_row(Some(&item.row)), format!("{} 1", item.held)];
            ("stock", items.iter().flat_map(fields).collect())
        }
        Reply::Counters(counters) => {
            let fields = |(row, held): &(Option<StockRow>, Held)| {
                [write_row(row.as_ref()), format!("{} {}", held.units, held.changes)]
            };
            ("counters", counters.iter().flat_map(fields).collect())
        }
        Reply::Skus(skus, cursor) => {
            ("skus", std::iter::once(cursor.clone()).chain(skus.iter().map(Sku::to_string)).collect())
        }
        Reply::Page(page) => {
            let place = page.next.as_ref().map_or(<[String; 3]>::default(), |next| {
                let index = if next.index == Index::Deadlines { "deadlines" } else { "unsettled" };
                [index.into(), next.score_ms.to_string(), next.id.to_string()]
            });
            let records = page.reservations.iter().flat_map(write_identified);
            ("page", std::iter::once(page.now_ms.to_string()).chain(place).chain(records).collect())
        }
        Reply::Unindexed(ids, cursor) => {
            ("unindexed", std::iter::once(cursor.clone()).chain(ids.iter().map(ReservationId::to_string)).collect())
        }
        Reply::Swept { holds, more } => ("swept", vec![holds.to_string(), u8::from(*more).to_string()]),
        Reply::Claimed(records) => ("claimed", records.iter().flat_map(write_identified).collect()),
        Reply::Synced(version) => ("synced", vec![version.map(|version| version.to_string()).unwrap_or_default()]),
    };
    std::iter::once(kind.to_owned()).chain(fields).collect()
}

fn write_identified(record: &Reservation) -> [String; 2] {
    [record.id.to_string(), write_record(record)]
}

fn write_record(record: &Reservation) -> String {
    let state = format!("{:?}", record.state).to_uppercase();
    let time = |time: Option<u64>| time.map(|time| time.to_string()).unwrap_or_default();
    let print = |print: Option<Fingerprint>| print.map(|print| print.to_string()).unwrap_or_default();
    let ttl_ms =
        record.expire_ms.zip(record.create_ms).map(|(expire_ms, create_ms)| expire_ms as i64 - create_ms as i64);
    let lines: Vec<_> = record.lines.iter().map(|line| format!("{}\t{}", line.sku, line.quantity)).collect();
    [
        "1".into(),
        state,
        time(record.create_ms),
        ttl_ms.map(|ttl_ms| ttl_ms.to_string()).unwrap_or_default(),
        time(record.end_ms),
        print(record.reserved),
        print(record.confirmed),
        lines.join("\t"),
    ]
    .join("\t")
}

fn write_row(row: Option<&StockRow>) -> String {
    row.map(|row| format!("{} {} {} {}", row.version, row.on_hand, row.floor, u8::from(row.retired)))
        .unwrap_or_default()
}

fn write_shortage(short: &Shortage) -> [String; 4] {
    [short.sku.to_string(), short.requested.to_string(), short.available.to_string(), short.held.to_string()]
}

/// Only replies with several records are arrays.
fn to_value(reply: &Reply) -> Value {
    let fields = write(reply);
    match reply {
        Reply::Page(_) | Reply::Claimed(_) => Value::Array(to_values(&fields)),
        _ => fields.join("\t").into(),
    }
}

fn to_values(fields: &[String]) -> Vec<Value> {
    fields.iter().map(|field| field.as_str().into()).collect()
}

// What the library never writes.

/// One thing that goes wrong with a reply.
#[derive(Clone, Debug)]
enum Damage {
    Dropped(Place),
    Doubled(Place),
    Swapped(Place, Place),
    /// A field becomes another value altogether.
    Replaced(Place, Value),
    /// A character of a field becomes another, or is lost.
    Character(Place, Place, Option<char>),
}

fn damages() -> impl Strategy<Value = Damage> {
    let place = any::<Place>;
    prop_oneof![
        place().prop_map(Damage::Dropped),
        place().prop_map(Damage::Doubled),
        (place(), place()).prop_map(|(one, other)| Damage::Swapped(one, other)),
        (place(), values()).prop_map(|(field, value)| Damage::Replaced(field, value)),
        (place(), place(), option::of(prop_oneof![any::<char>(), select(&['\t', ' ', '-', '0', '9'][..])]))
            .prop_map(|(field, at, character)| Damage::Character(field, at, character)),
    ]
}

fn damage(mut values: Vec<Value>, damage: Damage) -> Vec<Value> {
    if values.is_empty() {
        return values;
    }
    let count = values.len();
    match damage {
        Damage::Dropped(place) => drop(values.remove(place.index(count))),
        Damage::Doubled(place) => values.insert(place.index(count), values[place.index(count)].clone()),
        Damage::Swapped(one, other) => values.swap(one.index(count), other.index(count)),
        Damage::Replaced(place, value) => values[place.index(count)] = value,
        Damage::Character(place, at, character) => {
            let mut text: Vec<char> = values[place.index(count)].as_string().unwrap_or_default().chars().collect();
            if !text.is_empty() {
                let at = at.index(text.len());
                text.splice(at..=at, character);
            }
            values[place.index(count)] = text.into_iter().collect::<String>().into();
        }
    }
    values
}

/// Anything that the client can make of an answer.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(vec!["", "ended", "stock", "page", "deadlines", "missing", "1\tHELD\t\t\t\t\t\t", "1 1 1 1", "0 0"])
            .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => any::<f64>().prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
        1 => Just(Value::Null),
        1 => Just(Value::Queued),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| vec(inner, 0..8).prop_map(Value::Array))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_library_writes_is_read_as_it_was_meant(answered in vec(answered(), 0..4)) {
        let (commands, replies): (Vec<_>, Vec<_>) = answered.into_iter().unzip();
        let values = replies.iter().map(to_value).collect();
        prop_assert_eq!(read(&commands, Value::Array(values)).expect("reads"), replies);
    }

    #[test]
    fn a_damaged_reply_is_read_or_is_corrupt((command, reply) in answered(), damages in vec(damages(), 1..4)) {
        let values = damages.into_iter().fold(to_values(&write(&reply)), damage);
        let damaged = match reply {
            Reply::Page(_) | Reply::Claimed(_) => Value::Array(values),
            _ => values.iter().map(|value| value.as_string().unwrap_or_default()).collect::<Vec<_>>().join("\t").into(),
        };
        let read = read(&[command], Value::Array(vec![damaged]));
        prop_assert!(matches!(read, Ok(_) | Err(HoldsError::Corrupt(_))), "{:?}", read);
    }

    #[test]
    fn any_answer_is_read_or_is_corrupt(
        commands in vec(answered().prop_map(|(command, _)| command), 0..3),
        value in values(),
    ) {
        let read = read(&commands, value);
        prop_assert!(matches!(read, Ok(_) | Err(HoldsError::Corrupt(_))), "{:?}", read);
    }
}

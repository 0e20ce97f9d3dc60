//! What callers send is data and never SQL.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::*;

cases! {
    names_that_look_like_sql_are_names
    a_reason_may_be_any_text
}

/// Texts that end a text, a statement or a line, or begin a comment, a placeholder or an escape.
const NAMES: [&str; 30] = [
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\\\",
    "\\'",
    "\\\\'",
    "'\\",
    "a'; DROP TABLE stock; --",
    "a\\'; DROP TABLE stock; #",
    "\"); DELETE FROM settlements; --",
    "COMMIT",
    "a'; COMMIT",
    "; COMMIT",
    ";",
    "--",
    "-- a",
    "#",
    "/* a",
    "*/",
    "%",
    "\\%",
    "_\\_",
    "?",
    "$1 :a @a",
    "\\0\\n\\Z\\z",
    "😀'😀",
    "ﬀ’＇",
    "%27 &apos; \\u0027",
];

async fn names_that_look_like_sql_are_names(f: &Fixture) {
    let stock: Vec<_> = NAMES.iter().zip(100..).collect();
    let targets: Vec<_> = stock.iter().map(|(name, on_hand)| target(name, *on_hand)).collect();
    for name in NAMES {
        let location = Location::parse(name).unwrap();
        let set = async || f.ledger.set_stock(&location, &request(name), &targets).await.unwrap();
        assert_eq!((set().await, set().await), (Ok(()), Ok(())), "{name:?}: done, and done already");

        let wanted: Vec<_> = NAMES.map(|name| (name, 1)).into();
        let settle = async || {
            let permit = f.ledger.queue_permit(&location).unwrap();
            permit.settle(location.clone(), id(name), confirm(&wanted)).await.unwrap()
        };
        let (first, repeated) = (settle().await, settle().await);
        assert_eq!(first.settlement.outcome, Outcome::Confirmed, "{name:?}");
        assert_eq!(first.settlement, repeated.settlement);
        assert_eq!(f.ledger.settlements(&location, &[id(name)]).await.unwrap(), [first.settlement]);

        let rows = f.ledger.rows(&location, &NAMES.map(sku)).await.unwrap();
        for ((row, answered), (name, on_hand)) in rows.iter().zip(&repeated.rows.clone()).zip(&stock) {
            assert_eq!(row.1.unwrap().on_hand, on_hand - 1, "{name:?}");
            assert!(answered.1.is_some());
        }
    }
    assert_eq!(f.ledger.locations().await.unwrap().len(), NAMES.len());
}

async fn a_reason_may_be_any_text(f: &Fixture) {
    f.stock(&[("a", 0)]).await;
    let controls: String = (0..32_u8).map(char::from).collect();
    let reasons: Vec<_> =
        NAMES.into_iter().chain([" a ", "\0", "a\0b", "\r\n", "\u{1a}", "\u{85}", &controls]).collect();
    for (number, reason) in reasons.iter().enumerate() {
        let request = request(&format!("q{number}"));
        let adjust = async || f.ledger.adjust_stock(&here(), &request, reason, &[adjustment("a", 1)]).await.unwrap();
        assert_eq!((adjust().await, adjust().await), (Ok(()), Ok(())), "{reason:?}: done, and done already");
        let sql = format!("SELECT reason FROM movements WHERE request_id = 'q{number}'");
        let engine = if f.database.is_mysql() { DbBackend::MySql } else { DbBackend::Sqlite };
        let found = f.database.connect().await.query_one_raw(Statement::from_string(engine, sql)).await.unwrap();
        assert_eq!(found.unwrap().try_get::<String>("", "reason").unwrap(), *reason);
    }
    assert_eq!(f.on_hand("a").await, reasons.len() as i64);
}

#[tokio::test]
async fn what_the_url_asks_for_does_not_change_what_a_text_means() {
    // In GBK the backslash may be the second byte of a character, and then escapes nothing.
    let mut database = database::mysql().await;
    database.url.push_str("?charset=gbk");
    run(database, async |f: &Fixture| {
        for name in ["\u{bf}'", "\u{3bf}\\' OR 1 = 1; --", "縗'", "誠\\"] {
            f.stock(&[(name, 2)]).await;
            assert_eq!(f.settle(name, confirm(&[(name, 1)])).await.settlement.outcome, Outcome::Confirmed, "{name:?}");
            assert_eq!(f.on_hand(name).await, 1, "{name:?}");
        }
    })
    .await;
}

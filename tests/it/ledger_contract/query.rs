//! Reading.

use sea_orm::ConnectionTrait;

use super::*;

cases! { in memory too:
    rows_come_in_the_order_asked_for
    pages_follow_the_bytes_of_the_sku
    changes_follow_the_version
    locations_are_found_without_their_rows
    a_book_has_what_moved_and_was_deducted_of_its_sku_there
}

async fn rows_come_in_the_order_asked_for(f: &Fixture) {
    f.stock(&[("a", 1), ("b", 2)]).await;
    let asked = ["b", "x", "a", "b"].map(sku);
    let rows = f.ledger.rows(&here(), &asked).await.unwrap();
    assert_eq!(
        rows.iter().map(|(sku, row)| (sku.as_str(), row.map(|row| row.on_hand))).collect::<Vec<_>>(),
        [("b", Some(2)), ("x", None), ("a", Some(1)), ("b", Some(2))]
    );
    assert!(f.ledger.rows(&here(), &[]).await.unwrap().is_empty());
    assert!(f.ledger.settlements(&here(), &[]).await.unwrap().is_empty());
}

async fn pages_follow_the_bytes_of_the_sku(f: &Fixture) {
    let mut names: Vec<String> =
        (0..600).map(|number| format!("s{number}")).chain(["S1".into(), "é".into(), "Z z".into()]).collect();
    let stock: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    f.stock(&stock).await;
    names.sort_unstable();
    let mut listed = Vec::<Sku>::new();
    loop {
        let page = f.ledger.list_rows(&here(), listed.last(), 100).await.unwrap();
        assert!(page.len() <= 100);
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|(sku, _)| sku));
    }
    assert_eq!(listed.iter().map(Sku::as_str).collect::<Vec<_>>(), names);
    // Longer than any list of one statement.
    assert!(f.ledger.rows(&here(), &listed).await.unwrap().iter().all(|(_, row)| row.is_some()));
}

async fn changes_follow_the_version(f: &Fixture) {
    // One count gives all its new rows the same version, or nearly so.
    f.stock(&[("b", 1), ("a", 1), ("c", 1), ("d", 1)]).await;
    f.settle("r", confirm(&[("b", 1)])).await;
    let mut all = f.ledger.list_rows(&here(), None, 10).await.unwrap();
    all.sort_by_key(|(sku, row)| (row.version, sku.clone()));
    assert_eq!(all.last().unwrap().0, sku("b"));
    for limit in 1..5 {
        let mut seen: Vec<(Sku, StockRow)> = Vec::new();
        loop {
            let after = seen.last().map_or((0, None), |(sku, row)| (row.version, Some(sku)));
            let page = f.ledger.rows_changed(&here(), after, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, all);
    }
    let later = f.ledger.rows_changed(&here(), (all[0].1.version, None), 10).await.unwrap();
    assert_eq!(later, all.iter().filter(|(_, row)| row.version > all[0].1.version).cloned().collect::<Vec<_>>());
}

async fn locations_are_found_without_their_rows(f: &Fixture) {
    assert!(f.ledger.locations().await.unwrap().is_empty());
    let names = ["A", "a", "b b", "é"];
    for name in names {
        let location = Location::parse(name).unwrap();
        f.ledger.set_stock(&location, &request("q"), &[target("a", 1), target("b", 2)]).await.unwrap().unwrap();
    }
    let found = f.ledger.locations().await.unwrap();
    assert_eq!(found.iter().map(Location::as_str).collect::<Vec<_>>(), names);
}

async fn a_book_has_what_moved_and_was_deducted_of_its_sku_there(f: &Fixture) {
    f.stock(&[("a", 10), ("b", 20), ("untouched", 5)]).await;
    let there = Location::parse("there").unwrap();
    f.ledger.set_stock(&there, &request("q"), &[target("a", 7)]).await.unwrap().unwrap();
    f.ledger.adjust_stock(&here(), &request("r"), "receipt", &[adjustment("a", 3)]).await.unwrap().unwrap();
    f.settle("1", confirm(&[("a", 1), ("b", 2)])).await;
    f.settle("2", confirm(&[("b", 2)])).await;
    let after = async |name: Option<&str>| {
        let books = f.ledger.books(&here(), name.map(sku).as_ref()).await.unwrap();
        books.into_iter().map(|b| (b.sku.to_string(), b.on_hand, b.moved, b.deducted)).collect::<Vec<_>>()
    };
    let all = [("a".into(), 12, 13, 1), ("b".into(), 16, 20, 4), ("untouched".into(), 5, 5, 0)];
    assert_eq!(after(None).await, all);
    assert_eq!(after(Some("a")).await, all[1..]);
    assert_eq!(after(Some("untouched")).await, []);
}

/// So many skus are only made by SQL.
mod by_sql {
    use super::*;

    cases! { the_books_come_in_pages }

    async fn the_books_come_in_pages(f: &Fixture) {
        let rows: Vec<_> = (0..=20_000).map(|number| format!("('here', 's{number:05}', 0, 0, 1, false)")).collect();
        let insert =
            format!("INSERT INTO stock (location, sku, on_hand, floor, version, retired) VALUES {}", rows.join(", "));
        f.database.connect().await.execute_unprepared(&insert).await.unwrap();
        let pages = pages_of_books(&f.ledger, &here()).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [20_000, 1]);
        assert_eq!(pages[1][0].sku, sku("s20000"));
    }
}

/// The first sync of a location whose rows were all written by one statement. MariaDB counts the rows that it reads
/// from each table.
#[tokio::test]
async fn pages_of_rows_that_share_one_version_read_each_row_once() {
    const ROWS: i64 = 10_000;
    run(database::mysql().await, async |f: &Fixture| {
        let connection = f.database.connect().await;
        let rows: Vec<_> = (0..ROWS).map(|number| format!("('here', 's{number:05}', 0, 0, 1000, false)")).collect();
        let insert = "INSERT INTO stock (location, sku, on_hand, floor, version, retired) VALUES";
        connection.execute_unprepared(&format!("{insert} {}", rows.join(", "))).await.unwrap();
        connection.execute_unprepared("SET GLOBAL userstat = 1").await.expect("MariaDB counts rows");
        let rows_read = "SELECT CAST(COALESCE(SUM(rows_read), 0) AS SIGNED) FROM information_schema.table_statistics \
                         WHERE table_schema = DATABASE() AND table_name = 'stock'";

        let before = numbers(&connection, rows_read).await[0];
        let mut seen: Vec<(Sku, StockRow)> = Vec::new();
        loop {
            let after = seen.last().map_or((0, None), |(sku, row)| (row.version, Some(sku)));
            let page = f.ledger.rows_changed(&here(), after, 1000).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen.len() as i64, ROWS);
        let read = numbers(&connection, rows_read).await[0] - before;
        assert!((ROWS..ROWS * 3 / 2).contains(&read), "{read} rows were read");
    })
    .await;
}

//! How much one call answers: commands apply in their order, and calls and pages are bounded.

use super::*;

cases! {
    commands_of_one_call_follow_each_other
    a_call_ends_when_its_work_is_done
    pages_show_every_live_hold_once_in_order_of_the_deadline
    a_page_ends_by_its_bytes
}

async fn commands_of_one_call_follow_each_other(holds: TestHolds) {
    let push = Command::Push { rows: vec![(sku("a"), Some(row(1, 1)))] };
    let replies = holds.try_all(vec![
        reserve("1", &[("a", 1)]),
        push,
        reserve("1", &[("a", 1)]),
        reserve("2", &[("a", 1)]),
        cancel("1"),
        reserve("2", &[("a", 1)]),
    ]);
    let found: Vec<_> = replies.await.expect("answers").iter().map(|reply| outcome(reply).0).collect();
    assert_eq!(found, ["missing", "other", "accepted", "short", "accepted", "accepted"]);
    assert_eq!(holds.try_all(vec![]).await.expect("answers"), []);
}

/// An order of `count` lines.
fn wide(name: &str, count: usize) -> Command {
    let names: Vec<_> = (0..count).map(|number| format!("sku-{number:03}")).collect();
    reserve(name, &names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>())
}

/// Repeats calls until all commands are answered. Answers how many commands each call answered.
async fn calls(holds: &TestHolds, mut commands: Vec<Command>) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !commands.is_empty() {
        let replies = holds.try_all(commands.clone()).await.expect("answers");
        assert!(!replies.is_empty(), "every call makes progress");
        sizes.push(replies.len());
        commands.drain(..replies.len());
    }
    sizes
}

async fn a_call_ends_when_its_work_is_done(holds: TestHolds) {
    let rows = (0..100).map(|number| (sku(&format!("sku-{number:03}")), Some(row(1, 1_000_000)))).collect();
    holds.apply(Command::Push { rows }).await;
    let ids: Vec<_> = (0..100).map(|number| format!("order-{number}")).collect();
    let of = |command: &dyn Fn(&str) -> Command| ids.iter().map(|id| command(id)).collect::<Vec<_>>();
    // Shared calls answer all commands; a store alone answers the first ones.
    let is_shared = calls(&holds, of(&|id| wide(id, 100))).await == [100];
    let expect = async |commands: Vec<Command>, expected: &[usize], what: &str| {
        let sizes = calls(&holds, commands).await;
        let expected = if is_shared { &[100][..] } else { expected };
        assert_eq!(sizes, expected, "{what}");
    };
    // These cost little, however many lines a record has.
    expect(of(&|id| Command::Get { id: self::id(id) }), &[100], "get").await;
    expect(of(&|id| extend(id, TTL_MS * 2, false)), &[100], "extend").await;
    // Each is one command and a hundred lines of work. A call ends once it has passed 2000.
    expect(of(&cancel), &[20; 5], "cancel").await;
    // A cancelled reservation costs no lines.
    expect(of(&cancel), &[100], "cancel again").await;
}

async fn pages_show_every_live_hold_once_in_order_of_the_deadline(holds: TestHolds) {
    holds.stock(&[("a", 1000)]).await;
    // Seven share each deadline; their ids come in byte order, upper case before lower case.
    let name = |i: u64| format!("{}{i:02}", if i.is_multiple_of(2) { "Z" } else { "a" });
    for i in 0..35 {
        holds.at(i / 7);
        holds.apply(reserve(&name(i), &[("a", 1)])).await;
    }
    for i in [3, 17] {
        holds.apply(begin(&name(i))).await;
    }
    holds.apply(cancel(&name(20))).await;

    for limit in [1, 4, 7, 35, 100] {
        let (mut seen, mut after) = (Vec::<ReservationId>::new(), None::<Position>);
        loop {
            let Reply::Page(page) = holds.apply(Command::List { after, limit }).await else { panic!("no page") };
            assert!(page.reservations.len() <= limit);
            seen.extend(page.reservations.iter().map(|reservation| reservation.id.clone()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut expected: Vec<_> = (0..35).filter(|i| ![3, 17, 20].contains(i)).map(|i| (i / 7, name(i))).collect();
        expected.sort();
        let mut expected: Vec<_> = expected.into_iter().map(|(_, name)| id(&name)).collect();
        expected.extend(["a03", "a17"].map(id));
        assert_eq!(seen, expected, "pages of {limit}");
    }

    // The entry at which a page ended may be gone when the next page is asked for.
    let Reply::Page(page) = holds.apply(Command::List { after: None, limit: 3 }).await else { panic!("no page") };
    let next = page.next.expect("there is more");
    holds.apply(cancel(next.id.as_str())).await;
    let Reply::Page(page) = holds.apply(Command::List { after: Some(next), limit: 1 }).await else { panic!("no page") };
    assert_eq!(page.reservations[0].id, id("Z06"));
}

async fn a_page_ends_by_its_bytes(holds: TestHolds) {
    // Names of 128 bytes, the longest there are.
    let names: Vec<_> = (0..100).map(|number| format!("{}{number:03}", "x".repeat(125))).collect();
    let rows = names.iter().map(|name| (sku(name), Some(row(1, 1_000_000)))).collect();
    holds.apply(Command::Push { rows }).await;
    let wanted: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    for number in 0..50 {
        holds.at(number);
        holds.apply(reserve(&format!("order-{number}"), &wanted)).await;
    }
    let (mut after, mut sizes, mut seen) = (None, Vec::new(), Vec::new());
    loop {
        let Reply::Page(page) = holds.apply(Command::List { after, limit: 500 }).await else { panic!("no page") };
        sizes.push(page.reservations.len());
        seen.extend(page.reservations.into_iter().map(|reservation| reservation.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [20, 20, 10], "13 KB each, 256 KiB a page");
    assert_eq!(seen, (0..50).map(|number| format!("order-{number}")).collect::<Vec<_>>());
}

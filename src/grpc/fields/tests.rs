use super::*;

/// What one look at a field answers, and the violations it notes, as `field description`.
fn look<T>(look: impl FnOnce(&mut Fields) -> Option<T>) -> Result<T, Vec<String>> {
    let mut fields = Fields::default();
    let value = look(&mut fields);
    let noted: Vec<_> =
        fields.0.into_iter().map(|violation| format!("{} {}", violation.field, violation.description)).collect();
    assert_eq!(value.is_none(), !noted.is_empty(), "a value is refused if and only if something was noted: {noted:?}");
    value.ok_or(noted)
}

fn noted<T: std::fmt::Debug>(looked: Result<T, Vec<String>>) -> Vec<String> {
    looked.expect_err("a violation")
}

fn lines(lines: &[(&str, u32)]) -> Vec<v1::Line> {
    lines.iter().map(|(sku, quantity)| v1::Line { sku: (*sku).into(), quantity: *quantity }).collect()
}

fn numbered(count: usize, distinct: usize) -> Vec<v1::Line> {
    (0..count).map(|index| v1::Line { sku: format!("s{}", index % distinct), quantity: 1 }).collect()
}

#[test]
fn names() {
    assert_eq!(look(|fields| fields.location("")).map(|location| location.to_string()), Ok("default".into()));
    assert_eq!(noted(look(|fields| fields.location("a{b"))), ["location must not contain { or }"]);
    assert_eq!(noted(look(|fields| fields.reservation_id(""))), ["reservation_id is required"]);
    assert_eq!(
        noted(look(|fields| fields.request_id(&"x".repeat(129)))),
        ["request_id must have at most 128 bytes, has 129"]
    );
    assert_eq!(look(|fields| fields.sku_or_all("")), Ok(None));
    assert_eq!(noted(look(|fields| fields.sku_or_all(" a"))), ["sku must not begin or end with white space"]);
    assert_eq!(noted(look(|fields| fields.reason(String::new()))), ["reason is required"]);
    assert_eq!(noted(look(|fields| fields.reason("x".repeat(129)))), ["reason must have at most 128 bytes, has 129"]);
}

#[test]
fn lines_are_merged_and_every_bad_one_is_named() {
    let good = look(|fields| fields.lines(&lines(&[("b", 1), ("a", 2), ("b", 3)]))).expect("lines");
    assert_eq!(good.iter().map(|line| (line.sku.as_str(), line.quantity)).collect::<Vec<_>>(), [("a", 2), ("b", 4)]);
    assert!(look(|fields| fields.lines(&numbered(1000, 100))).is_ok());
    assert_eq!(look(|fields| fields.lines_or_all(&[])), Ok(None));

    for (bad, violations) in [
        (lines(&[]), vec!["lines is required"]),
        (
            lines(&[("", 0), ("a", 1), ("b", 1_000_000_001)]),
            vec![
                "lines[0].sku is required",
                "lines[0].quantity must be 1 to 1000000000, is 0",
                "lines[2].quantity must be 1 to 1000000000, is 1000000001",
            ],
        ),
        (
            lines(&[("a", 1_000_000_000), ("a", 1)]),
            vec!["lines[1].quantity must be at most 1000000000 for all lines of its sku together"],
        ),
        (numbered(101, 101), vec!["lines must name at most 100 distinct skus"]),
        (numbered(10_000, 1), vec!["lines must have at most 1000 entries, has 10000"]),
    ] {
        assert_eq!(noted(look(|fields| fields.lines(&bad))), violations);
    }
}

#[test]
fn time_spans() {
    let limits = Limits {
        ttl_default: Duration::from_secs(600),
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(3600),
        lifetime_max: Duration::from_secs(7200),
    };
    let span = |seconds, nanos| look(|fields| fields.ttl(Some(prost_types::Duration { seconds, nanos }), &limits));
    assert_eq!(look(|fields| fields.ttl(None, &limits)), Ok(limits.ttl_default));
    assert_eq!(span(1, 2_999_999), Ok(Duration::from_millis(1002)), "fractions of a millisecond are cut off");
    assert_eq!(span(3600, 999_999), Ok(limits.ttl_max));
    for (seconds, nanos) in [(0, 0), (0, 999_999_999), (3600, 1_000_000)] {
        assert_eq!(noted(span(seconds, nanos)), ["ttl must be 1s to 1h"]);
    }
    for (seconds, nanos) in
        [(-1, 0), (0, -1), (0, 1_000_000_000), (SECONDS_MAX + 1, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN)]
    {
        assert_eq!(noted(span(seconds, nanos)), ["ttl must be 0 to 253402300799 s, its nanos 0 to 999999999"]);
    }
}

#[test]
fn times() {
    let time = |seconds, nanos| look(|fields| fields.expire_ms(Some(prost_types::Timestamp { seconds, nanos })));
    assert_eq!(time(1, 2_999_999), Ok(1002), "fractions of a millisecond are cut off");
    assert_eq!(time(SECONDS_MAX, 999_999_999), Ok(253_402_300_799_999));
    assert_eq!(noted(look(|fields| fields.expire_ms(None))), ["expire_time is required"]);
    for (seconds, nanos) in
        [(-1, 0), (0, -1), (0, 1_000_000_000), (SECONDS_MAX + 1, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN)]
    {
        assert_eq!(
            noted(time(seconds, nanos)),
            ["expire_time must be a time from 1970 to 9999, its nanos 0 to 999999999"]
        );
    }
}

#[test]
fn choices_and_pages() {
    for (value, policy) in [(0, LatePolicy::Reject), (1, LatePolicy::Reject), (2, LatePolicy::Reacquire)] {
        assert_eq!(look(|fields| fields.late_policy(value)), Ok(policy));
    }
    assert_eq!(noted(look(|fields| fields.late_policy(7))), ["late_policy must be a value of LatePolicy, is 7"]);
    for (size, rows) in [(0, 100), (1, 1), (1000, 1000)] {
        assert_eq!(look(|fields| fields.page_size(size)), Ok(rows));
    }
    for size in [-1, 1001, i32::MIN, i32::MAX] {
        assert_eq!(noted(look(|fields| fields.page_size(size))), [format!("page_size must be 0 to 1000, is {size}")]);
    }
}

#[test]
fn units_and_versions() {
    let path = || "items[0].x".to_owned();
    for units in [-UNITS_MAX, 0, UNITS_MAX] {
        assert_eq!(look(|fields| fields.units(path(), units)), Ok(units));
    }
    for units in [i64::MIN, -UNITS_MAX - 1, UNITS_MAX + 1, i64::MAX] {
        let text = format!("items[0].x must be -100000000000000 to 100000000000000, is {units}");
        assert_eq!(noted(look(|fields| fields.delta(path(), units))), [text]);
    }
    assert_eq!(noted(look(|fields| fields.delta(path(), 0))), ["items[0].x must not be 0"]);
    for version in [None, Some(0), Some(i64::MAX)] {
        assert_eq!(look(|fields| fields.version(path(), version)), Ok(version));
    }
    assert_eq!(noted(look(|fields| fields.version(path(), Some(-1)))), ["items[0].x must not be negative"]);
}

#[test]
fn skus_of_a_read_are_sorted_and_each_once() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let good = look(|fields| fields.skus(&names(&["b", "a", "b"]), 3)).expect("skus");
    assert_eq!(good.iter().map(Sku::as_str).collect::<Vec<_>>(), ["a", "b"]);
    for (bad, violations) in [
        (names(&[]), vec!["skus is required"]),
        (names(&["a", "b", "c", "d"]), vec!["skus must have at most 3 entries, has 4"]),
        (names(&["", "a", "\n"]), vec!["skus[0] is required", "skus[2] must not contain control characters"]),
    ] {
        assert_eq!(noted(look(|fields| fields.skus(&bad, 3))), violations);
    }
}

#[test]
fn items_name_each_sku_once_and_every_bad_field_of_them_is_named() {
    let items = |items: &[(&'static str, i64)]| {
        look(|fields| {
            fields.items(
                "changes",
                items,
                3,
                |item| item.0,
                |fields, path, sku, item| {
                    let delta = fields.delta(format!("{path}.delta"), item.1);
                    Some((sku?.to_string(), delta?))
                },
            )
        })
    };
    assert_eq!(items(&[("b", 1), ("a", -1)]), Ok(vec![("b".into(), 1), ("a".into(), -1)]));
    for (bad, violations) in [
        (vec![], vec!["changes is required"]),
        (vec![("a", 1); 4], vec!["changes must have at most 3 entries, has 4"]),
        (vec![("a", 1), ("a", 2)], vec!["changes[1].sku must not be named twice"]),
        (vec![("a", 1), ("", 0)], vec!["changes[1].sku is required", "changes[1].delta must not be 0"]),
    ] {
        assert_eq!(noted(items(&bad)), violations);
    }
}

use super::*;

#[test]
fn a_batch_is_bounded_by_intents_and_lines() {
    for (lines, expected) in [
        (vec![], 0),
        (vec![1; 3], 3),
        (vec![1; 200], 128),
        (vec![100; 128], 10),
        (vec![400, 600, 1], 2),
        (vec![400, 601, 1], 1),
        (vec![BATCH_LINES_MAX + 1, 1], 1),
    ] {
        assert_eq!(fits(lines.iter().copied(), 128), expected, "{lines:?}");
    }
    assert_eq!(fits([1, 1].into_iter(), 0), 1);
    assert_eq!(fits([1; 2 * BATCH_LINES_MAX].into_iter(), usize::MAX), BATCH_LINES_MAX, "lines are the bound too");
}

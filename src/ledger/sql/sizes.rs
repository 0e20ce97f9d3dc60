//! Statements of a few sizes only. Each length of an `IN` list or a multi-row `VALUES` is a statement of its own to the server, which prepares it
//! once a connection and keeps it: too many lengths push each other out, and preparing again costs round trips.

/// The longest `IN` list: below the 1000 from which MariaDB turns a list into a join.
const LIST_MAX: usize = 512;

/// The most rows that one statement inserts: below SQLite's bound of parameters with any table.
const ROWS_MAX: usize = 64;

/// Cuts values into lists whose length is a power of two, the last padded by repeating its last value.
pub(super) fn lists<T: Clone>(values: &[T]) -> impl Iterator<Item = Vec<T>> {
    values.chunks(LIST_MAX).map(|chunk| {
        let mut list = chunk.to_vec();
        if let Some(last) = chunk.last() {
            list.resize(chunk.len().next_power_of_two(), last.clone());
        }
        list
    })
}

/// Cuts rows into groups whose length is a power of two, largest first: a row cannot be padded.
pub(super) fn groups<T>(mut rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let fits = (rows.len().checked_ilog2()?).min(ROWS_MAX.ilog2());
        let rest = rows.split_off(1 << fits);
        Some(std::mem::replace(&mut rows, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_and_groups_are_cut_to_powers_of_two() {
        for (count, padded, cut) in [
            (0, vec![], vec![]),
            (1, vec![1], vec![1]),
            (3, vec![4], vec![2, 1]),
            (100, vec![128], vec![64, 32, 4]),
            (513, vec![512, 1], [vec![64; 8], vec![1]].concat()),
        ] {
            let values: Vec<usize> = (0..count).collect();
            assert_eq!(lists(&values).map(|list| list.len()).collect::<Vec<_>>(), padded);
            assert_eq!(groups(values.clone()).map(|group| group.len()).collect::<Vec<_>>(), cut);
            assert_eq!(groups(values.clone()).flatten().collect::<Vec<_>>(), values);
        }
        assert_eq!(lists(&[1, 2, 3]).next(), Some(vec![1, 2, 3, 3]));
    }
}

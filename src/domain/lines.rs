//! What a reservation holds: lines in one canonical form, and its fingerprint.

use std::fmt;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::Sku;

/// The most distinct skus in one reservation.
pub const LINES_MAX: usize = 100;

/// The most units in one line, after lines of the same sku are added up.
pub const QUANTITY_MAX: u32 = 1_000_000_000;

/// Some units of one sku, 1 to [`QUANTITY_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is wanted.
    pub sku: Sku,
    /// How many units.
    pub quantity: u32,
}

/// Lines in canonical form: sorted by the bytes of their sku, each sku once, at most [`LINES_MAX`]. Empty only if the
/// lines are unknown, as for an id that was cancelled before it was reserved. Most reservations have one line and are
/// copied at each step, so one line takes no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(SmallVec<[Line; 1]>);

/// Why lines were refused; the index is that of the line as the caller sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinesError {
    /// There were none.
    Empty,
    /// There were more distinct skus than [`LINES_MAX`].
    TooMany,
    /// The quantity of a line, or of the lines of one sku together, is not within 1 to [`QUANTITY_MAX`].
    Quantity(usize),
}

impl Lines {
    /// Sorts lines and adds up those of the same sku. The bounds apply to the sums. The error names the first line that
    /// breaks one.
    pub fn merge(lines: impl IntoIterator<Item = (Sku, u32)>) -> Result<Self, LinesError> {
        let mut merged = SmallVec::<[Line; 1]>::new();
        for (index, (sku, quantity)) in lines.into_iter().enumerate() {
            let (place, before) = match merged.binary_search_by(|line| line.sku.cmp(&sku)) {
                Ok(place) => (place, merged[place].quantity),
                Err(place) if merged.len() < LINES_MAX => {
                    merged.insert(place, Line { sku, quantity: 0 });
                    (place, 0)
                }
                Err(_) => return Err(LinesError::TooMany),
            };
            let sum = before.saturating_add(quantity);
            if quantity == 0 || sum > QUANTITY_MAX {
                return Err(LinesError::Quantity(index));
            }
            merged[place].quantity = sum;
        }
        if merged.is_empty() { Err(LinesError::Empty) } else { Ok(Self(merged)) }
    }

    /// The lines in canonical order.
    pub fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the lines are unknown.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The skus in canonical order.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.0.iter().map(|line| &line.sku)
    }

    /// The units of one sku; 0 if it has no line.
    pub fn quantity(&self, sku: &Sku) -> u32 {
        self.0.binary_search_by(|line| line.sku.cmp(sku)).map_or(0, |found| self.0[found].quantity)
    }

    /// True if these lines ask for nothing beyond `other`: the rule for confirming a part.
    pub fn within(&self, other: &Lines) -> bool {
        self.0.iter().all(|line| line.quantity <= other.quantity(&line.sku))
    }

    /// The fingerprint that tells whether two requests name the same lines.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        for line in &self.0 {
            // A sku has no control characters, so this text is unambiguous.
            digest.update(line.sku.as_str());
            digest.update("\t");
            digest.update(line.quantity.to_string());
            digest.update("\n");
        }
        Fingerprint::of_digest(&digest.finalize())
    }
}

/// For lines that are in canonical form already, as stores keep them.
impl FromIterator<(Sku, u32)> for Lines {
    fn from_iter<I: IntoIterator<Item = (Sku, u32)>>(lines: I) -> Self {
        Self(lines.into_iter().map(|(sku, quantity)| Line { sku, quantity }).collect())
    }
}

/// The first 16 bytes of a SHA-256, written as 22 characters of URL-safe base64 in both stores.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// How many characters the text form has.
    pub const TEXT_BYTES: usize = 22;

    /// The fingerprint of an unambiguous text.
    pub fn of_text(text: &str) -> Self {
        Self::of_digest(&Sha256::digest(text))
    }

    fn of_digest(digest: &[u8]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(first)
    }

    /// Reads the text form; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        (URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(bytes.len())).then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::parse(text).expect(text)
    }

    #[test]
    fn lines_are_merged_and_sorted_before_they_are_compared() {
        let one = Lines::merge([(sku("b"), 1), (sku("a"), 2), (sku("b"), 3)]).expect("merges");
        let other = Lines::merge([(sku("a"), 2), (sku("b"), 4)]).expect("merges");
        assert_eq!(one, other);
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_eq!(Fingerprint::parse(&one.fingerprint().to_string()), Some(one.fingerprint()));
        assert_eq!(one.fingerprint().to_string().len(), Fingerprint::TEXT_BYTES);
    }

    #[test]
    fn bounds_hold_for_what_was_merged() {
        let max = QUANTITY_MAX;
        assert_eq!(Lines::merge([]), Err(LinesError::Empty));
        assert_eq!(Lines::merge([(sku("a"), 1), (sku("b"), 0)]), Err(LinesError::Quantity(1)));
        assert_eq!(Lines::merge([(sku("a"), max), (sku("a"), 1)]), Err(LinesError::Quantity(1)));
        assert_eq!(Lines::merge([(sku("a"), u32::MAX), (sku("a"), u32::MAX)]), Err(LinesError::Quantity(0)));
        assert!(Lines::merge((0..200).map(|i| (sku(&format!("s{}", i % 100)), 1))).is_ok());
        assert_eq!(Lines::merge((0..101).map(|i| (sku(&format!("s{i}")), 1))), Err(LinesError::TooMany));
        assert_eq!(
            Lines::merge((0..=101).map(|i| (sku(&format!("s{i}")), (i < 101).into()))),
            Err(LinesError::TooMany)
        );
    }

    #[test]
    fn a_part_is_within_the_whole() {
        let whole = Lines::merge([(sku("a"), 2), (sku("b"), 1)]).expect("merges");
        for (part, within) in
            [(vec![("a", 2)], true), (vec![("a", 1), ("b", 1)], true), (vec![("a", 3)], false), (vec![("c", 1)], false)]
        {
            let part = Lines::merge(part.into_iter().map(|(name, quantity)| (sku(name), quantity))).expect("merges");
            assert_eq!(part.within(&whole), within, "{part:?}");
        }
    }
}

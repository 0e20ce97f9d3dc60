//! What the ledger is asked to do with a reservation, and what it answers.

use crate::domain::{Fingerprint, Lines, Settlement, Shortage, Sku, StockRow};

/// What shall become of a reservation.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Deduct these lines, or end as `Rejected` if supply does not allow it.
    Confirm {
        /// What to deduct, never empty.
        lines: Lines,
        /// Fingerprint of the lines that were reserved.
        reserved: Fingerprint,
        /// Fingerprint of `lines`.
        confirmed: Fingerprint,
    },
    /// End as `Cancelled`.
    Cancel,
    /// End as `Rejected`: the stock of these lines could not be taken again.
    Reject {
        /// The lines whose rows are answered.
        lines: Lines,
    },
}

impl Intent {
    /// The lines whose rows are answered.
    pub(super) fn lines(&self) -> Option<&Lines> {
        match self {
            Intent::Confirm { lines, .. } | Intent::Reject { lines } => Some(lines),
            Intent::Cancel => None,
        }
    }
}

/// The ledger's answer to an [`Intent`].
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The settlement that stands: that of the intent, or an earlier one which won.
    pub settlement: Settlement,
    /// The row of every line of the intent and of the settlement, as it stands after the commit; `None`: there is no
    /// such row.
    pub rows: Vec<(Sku, Option<StockRow>)>,
    /// Why this intent ended the reservation as `Rejected`; empty in every other case. `held` is 0, because the ledger
    /// does not know holds.
    pub shortages: Vec<Shortage>,
}

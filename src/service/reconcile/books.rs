//! The ledger's books against each other.

use super::report::{Finding, FindingKind};
use super::run::Run;
use crate::domain::Sku;
use crate::ledger::database::Book;
use crate::service::Error;

impl Run<'_> {
    pub(super) async fn compare_books(&mut self) -> Result<(), Error> {
        let mut after: Option<Sku> = None;
        loop {
            let books = self.service.ledger.books(self.location, after.as_ref()).await?;
            let Some(last) = books.last() else { return Ok(()) };
            after = Some(last.sku.clone());
            for Book { sku, on_hand, moved, deducted } in books {
                let expected = moved - deducted;
                if on_hand == expected {
                    continue;
                }
                let description =
                    format!("on_hand is {on_hand}; movements {moved} less deductions {deducted} are {expected}");
                self.add(Finding { kind: FindingKind::Books, sku: Some(sku), id: None, description, repaired: false });
            }
        }
    }
}

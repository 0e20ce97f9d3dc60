//! Indexes against records.

use super::report::{Finding, FindingKind};
use super::run::Run;
use crate::service::Error;

impl Run<'_> {
    pub(super) async fn compare_indexes(&mut self) -> Result<(), Error> {
        let mut cursor = String::new();
        loop {
            let (ids, next) = self.service.holds.reindex(self.location, cursor, self.repair).await?;
            for id in ids {
                let description = "is not in the index of what has to be ended or settled".to_owned();
                let repaired = self.repair;
                self.add(Finding { kind: FindingKind::Index, sku: None, id: Some(id), description, repaired });
            }
            if next.is_empty() {
                return Ok(());
            }
            cursor = next;
        }
    }
}

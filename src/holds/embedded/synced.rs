//! How far the sync task has pushed.

use super::call::Call;
use crate::holds::Reply;

impl Call<'_> {
    pub(super) fn get_synced(&self) -> Reply {
        Reply::Synced(self.holds.synced)
    }

    pub(super) fn set_synced(&mut self, judged: Option<i64>, version: i64) -> Reply {
        if self.holds.synced == judged {
            self.holds.synced = Some(version);
        }
        Reply::Synced(self.holds.synced)
    }
}

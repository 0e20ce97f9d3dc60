//! One call: its commands, one after the other. Pure but for the state it owns: the time is an argument.
//!
//! Each command is a file of its own beside this one. A command has one shape: expire the addressed reservation if it
//! is overdue; the same request again?; every refusal, in the order that `Command` documents; then the changes, which
//! cannot fail.

use super::location::LocationHolds;
use crate::domain::ReservationId;
use crate::holds::{Command, HoldsConfig, Reply, WORK_MAX};

/// Applies the commands of one call, until its work is done.
pub(super) fn apply(
    holds: &mut LocationHolds,
    commands: Vec<Command>,
    now_ms: u64,
    config: &HoldsConfig,
) -> Vec<Reply> {
    let retention_ms = config.retention.as_millis() as u64;
    let mut call = Call {
        holds,
        now_ms,
        retention_ms,
        tombstones_max: config.tombstones_max,
        ended: Vec::new(),
        reclaimed: false,
        overdue_remain: false,
        worked: 0,
    };
    let mut replies = Vec::new();
    for command in commands {
        if call.worked >= WORK_MAX {
            break;
        }
        call.worked += 1;
        replies.push(call.apply(command));
    }
    // What has ended in this call waits in one entry to be forgotten.
    let ended = call.ended;
    if !ended.is_empty() {
        holds.ended.push_back((now_ms, ended));
    }
    replies
}

/// The commands of one call, at one time.
pub(super) struct Call<'a> {
    pub(super) holds: &'a mut LocationHolds,
    pub(super) now_ms: u64,
    pub(super) retention_ms: u64,
    pub(super) tombstones_max: usize,
    /// What has ended in this call.
    pub(super) ended: Vec<ReservationId>,
    /// Whether overdue holds were reclaimed in this call, and whether others remained then.
    pub(super) reclaimed: bool,
    pub(super) overdue_remain: bool,
    /// What counts towards [`WORK_MAX`].
    pub(super) worked: usize,
}

impl Call<'_> {
    fn apply(&mut self, command: Command) -> Reply {
        match command {
            Command::Reserve { id, lines, ttl_ms } => self.reserve(id, lines, ttl_ms),
            Command::Begin { id, lines, reacquire } => self.begin(&id, lines, reacquire),
            Command::Cancel { id } => self.cancel(&id),
            Command::Extend { id, expire_ms, lifetime_ms, reacquire } => {
                self.extend(&id, expire_ms, lifetime_ms, reacquire)
            }
            Command::Settle { settlement, rows } => self.settle(settlement, rows),
            Command::Push { rows } => Reply::Pushed(self.push(rows)),
            Command::ReplaceRegister { sku, judged, row } => self.replace_register(sku, judged, row),
            Command::ReplaceHeld { sku, judged, units } => self.replace_held(sku, judged, units),
            Command::Stock { skus } => self.stock(skus),
            Command::Counters { skus } => self.counters(&skus),
            Command::Skus { .. } => self.skus(),
            Command::Get { id } => self.get(&id),
            Command::Reindex { repair, .. } => self.reindex(repair),
            Command::List { after, limit } => Reply::Page(self.list(after, limit)),
            Command::Sweep => self.sweep(),
            Command::Claim { limit, grace_ms } => self.claim(limit, grace_ms),
            Command::GetSynced => self.get_synced(),
            Command::SetSynced { judged, version } => self.set_synced(judged, version),
        }
    }
}

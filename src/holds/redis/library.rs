//! The library of Redis functions that does every command.

use crate::domain::stock::UNITS_MAX;
use crate::holds::{
    FORGET_MAX, PAGE_BYTES_MAX, RECLAIM_HOLDS_MAX, RECLAIM_LINES_MAX, RECORDS_PAGE, SKUS_PAGE, WORK_MAX,
};

/// The files of the library, in an order in which each uses only names of those before it.
const CODE: &str = concat!(
    include_str!("lua/location.lua"),
    include_str!("lua/formats.lua"),
    include_str!("lua/cache.lua"),
    include_str!("lua/units.lua"),
    include_str!("lua/records.lua"),
    include_str!("lua/reclaim.lua"),
    include_str!("lua/refusal.lua"),
    include_str!("lua/reserve.lua"),
    include_str!("lua/begin.lua"),
    include_str!("lua/cancel.lua"),
    include_str!("lua/extend.lua"),
    include_str!("lua/registers.lua"),
    include_str!("lua/settle.lua"),
    include_str!("lua/list.lua"),
    include_str!("lua/reindex.lua"),
    include_str!("lua/sweep.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/synced.lua"),
    include_str!("lua/call.lua"),
);

/// Enough of the digest that no two versions of the library have the same.
const DIGEST_CHARACTERS: usize = 16;

/// The library, ready to be loaded.
pub(super) struct Library {
    /// What `FUNCTION LOAD` takes.
    pub(super) text: String,
    /// The function of calls that may take memory. A full Redis refuses it.
    pub(super) taking: String,
    /// The function of all other calls.
    pub(super) freeing: String,
}

impl Library {
    /// Its names carry the digest of its text, so that instances of different versions each find their own.
    pub(super) fn new() -> Self {
        let constants = [
            ("UNITS_MAX", UNITS_MAX),
            ("RECLAIM_HOLDS_MAX", RECLAIM_HOLDS_MAX as i64),
            ("RECLAIM_LINES_MAX", RECLAIM_LINES_MAX as i64),
            ("FORGET_MAX", FORGET_MAX as i64),
            ("WORK_MAX", WORK_MAX as i64),
            ("PAGE_BYTES_MAX", PAGE_BYTES_MAX as i64),
            ("RECORDS_PAGE", RECORDS_PAGE as i64),
            ("SKUS_PAGE", SKUS_PAGE as i64),
        ];
        let code = constants.map(|(name, value)| format!("local {name} = {value}\n")).concat() + CODE;
        let name = format!("stockhold_{}", &fred::util::sha1_hash(&code)[..DIGEST_CHARACTERS]);
        let (taking, freeing) = (format!("{name}_taking"), format!("{name}_freeing"));
        let text = format!("#!lua name={name}\nlocal TAKING, FREEING = '{taking}', '{freeing}'\n{code}");
        Self { text, taking, freeing }
    }
}

//! Stock, settlements, deductions, movements. Every key begins with `location`, because a transaction never leaves its
//! location.

use sea_orm_migration::MigrationTrait;

use crate::table::NewTable;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(STOCK), Box::new(SETTLEMENTS), Box::new(DEDUCTIONS), Box::new(MOVEMENTS)]
}

/// The index serves the sync task, which asks what changed since a version.
const STOCK: NewTable = NewTable {
    migration: "m0001_stock",
    table: "stock",
    columns: "location varchar(128) NOT NULL,
        sku varchar(128) NOT NULL,
        on_hand bigint NOT NULL,
        floor bigint NOT NULL,
        version bigint NOT NULL,
        retired boolean NOT NULL,
        PRIMARY KEY (location, sku)",
    index: Some(("stock_by_version", "location, version")),
};

/// `outcome` is a word, so that SQL by hand needs no key to read it. The fingerprints are those of the reserved and of
/// the confirmed lines.
const SETTLEMENTS: NewTable = NewTable {
    migration: "m0001_settlements",
    table: "settlements",
    columns: "location varchar(128) NOT NULL,
        reservation_id varchar(128) NOT NULL,
        outcome varchar(16) NOT NULL,
        reserved varchar(22),
        confirmed varchar(22),
        settled_at_ms bigint NOT NULL,
        PRIMARY KEY (location, reservation_id)",
    index: None,
};

/// `version` is that of the stock row which first held the deduction. There is no index by sku, because each confirm
/// would pay for it and only Reconcile sums by sku. (There was one before the first release.)
const DEDUCTIONS: NewTable = NewTable {
    migration: "m0001_deductions",
    table: "deductions",
    columns: "location varchar(128) NOT NULL,
        reservation_id varchar(128) NOT NULL,
        sku varchar(128) NOT NULL,
        quantity bigint NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (location, reservation_id, sku)",
    index: None,
};

/// `on_hand` and `version` are those after the movement; `fingerprint` is that of the whole request. The key counts the
/// movements of a request from 0 instead of naming the sku, so that two requests under one id collide even if they have
/// no sku in common.
const MOVEMENTS: NewTable = NewTable {
    migration: "m0001_movements",
    table: "movements",
    columns: "location varchar(128) NOT NULL,
        request_id varchar(128) NOT NULL,
        position integer NOT NULL,
        sku varchar(128) NOT NULL,
        delta bigint NOT NULL,
        reason varchar(128) NOT NULL,
        on_hand bigint NOT NULL,
        version bigint NOT NULL,
        fingerprint varchar(22) NOT NULL,
        PRIMARY KEY (location, request_id, position)",
    index: Some(("movements_by_sku", "location, sku, delta")),
};

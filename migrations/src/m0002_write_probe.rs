//! The row that is written where it must be known whether the database takes writes. It belongs to no location, and
//! nothing reads it.

use sea_orm_migration::MigrationTrait;

use crate::table::NewTable;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(WRITE_PROBE)]
}

const WRITE_PROBE: NewTable = NewTable {
    migration: "m0002_write_probe",
    table: "write_probe",
    columns: "id integer NOT NULL,
        written_at_micros bigint NOT NULL,
        PRIMARY KEY (id)",
    index: None,
};

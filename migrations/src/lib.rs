//! The tables of stockhold, oldest migration first. A migration that was released is never edited; a change becomes a
//! new one.

mod m0001_first_tables;
mod m0002_write_probe;
mod table;

use sea_orm_migration::{DbErr, IntoSchemaManagerConnection, MigrationTrait, MigratorTrait, async_trait, sea_orm};

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        [m0001_first_tables::migrations(), m0002_write_probe::migrations()].into_iter().flatten().collect()
    }
}

/// Applies the missing migrations, and tells how many there were. The caller must keep two instances from doing this at
/// the same time.
pub async fn apply<'c, C>(db: &'c C) -> Result<usize, DbErr>
where
    C: sea_orm::ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let pending = Migrator::get_pending_migrations(db).await?.len();
    Migrator::up(db, None).await?;
    Ok(pending)
}

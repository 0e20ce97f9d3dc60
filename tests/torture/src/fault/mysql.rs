//! Faults of MySQL.

use std::time::Duration;

use futures::future::join;
use stockhold_servers::patience::within;

use crate::act::Act;
use crate::world::World;

/// One COMMIT in this many is cut off. Group commit makes COMMITs few.
const COMMITS_PER_CUT: u64 = 5;

/// By then each instance has committed more often than that.
const CUT_MAX: Duration = Duration::from_secs(20);

pub(super) async fn killed(world: &mut World, act: &Act) {
    world.mariadb.kill();
    act.pass().await;
    world.mariadb.restart().await;
}

pub(super) async fn hangs(world: &mut World, act: &Act) {
    world.mariadb.signal("STOP");
    act.pass().await;
    world.mariadb.signal("CONT");
}

/// MySQL becomes read-only, like a primary that was demoted.
pub(super) async fn read_only(world: &mut World, act: &Act) {
    world.mariadb.execute("SET GLOBAL read_only = 1").await;
    act.pass().await;
    world.mariadb.execute("SET GLOBAL read_only = 0").await;
}

/// Of each instance at least one COMMIT is cut off before the server has seen it, and one after the server has
/// answered.
pub(super) async fn commits_cut(world: &mut World, act: &Act) -> Result<(), String> {
    let cuts: Vec<_> = world.instances.iter().map(|instance| instance.mysql.commits_cut()).collect();
    for instance in &world.instances {
        instance.mysql.cut_commits(COMMITS_PER_CUT);
    }
    let bitten = within(CUT_MAX, async || {
        let mut instances = world.instances.iter().zip(&cuts);
        instances.all(|(instance, before)| instance.mysql.commits_cut() >= before + 2)
    });
    let ((), bitten) = join(act.pass(), bitten).await;
    for instance in &world.instances {
        instance.mysql.cut_commits(0);
    }
    if bitten.is_some() { Ok(()) } else { Err("too few COMMITs went by to cut off both kinds".to_owned()) }
}

//! The machine on which the figures were measured.

use std::error::Error;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use sea_orm::sqlx;

use crate::world::World;

/// Facts by name, in the order in which they are told.
pub(crate) async fn facts(world: &World) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let redis: String = world.client.info(Some(InfoKind::Server)).await?;
    let redis = line(&redis, "redis_version:");
    let mariadb: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&world.database).await?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = line(&fs::read_to_string("/proc/cpuinfo")?, "model name");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Ok(vec![
        ("date", date),
        ("git revision", git_revision().unwrap_or_else(|| "unknown".to_owned())),
        ("cores", cores.to_string()),
        ("CPU", cpu),
        ("kernel", kernel),
        // A load by others explains odd figures afterwards.
        ("load average before", load),
        ("Redis", redis),
        ("MariaDB", mariadb),
    ])
}

/// The rest of the line that begins with these words.
fn line(text: &str, begin: &str) -> String {
    let rest = text.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or("unknown");
    rest.trim_start_matches([':', ' ', '\t']).trim().to_owned()
}

fn git_revision() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

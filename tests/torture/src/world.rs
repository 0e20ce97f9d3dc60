//! All servers: two instances of the service over one Redis and one MariaDB, each instance with its own links.

use std::path::{Path, PathBuf};

use futures::future::join;
use stockhold_servers::mariadb::Mariadb;
use stockhold_servers::process::program;
use stockhold_servers::redis::{Fsync, Redis};

use crate::client::Client;
use crate::instance::Instance;

/// Connections to each instance.
const CONNECTIONS: usize = 4;

/// A small buffer pool is enough, because these tests check what survives.
const BUFFER_POOL_MIB: u32 = 32;

/// All servers.
pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) redis: Redis,
    pub(crate) mariadb: Mariadb,
    pub(crate) instances: [Instance; 2],
    /// Connections to each instance.
    pub(crate) clients: [Vec<Client>; 2],
}

impl World {
    /// Starts all servers, with their files in this folder.
    pub(crate) async fn start(home: &Path) -> Result<Self, String> {
        program("setpriv", "util-linux")?;
        program("kill", "procps")?;
        let (redis, mariadb) =
            join(Redis::start(home, "redis", Fsync::Always), Mariadb::start(home, BUFFER_POOL_MIB)).await;
        let (redis, mariadb) = (redis?, mariadb?);
        let [first, second] = ["instance-1", "instance-2"]
            .map(async |name| Instance::start(home, name, &redis.server(), &mariadb.server()).await);
        let (first, second) = join(first, second).await;
        let clients = [&first, &second].map(|instance| (0..CONNECTIONS).map(|_| Client::new(instance.port)).collect());
        Ok(Self { home: home.to_owned(), redis, mariadb, instances: [first, second], clients })
    }
}

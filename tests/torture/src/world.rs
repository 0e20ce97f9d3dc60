//! All servers: two instances of the service over one Redis and one MariaDB, each with links of its own.

use std::path::{Path, PathBuf};

use futures::future::join;

use crate::client::Client;
use crate::instance::Instance;
use crate::mariadb::Mariadb;
use crate::process::program;
use crate::redis::Redis;

/// Connections to each instance.
const CONNECTIONS: usize = 4;

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
    /// Starts everything, with files in this folder.
    pub(crate) async fn start(home: &Path) -> Result<Self, String> {
        program("setpriv", "util-linux")?;
        program("kill", "procps")?;
        let (redis, mariadb) = join(Redis::start(home, "redis"), Mariadb::start(home)).await;
        let (redis, mariadb) = (redis?, mariadb?);
        let [first, second] = ["instance-1", "instance-2"]
            .map(async |name| Instance::start(home, name, &redis.server(), &mariadb.server()).await);
        let (first, second) = join(first, second).await;
        let clients = [&first, &second].map(|instance| (0..CONNECTIONS).map(|_| Client::new(instance.port)).collect());
        Ok(Self { home: home.to_owned(), redis, mariadb, instances: [first, second], clients })
    }
}

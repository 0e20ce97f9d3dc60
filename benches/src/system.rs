//! The systems that are measured. Each is a process of its own: this program again, in another role.

use std::time::Duration;

use stockhold_servers::process::{Process, free_port};
use tokio::net::TcpStream;

use crate::world::World;

/// Creating the tables takes most of it.
const START_MAX: Duration = Duration::from_secs(30);

/// Flags of the service besides the addresses of its stores: it must accept all callers.
const SERVICE_FLAGS: [(&str, &str); 2] = [("--concurrency-max", "8192"), ("--queue-max", "8192")];

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// stockhold.
    Service,
    /// The naive peer.
    MysqlPeer,
    /// The usual flash-sale peer.
    SeckillPeer,
    /// The ceiling of calls.
    EmptyRpc,
}

impl System {
    pub(crate) const ALL: [Self; 4] = [Self::Service, Self::MysqlPeer, Self::SeckillPeer, Self::EmptyRpc];

    /// Its name in cells and plots.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "stockhold",
            Self::MysqlPeer | Self::SeckillPeer | Self::EmptyRpc => self.role(),
        }
    }

    /// The first argument of its process.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Service => "serve",
            Self::MysqlPeer => "peer-mysql",
            Self::SeckillPeer => "peer-seckill",
            Self::EmptyRpc => "empty-rpc",
        }
    }
}

/// A running system. It is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) port: u16,
    process: Process,
}

impl Running {
    /// Starts a system over the stores as they are.
    pub(crate) async fn start(system: System, world: &World) -> Self {
        let program = std::env::current_exe().expect("this program is a file");
        let port = free_port();
        let mut arguments = vec![
            system.role().to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--redis-url={}", world.redis_url()),
            format!("--database-url={}", world.database_url()),
        ];
        if system == System::Service {
            arguments.extend(SERVICE_FLAGS.map(|(flag, value)| format!("{flag}={value}")));
        }
        let log = world.home.join(format!("{}.log", system.role()));
        let environment = [("RUST_LOG", "warn".to_owned())];
        let mut process = Process::start(system.role(), &program, &arguments, &environment, &log);
        // Once the port is open, calls wait until they are served.
        process.until_up(START_MAX, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Self { port, process }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

//! Private servers for programs that test. Each server has a folder of its own and a free port, and ends with the
//! program.
//!
//! - [`patience`]: waiting for a state, with a bound.
//! - [`process`]: a server process, and where its program is.
//! - [`redis`], [`mariadb`]: the two stores.
//! - [`redis_cluster`]: a Redis Cluster, and moving its slots.
//! - [`proxy`]: a TCP proxy in front of a server, which breaks connections when it is told to.
//!
//! Deliberately absent: the service itself. Each program starts it with flags of its own.

// Only tests use these servers. A panic is how a test fails when its own servers do not do what they are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod patience;
pub mod process;

pub mod mariadb;
pub mod proxy;
pub mod redis;
pub mod redis_cluster;

//! Private servers for programs that test: each has a folder of its own and a free port, and ends with the program.
//!
//! - [`patience`]: waiting for a state, with a bound.
//! - [`process`]: a server process, and where its program is.
//! - [`redis`], [`mariadb`]: the two stores.
//! - [`redis_cluster`]: a Redis Cluster, and moving its slots.
//!
//! Deliberately absent: the service, whose flags are the business of whoever starts it.

// Those who start these servers are tests: a panic is how they fail when their own servers do not do what they are
// told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod patience;
pub mod process;

pub mod mariadb;
pub mod redis;
pub mod redis_cluster;

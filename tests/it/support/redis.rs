//! A connection to Redis that bypasses the service.

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};

/// Connects as `redis-cli` would.
pub(crate) async fn client(url: &str) -> Client {
    let config = Config::from_url(url).expect("a Redis URL");
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connects to Redis");
    client
}

/// Runs one command, with the first argument as its key.
pub(crate) async fn run<T: FromValue>(client: &Client, command: &'static str, args: &[&str]) -> T {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    client.custom(CustomCommand::new_static(command, ClusterHash::FirstKey, false), args).await.expect("Redis answers")
}

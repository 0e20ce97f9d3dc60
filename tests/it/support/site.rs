//! A service over a Redis and a database of its own, and what tests do to them past the service.

use bytes::{Buf, BufMut};
use sea_orm::{ConnectionTrait, TransactionTrait};
use stockhold_servers::redis::Redis;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;

use super::client::Caller;
use super::database::{self, TestDatabase};
use super::server::{Instance, TestService};

/// A service with its own Redis and database, and a caller.
pub(crate) struct Site {
    pub(crate) caller: Caller,
    pub(crate) service: TestService,
    pub(crate) redis: Redis,
    pub(crate) database: TestDatabase,
}

impl Site {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let (redis, database) = (Redis::private(&[]).await, database::mysql().await);
        let instance = Instance::with_stores(&redis.url(), "stockhold", &database.url);
        let service = arguments.iter().fold(instance, |instance, argument| instance.arg(argument)).start();
        let caller = Caller::connect(service.address()).await;
        Self { caller, service, redis, database }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.service.address())).expect("an address");
        endpoint.connect().await.expect("connects")
    }

    pub(crate) async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    pub(crate) async fn end(self) {
        drop(self.service);
        self.database.remove().await;
    }
}

pub(crate) fn is(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

/// Locks the row of sku `a`, so that a confirm of it waits until the transaction ends.
pub(crate) async fn lock_row(database: &TestDatabase) -> sea_orm::DatabaseTransaction {
    let transaction = database.connect().await.begin().await.expect("begins");
    let lock = "SELECT * FROM stock WHERE location = 'default' AND sku = 'a' FOR UPDATE";
    transaction.execute_unprepared(lock).await.expect("locks");
    transaction
}

/// Sends bytes as they are.
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        RawCodec
    }
    fn decoder(&mut self) -> Self {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

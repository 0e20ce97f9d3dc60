//! `stockhold stock …` and `stockhold reconcile`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::args::Units;
use super::call::{Call, Execute};
use super::client::Client;
use super::failure::{Failure, SAME_COMMAND};
use super::output::Output;
use super::table;
use crate::grpc::{PAGE_SIZE_MAX, v1};

/// What can be done with stock.
#[derive(Debug, Subcommand)]
pub enum Stock {
    /// Create skus or set their counted units, all items or none
    Set(Call<Set>),
    /// Add or remove units while selling goes on, all changes or none
    Adjust(Call<Adjust>),
    /// Show some skus
    Get(Call<Get>),
    /// Show all skus of the location
    List(Call<List>),
}

/// The id of a change of supply.
#[derive(Debug, Args)]
struct RequestId {
    /// Id of this change, which makes repeating it safe; random unless given
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestId {
    fn or_random(self) -> String {
        self.request_id.unwrap_or_else(|| Uuid::new_v4().to_string())
    }
}

/// The same command. It names the request id, because a random one is not on the command line.
fn same_with(request_id: &str) -> String {
    format!("the same command and --request-id {request_id}")
}

/// See [`Stock::Set`].
#[derive(Debug, Args)]
pub struct Set {
    /// The skus and how many units exist of each
    #[arg(required = true, value_name = "SKU=UNITS")]
    items: Vec<Units<i64>>,
    /// How far they may be sold down; positive keeps a safety stock, negative allows back-orders
    #[arg(long, value_name = "UNITS", default_value_t = 0, allow_negative_numbers = true)]
    floor: i64,
    /// Refuse new holds from now on
    #[arg(long)]
    retired: bool,
    /// Refuse unless the skus have this version; 0 means that they do not exist yet
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
    #[command(flatten)]
    request_id: RequestId,
}

impl Execute for Set {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request_id = self.request_id.or_random();
        let item = |item: Units<i64>| v1::SetStockItem {
            sku: item.sku,
            on_hand: item.units,
            floor: self.floor,
            expected_version: self.expected_version,
            retired: self.retired,
        };
        let request = client.request(v1::SetStockRequest {
            location: client.location.clone(),
            request_id: request_id.clone(),
            items: self.items.into_iter().map(item).collect(),
        });
        let answer = client.stock.set_stock(request).await;
        let answer = answer.map_err(|status| Failure::of_write(status, &same_with(&request_id)))?.into_inner();
        Ok(Output::new("SetStockResponse", &answer, table::stock(&answer.items)))
    }
}

/// See [`Stock::Adjust`].
#[derive(Debug, Args)]
pub struct Adjust {
    /// The skus and the units to add to each or to remove
    #[arg(required = true, value_name = "SKU=+UNITS|SKU=-UNITS")]
    changes: Vec<Units<i64>>,
    /// Why the units change, for the books, such as receipt or write-off
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    request_id: RequestId,
}

impl Execute for Adjust {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request_id = self.request_id.or_random();
        let change = |change: Units<i64>| v1::StockChange { sku: change.sku, delta: change.units };
        let request = client.request(v1::AdjustStockRequest {
            location: client.location.clone(),
            request_id: request_id.clone(),
            reason: self.reason,
            changes: self.changes.into_iter().map(change).collect(),
        });
        let answer = client.stock.adjust_stock(request).await;
        let answer = answer.map_err(|status| Failure::of_write(status, &same_with(&request_id)))?.into_inner();
        Ok(Output::new("AdjustStockResponse", &answer, table::stock(&answer.items)))
    }
}

/// See [`Stock::Get`].
#[derive(Debug, Args)]
pub struct Get {
    /// The skus
    #[arg(required = true, value_name = "SKU")]
    skus: Vec<String>,
}

impl Execute for Get {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request = client.request(v1::GetStockRequest { location: client.location.clone(), skus: self.skus });
        let answer = client.stock.get_stock(request).await.map_err(Failure::of_read)?.into_inner();
        Ok(Output::new("GetStockResponse", &answer, table::stock(&answer.items)))
    }
}

/// See [`Stock::List`].
#[derive(Debug, Args)]
pub struct List {}

impl Execute for List {
    /// All pages, joined to one answer.
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let mut all = v1::ListStockResponse::default();
        loop {
            let request = client.request(v1::ListStockRequest {
                location: client.location.clone(),
                page_size: PAGE_SIZE_MAX,
                page_token: all.next_page_token,
            });
            let page = client.stock.list_stock(request).await.map_err(Failure::of_read)?.into_inner();
            all.items.extend(page.items);
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() {
                return Ok(Output::new("ListStockResponse", &all, table::stock(&all.items)));
            }
        }
    }
}

/// See [`super::ClientCommand::Reconcile`].
#[derive(Debug, Args)]
pub struct Reconcile {
    /// Compare and report without repairing
    #[arg(long)]
    validate_only: bool,
}

impl Execute for Reconcile {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let request = client
            .request(v1::ReconcileRequest { location: client.location.clone(), validate_only: self.validate_only });
        let failure = |status| {
            if self.validate_only { Failure::of_read(status) } else { Failure::of_write(status, SAME_COMMAND) }
        };
        let answer = client.stock.reconcile(request).await.map_err(failure)?.into_inner();
        // The exit code tells a nightly job that a difference remains.
        let all_repaired = answer.repaired_count == answer.finding_count;
        let exit_code = if all_repaired { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok(Output::new("ReconcileResponse", &answer, table::findings(&answer)).exit_code(exit_code))
    }
}

//! `stockhold health`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::call::Execute;
use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::table;
use crate::grpc::health;

/// See [`super::ClientCommand::Health`].
#[derive(Debug, Args)]
pub struct Health {
    /// What to ask about; everything unless given
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Execute for Health {
    async fn execute(self, client: &mut Client) -> Result<Output, Failure> {
        let services =
            if self.services.is_empty() { health::names().map(str::to_owned).collect() } else { self.services };
        let mut statuses = Vec::new();
        for service in services {
            let request = client.request(HealthCheckRequest { service: service.clone() });
            let status = match client.health.check(request).await {
                Ok(answer) => answer.into_inner().status(),
                Err(status) if status.code() == Code::NotFound => ServingStatus::ServiceUnknown,
                Err(status) => return Err(Failure::of_read(status)),
            };
            statuses.push((service, status));
        }
        let all_serve = statuses.iter().all(|(_, status)| *status == ServingStatus::Serving);
        let services =
            statuses.iter().map(|(service, status)| json!({ "service": service, "status": status.as_str_name() }));
        let json = json!({ "services": services.collect::<Vec<_>>() });
        let exit_code = if all_serve { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok(Output::of_json(json, table::health(&statuses)).exit_code(exit_code))
    }
}

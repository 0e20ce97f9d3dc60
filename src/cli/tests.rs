use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
}

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_understood() {
    for line in [
        "stockhold serve",
        "stockhold migrate",
        "stockhold stock set sku-a=100 sku-b=50",
        "stockhold stock set sku-a=-5 --floor -20 --retired --expected-version 0 --request-id count-7",
        "stockhold stock adjust sku-a=+10 sku-b=-3 --reason receipt",
        "stockhold stock get sku-a sku-b",
        "stockhold stock list --addr 127.0.0.1:50051",
        "stockhold reserve order-1 sku-a=2 sku-b=1 --ttl 10m --location berlin --json",
        "stockhold confirm order-1",
        "stockhold confirm order-1 sku-a=1 --reacquire --timeout 500ms",
        "stockhold cancel order-1",
        "stockhold extend order-1 --by 5m",
        "stockhold extend order-1 --until 2026-11-22T16:00:00Z --reacquire",
        "stockhold show order-1",
        "stockhold reservations --sku sku-a",
        "stockhold reconcile --validate-only",
        "stockhold show order-1 --addr https://stock.internal --ca-file ca.pem",
        "stockhold health",
        "stockhold health stockhold.v1.StockService --json",
        "stockhold version",
        "stockhold completions bash",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("it failed"));
    }
}

#[test]
fn wrong_usage_is_refused_before_anything_is_sent() {
    for (line, kind) in [
        ("stockhold", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("stockhold stock set", ErrorKind::MissingRequiredArgument),
        ("stockhold stock set sku-a", ErrorKind::ValueValidation),
        ("stockhold stock set sku-a=many", ErrorKind::ValueValidation),
        ("stockhold stock adjust sku-a=+10", ErrorKind::MissingRequiredArgument),
        ("stockhold stock get", ErrorKind::MissingRequiredArgument),
        ("stockhold reserve order-1", ErrorKind::MissingRequiredArgument),
        ("stockhold reserve order-1 sku-a=-1", ErrorKind::ValueValidation),
        ("stockhold reserve order-1 sku-a=1 --ttl soon", ErrorKind::ValueValidation),
        ("stockhold reserve order-1 sku-a=1 --addr ftp://host:1", ErrorKind::ValueValidation),
        ("stockhold reserve order-1 sku-a=1 --timeout 0s", ErrorKind::ValueValidation),
        ("stockhold extend order-1", ErrorKind::MissingRequiredArgument),
        ("stockhold extend order-1 --by 5m --until 2026-11-22T16:00:00Z", ErrorKind::ArgumentConflict),
        ("stockhold serve --json", ErrorKind::UnknownArgument),
        ("stockhold completions", ErrorKind::MissingRequiredArgument),
        ("stockhold completions cmd", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).map_err(|error| error.kind()).err(), Some(kind), "{line}");
    }
}

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeArgs,
}

fn resolve(flags: &[&str]) -> Result<Config, String> {
    let flags = Flags::try_parse_from(["serve"].iter().chain(flags)).map_err(|error| error.to_string())?;
    flags.serve.resolve().map_err(|error| error.to_string())
}

#[test]
fn without_flags_it_is_the_embedded_default() {
    let config = resolve(&[]).expect("a configuration");
    assert_eq!(config.ledger.url, "sqlite://stockhold.db?mode=rwc");
    assert!(config.redis.is_none() && config.warnings().is_empty());
    assert_eq!((config.database_name().as_str(), config.redis_name()), ("the database sqlite://stockhold.db", None));
}

#[test]
fn a_wrong_value_is_named_in_one_line() {
    for (flags, text) in [
        (&["--ttl-min", "20m"][..], "--ttl-min (20m) must not be longer than --ttl-default (10m)"),
        (&["--ttl-max", "5m"], "--ttl-default (10m) must not be longer than --ttl-max (5m)"),
        (&["--ttl-max", "25h"], "--ttl-max (1day 1h) must not be longer than --lifetime-max (1day)"),
        (&["--deadline-max", "10ms"], "--redis-timeout (1s) must not be longer than --deadline-max (10ms)"),
        (&["--ttl-min", "0s"], "must be at least 1ms and at most ten years"),
        (&["--ttl-min", "11y"], "must be at least 1ms and at most ten years"),
        (&["--retention", "500us"], "must be at least 1ms and at most ten years"),
        (&["--ttl-min", "soon"], "write 500ms, 10s, 5m or 1h 30m"),
        (&["--concurrency-max", "0"], "must be 1 to 1000000"),
        (&["--concurrency-max", "-1"], "unexpected argument"),
        (&["--database-connections", "5"], "5 is not in 6..=1000000"),
        (&["--redis-prefix", "a{b"], "none of them { or }"),
        (&["--listen", "localhost:50051"], "write an IP address and a port"),
        (&["--database-url", "mysql://app:secret@db"], "must name a database"),
        (&["--database-url", "mysql://app:sec/ret@db:3306/d"], "write %40 for @, %2F for /"),
        (&["--database-url", "mysql://app:sec?ret@db:3306/d"], "write %40 for @, %2F for /"),
        (&["--database-url", "mysql://app:sec@ret/secret@db/d"], "write %40 for @, %2F for /"),
        (&["--database-url", "mysql://app:secret/d"], "write %40 for @, %2F for /"),
        (&["--redis-url", "redis://:sec/ret@h"], "write %40 for @, %2F for /"),
        (&["--redis-url", "redis://:secret"], "write %40 for @, %2F for /"),
        (&["--redis-url", "redis://"], "has no host:port"),
        (&["--redis-url", "redis://h?ssl-ca=/ca.pem"], "has a parameter, and takes none"),
        (&["--redis-url", "redis://h/shop"], "names a database that is not a number of 0 to 255"),
        (&["--redis-url", "redis-cluster://h?nodes=i:1"], "unknown parameter; known are node"),
        (&["--redis-url", "redis-sentinel://h?node=i:1"], "?sentinelServiceName=NAME"),
        (&["--redis-url-file", "redis://:secret@h"], "a file must be named"),
        (
            &["--database-url", "mysql://app@db/d?charset=utf8mb4&ssl_mode=VERIFY_CA"],
            "unknown parameter; known are ssl-mode,",
        ),
        (&["--database-url", "sqlite::memory:"], "must name a file"),
        (&["--database-url", "sqlite://f?mode=memory"], "must name a file"),
        (&["--database-url", "postgres://u:secret@h/d?x=secret"], "is postgres://***@h/d"),
        (&["--redis-url", "http://:secret@h"], "is http://***@h"),
        (&["--redis-url", "redis://h", "--redis-url-file", "/f"], "cannot be used with"),
        (&["--database-url-file", "/nowhere/url"], "/nowhere/url: No such file"),
    ] {
        let error = resolve(flags).err().unwrap_or_else(|| panic!("{flags:?} was accepted"));
        assert!(error.contains(text), "{flags:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn urls_come_from_files_too() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "redis://:secret@h\n").expect("writes");
    let config = resolve(&["--redis-url-file", &file.path().display().to_string()]).expect("a configuration");
    assert_eq!(config.redis.as_ref().map(|redis| &*redis.url), Some("redis://:secret@h"));
    assert_eq!(config.redis_name().as_deref(), Some("Redis at redis://***@h"));
    assert_eq!(config.warnings().len(), 1, "Redis can be shared, the file cannot");
}

#[test]
fn passwords_are_not_public() {
    for (url, public) in [
        ("mysql://app:secret@db:3306/shop?ssl-mode=required", "mysql://***@db:3306/shop"),
        ("mysql://app:sec/ret@secret@db/shop", "mysql://***@db/shop"),
        ("mysql://app:secret:secret@db/shop", "mysql://***@db/shop"),
        ("mysql://app:sec?ret@db/shop", "mysql://***"),
        ("mysql://app:sec#ret@db/shop", "mysql://***"),
        ("mysql://app:sec@ret?ret@db/shop", "mysql://***"),
        ("mysql://db/shop?password=sec@ret", "mysql://***"),
        ("mysql://db/shop?user=app&password=secret", "mysql://db/shop"),
        ("mysql://app:secret/shop", "mysql://***"),
        ("mysql://app:secret", "mysql://***"),
        ("redis://:secret", "redis://***"),
        ("redis://db:6379/0", "redis://db:6379/0"),
        ("redis://secret@db", "redis://***@db"),
        ("redis://:secret@db", "redis://***@db"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
        ("redis-sentinel://app:secret@h1,h2?sentinelPassword=secret", "redis-sentinel://***@h1,h2"),
        ("secret", "no URL"),
        ("app:secret@db", "no URL"),
        ("", "no URL"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("sqlite:stock@home.db?mode=rwc", "sqlite:stock@home.db"),
        ("sqlite:///var/lib/stock.db?mode=rwc", "sqlite:///var/lib/stock.db"),
    ] {
        assert_eq!(PublicUrl(url).to_string(), public, "{url}");
        let flags = format!("{:?}", Flags::parse_from(["serve", "--database-url", url]));
        assert!(flags.contains(public) && !["sec", "ret@", "app"].iter().any(|part| flags.contains(part)), "{flags}");
    }
}

//! The URLs of the stores: what they must have, and how they are shown without secrets.

use std::fmt;

/// The parameters that the driver knows; it would ignore others, such as a misspelt `ssl-mode`.
const MYSQL_PARAMETERS: [&str; 14] = [
    "ssl-mode",
    "sslmode",
    "ssl-ca",
    "sslca",
    "ssl-cert",
    "sslcert",
    "ssl-key",
    "sslkey",
    "charset",
    "collation",
    "socket",
    "statement-cache-capacity",
    "timezone",
    "time-zone",
];

/// The parameter that names the set of a Sentinel's primary.
const SENTINEL_SET: &str = "sentinelServiceName";

/// The kinds of Redis URLs, each with the parameters that the client knows. It would ignore others.
const REDIS_KINDS: [(&[&str], &[&str]); 3] = [
    (&["redis", "rediss"], &[]),
    (&["redis-cluster", "rediss-cluster"], &["node"]),
    (&["redis-sentinel", "rediss-sentinel"], &["node", SENTINEL_SET, "sentinelUsername", "sentinelPassword"]),
];

/// Checks the URL of a database server.
pub(super) fn check_mysql(url: &str) -> Result<(), String> {
    let Some(("mysql", rest)) = url.split_once("://") else {
        return Err("must begin with mysql:// or sqlite:".to_owned());
    };
    check_escapes(rest)?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if place.split_once('/').is_none_or(|(_, database)| database.is_empty()) {
        return Err("must name a database, mysql://user:password@host:3306/database".to_owned());
    }
    check_parameters(parameters, &MYSQL_PARAMETERS)
}

/// Checks the URL of a Redis.
pub(super) fn check_redis(url: &str) -> Result<(), String> {
    let kind = url.split_once("://").and_then(|(scheme, rest)| {
        let known = REDIS_KINDS.iter().find(|(schemes, _)| schemes.contains(&scheme));
        known.map(|(_, parameters)| (rest, *parameters))
    });
    let Some((rest, known)) = kind else {
        return Err("must begin with redis://, rediss:// or their -cluster or -sentinel forms".to_owned());
    };
    check_escapes(rest)?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    check_parameters(parameters, known)?;
    let database = place.split_once('/').map_or("", |(_, database)| database);
    if !database.is_empty() && database.parse::<u8>().is_err() {
        return Err("names a database that is not a number of 0 to 255".to_owned());
    }
    if known.contains(&SENTINEL_SET) && !names(parameters).any(|name| name == SENTINEL_SET) {
        return Err(format!("must say which primary the sentinels watch: ?{SENTINEL_SET}=NAME"));
    }
    Ok(())
}

/// A user or password with a character that ends a part of a URL makes another host of what follows it.
fn check_escapes(rest: &str) -> Result<(), String> {
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if !after.contains('@') && place.split(',').all(is_host) {
        return Ok(());
    }
    Err("has no host:port where it should be. In a user or a password write %40 for @, %2F for /, %3A for :, %3F for ? \
         and %23 for #"
        .to_owned())
}

fn check_parameters(parameters: &str, known: &[&str]) -> Result<(), String> {
    match names(parameters).find(|name| !known.contains(name)) {
        Some(_) if known.is_empty() => Err("has a parameter, and takes none".to_owned()),
        Some(_) => Err(format!("has an unknown parameter; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn names(parameters: &str) -> impl Iterator<Item = &str> {
    let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    names.filter(|name| !name.is_empty())
}

/// A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if let Some((address, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let address = address.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
        return address && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    name && port.is_none_or(is_port)
}

/// A URL on the command line, whose secrets are not for the eye.
#[derive(Clone)]
pub(super) struct Url(pub(super) String);

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&PublicUrl(&self.0), f)
    }
}

/// A URL as it may be logged: without user and password, and without parameters, where some drivers take passwords too.
/// A password that was not escaped may hold any character that ends a part of a URL. Where it is unclear what is what,
/// everything is hidden.
pub(super) struct PublicUrl<'a>(pub(super) &'a str);

impl fmt::Display for PublicUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, parameters) = self.0.split_at(self.0.find(['?', '#']).unwrap_or(self.0.len()));
        // The rest is a path, in which every character may be.
        if url.starts_with("sqlite:") {
            return f.write_str(url);
        }
        let Some((scheme, rest)) = url.split_once("://") else { return f.write_str("no URL") };
        let (secrets, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("***@", place));
        let (hosts, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let is_path = path.chars().all(|c| c.is_ascii_alphanumeric() || "/.-_$%".contains(c));
        if parameters.contains('@') || !is_path || !hosts.split(',').all(is_host) {
            return write!(f, "{scheme}://***");
        }
        write!(f, "{scheme}://{secrets}{place}")
    }
}

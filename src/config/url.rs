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

pub(super) fn check_mysql(url: &str) -> Result<(), String> {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    // Slashes in a password do not count.
    let place = place.rsplit('@').next().unwrap_or_default().trim_start_matches("mysql://");
    if place.split_once('/').is_none_or(|(_, database)| database.is_empty()) {
        return Err("must name a database, mysql://user:password@host:3306/database".to_owned());
    }
    let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    match names.filter(|name| !name.is_empty()).find(|name| !MYSQL_PARAMETERS.contains(name)) {
        Some(_) => Err(format!("has an unknown parameter; known are {}", MYSQL_PARAMETERS.join(", "))),
        None => Ok(()),
    }
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
/// A password that was not escaped may hold any character that ends a part of a URL; where that makes it unclear what
/// is what, all is hidden.
pub(super) struct PublicUrl<'a>(pub(super) &'a str);

impl fmt::Display for PublicUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, parameters) = self.0.split_at(self.0.find(['?', '#']).unwrap_or(self.0.len()));
        // A path and no more, in which every character may be.
        if url.starts_with("sqlite:") {
            return f.write_str(url);
        }
        let Some((scheme, rest)) = url.split_once("://") else { return f.write_str("no URL") };
        match rest.rsplit_once('@') {
            _ if parameters.contains('@') => write!(f, "{scheme}://***"),
            Some((_, place)) => write!(f, "{scheme}://***@{place}"),
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

//! Names chosen by callers, compared byte for byte in every store. A value of one of these types is within its bounds.

use std::fmt;
use std::sync::Arc;

/// The longest id, sku or location, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// The location of a request that names none.
pub const DEFAULT_LOCATION: &str = "default";

/// Says what is wrong with a name, or nothing.
fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is required".into());
    }
    if text.len() > ID_BYTES_MAX {
        return Err(format!("must have at most {ID_BYTES_MAX} bytes, has {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".into());
    }
    // Stores and people trim or pad white space; two ids must never become one that way.
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err("must not begin or end with white space".into());
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as the caller wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

macro_rules! parse {
    ($name:ident) => {
        impl $name {
            /// Checks the bounds: 1 to 128 bytes, no control characters, no white space at the ends. The error says
            /// which one is broken.
            pub fn parse(text: &str) -> Result<Self, String> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }
    };
}

name! {
    /// A pool of stock: the unit of atomicity and of scale.
    Location
}
name! {
    /// A thing that can be counted, unique within its location.
    Sku
}
name! {
    /// A reservation's id, chosen by the caller, unique within its location for ever.
    ReservationId
}
name! {
    /// The id of a change of supply, chosen by the caller, unique within its location for ever.
    RequestId
}
parse!(Sku);
parse!(ReservationId);
parse!(RequestId);

impl Location {
    /// As the other names, but empty means `default`, and `{` and `}` are refused: they would change the Redis hash
    /// tag.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(DEFAULT_LOCATION.into()));
        }
        check(text)?;
        if text.contains(['{', '}']) {
            return Err("must not contain { or }".into());
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_byte_for_byte_or_refused() {
        for good in ["a", "Order-A", "order-a", "é", "e\u{301}", "a b", &"x".repeat(128)] {
            assert_eq!(Sku::parse(good).map(|sku| sku.as_str().to_owned()), Ok(good.to_owned()));
        }
        for (bad, reason) in [
            ("", "required"),
            (" a", "white space"),
            ("a\u{a0}", "white space"),
            ("a\tb", "control"),
            ("a\u{85}b", "control"),
            (&"é".repeat(65), "at most 128 bytes, has 130"),
        ] {
            let error = Sku::parse(bad).expect_err(bad);
            assert!(error.contains(reason), "{bad:?}: {error}");
        }
    }

    #[test]
    fn an_empty_location_is_the_default_one_and_braces_are_refused() {
        assert_eq!(Location::parse("").map(|l| l.as_str().to_owned()), Ok("default".into()));
        assert!(Location::parse("a{b").is_err());
        assert!(Location::parse("a}b").is_err());
    }
}

//! JSON Pointers (RFC 6901) on a text: several of them found in one pass, as slices, without a tree of values.

#[cfg(test)]
mod differential;
mod find;

use std::str::FromStr;

use thiserror::Error;

pub(crate) use find::Finder;

/// Names on the way: no frame is nested deeper.
const MAX_NAMES: usize = 128;

/// Where a value stands in a JSON text, as RFC 6901 writes it: `/items/0/id`; the empty pointer is the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    names: Vec<String>,
}

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PointerError {
    /// Only the empty pointer begins with nothing.
    #[error(
        "must be a JSON Pointer, which begins with \"/\" as in \"/eventBody/id\", or is empty for the whole frame"
    )]
    Start,
    /// RFC 6901 knows `~0` and `~1`.
    #[error("holds a \"~\" that is followed by neither 0 (for \"~\") nor 1 (for \"/\")")]
    Escape,
    /// Deeper than any frame.
    #[error("must be at most 128 names")]
    TooLong,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// If it is none, or names more than 128 members on its way.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self { names: Vec::new() });
        }
        let names = text.strip_prefix('/').ok_or(PointerError::Start)?.split('/');
        let names: Vec<String> = names.map(unescape).collect::<Result<_, _>>()?;
        if names.len() > MAX_NAMES {
            return Err(PointerError::TooLong);
        }
        Ok(Self { names })
    }

    /// Members on the way, outermost first.
    pub(crate) fn members(names: &[&str]) -> Self {
        Self { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// Whether it is the whole text.
    pub(crate) fn is_whole(&self) -> bool {
        self.names.is_empty()
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        Self::parse(text)
    }
}

fn unescape(written: &str) -> Result<String, PointerError> {
    let mut name = String::with_capacity(written.len());
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerError::Escape),
            },
            other => other,
        });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_rfc_6901_writes_them() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("/", &[""]),
            ("/foo", &["foo"]),
            ("/foo/0", &["foo", "0"]),
            ("/a~1b", &["a/b"]),
            ("/m~0n", &["m~n"]),
            ("/~01", &["~1"]),
            ("/c%d/ /k\"l//", &["c%d", " ", "k\"l", "", ""]),
        ];
        for (text, names) in table {
            assert_eq!(Pointer::parse(text).unwrap().names, *names, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_a_reason() {
        let table = [
            ("foo", PointerError::Start),
            ("#/foo", PointerError::Start),
            ("$.foo", PointerError::Start),
            ("/a~", PointerError::Escape),
            ("/a~2b", PointerError::Escape),
            ("/~/a", PointerError::Escape),
        ];
        for (text, why) in table {
            assert_eq!(Pointer::parse(text), Err(why), "{text:?}");
        }
        assert!(Pointer::parse(&"/a".repeat(MAX_NAMES)).is_ok());
        assert_eq!(Pointer::parse(&"/a".repeat(MAX_NAMES + 1)), Err(PointerError::TooLong));
    }
}

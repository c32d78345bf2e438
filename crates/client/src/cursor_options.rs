//! The option `cursor`.

use std::path::PathBuf;

use serde_json::value::RawValue;

use crate::given::Given;
use crate::options::OptionError;

/// Where the position is kept from which a later process goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CursorOptions {
    /// In this file.
    File(PathBuf),
    /// By two functions of the caller's.
    Functions,
}

/// Checks what JavaScript sent: `{"kind":"file","path":…}` or `{"kind":"functions"}`.
pub(crate) fn read(value: &RawValue) -> Result<CursorOptions, OptionError> {
    let mut given = Given::read("cursor", value)?;
    let kind = given.text("kind")?;
    let options = match kind.as_deref() {
        Some("functions") => CursorOptions::Functions,
        Some("file") => {
            let path = given.text("path")?;
            let path =
                path.ok_or_else(|| given.error("path", "is missing: the file to keep the position in"))?;
            if path.is_empty() || path.contains('\0') {
                return Err(given.error("path", "must be the path of a file"));
            }
            CursorOptions::File(PathBuf::from(path))
        }
        _ => return Err(given.error("kind", "must be \"file\" or \"functions\"")),
    };
    given.end()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<CursorOptions, OptionError> {
        read(&serde_json::from_str::<Box<RawValue>>(json).unwrap())
    }

    #[test]
    fn a_file_or_functions_keep_the_position() {
        assert_eq!(of(r#"{"kind":"file","path":"/c/x"}"#), Ok(CursorOptions::File(PathBuf::from("/c/x"))));
        assert_eq!(of(r#"{"kind":"functions"}"#), Ok(CursorOptions::Functions));
        for (json, path) in [
            ("7", "cursor"),
            ("{}", "cursor.kind"),
            (r#"{"kind":"redis"}"#, "cursor.kind"),
            (r#"{"kind":7}"#, "cursor.kind"),
            (r#"{"kind":"file"}"#, "cursor.path"),
            (r#"{"kind":"file","path":""}"#, "cursor.path"),
            (r#"{"kind":"file","path":"a\u0000b"}"#, "cursor.path"),
            (r#"{"kind":"file","path":["a"]}"#, "cursor.path"),
            (r#"{"kind":"functions","path":"x"}"#, "cursor.path"),
            (r#"{"kind":"file","path":"x","every":1}"#, "cursor.every"),
        ] {
            assert_eq!(of(json).unwrap_err().path, path, "{json}");
        }
    }
}

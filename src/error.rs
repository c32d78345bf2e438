use genesys_notifications_client::OptionError;
use serde::Serialize;

/// `code` of an error whose message is `{"path":…,"message":…}`.
const INVALID_OPTION: &str = "INVALID_OPTION";
const INTERNAL: &str = "INTERNAL";

/// An error with a stable `code`, as JavaScript sees it.
pub(crate) type Error = napi::Error<&'static str>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

pub(crate) fn invalid(error: &OptionError) -> Error {
    invalid_at(&error.path, &error.message)
}

pub(crate) fn invalid_at(path: &str, message: &str) -> Error {
    Error::new(INVALID_OPTION, serde_json::json!({ "path": path, "message": message }).to_string())
}

pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(INTERNAL, error.to_string())
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}

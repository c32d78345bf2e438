use std::io;

use serde::de::DeserializeOwned;

/// Why the simulator refused to do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// An option, a fault rule or an argument is not valid; `path` names the field, for example
    /// `clients[0].secret` or `fault.action.kind`.
    #[error("{path}: {message}")]
    Invalid {
        /// The field that is wrong.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The port on 127.0.0.1 could not be opened.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port asked for; 0 for any.
        port: u16,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The simulator's own thread or runtime could not be started.
    #[error("cannot start the simulator's runtime: {0}")]
    Runtime(#[source] io::Error),
    /// No certificate could be made for the option `tls`.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The simulator was stopped.
    #[error("the simulator is stopped")]
    Stopped,
}

impl SimError {
    pub(crate) fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.into(), message: message.into() }
    }
}

/// Parses JSON; an error names the path of the field below `root`.
pub(crate) fn parse<T: DeserializeOwned>(root: &str, text: &str) -> Result<T, SimError> {
    // Serde would also take a list for a struct, field by field.
    if !text.trim_start().starts_with('{') {
        return Err(SimError::invalid(root, "must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| located(root, &error))?;
    json.end().map_err(|error| SimError::invalid(root, without_position(&error)))?;
    Ok(value)
}

/// Like [`parse`], from a value that is already JSON.
pub(crate) fn parse_value<T: DeserializeOwned>(root: &str, value: serde_json::Value) -> Result<T, SimError> {
    serde_path_to_error::deserialize(value).map_err(|error| located(root, &error))
}

fn located(root: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> SimError {
    let field = error.path().to_string();
    let path = match (root, field.as_str()) {
        (root, ".") => root.to_owned(),
        ("options", field) => field.to_owned(),
        (root, field) => format!("{root}.{field}"),
    };
    SimError::invalid(path, without_position(error.inner()))
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

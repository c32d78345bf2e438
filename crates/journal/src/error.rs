//! Why a journal cannot be opened or read.

use thiserror::Error;

/// Why a journal cannot be opened; says what to do. Names the file, not its directory.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An option out of its range.
    #[error("journal.{field} {reason}")]
    Option {
        /// The option.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// Another client holds the journal.
    #[error(
        "journal '{file}' is in use by {}; give every client a journal of its own, or stop the other one first",
        .pid.map_or_else(|| "another client".to_owned(), |pid| format!("process {pid}"))
    )]
    Busy {
        /// The file.
        file: String,
        /// Who holds it, if it can be told.
        pid: Option<u32>,
    },
    /// A symbolic link, a directory or a device where a file should be.
    #[error("journal '{file}' {what}; name a regular file of your own")]
    NotAFile {
        /// The file.
        file: String,
        /// What it is.
        what: &'static str,
    },
    /// Others can read the file and that cannot be changed.
    #[error(
        "journal '{file}' can be read by others and its mode cannot be changed to 0600 ({source}); change its owner or its mode"
    )]
    Exposed {
        /// The file.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A network file system, which keeps neither locks nor order.
    #[error(
        "journal '{file}' lies on a network file system ({kind}), which can corrupt it; choose a path on a local disk"
    )]
    Network {
        /// The file.
        file: String,
        /// For example `nfs`.
        kind: String,
    },
    /// Not a journal.
    #[error("'{file}' is not a journal but {what}; it was left untouched, choose another path")]
    Foreign {
        /// The file.
        file: String,
        /// What it is.
        what: &'static str,
    },
    /// Written by another version.
    #[error(
        "journal '{file}' has schema {found}, this version knows {known}; it was left untouched, {}",
        if .found > .known { "update the package or choose another path" } else { "choose another path" }
    )]
    Version {
        /// The file.
        file: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Damaged beyond what can be saved.
    #[error(
        "journal '{file}' is damaged beyond what can be saved here ({detail}); it was left untouched: move it away and \
         keep it, `sqlite3 {file} .recover` may read more, then start again"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What was found.
        detail: String,
    },
    /// The system refused.
    #[error(
        "cannot {action} journal '{file}': {source}; the process needs to read and write the file and its directory"
    )]
    Io {
        /// The file.
        file: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot {action} journal '{file}': {detail}; check the disk's space and health")]
    Database {
        /// The file.
        file: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        detail: String,
    },
}

impl OpenError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Option { .. } => "option",
            Self::Busy { .. } => "busy",
            Self::NotAFile { .. } => "not_a_file",
            Self::Exposed { .. } => "exposed",
            Self::Network { .. } => "network",
            Self::Foreign { .. } => "foreign",
            Self::Version { .. } => "version",
            Self::Damaged { .. } => "damaged",
            Self::Io { .. } => "io",
            Self::Database { .. } => "database",
        }
    }
}

/// Why a journal could not be read on.
#[derive(Debug, Error)]
#[error("cannot read journal '{file}': {detail}")]
pub struct ReadError {
    /// The file.
    pub file: String,
    /// Why not.
    pub detail: String,
}

//! Where a journal lies: its directory, its files and their modes, and the lock that makes it one client's.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::network;

/// First line of a lock file.
const SIGNATURE: &str = "genesys-notifications journal lock";

/// A journal's place on the disk, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    /// The file, in a directory without symbolic links.
    pub(crate) path: PathBuf,
    /// Its name, for messages.
    pub(crate) name: String,
    /// What the lock file said before.
    pub(crate) before: Option<LockNote>,
    lock: File,
}

/// What a lock file says beside the lock itself. Not synced: it survives a crash of the process, maybe not a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockNote {
    pub(crate) pid: Option<u32>,
    /// Highest sequence that was committed.
    pub(crate) last: u64,
    /// The database was found damaged while in use.
    pub(crate) suspect: bool,
}

impl Place {
    /// Makes the directory, refuses what is no place for a journal, and locks it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let file_name = path.file_name().unwrap_or_default().to_owned();
        let name = file_name.to_string_lossy().into_owned();
        let failed = |action| {
            let file = name.clone();
            move |source| OpenError::Io { file, action, source }
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_directory(directory).map_err(failed("create the directory of"))?;
        let directory = fs::canonicalize(directory).map_err(failed("find the directory of"))?;
        if let Some(kind) = network::kind_of(&directory) {
            return Err(OpenError::Network { file: name, kind });
        }
        let path = directory.join(&file_name);
        refuse_what_is_no_file(&path, &name)?;

        let lock_path = beside(&path, ".lock");
        refuse_what_is_no_file(&lock_path, &format!("{name}.lock"))?;
        let mut lock = open_file(&lock_path, true).map_err(failed("open the lock file of"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = LockNote::read(&mut lock).and_then(|note| note.pid);
                return Err(OpenError::Busy { file: name, pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let before = LockNote::read(&mut lock);
        tighten(&lock, &name)?;
        Ok(Self { path, name, before, lock })
    }

    /// A file beside the journal.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }

    /// Creates the file if there is none, and makes it and SQLite's own files unreadable for others.
    pub(crate) fn create_or_tighten(&self) -> Result<(), OpenError> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let path = self.beside(suffix);
            let name = format!("{}{suffix}", self.name);
            refuse_what_is_no_file(&path, &name)?;
            match open_file(&path, suffix.is_empty()) {
                Ok(file) => tighten(&file, &name)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                Err(source) => return Err(OpenError::Io { file: name, action: "open", source }),
            }
        }
        Ok(())
    }

    /// Writes what the next run should know if this one dies.
    pub(crate) fn write(&mut self, last: u64, suspect: bool) {
        let text = format!(
            "{SIGNATURE}\npid={:010}\nlast={last:020}\nsuspect={}\n",
            std::process::id(),
            u8::from(suspect)
        );
        // A help, not a promise: the journal works without it.
        let _ = self.lock.seek(SeekFrom::Start(0)).and_then(|_| self.lock.write_all(text.as_bytes()));
    }

    /// Makes renames and new files in the directory durable.
    pub(crate) fn sync_directory(&self) {
        #[cfg(unix)]
        if let Some(directory) = self.path.parent() {
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
        }
    }
}

impl LockNote {
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(256).read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        if lines.next()? != SIGNATURE {
            return None;
        }
        let mut note = Self::default();
        for line in lines {
            match line.split_once('=')? {
                ("pid", value) => note.pid = value.parse().ok(),
                ("last", value) => note.last = value.parse().ok()?,
                ("suspect", value) => note.suspect = value == "1",
                _ => {}
            }
        }
        Some(note)
    }
}

/// `journal.db` and `-wal` give `journal.db-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}

fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn refuse_what_is_no_file(path: &Path, name: &str) -> Result<(), OpenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let what = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => "is a symbolic link",
        kind if kind.is_dir() => "is a directory",
        _ => "is a device or pipe",
    };
    Err(OpenError::NotAFile { file: name.to_owned(), what })
}

/// Opens for reading and writing, without following a symbolic link that came in between.
fn open_file(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    options.open(path)
}

#[cfg(unix)]
fn tighten(file: &File, name: &str) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt;
    let exposed = |source| OpenError::Exposed { file: name.to_owned(), source };
    let mode = file.metadata().map_err(exposed)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(exposed)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn tighten(_file: &File, _name: &str) -> Result<(), OpenError> {
    // The directory's access list is inherited; a profile's directories are their owner's.
    Ok(())
}

//! The file that keeps a cursor: replaced as a whole or not at all, unreadable for others, and one client's.
//!
//! It holds `{"checksum":"<CRC-32 of the cursor's text, in hexadecimal>","cursor":{…}}`. The lock is a file beside it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_notifications_journal::checksum;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A file until it is given up, and the save that is under way.
#[derive(Debug)]
pub(crate) struct FileStore {
    slot: Mutex<Slot>,
    idle: Condvar,
}

#[derive(Debug)]
struct Slot {
    file: Option<Arc<CursorFile>>,
    is_busy: bool,
}

/// One save; gives the file back when it is dropped, wherever that is.
pub(crate) struct Saving {
    store: Arc<FileStore>,
    file: Option<Arc<CursorFile>>,
}

/// A cursor with all it can remember is a tenth of it.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content<'a> {
    checksum: String,
    #[serde(borrow)]
    cursor: &'a RawValue,
}

/// A cursor's place on the disk, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct CursorFile {
    /// In a directory without symbolic links.
    path: PathBuf,
    _lock: File,
}

impl FileStore {
    pub(crate) fn new(file: CursorFile) -> Arc<Self> {
        let slot = Slot { file: Some(Arc::new(file)), is_busy: false };
        Arc::new(Self { slot: Mutex::new(slot), idle: Condvar::new() })
    }

    /// Begins a save, of which there is one at a time; nothing if the file was given up.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Saving> {
        let mut slot = self.slot();
        let file = slot.file.clone()?;
        slot.is_busy = true;
        Some(Saving { store: self.clone(), file: Some(file) })
    }

    /// Gives the file up, so that another client may have it: at once, or when a save that is under way has ended, for which this
    /// waits so long.
    pub(crate) fn release(&self, patience: Duration) {
        let mut slot = self.slot();
        slot.file = None;
        let _ = self.idle.wait_timeout_while(slot, patience, |slot| slot.is_busy);
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Saving {
    /// As [`CursorFile::save`].
    pub(crate) fn save(self, cursor: &str) -> io::Result<()> {
        match &self.file {
            Some(file) => file.save(cursor),
            None => Ok(()),
        }
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.file = None;
        self.store.slot().is_busy = false;
        self.store.idle.notify_all();
    }
}

impl CursorFile {
    /// Takes the file for this client, and reads the cursor that an earlier process has left in it. The directory is made if
    /// there is none.
    ///
    /// # Errors
    /// In words for the option `cursor.path`, which never hold what is in the file.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<String>), String> {
        let name = path.file_name().ok_or("must be the path of a file")?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_directory(directory).map_err(|error| format!("its directory cannot be made: {error}"))?;
        let directory =
            fs::canonicalize(directory).map_err(|error| format!("its directory cannot be found: {error}"))?;
        let path = directory.join(name);
        refuse_what_is_no_file(&path)?;
        let lock = lock(&beside(&path, ".lock"))?;
        let file = Self { path, _lock: lock };
        let found = file.read()?;
        Ok((file, found))
    }

    /// Replaces the cursor. Blocks until it is on the disk; a crash at any instant leaves the one before or this one.
    ///
    /// # Errors
    /// If it is not certain to be there.
    pub(crate) fn save(&self, cursor: &str) -> io::Result<()> {
        let content = Content { checksum: sum(cursor), cursor: serde_json::from_str(cursor)? };
        let mut text = serde_json::to_vec(&content)?;
        text.push(b'\n');
        let next = beside(&self.path, ".new");
        // Of a process that died in between.
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = own(OpenOptions::new().write(true).create_new(true)).open(&next)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&next, &self.path)?;
        self.sync_directory()
    }

    fn read(&self) -> Result<Option<String>, String> {
        let corrupt = |what: &str| {
            format!(
                "the file is damaged ({what}): put back a sound copy, or remove it to begin without a position, which may \
                 cost the events since"
            )
        };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the file cannot be opened: {error}")),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("the file cannot be read: {error}"))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(corrupt("it is longer than any cursor"));
        }
        if bytes.is_empty() {
            return Err(corrupt("it is empty"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| corrupt("it is no text"))?;
        let content: Content<'_> =
            serde_json::from_str(text).map_err(|_| corrupt("it does not hold a cursor"))?;
        if content.checksum != sum(content.cursor.get()) {
            return Err(corrupt("its checksum does not fit"));
        }
        Ok(Some(content.cursor.get().to_owned()))
    }

    /// Makes the rename durable.
    #[cfg(unix)]
    fn sync_directory(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

fn sum(cursor: &str) -> String {
    format!("{:08x}", checksum(cursor))
}

fn lock(path: &Path) -> Result<File, String> {
    refuse_what_is_no_file(path)?;
    let file = own(OpenOptions::new().write(true).create(true).truncate(false))
        .open(path)
        .map_err(|error| format!("its lock cannot be opened: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another client uses the file: each needs one of its own".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("it cannot be locked: {error}")),
    }
}

/// What it creates is for the owner only.
fn own(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn refuse_what_is_no_file(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_file() => {
            Err("is not a file: directories, symbolic links and devices are refused".to_owned())
        }
        _ => Ok(()),
    }
}

/// `cursor.json` and `.new` give `cursor.json.new`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = r#"{"version":1,"position":"é-7"}"#;

    fn found(path: &Path) -> Result<Option<String>, String> {
        CursorFile::open(path).map(|(_, found)| found)
    }

    #[test]
    fn what_was_saved_last_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/for it/cursor.json");
        let (file, none) = CursorFile::open(&path).unwrap();
        assert_eq!(none, None);
        file.save(r#"{"position":"6"}"#).unwrap();
        file.save(CURSOR).unwrap();
        drop(file);
        assert_eq!(found(&path).unwrap().as_deref(), Some(CURSOR));
        // Reading it changes nothing.
        assert_eq!(found(&path).unwrap().as_deref(), Some(CURSOR));
    }

    #[cfg(unix)]
    #[test]
    fn it_is_its_owners_alone_whatever_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let (file, _) = CursorFile::open(&path).unwrap();
        file.save(CURSOR).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        file.save(CURSOR).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
    }

    #[test]
    fn a_process_that_dies_before_the_rename_leaves_the_cursor_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let (file, _) = CursorFile::open(&path).unwrap();
        file.save(CURSOR).unwrap();
        let sound = fs::read_to_string(&path).unwrap();
        for torn in ["", &sound[..sound.len() / 2], &sound] {
            fs::write(beside(&path, ".new"), torn).unwrap();
            assert_eq!(file.read().unwrap().as_deref(), Some(CURSOR));
        }
        file.save(r#"{"position":"8"}"#).unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(r#"{"position":"8"}"#));
        assert!(!beside(&path, ".new").exists());
    }

    #[test]
    fn no_damaged_file_is_taken_for_a_sound_one_or_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let (file, _) = CursorFile::open(&path).unwrap();
        file.save(CURSOR).unwrap();
        let sound = fs::read(&path).unwrap();
        for length in 0..sound.len() - 1 {
            fs::write(&path, &sound[..length]).unwrap();
            let why = file.read().unwrap_err();
            assert!(why.contains("damaged") && !why.contains("é-7"), "{length}: {why}");
        }
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(file.read().unwrap_err().contains("damaged"), "bit {bit}");
        }
        fs::write(&path, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(file.read().unwrap_err().contains("longer"));
        fs::write(&path, r#"{"position":"by hand"}"#).unwrap();
        assert!(file.read().unwrap_err().contains("does not hold a cursor"));
    }

    #[test]
    fn a_second_client_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let first = CursorFile::open(&path).unwrap();
        assert!(CursorFile::open(&path).unwrap_err().contains("another client"));
        drop(first);
        assert!(CursorFile::open(&path).is_ok());
        assert!(CursorFile::open(folder.path()).unwrap_err().contains("is not a file"));
        assert!(CursorFile::open(Path::new("/")).unwrap_err().contains("path of a file"));
        fs::write(folder.path().join("plain"), "").unwrap();
        assert!(CursorFile::open(&folder.path().join("plain/cursor.json")).is_err());
    }

    #[test]
    fn giving_up_waits_for_the_save_that_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let store = FileStore::new(CursorFile::open(&path).unwrap().0);
        let saving = store.begin().unwrap();
        store.release(Duration::ZERO);
        assert!(store.begin().is_none());
        assert!(CursorFile::open(&path).unwrap_err().contains("another client"));
        let thread = std::thread::spawn(move || saving.save(CURSOR));
        store.release(Duration::from_secs(20));
        assert_eq!(found(&path).unwrap().as_deref(), Some(CURSOR));
        thread.join().unwrap().unwrap();
        // A save that never begins holds up nobody.
        let store = FileStore::new(CursorFile::open(&path).unwrap().0);
        drop(store.begin());
        store.release(Duration::ZERO);
        assert!(CursorFile::open(&path).is_ok());
    }

    #[test]
    fn a_disk_that_refuses_is_an_error_and_leaves_the_cursor_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.json");
        let (file, _) = CursorFile::open(&path).unwrap();
        file.save(CURSOR).unwrap();
        fs::create_dir(beside(&path, ".new")).unwrap();
        assert!(file.save(r#"{"position":"8"}"#).is_err());
        assert_eq!(file.read().unwrap().as_deref(), Some(CURSOR));
    }
}

//! Files: modes, links, foreign and damaged ones.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use common::*;
use genesys_notifications_journal::{Journal, News, Options, Range, Reader, Restored};

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A journal of so many events, closed in order.
fn filled(directory: &Path, events: u64, bytes: usize) -> Options {
    let options = options(directory);
    let (journal, outlet) = running(&options);
    for number in 1..=events {
        append_sized(&journal, number, bytes);
    }
    outlet.until_count(usize::try_from(events).unwrap());
    journal.ack(events / 10);
    wait_for("the acknowledgement", || journal.stats().acknowledged == events / 10);
    journal.close();
    options
}

/// As a crash would leave it: file and log, copied while the journal is open and at rest.
fn crashed(options: &Options, directory: &Path) -> Options {
    let path = directory.join("crashed").join("journal.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for suffix in ["", "-wal", ".lock"] {
        fs::copy(with_suffix(&options.path, suffix), with_suffix(&path, suffix)).unwrap();
    }
    Options { path, ..options.clone() }
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Opens, and reads everything that is delivered.
fn delivered(options: &Options) -> (Restored, Vec<u64>, Vec<News>) {
    let (journal, restored) = open(options);
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    let marker = append(&journal, 0);
    outlet.until("the new one", |seen| (seen.events.last()?.sequence == marker).then_some(()));
    let mut sequences = outlet.sequences();
    sequences.pop();
    (restored, sequences, outlet.look(|seen| seen.news.clone()))
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_their_owners_only() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        let (journal, outlet) = running(&options);
        append(&journal, 1);
        outlet.until_count(1);
        assert_eq!(mode(options.path.parent().unwrap()), 0o700);
        for suffix in ["", "-wal", "-shm", ".lock"] {
            assert_eq!(mode(&with_suffix(&options.path, suffix)), 0o600, "{suffix}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_tightened() {
        let directory = tempfile::tempdir().unwrap();
        let options = filled(directory.path(), 10, 100);
        for suffix in ["", ".lock"] {
            fs::set_permissions(with_suffix(&options.path, suffix), fs::Permissions::from_mode(0o644))
                .unwrap();
        }
        let (_journal, restored) = open(&options);
        assert_eq!(restored.last_sequence, 10);
        for suffix in ["", ".lock"] {
            assert_eq!(mode(&with_suffix(&options.path, suffix)), 0o600, "{suffix}");
        }
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let directory = tempfile::tempdir().unwrap();
            let options = options(directory.path());
            let target = directory.path().join("target");
            fs::write(&target, "mine").unwrap();
            fs::create_dir(options.path.parent().unwrap()).unwrap();
            symlink(&target, with_suffix(&options.path, suffix)).unwrap();
            let error = refusal(&options);
            assert_eq!(error.code(), "not_a_file", "{suffix}: {error}");
            assert_eq!(fs::read(&target).unwrap(), b"mine");
        }
    }

    #[test]
    fn a_directory_in_the_place_of_the_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        fs::create_dir_all(&options.path).unwrap();
        assert_eq!(
            refusal(&options).to_string(),
            "journal 'journal.db' is a directory; name a regular file of your own"
        );
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("plain");
        fs::write(&plain, "").unwrap();
        let error = refusal(&Options::new(plain.join("state").join("journal.db")));
        assert_eq!(error.code(), "io");
        assert!(error.to_string().contains("needs to read and write"), "{error}");
        // The superuser writes everywhere: the kernel's own directory refuses even that.
        let error = refusal(&Options::new("/proc/journal.db"));
        assert_eq!(error.code(), "io", "{error}");
    }
}

#[test]
fn what_is_not_ours_is_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.db");
    fs::write(&text, "a diary, not a database".repeat(10)).unwrap();
    let other = directory.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch("CREATE TABLE event(id INTEGER PRIMARY KEY); INSERT INTO event VALUES(1);")
        .unwrap();
    drop(connection);
    for (path, what) in [(&text, "no SQLite database"), (&other, "of another program")] {
        let before = fs::read(path).unwrap();
        for _ in 0..2 {
            let error = refusal(&Options::new(path));
            assert!(error.to_string().contains(what), "{error}");
            assert_eq!(error.code(), "foreign");
        }
        assert_eq!(fs::read(path).unwrap(), before);
        assert_eq!(Reader::open(path).unwrap_err().code(), "foreign");
    }
}

#[test]
fn another_version_of_the_schema_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 10, 100);
    for (version, remedy) in [(2, "update the package"), (0, "choose another path")] {
        let connection = rusqlite::Connection::open(&options.path).unwrap();
        connection
            .execute_batch(&format!("PRAGMA journal_mode=DELETE; PRAGMA user_version={version}"))
            .unwrap();
        drop(connection);
        let before = fs::read(&options.path).unwrap();
        let error = refusal(&options);
        assert!(error.to_string().contains(remedy), "{error}");
        assert_eq!(fs::read(&options.path).unwrap(), before);
        assert_eq!(Reader::open(&options.path).unwrap_err().code(), "version");
    }
}

#[test]
fn a_crash_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, outlet) = running(&options);
    append_all(&journal, 1..=500);
    outlet.until_count(500);
    wait_for("rest", || journal.stats().events == 500);
    let (restored, sequences, news) = delivered(&crashed(&options, directory.path()));
    assert_eq!(restored.damage, None);
    assert_eq!(sequences, (1..=500).collect::<Vec<_>>());
    assert_eq!(news, []);
}

/// Every length the log can be cut to: what is missing is told, and its numbers stay used.
#[test]
fn a_log_that_was_cut_off_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, outlet) = running(&options);
    append_all(&journal, 1..=300);
    outlet.until_count(300);
    wait_for("rest", || journal.stats().events == 300);
    let length = fs::metadata(with_suffix(&options.path, "-wal")).unwrap().len();
    for tenth in 0..10 {
        let cut = crashed(&options, directory.path());
        let wal = with_suffix(&cut.path, "-wal");
        fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(length * tenth / 10).unwrap();
        let (restored, sequences, _) = delivered(&cut);
        let saved = sequences.len() as u64;
        assert_eq!(sequences, (1..=saved).collect::<Vec<_>>());
        let damage = restored.damage.expect("something is missing");
        assert_eq!((damage.saved, damage.lost), (saved, 300 - saved), "{damage:?}");
        assert_eq!(damage.sequences, Some((saved + 1, 300)));
        assert_eq!(restored.last_sequence, 300);
        assert!(!restored.is_new);
        // Told once: it is on the record now.
        assert_eq!(open(&cut).1.damage, None);
        fs::remove_dir_all(cut.path.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_file_that_disappeared_is_told_and_its_numbers_stay_used() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 50, 100);
    fs::remove_file(&options.path).unwrap();
    let (journal, restored) = open(&options);
    let damage = restored.damage.unwrap();
    assert_eq!((damage.lost, damage.sequences), (50, Some((1, 50))));
    assert!(!restored.is_new);
    assert_eq!(append(&journal, 1), 51);
}

/// Pages overwritten one by one: each event comes back as it was, or is counted as lost; never altered, never silently gone.
#[test]
fn damaged_pages_cost_what_is_on_them_and_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 400, 450);
    let sound = fs::read(&options.path).unwrap();
    let lock = fs::read(with_suffix(&options.path, ".lock")).unwrap();
    let pages = sound.len() / 4096;
    assert!(pages > 40, "{pages}");
    let (mut salvaged, mut refused, mut unharmed) = (0, 0, 0);
    for page in 1..=pages {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new(directory.path().join("journal.db"));
        fs::write(&options.path, &sound).unwrap();
        // As a run left it that did not come to its end.
        fs::write(
            with_suffix(&options.path, ".lock"),
            String::from_utf8_lossy(&lock).replace("suspect=0", "suspect=1"),
        )
        .unwrap();
        let at = (page as u64 - 1) * 4096;
        overwrite(&options.path, at, &[0xA5; 4096]);
        let damaged = fs::read(&options.path).unwrap();
        match Journal::open(options.clone(), NOW) {
            Err(error) => {
                assert_eq!(error.code(), "damaged", "page {page}: {error}");
                assert_eq!(fs::read(&options.path).unwrap(), damaged, "page {page}: it was left untouched");
                refused += 1;
            }
            Ok((journal, restored)) => {
                drop(journal);
                let reader = Reader::open(&options.path).unwrap();
                let events = reader.page(&mut reader.events(Range::default()), 10_000, usize::MAX).unwrap();
                for event in &events {
                    assert_eq!(event.frame.len(), 450);
                    assert!(event.frame.contains(&format!("\"n\":{},", event.sequence)), "page {page}");
                }
                assert!(restored.last_sequence >= 400, "page {page}");
                let lost = 400 - events.len() as u64;
                match restored.damage {
                    Some(damage) => {
                        assert_eq!(
                            (damage.saved, damage.lost),
                            (events.len() as u64, lost),
                            "page {page}: {damage:?}"
                        );
                        assert_eq!(damage.sequences.is_some(), lost > 0, "page {page}");
                        assert!(lost < 60 || events.is_empty(), "page {page}: {lost}");
                        let kept = options.path.with_file_name(damage.kept_as.unwrap());
                        assert_eq!(fs::read(kept).unwrap(), damaged, "page {page}");
                        salvaged += 1;
                    }
                    None => {
                        assert_eq!(lost, 0, "page {page}");
                        unharmed += 1;
                    }
                }
            }
        }
    }
    assert!(salvaged >= 35, "{salvaged} salvaged, {refused} refused, {unharmed} unharmed");
    assert!(refused <= 5 && unharmed <= 5, "{salvaged} salvaged, {refused} refused, {unharmed} unharmed");
}

/// Bits that flip inside the text of an event: no structure is hurt, the checksum tells.
#[test]
fn an_event_whose_text_changed_is_not_delivered_but_told() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 100, 450);
    let bytes = fs::read(&options.path).unwrap();
    let needle = b"\"n\":57,";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    overwrite(&options.path, at as u64 + 100, b"y");
    let (restored, sequences, news) = delivered(&options);
    assert_eq!(restored.damage, None);
    assert_eq!(sequences, (11..=100).filter(|sequence| *sequence != 57).collect::<Vec<_>>());
    let topic = format!("v2.users.{}.presence", 57 % 7);
    assert_eq!(news, [News::Evicted { topics: vec![topic], from: NOW + 57, to: NOW + 57 }]);
}

#[test]
fn a_truncated_file_gives_back_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 400, 450);
    let sound = fs::read(&options.path).unwrap();
    for quarter in 1..4 {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new(directory.path().join("journal.db"));
        fs::write(&options.path, &sound[..sound.len() / 4096 * quarter / 4 * 4096]).unwrap();
        let (journal, restored) = match Journal::open(options.clone(), NOW) {
            Ok(opened) => opened,
            Err(error) => {
                assert_eq!(error.code(), "damaged", "{error}");
                continue;
            }
        };
        let damage = restored.damage.expect("a part is missing");
        assert_eq!(damage.saved + damage.lost, 400, "{damage:?}");
        assert!(append(&journal, 1) > 400);
    }
}

#[test]
fn an_interrupted_salvage_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let options = filled(directory.path(), 20, 100);
    // Died between the two renames: the new file is complete, the damaged one is away, its log is not yet.
    fs::rename(&options.path, with_suffix(&options.path, ".salvaged")).unwrap();
    fs::write(with_suffix(&options.path, "-wal"), "the log of the damaged one").unwrap();
    let (journal, restored) = open(&options);
    assert_eq!((restored.last_sequence, restored.unacknowledged, restored.damage), (20, 18, None));
    assert!(with_suffix(&options.path, ".damaged-wal").exists());
    drop(journal);
    // Died while writing the new file: it is worthless.
    fs::write(with_suffix(&options.path, ".salvaging"), "half").unwrap();
    let (_journal, restored) = open(&options);
    assert_eq!(restored.last_sequence, 20);
    assert!(!with_suffix(&options.path, ".salvaging").exists());
}

//! `kill -9` at any instant: the test runs itself as a child that appends and acknowledges, and kills it.
//!
//! The child prints what it was told: `d <sequence> <number> <redelivered>` for a delivery, `r <sequence>` before it
//! acknowledges and `a <sequence>` for an acknowledgement that is on disk. What reached the pipe before the kill was true.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use genesys_notifications_journal::{Journal, News, Options, Outlet, Stored};

const KILLS: u64 = 60;
const CHILD: &str = "JOURNAL_OF_THE_CHILD";

struct Printer {
    delivered: mpsc::Sender<u64>,
    out: Mutex<std::io::Stdout>,
}

impl Printer {
    fn print(&self, line: &str) {
        let mut out = self.out.lock().unwrap();
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

impl Outlet for Printer {
    fn has_room(&self) -> bool {
        true
    }

    fn deliver(&self, event: &Stored) {
        let number: u64 = number_of(event);
        self.print(&format!("d {} {number} {}\n", event.sequence, u8::from(event.redelivered)));
        self.delivered.send(event.sequence).unwrap();
    }

    fn flush(&self) {}

    fn tell(&self, news: News) {
        panic!("{news:?}");
    }
}

/// The number that `append` put into the frame.
fn number_of(event: &Stored) -> u64 {
    let rest = event.frame.split("\"n\":").nth(1).unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// Not a test of its own: the body of the child.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let (journal, restored) = Journal::open(Options::new(path), NOW).unwrap();
    assert_eq!(restored.damage, None);
    let (delivered, deliveries) = mpsc::channel();
    let printer = Arc::new(Printer { delivered, out: Mutex::new(std::io::stdout()) });
    printer.print(&format!("o {}\n", restored.last_sequence));
    let journal = Arc::new(journal);
    journal.start(printer.clone()).unwrap();
    let acks = Arc::clone(&journal);
    std::thread::spawn(move || {
        let mut told = 0;
        for sequence in deliveries {
            // Always a few behind, so that there is something to deliver again.
            let up_to = sequence.saturating_sub(20);
            printer.print(&format!("r {up_to}\n"));
            acks.ack(up_to);
            let acknowledged = acks.stats().acknowledged;
            if acknowledged > told {
                told = acknowledged;
                printer.print(&format!("a {acknowledged}\n"));
            }
        }
    });
    for number in restored.last_sequence + 1.. {
        append(&journal, number);
        if number % 50 == 0 {
            wait_for("the disk", || journal.stats().waiting < 100_000);
        }
    }
}

fn is_told(line: &str) -> bool {
    ["o ", "d ", "r ", "a "].iter().any(|kind| line.starts_with(kind))
}

/// Starts a child, lets it tell so many lines, kills it, and returns every whole line it told.
fn run(path: &Path, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1", "-q"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (watch, watched) = mpsc::channel::<()>();
    let child = Arc::new(Mutex::new(child));
    let victim = Arc::clone(&child);
    let watcher = std::thread::spawn(move || {
        let timed_out = watched.recv_timeout(Duration::from_secs(20)) == Err(mpsc::RecvTimeoutError::Timeout);
        if timed_out {
            victim.lock().unwrap().kill().unwrap();
        }
        timed_out
    });
    let mut told = Vec::new();
    let mut line = String::new();
    while told.len() < lines && out.read_line(&mut line).unwrap() > 0 {
        if is_told(&line) {
            told.push(line.trim_end().to_owned());
        }
        line.clear();
    }
    child.lock().unwrap().kill().unwrap();
    // What it had told before it died counts too.
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
    told.extend(whole.lines().filter(|line| is_told(line)).map(str::to_owned));
    drop(watch);
    assert!(!watcher.join().unwrap(), "the child told only {} lines in 20 s", told.len());
    let mut child = child.lock().unwrap();
    child.wait().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    told
}

#[test]
fn kill_9_at_any_instant_loses_nothing_and_uses_no_number_twice() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = options(directory.path()).path;
    let begun = Instant::now();
    // Number of the event by sequence, as delivered first; sequences acknowledged on disk.
    let mut known: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut requested, mut acknowledged) = (0, 0);
    let (mut redelivered, mut expected_again) = (0, BTreeSet::<u64>::new());
    for kill in 0..KILLS {
        // Spread over a child's life: while it opens, redelivers, and in full run.
        let lines = usize::try_from(1 + (kill * 7919) % 700).unwrap();
        let mut last = 0;
        let acknowledged_before = acknowledged;
        let mut in_this_run = BTreeSet::new();
        for line in run(&path, lines) {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            match kind {
                "o" => assert!(number() >= known.keys().last().copied().unwrap_or_default(), "{line}"),
                "r" => requested = requested.max(number()),
                "a" => acknowledged = acknowledged.max(number()),
                _ => {
                    let (sequence, event, again) = (number(), number(), number() == 1);
                    assert!(sequence > last, "order: {sequence} after {last}");
                    last = sequence;
                    in_this_run.insert(sequence);
                    if again {
                        redelivered += 1;
                    }
                    let first = *known.entry(sequence).or_insert(event);
                    assert_eq!(first, event, "sequence {sequence} was used twice");
                    if expected_again.contains(&sequence) {
                        assert!(again, "{sequence} comes again and is not flagged");
                    }
                    assert!(
                        sequence > acknowledged_before,
                        "{sequence} was acknowledged on disk and came again"
                    );
                }
            }
        }
        // What had been delivered and not acknowledged came again, as far as this run got.
        let missing: Vec<_> = expected_again
            .iter()
            .filter(|sequence| **sequence <= last && !in_this_run.contains(sequence))
            .collect();
        assert!(
            missing.is_empty(),
            "kill {kill}: delivered before, not acknowledged, not delivered again: {missing:?}"
        );
        expected_again = known.keys().copied().filter(|sequence| *sequence > requested).collect();
    }
    assert!(redelivered > 100 && acknowledged > 200, "{redelivered} again, {acknowledged} acknowledged");
    assert!(known.len() > 1000, "{}", known.len());

    // At the end everything that is left comes.
    let (journal, restored) = open(&Options::new(&path));
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    outlet.until_count(usize::try_from(restored.unacknowledged).unwrap());
    let left: BTreeSet<u64> = outlet.sequences().into_iter().collect();
    assert!(
        expected_again.is_subset(&left)
            || expected_again.iter().all(|s| left.contains(s) || *s <= journal.stats().acknowledged)
    );
    println!("{KILLS} kills in {:?}: {} events, {redelivered} delivered again", begun.elapsed(), known.len());
}

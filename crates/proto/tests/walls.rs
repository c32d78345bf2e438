//! The walls of this crate: what it may depend on, and what it never touches.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_rules_depend_on_four_crates_and_no_others() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let tables: Vec<&str> = manifest.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(
        tables,
        ["[package]", "[dependencies]", "[dev-dependencies]", "[lints]"],
        "no other table may bring a dependency in"
    );
    let (_, rest) = manifest.split_once("[dependencies]").expect("its dependencies");
    let (dependencies, _) = rest.split_once("[dev-dependencies]").expect("its tests' own");
    let names: Vec<&str> = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names, ["serde", "serde_json", "thiserror", "wide"]);
}

#[test]
fn the_rules_read_no_clock_and_do_no_input_or_output() {
    let forbidden = [
        "Instant",
        "SystemTime",
        "Duration",
        "std::net",
        "std::fs",
        "std::io",
        "std::thread",
        "std::process",
        "std::env",
        "RandomState::new",
        "rand::",
        "getrandom",
        "tokio",
        "println!",
        "unsafe",
        "extern crate",
    ];
    let files = sources(&root().join("src"));
    assert!(files.len() > 20, "only {} files found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            for word in forbidden {
                assert!(!line.contains(word), "{}:{} holds {word}", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn clippy_watches_the_clock_as_well() {
    let clippy = fs::read_to_string(root().join("clippy.toml")).expect("clippy.toml");
    for method in ["std::time::Instant::now", "std::time::SystemTime::now", "std::thread::sleep"] {
        assert!(clippy.contains(method), "{method} is not disallowed");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

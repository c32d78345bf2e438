//! What this crate may know.
#![allow(clippy::unwrap_used)]

#[test]
fn the_driver_does_not_know_javascript() {
    let manifest = include_str!("../Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(dependencies.contains("genesys-notifications-proto"));
    assert!(!dependencies.contains("napi") && !dependencies.contains("-sim"), "{dependencies}");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("napi::") && !text.contains("notifications_sim"), "{}", path.display());
        }
    }
}

//! What this crate may know.

#[test]
fn a_store_knows_neither_the_protocol_nor_a_runtime() {
    let manifest = include_str!("../Cargo.toml");
    for stranger in ["genesys-notifications-proto", "genesys-notifications-client", "tokio", "napi"] {
        assert!(!manifest.contains(stranger), "it depends on {stranger}");
    }
}

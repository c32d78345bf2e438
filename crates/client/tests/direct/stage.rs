//! Clients in front of a gateway.

use genesys_notifications_client::Options;
use genesys_notifications_sim::{GatewayRecord, SimOptions, Simulator};
use serde_json::json;

use crate::common::gateway::Gateway;
use crate::common::{Observer, World};

pub(crate) fn sim(options: &str) -> Simulator {
    let options = if options.is_empty() { "{}" } else { options };
    Simulator::start(SimOptions::from_json(options).unwrap()).unwrap()
}

/// A client of a place of the simulator's gateway, connected or about to be; `topics` are none unless `more` says so.
pub(crate) fn on(
    sim: Simulator,
    place: &str,
    endpoint: &serde_json::Value,
    more: &serde_json::Value,
) -> World {
    let mut endpoint = endpoint.clone();
    endpoint["url"] = format!("{}/{place}", sim.urls().gateway).into();
    let mut all = json!({ "topics": [], "endpoint": endpoint });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let world = World::on(sim, &all.to_string());
    world.observer.client.connect().unwrap();
    world
}

pub(crate) fn live(
    sim: Simulator,
    place: &str,
    endpoint: &serde_json::Value,
    more: &serde_json::Value,
) -> World {
    let mut world = on(sim, place, endpoint, more);
    world.until_connected();
    world
}

/// A client of an odd server that authenticates nobody, about to be connected.
pub(crate) fn odd(gateway: &Gateway, endpoint: &serde_json::Value, more: &serde_json::Value) -> Observer {
    let mut endpoint = endpoint.clone();
    endpoint["url"] = format!("{}{}", gateway.url(), endpoint["url"].as_str().unwrap_or_default()).into();
    if endpoint["auth"].is_null() {
        endpoint["auth"] = "none".into();
    }
    let mut all = json!({
        "endpoint": endpoint,
        "heartbeat": { "pingAfterMs": 500, "pongTimeoutMs": 2_000, "silenceMs": 5_000 },
        "backoff": { "initialMs": 20, "maxMs": 200, "suspendedMaxMs": 400, "healthyMs": 60_000 },
        "rotation": { "overlapMs": 100 },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let observer = Observer::new(Options::from_json(&all.to_string()).unwrap(), crate::common::environment());
    observer.client.connect().unwrap();
    observer
}

pub(crate) fn connections(world: &World) -> Vec<GatewayRecord> {
    world.sim.log().gateway
}

pub(crate) fn numbers(observer: &Observer) -> Vec<u64> {
    observer.events().iter().map(|event| event.n()).collect()
}

pub(crate) fn since() -> serde_json::Value {
    json!({ "resume": { "parameter": "since", "pointer": "/timestamp" }, "event": { "id": "/id" } })
}

pub(crate) fn first_message() -> serde_json::Value {
    json!({
        "firstMessage": r#"{"access_token":"{token}"}"#,
        "ready": { "pointer": "/event", "equals": "connected" },
        "subscribe": { "message": r#"{"message":"subscribe","topic":"{topic}"}"# },
    })
}

//! Secrets stay inside (P8), whatever the service repeats.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Observer, World};
use genesys_notifications_client::Options;
use genesys_notifications_sim::{SimOptions, Simulator};

const SECRET: &str = "canary-secret/with+odd=characters";

// P8.1
#[test]
fn no_secret_is_in_anything_the_client_tells() {
    let sim = Simulator::start(
        SimOptions::from_json(&format!(
            r#"{{"heartbeatMs":200,"clients":[{{"id":"canary-client","secret":"{SECRET}"}}]}}"#
        ))
        .unwrap(),
    )
    .unwrap();
    let options = common::options(&common::urls(&sim), &common::credentials(&sim), "");
    let mut shown = format!("{options:?}");
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    // Everything the service could echo, at every step.
    let echoes = [
        SECRET.to_owned(),
        "canary-secret%2Fwith%2Bodd%3Dcharacters".to_owned(),
        // Base64 of canary-client:canary-secret/with+odd=characters
        "Basic Y2FuYXJ5LWNsaWVudDpjYW5hcnktc2VjcmV0L3dpdGgrb2RkPWNoYXJhY3RlcnM=".to_owned(),
    ];
    for echo in &echoes {
        for operation in ["token", "createChannel", "putSubscriptions", "upgrade"] {
            let body = serde_json::json!({ "message": format!("echo {echo}"), "code": echo, "error": echo, "description": echo });
            let body = serde_json::Value::String(body.to_string());
            world.fault(&format!(
                r#"{{"match":{{"operation":"{operation}"}},"action":{{"kind":"status","status":500,"body":{body}}}}}"#
            ));
        }
    }
    world.observer.client.connect().unwrap();
    world.until_connected();
    let channel = world.sim.channels()[0].id.clone();
    world.fault(&format!(
        r#"{{"match":{{"operation":"upgrade"}},"action":{{"kind":"status","status":503,"body":"no channel {channel} here"}}}}"#
    ));
    world.fault(&format!(
        r#"{{"match":{{"operation":"socket"}},"action":{{"kind":"close","code":1011,"reason":"{channel}"}}}}"#
    ));
    world.until("another socket", |world| world.sim.log().sockets.len() >= 2);
    world.until_connected();
    world.until_events_flow();
    for control in world.observer.controls() {
        shown.push_str(&format!("{control:?}{}", serde_json::to_string(control).unwrap()));
    }
    shown.push_str(&format!("{:?}{:?}", world.observer.client, world.observer.client.gaps()));
    shown.push_str(&serde_json::to_string(&world.observer.client.stats()).unwrap());
    shown.push_str(&format!("{:?}", world.observer.client.topics()));
    assert!(shown.contains("echo [redacted]"), "the echoes were shown at all: {shown}");
    for part in ["canary-secret", "Y2FuYXJ5", "c2VjcmV0", channel.as_str(), "/channels/"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

// P8.1
#[test]
fn options_that_cannot_be_read_are_refused_without_their_secrets() {
    for json in [
        format!(
            r#"{{"region":"us-east-1","credentials":{{"kind":"clientCredentials","clientId":"i","clientSecret":["{SECRET}"]}}}}"#
        ),
        format!(r#"{{"region":"us-east-1","credentials":"{SECRET}"}}"#),
        format!(r#"{{"region":"us-east-1","credentials":{{"kind":"{SECRET}"}}}}"#),
    ] {
        let error = Options::from_json(&json).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

//! Generated bodies against the schemas, read here a second time.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use genesys_notifications_sim::{SimOptions, Simulator};
use serde_json::Value;

#[test]
fn bodies_of_all_topics_fit_their_schemas() {
    let sim = Simulator::start(SimOptions::default()).unwrap();
    let data = data();
    let topics = data["topics"].as_array().unwrap();
    assert_eq!(topics.len(), 242);
    for topic in topics {
        let name = name(topic[0].as_str().unwrap());
        for seed in 0..20 {
            let text = sim.generate_body(&name, seed).unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            check(&data, &Value::from(format!("#{}", topic[1])), &body, &name);
            assert!(text.len() < 20_000, "{name}: {} bytes", text.len());
        }
    }
}

#[test]
fn bodies_can_be_told_apart() {
    let sim = Simulator::start(SimOptions::default()).unwrap();
    let mut alike = Vec::new();
    for topic in data()["topics"].as_array().unwrap() {
        let name = name(topic[0].as_str().unwrap());
        let bodies: HashSet<_> = (0..50).map(|seed| sim.generate_body(&name, seed).unwrap()).collect();
        if bodies.len() < 49 {
            alike.push(name);
        }
    }
    // Their schemas hold the topic's own id and an enumeration, and nothing else.
    let hopeless = [
        "v2.telephony.providers.edges.a0",
        "v2.workforcemanagement.historicaldata.deletejob",
        "v2.workforcemanagement.managementunits.a0.agents.sync",
    ];
    assert_eq!(alike, hopeless);
}

#[test]
fn bodies_have_the_sizes_and_ids_of_real_ones() {
    let sim = Simulator::start(SimOptions::default()).unwrap();
    let average = |topic: &str| {
        let sizes: Vec<_> = (0..100).map(|seed| sim.generate_body(topic, seed).unwrap().len()).collect();
        sizes.iter().sum::<usize>() / sizes.len()
    };
    assert!((200..700).contains(&average("v2.users.u.presence")), "{}", average("v2.users.u.presence"));
    let conversations = average("v2.routing.queues.q.conversations");
    assert!((2_000..12_000).contains(&conversations), "{conversations}");

    let status: Value =
        serde_json::from_str(&sim.generate_body("v2.users.u1.routingStatus", 1).unwrap()).unwrap();
    assert_eq!(status["id"], "u1");
    let about: Value =
        serde_json::from_str(&sim.generate_body("v2.users.u1.conversations", 1).unwrap()).unwrap();
    assert_ne!(about["id"], "u1");
}

fn name(template: &str) -> String {
    template.replace("{id}", "a0")
}

fn data() -> Value {
    serde_json::from_str(include_str!("../data/topics.min.json")).unwrap()
}

fn check(data: &Value, kind: &Value, value: &Value, at: &str) {
    match kind {
        Value::String(kind) => match kind.as_str() {
            "s" => assert!(value.is_string(), "{at}: {value}"),
            "t" => {
                let text = value.as_str().unwrap_or_else(|| panic!("{at}: {value}"));
                assert!(text.parse::<jiff::Timestamp>().is_ok() && text.len() == 24, "{at}: {text}");
            }
            "i" => assert!(value.is_i64() || value.is_u64(), "{at}: {value}"),
            "n" => assert!(value.is_number(), "{at}: {value}"),
            "b" => assert!(value.is_boolean(), "{at}: {value}"),
            "*" => {}
            reference => {
                let number: usize = reference[1..].parse().unwrap();
                object(data, &data["schemas"][number], value, at);
            }
        },
        Value::Array(parts) => match parts[0].as_str().unwrap() {
            "a" => value.as_array().unwrap().iter().for_each(|item| check(data, &parts[1], item, at)),
            "m" => value.as_object().unwrap().values().for_each(|item| check(data, &parts[1], item, at)),
            "o" => object(data, &parts[1], value, at),
            "e" => assert!(parts[1..].contains(value), "{at}: {value}"),
            other => panic!("{at}: {other}"),
        },
        other => panic!("{at}: {other}"),
    }
}

fn object(data: &Value, schema: &Value, value: &Value, at: &str) {
    for (key, value) in value.as_object().unwrap_or_else(|| panic!("{at}: {value}")) {
        let kind = schema.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the schema"));
        check(data, kind, value, &format!("{at}.{key}"));
    }
}

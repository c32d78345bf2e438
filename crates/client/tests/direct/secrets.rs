//! What of an endpoint is told to nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use genesys_notifications_client::Control;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::Told;
use crate::common::gateway::{Gateway, listen};
use crate::stage::odd;

// P8.1
#[test]
fn no_secret_of_an_endpoint_is_in_anything_the_client_tells() {
    const URL: &str = "canary-1n-url";
    const FIRST: &str = "canary-1n-first";
    const ASK: &str = "canary-1n-ask";
    const TOKEN: &str = "canary-1n-token";
    let round = AtomicU64::new(0);
    let gateway = Gateway::start(
        move |request| {
            if round.fetch_add(1, Ordering::SeqCst) > 0 {
                return None;
            }
            let echo = format!("no {} for {TOKEN}, {FIRST} or {ASK}", request.uri());
            let refusal =
                tokio_tungstenite::tungstenite::http::Response::builder().status(503).body(Some(echo));
            Some(refusal.unwrap())
        },
        |mut socket| {
            let mut heard = String::new();
            listen(&mut socket, |socket, text| {
                heard.push_str(text);
                if !text.contains(ASK) {
                    let _ = socket.send(Message::text(r#"{"event":"connected"}"#));
                    return;
                }
                let echo =
                    json!({ "status": 400, "error": format!("bad {heard} at {URL}"), "message": heard });
                let _ = socket.send(Message::text(echo.to_string()));
                let reason = format!("{TOKEN} {ASK} {URL}").into();
                let _ = socket.close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
                    code: 1008.into(),
                    reason,
                }));
            });
        },
    );
    let endpoint = json!({
        "url": format!("/hooks/{URL}?key={URL}&t={{token}}"), "auth": "firstMessage",
        "firstMessage": format!(r#"{{"access_token":"{{token}}","key":"{FIRST}"}}"#),
        "ready": { "pointer": "/event", "equals": "connected" },
        "subscribe": { "message": format!(r#"{{"ask":"{{topic}}","key":"{ASK}"}}"#) },
    });
    let more = json!({ "credentials": { "kind": "provider" }, "topics": ["t"] });
    let mut observer = odd(&gateway, &endpoint, &more);
    let mut answered = 0;
    observer.until("three connections", |observer| {
        let told = observer.told.len();
        for told in &observer.told[answered..] {
            if let Told::Control(Control::TokenRequest { ticket, .. }) = told {
                let token = genesys_notifications_client::ProvidedToken {
                    access_token: TOKEN.to_owned(),
                    expires_in_ms: None,
                };
                observer.client.provide_token(*ticket, Ok(token));
            }
        }
        answered = told;
        gateway.asked.lock().unwrap().len() >= 3
    });
    assert!(gateway.asked.lock().unwrap().iter().all(|asked| asked.contains(TOKEN) && asked.contains(URL)));
    let mut shown = format!("{:?} {:?}", observer.client, observer.client.gaps());
    for control in observer.controls() {
        shown.push_str(&format!("{control:?}{}", serde_json::to_string(control).unwrap()));
    }
    shown.push_str(&serde_json::to_string(&observer.client.stats()).unwrap());
    assert!(shown.contains("[redacted]") && !shown.contains("canary"), "{shown}");
}

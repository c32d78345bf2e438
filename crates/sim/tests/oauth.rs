//! Tokens.
#![allow(clippy::unwrap_used)]

mod support;

use genesys_notifications_sim::{SimOptions, Simulator};
use support::*;

const CLIENT: &str = r#"{"clients":[{"id":"app","secret":"s3cret","userId":"u1",
    "codes":[{"code":"c1","redirectUri":"https://app.invalid/cb"}],
    "refreshTokens":["r1"],"assertions":["PHNhbWw+"]}]}"#;

fn client() -> Simulator {
    Simulator::start(SimOptions::from_json(CLIENT).unwrap()).unwrap()
}

#[tokio::test]
async fn client_credentials_yield_a_bearer_token_without_a_refresh_token() {
    let sim = Simulator::start(SimOptions::default()).unwrap();
    let known = sim.credentials();

    let reply =
        grant(&sim, &basic(&known.client_id, &known.client_secret), "grant_type=client_credentials").await;

    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 86_400);
    assert!(body["access_token"].as_str().unwrap().len() > 40);
    assert!(body.get("refresh_token").is_none());
    assert!(reply.header("Date").is_some());
}

#[tokio::test]
async fn the_secret_may_stand_in_the_form() {
    let sim = client();
    let form = "grant_type=client_credentials&client_id=app&client_secret=s3cret";
    let reply = send(&sim.urls().login, "POST", "/oauth/token", &[], form).await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_three_fields() {
    let sim = client();
    for authorization in [basic("app", "wrong"), basic("nobody", "s3cret"), "Bearer x".to_owned()] {
        let reply = grant(&sim, &authorization, "grant_type=client_credentials").await;
        assert_eq!(reply.status, 400);
        let expected = serde_json::json!({
            "error": "invalid_client",
            "description": "authentication failed",
            "error_description": "authentication failed",
        });
        assert_eq!(reply.json(), expected);
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_and_work_once() {
    let sim = client();
    let app = basic("app", "s3cret");

    let first = grant(&sim, &app, "grant_type=refresh_token&refresh_token=r1").await.json();
    let again = grant(&sim, &app, "grant_type=refresh_token&refresh_token=r1").await;
    let form = format!("grant_type=refresh_token&refresh_token={}", first["refresh_token"].as_str().unwrap());
    let second = grant(&sim, &app, &form).await;

    assert_eq!((again.status, again.json()["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(second.status, 200);
    assert_ne!(second.json()["refresh_token"], first["refresh_token"]);
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_only_with_its_redirect() {
    let sim = client();
    let app = basic("app", "s3cret");
    let form = |uri: &str| format!("grant_type=authorization_code&code=c1&redirect_uri={uri}");

    let elsewhere = grant(&sim, &app, &form("https%3A%2F%2Felse.invalid")).await;
    let right = grant(&sim, &app, &form("https%3A%2F%2Fapp.invalid%2Fcb")).await;
    let again = grant(&sim, &app, &form("https%3A%2F%2Fapp.invalid%2Fcb")).await;

    assert_eq!((elsewhere.status, right.status, again.status), (400, 200, 400));
    assert!(right.json()["refresh_token"].is_string());
}

#[tokio::test]
async fn saml_assertions_must_be_known_and_other_grants_are_not_supported() {
    let sim = client();
    let app = basic("app", "s3cret");
    let saml = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Asaml2-bearer";

    assert_eq!(grant(&sim, &app, &format!("{saml}&orgName=acme&assertion=PHNhbWw%2B")).await.status, 200);
    assert_eq!(grant(&sim, &app, &format!("{saml}&orgName=acme&assertion=other")).await.status, 400);
    assert_eq!(
        grant(&sim, &app, &format!("{saml}&assertion=PHNhbWw%2B")).await.json()["error"],
        "invalid_request"
    );
    let password = grant(&sim, &app, "grant_type=password").await;
    assert_eq!((password.status, password.json()["error"].as_str()), (400, Some("unsupported_grant_type")));
}

#[tokio::test]
async fn short_lives_are_told_as_fractions_and_end_with_401() {
    let service = Service::start(r#"{"tokenLifeMs":60}"#).await;
    let known = service.sim.credentials();
    let basic = basic(&known.client_id, &known.client_secret);
    let reply = grant(&service.sim, &basic, "grant_type=client_credentials").await;
    assert_eq!(reply.json()["expires_in"], 0.06);

    let probe = async {
        loop {
            let reply = service.api("GET", CHANNELS, "").await;
            if reply.status == 401 {
                return reply.json();
            }
        }
    };
    let body = tokio::time::timeout(PATIENCE, probe).await.unwrap();
    assert_eq!(body["code"], "bad.credentials");
}

#[tokio::test]
async fn older_tokens_live_on_unless_single_token_is_set() {
    for (options, status) in [("{}", 200), (r#"{"singleToken":true}"#, 401)] {
        let service = Service::start(options).await;
        new_token(&service.sim).await;
        assert_eq!(service.api("GET", CHANNELS, "").await.status, status, "{options}");
    }
}

#[tokio::test]
async fn the_log_says_which_token_requests_overlapped() {
    let service = Service::start("{}").await;
    service.fault(r#"{"match":{"operation":"token"},"action":{"kind":"delay","ms":50},"times":2}"#);
    tokio::join!(new_token(&service.sim), new_token(&service.sim));
    new_token(&service.sim).await;
    let log = service
        .until(|log| log.requests.len() == 4 && log.requests.iter().all(|r| r.duration_ms.is_some()))
        .await;
    let together: Vec<_> = log.requests.iter().map(|r| r.concurrent).collect();
    assert_eq!(together, [Some(1), Some(2), Some(2), Some(1)]);
}

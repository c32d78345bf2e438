//! The end, and what changes nothing.

use genesys_notifications_proto::{
    ClientState, Config, Ending, Input, Outcome, RequestId, SocketId, Ticket, TokenGrant,
};

use crate::common::manners::{API, LOGIN, STREAMING};
use crate::common::service::http;
use crate::common::world::World;
use crate::stage::{A, B, HOUR, connected, connecting, socket};

fn is_over(world: &mut World) {
    world.close();
    assert_eq!(world.state(), ClientState::Closed);
    assert!(world.rules.has_ended() && world.machine.poll_timeout().is_none());
    assert!(world.unsettled.is_empty());
    world.connect();
    world.close();
    let late = world.subscribe(&[B]);
    world.rotate();
    world.reconnect();
    world.run_for(HOUR);
    assert!(!world.unsettled.contains(&late), "settled, for nothing more will come of it");
}

// P9.1, P9.2
#[test]
fn a_client_can_be_closed_in_every_state() {
    is_over_in(ClientState::Idle, World::new(Config::default(), 1));
    is_over_in(ClientState::Connecting, connecting(Config::default(), &[A]));
    is_over_in(ClientState::Connected, connected(&[A]));
    for door in [LOGIN, API, STREAMING] {
        let mut world = connecting(Config::default(), &[A]);
        world.manners.shut[door] = (HOUR, Some(http(503, "")));
        world.run_for(60_000);
        is_over_in(ClientState::Connecting, world);
    }
    let mut world = connected(&[A]);
    world.reconnect();
    is_over_in(ClientState::Reconnecting, world);
    let mut world = connected(&[A]);
    world.manners.shut[API] = (HOUR, None);
    world.reconnect();
    world.run_for(180_000);
    is_over_in(ClientState::Suspended, world);
    let mut world = connected(&[A]);
    world.rotate();
    world.run_for(90);
    is_over_in(ClientState::Connected, world);
}

fn is_over_in(state: ClientState, mut world: World) {
    // After the end nothing is recorded as a request that must be answered, except that it is settled at once.
    assert_eq!(world.state(), state);
    world.record.keep = true;
    is_over(&mut world);
}

// P9.1
#[test]
fn closing_says_so_and_closes_the_socket_with_1000() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.close();
    assert_eq!(
        world.record.closed.last().map(|(_, socket, code)| (*socket, *code)),
        Some((open, Some(1000)))
    );
    let states = world.record.states();
    assert_eq!(states[states.len() - 2..], [ClientState::Closing, ClientState::Closed]);
}

#[test]
fn old_and_forged_results_change_nothing() {
    let mut world = connecting(Config::default(), &[A]);
    let open = world.rules.open_tickets()[0];
    let forged = [
        Outcome::Channel(Err(http(403, "forged"))),
        Outcome::Subscriptions(Ok(Vec::new())),
        Outcome::Socket(Ok(())),
    ];
    let before = world.record.words.len();
    for outcome in forged {
        world.tell(Input::Done(open, outcome));
    }
    for ticket in [0, 99, u64::MAX] {
        world.tell(Input::Done(Ticket(ticket), Outcome::Token(Ok(TokenGrant { expires_in_ms: None }))));
    }
    world.tell(Input::SocketClosed(SocketId(5), Ending::Closed(1008, String::new())));
    world.tell(Input::Paused(SocketId(5), true));
    assert_eq!(world.record.words.len(), before);
    crate::stage::until_connected(&mut world);
    world.tell(Input::Done(open, Outcome::Token(Err(http(401, "")))));
    assert_eq!(world.state(), ClientState::Connected);
}

#[test]
fn what_is_asked_before_connect_is_settled_at_once() {
    let mut world = World::new(Config::default(), 1);
    let requests = [world.subscribe(&[A]), world.rotate(), world.reconnect()];
    assert_eq!(world.record.settled(), requests.map(RequestId));
    assert_eq!(world.state(), ClientState::Idle);
}

#[test]
fn connect_twice_is_connect_once() {
    let mut world = connecting(Config::default(), &[A]);
    world.connect();
    crate::stage::until_connected(&mut world);
    world.connect();
    world.run_for(1_000);
    assert_eq!((world.record.tokens().len(), world.record.creations().len()), (1, 1));
}

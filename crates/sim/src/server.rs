use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    exchange::{Ending, Exchange},
    fault::Operation,
    http::{Request, Response, Unreadable},
    session::{self, WATCH_EVERY, peer_has_closed, swallow},
    state::World,
};

/// Which hosts a listener stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) login: bool,
    pub(crate) api: bool,
    pub(crate) streaming: bool,
}

impl Role {
    pub(crate) const LOGIN: Self = Self { login: true, api: false, streaming: false };
    pub(crate) const API: Self = Self { login: false, api: true, streaming: false };
    pub(crate) const STREAMING: Self = Self { login: false, api: false, streaming: true };
    pub(crate) const ALL: Self = Self { login: true, api: true, streaming: true };

    fn operations(self) -> Vec<Operation> {
        let hosts = [
            (self.login, Operation::Token),
            (self.api, Operation::Rest),
            (self.streaming, Operation::Upgrade),
        ];
        hosts.into_iter().filter(|(serves, _)| *serves).map(|(_, operation)| operation).collect()
    }
}

/// Accepts connections until the simulator stops.
pub(crate) async fn listen(world: Arc<World>, listener: TcpListener, role: Role) {
    let operations = role.operations();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = world.until_stopped() => return,
        };
        // Out of file descriptors, or the peer left already: neither ends the service.
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let refused = world.with(|state| {
            let fault = state.book.take_refusal(&operations)?;
            let name = operations.first().map_or("any", |operation| operation.name());
            state.fault_applied(fault, "refuse", name, None, None, None);
            Some(fault)
        });
        if refused.is_some() {
            continue;
        }
        let _ = stream.set_nodelay(true);
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            tokio::select! {
                () = serve(&world, stream, role) => {}
                () = world.until_stopped() => {}
            }
        });
    }
}

/// Makes the coming close a TCP reset.
pub(crate) fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Requests of one connection, one after the other.
async fn serve(world: &Arc<World>, mut stream: TcpStream, role: Role) {
    let mut buffer = BytesMut::new();
    // Also seen when it happens during a request.
    let mut hang_up = world.hang_up.subscribe();
    loop {
        let request = tokio::select! {
            request = Request::read(&mut stream, &mut buffer) => request,
            _ = hang_up.changed() => return,
        };
        let request = match request {
            Ok(request) => request,
            Err(Unreadable::Ended) => return,
            Err(Unreadable::Malformed(status)) => {
                let (head, _) = Response::new(status).encode("GET", &world.date(), false);
                let _ = stream.write_all(&head).await;
                return;
            }
        };
        let mut exchange = Exchange::begin(world, &request, role);
        let ending = exchange.run(&mut stream).await;
        match ending {
            Ending::Answer(response) => {
                let (head, body) = response.encode(&request.method, &world.date(), request.keep_alive);
                let sent = stream.write_all(&[head, body].concat()).await;
                exchange.finish(sent.is_ok().then_some(&response));
                if sent.is_err() || !request.keep_alive {
                    return;
                }
            }
            Ending::Truncated(response, bytes) => {
                let (head, body) = response.encode(&request.method, &world.date(), request.keep_alive);
                let part = &body[..bytes.unwrap_or(body.len() / 2).min(body.len())];
                let sent = stream.write_all(&[&head, part].concat()).await;
                exchange.finish(sent.is_ok().then_some(&response));
                return;
            }
            Ending::Upgrade(response, opened) => {
                let (head, _) = response.encode(&request.method, &world.date(), true);
                let _ = stream.write_all(&head).await;
                exchange.finish(Some(&response));
                return session::run(Arc::clone(world), stream, buffer, opened).await;
            }
            Ending::Reset => {
                reset(&stream);
                drop(stream);
                return exchange.finish(None);
            }
            Ending::Close => {
                drop(stream);
                return exchange.finish(None);
            }
            Ending::HalfOpen => {
                swallow(&stream).await;
                return exchange.finish(None);
            }
        }
    }
}

/// Keeps a request waiting; false if the peer left meanwhile.
pub(crate) async fn stall(world: &World, stream: &TcpStream, fault: u64, ms: Option<u64>) -> bool {
    let until = ms.map(|ms| world.clock.now().saturating_add(ms));
    loop {
        if peer_has_closed(stream) {
            return false;
        }
        if until.is_some_and(|until| world.clock.now() >= until)
            || !world.with(|state| state.book.holds(fault))
        {
            return true;
        }
        sleep(WATCH_EVERY).await;
    }
}

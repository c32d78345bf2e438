//! A TCP proxy that cuts, stalls and resets what passes it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    Pass,
    /// They wait until the proxy is healed, as a network does that comes back in time.
    Stall,
    /// They vanish; what lost any is reset when the proxy is healed.
    Vanish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    ToServer,
    ToClient,
}

/// In front of one listener.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    upstream: Option<SocketAddr>,
    flows: [Flow; 2],
    /// New connections are reset at once.
    refusing: bool,
    stopped: bool,
    connections: Vec<Connection>,
    next: u64,
}

struct Connection {
    id: u64,
    client: TcpStream,
    server: TcpStream,
    /// It lost bytes and can never be whole again.
    torn: bool,
    /// It is being reset.
    dead: bool,
    /// Directions that have ended.
    ended: u8,
}

impl Proxy {
    /// Listens on a port of its own; knows where to connect to once it is told.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                upstream: None,
                flows: [Flow::Pass; 2],
                refusing: false,
                stopped: false,
                connections: Vec::new(),
                next: 0,
            }),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        let acceptor = std::thread::spawn(move || accept(&listener, &theirs));
        Self { shared, address, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go; `url` names a host and a port.
    pub fn lead_to(&self, url: &str) {
        let (_, address) = url.rsplit_once('/').unwrap();
        self.shared.state.lock().unwrap().upstream = Some(address.parse().unwrap());
    }

    pub fn set(&self, side: Side, flow: Flow) {
        self.shared.state.lock().unwrap().flows[side as usize] = flow;
        self.shared.changed.notify_all();
    }

    /// No new connections, and the old ones are reset.
    pub fn refuse(&self) {
        self.shared.state.lock().unwrap().refusing = true;
        self.reset();
    }

    /// Resets every connection.
    pub fn reset(&self) {
        for connection in &mut self.shared.state.lock().unwrap().connections {
            connection.reset();
        }
        self.shared.changed.notify_all();
    }

    /// Ends one direction of every connection with a FIN; the other goes on.
    pub fn half_close(&self, side: Side) {
        for connection in &self.shared.state.lock().unwrap().connections {
            let to = if side == Side::ToServer { &connection.server } else { &connection.client };
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Everything passes again; what is torn is reset.
    pub fn heal(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.flows = [Flow::Pass; 2];
        state.refusing = false;
        for connection in state.connections.iter_mut().filter(|connection| connection.torn) {
            connection.reset();
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopped = true;
        self.reset();
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Connection {
    /// A FIN must not go first: the readers are woken, and the last one to let go of a stream resets it.
    fn reset(&mut self) {
        self.dead = true;
        for stream in [&self.client, &self.server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let mut state = shared.state.lock().unwrap();
        if state.stopped {
            return;
        }
        let server = match state.upstream {
            Some(upstream) if !state.refusing => TcpStream::connect(upstream).ok(),
            _ => None,
        };
        let Some(server) = server else {
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        state.next += 1;
        let id = state.next;
        let copy = |stream: &TcpStream| stream.try_clone().unwrap();
        let (from_client, to_server) = (copy(&client), copy(&server));
        let (from_server, to_client) = (copy(&server), copy(&client));
        state.connections.push(Connection { id, client, server, torn: false, dead: false, ended: 0 });
        drop(state);
        for (from, to, side) in
            [(from_client, to_server, Side::ToServer), (from_server, to_client, Side::ToClient)]
        {
            let shared = shared.clone();
            std::thread::spawn(move || {
                pump(&shared, id, from, to, side);
                let mut state = shared.state.lock().unwrap();
                if let Some(connection) = state.connections.iter_mut().find(|known| known.id == id) {
                    connection.ended += 1;
                }
                state.connections.retain(|connection| connection.ended < 2);
            });
        }
    }
}

fn pump(shared: &Shared, id: u64, mut from: TcpStream, mut to: TcpStream, side: Side) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let state = shared.state.lock().unwrap();
        let is_stalled = |state: &mut State| {
            let is_dead = state.connections.iter().any(|known| known.id == id && known.dead);
            !state.stopped && !is_dead && state.flows[side as usize] == Flow::Stall
        };
        let mut state = shared.changed.wait_while(state, is_stalled).unwrap();
        if state.stopped || state.connections.iter().any(|known| known.id == id && known.dead) {
            return;
        }
        let vanishes = state.flows[side as usize] == Flow::Vanish;
        if vanishes && let Some(connection) = state.connections.iter_mut().find(|known| known.id == id) {
            connection.torn = true;
        }
        drop(state);
        if vanishes && read > 0 {
            continue;
        }
        if read == 0 {
            // Its own direction only.
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // One side is gone: the other is to know.
    if let Some(connection) = shared.state.lock().unwrap().connections.iter_mut().find(|known| known.id == id)
    {
        connection.reset();
    }
}

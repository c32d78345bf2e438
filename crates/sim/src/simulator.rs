use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    channels::ChannelState,
    error::SimError,
    fault::{Action, Rule},
    generate,
    log::{Counts, Log},
    options::{ClientOptions, SimOptions},
    rng::Rng,
    server::{Role, listen},
    state::{Settings, State, World},
    tls::{Identity, relay},
    topics::Catalogue,
    traffic::{self, Traffic},
};

/// Where a simulator listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Urls {
    /// `http://127.0.0.1:<port>`, or `https` with the option `tls`; serves `/oauth/token`.
    pub login: String,
    /// The same for `/api/v2/notifications/…`.
    pub api: String,
    /// `ws://127.0.0.1:<port>`, or `wss`; serves `/channels/<id>`.
    pub streaming: String,
    /// `ws://127.0.0.1:<port>/gateway`, or `wss`; serves `/query`, `/header`, `/first-message`, `/since`, `/minute` and `/open`,
    /// which are not Genesys Cloud's.
    pub gateway: String,
}

/// Id and secret of the first OAuth client.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A running fake of the service. Dropping it stops it.
///
/// Every method may be called from any thread, inside or outside of an async runtime, and returns at once; only
/// [`wait_for`](Self::wait_for) is async.
pub struct Simulator {
    world: Arc<World>,
    handle: Handle,
    thread: Mutex<Option<JoinHandle<()>>>,
    credentials: Credentials,
    certificate: Option<String>,
}

impl Simulator {
    /// Starts a simulator on a thread and a runtime of its own.
    ///
    /// # Errors
    /// [`SimError::Invalid`] for options out of range, [`SimError::Listen`] if the port is taken,
    /// [`SimError::Runtime`] if the thread cannot be started.
    pub fn start(options: SimOptions) -> Result<Self, SimError> {
        let prepared = Prepared::new(options)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(SimError::Runtime)?;
        let handle = runtime.handle().clone();
        let world = Arc::clone(&prepared.world);
        let listeners = prepared.listeners(&handle)?;
        let thread = std::thread::Builder::new()
            .name("genesys-simulator".to_owned())
            .spawn(move || {
                // The runtime is dropped here, never in a caller's async context.
                runtime.block_on(host(world, listeners));
            })
            .map_err(SimError::Runtime)?;
        Ok(prepared.running(handle, Some(thread)))
    }

    /// Starts a simulator on a runtime that already runs; it must have I/O and time enabled, and its clock must not be
    /// paused. After [`stop`](Self::stop) its connections close when that runtime next runs its tasks.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on(handle: &Handle, options: SimOptions) -> Result<Self, SimError> {
        let prepared = Prepared::new(options)?;
        let listeners = prepared.listeners(handle)?;
        handle.spawn(host(Arc::clone(&prepared.world), listeners));
        Ok(prepared.running(handle.clone(), None))
    }

    /// Where it listens.
    pub fn urls(&self) -> &Urls {
        &self.world.settings.urls
    }

    /// The first client's id and secret.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// With the option `tls`, the certificate in PEM of the authority to trust.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Publishes an event and returns its number. Without a body one is generated.
    ///
    /// It goes to the sockets open right now on channels that subscribed the topic, and nowhere else; the log says
    /// where. A topic beginning with `v2.system.` needs no subscription.
    ///
    /// # Errors
    /// [`SimError::Invalid`] if `body` is not JSON, or if it is missing and the topic is none of the service's;
    /// [`SimError::Stopped`] after [`stop`](Self::stop).
    pub fn publish(&self, topic: &str, body: Option<&str>) -> Result<u64, SimError> {
        self.running()?;
        if let Some(body) = body {
            serde_json::from_str::<&RawValue>(body)
                .map_err(|error| SimError::invalid("publish.body", error.to_string()))?;
            return Ok(self.world.with(|state| state.publish(topic, body)));
        }
        let body = self.world.with(|state| {
            let (seed, told) = (state.bodies.next(), state.told(state.now));
            generate::body(topic, seed, told)
        });
        let body = body.ok_or_else(|| SimError::invalid("publish.topic", "is no topic of the service"))?;
        Ok(self.world.with(|state| state.publish(topic, &body)))
    }

    /// A body that fits the topic's schema, with dates around now; the same seed gives the same ids and values.
    ///
    /// # Errors
    /// [`SimError::Invalid`] if the topic is none of the service's.
    pub fn generate_body(&self, topic: &str, seed: u64) -> Result<String, SimError> {
        let told = self.world.with(|state| state.told(state.now));
        let body = generate::body(topic, seed, told);
        body.ok_or_else(|| SimError::invalid("generateBody.topic", "is no topic of the service"))
    }

    /// Sets a fault and returns its id.
    ///
    /// # Errors
    /// [`SimError::Invalid`] naming the field, [`SimError::Stopped`] after [`stop`](Self::stop).
    pub fn fault(&self, rule: Rule) -> Result<u64, SimError> {
        self.running()?;
        rule.check()?;
        let refuses = matches!(rule.action, Action::Refuse {});
        let fault = self.world.with(|state| state.set_fault(rule));
        if refuses {
            self.world.hang_up.send_replace(());
        }
        Ok(fault)
    }

    /// Lifts a fault, stalls included; false if there is none of that id.
    pub fn clear_fault(&self, fault: u64) -> bool {
        self.world.with(|state| state.book.remove(fault))
    }

    /// Lifts all faults.
    pub fn clear_faults(&self) {
        self.world.with(|state| state.book.clear());
    }

    /// Starts publishing generated events in the background and returns the traffic's id.
    ///
    /// # Errors
    /// [`SimError::Invalid`] naming the field, [`SimError::Stopped`] after [`stop`](Self::stop).
    pub fn traffic(&self, traffic: Traffic) -> Result<u64, SimError> {
        self.running()?;
        traffic.check()?;
        let stop = Arc::new(Notify::new());
        let id = self.world.with(|state| {
            state.last_traffic += 1;
            state.traffic.insert(state.last_traffic, Arc::clone(&stop));
            state.last_traffic
        });
        self.handle.spawn(traffic::run(Arc::clone(&self.world), traffic, id, stop));
        Ok(id)
    }

    /// Stops one traffic; false if it is not running.
    pub fn stop_traffic(&self, id: u64) -> bool {
        let stop = self.world.with(|state| state.traffic.remove(&id));
        stop.inspect(|stop| stop.notify_one()).is_some()
    }

    /// Stops all traffic.
    pub fn stop_all_traffic(&self) {
        let all = self.world.with(|state| std::mem::take(&mut state.traffic));
        all.into_values().for_each(|stop| stop.notify_one());
    }

    /// Everything that happened. Long logs are better read with [`log_since`](Self::log_since).
    pub fn log(&self) -> Log {
        self.log_since(0)
    }

    /// The records that are new or changed since the log of which `revision` was the `revision`.
    pub fn log_since(&self, revision: u64) -> Log {
        self.world.with(|state| state.log.since(revision, state.now))
    }

    /// Totals, without copying the log.
    pub fn counts(&self) -> Counts {
        self.world.with(|state| state.log.counts())
    }

    /// The live channels, oldest first.
    pub fn channels(&self) -> Vec<ChannelState> {
        self.world.with(|state| state.channel_states())
    }

    /// All topic templates of the service.
    pub fn topic_templates() -> impl Iterator<Item = &'static str> {
        Catalogue::shared().templates().iter().map(|template| template.text.as_str())
    }

    /// Probes after every change of the log until there is an answer, or `within` is over.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn wait_for<T>(
        &self,
        within: Duration,
        mut probe: impl FnMut(&Self) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut changes = self.world.changed.subscribe();
        loop {
            if let Some(found) = probe(self) {
                return Some(found);
            }
            if timeout_at(deadline, changes.changed()).await.ok()?.is_err() {
                return None;
            }
        }
    }

    /// Closes all sockets and listeners; the log stays readable. Stopping twice is once.
    pub fn stop(&self) {
        self.world.stopped.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The thread never panics and is only waiting to drop its connections.
            let _ = thread.join();
        }
        self.world.with(State::stopped);
    }

    fn running(&self) -> Result<(), SimError> {
        if self.world.is_stopped() { Err(SimError::Stopped) } else { Ok(()) }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("urls", self.urls()).finish_non_exhaustive()
    }
}

/// Options checked, ports open.
struct Prepared {
    world: Arc<World>,
    credentials: Credentials,
    sockets: Vec<(StdListener, Role)>,
    secure: Option<Secure>,
}

/// TLS in front of the plain ports.
struct Secure {
    identity: Identity,
    /// Each with the port behind it.
    sockets: Vec<(StdListener, u16)>,
}

/// What accepts connections.
struct Listeners {
    plain: Vec<(TcpListener, Role)>,
    secure: Vec<(TcpListener, TlsAcceptor, u16)>,
}

impl Prepared {
    fn new(mut options: SimOptions) -> Result<Self, SimError> {
        options.check()?;
        options.clients = options.clients_or_generated(&mut Rng::from_entropy());
        let credentials = first_credentials(&options.clients);
        let (sockets, secure) = match options.tls {
            false => (open_ports(options.port, options.port)?, None),
            true => {
                let plain = open_ports(options.port, 0)?;
                (plain, Some(Identity::new().map_err(SimError::Certificate)?))
            }
        };
        let secure = secure.map(|identity| Secure::open(identity, options.port, &sockets)).transpose()?;
        let urls = match &secure {
            None => urls("", sockets.iter().map(|(socket, _)| socket)),
            Some(secure) => urls("s", secure.sockets.iter().map(|(socket, _)| socket)),
        };
        let world = Arc::new(World::new(Settings { options, urls }));
        Ok(Self { world, credentials, sockets, secure })
    }

    fn listeners(&self, handle: &Handle) -> Result<Listeners, SimError> {
        let _inside = handle.enter();
        let mut listeners = Listeners { plain: Vec::new(), secure: Vec::new() };
        for (socket, role) in &self.sockets {
            listeners.plain.push((registered(socket)?, *role));
        }
        if let Some(secure) = &self.secure {
            for (socket, inner) in &secure.sockets {
                let acceptor = secure.identity.acceptor.clone();
                listeners.secure.push((registered(socket)?, acceptor, *inner));
            }
        }
        Ok(listeners)
    }

    fn running(self, handle: Handle, thread: Option<JoinHandle<()>>) -> Simulator {
        Simulator {
            world: self.world,
            handle,
            thread: Mutex::new(thread),
            credentials: self.credentials,
            certificate: self.secure.map(|secure| secure.identity.authority),
        }
    }
}

impl Secure {
    fn open(identity: Identity, port: u16, inner: &[(StdListener, Role)]) -> Result<Self, SimError> {
        let mut sockets = Vec::new();
        for (inner, _) in inner {
            sockets.push((open_port(port)?, port_of(inner)));
        }
        Ok(Self { identity, sockets })
    }
}

/// Runs until stopped; what is left of the connections goes with the tasks.
async fn host(world: Arc<World>, listeners: Listeners) {
    for (listener, role) in listeners.plain {
        tokio::spawn(listen(Arc::clone(&world), listener, role));
    }
    for (listener, acceptor, inner) in listeners.secure {
        tokio::spawn(relay(Arc::clone(&world), listener, acceptor, inner));
    }
    tokio::select! {
        () = world.keep_time() => {}
        () = world.until_stopped() => {}
    }
}

fn first_credentials(clients: &[ClientOptions]) -> Credentials {
    let first = clients.first();
    Credentials {
        client_id: first.map(|client| client.id.clone()).unwrap_or_default(),
        client_secret: first.map(|client| client.secret.clone()).unwrap_or_default(),
    }
}

/// One port for each host, or one for all if a port was `chosen`; `port` is where, 0 for any.
fn open_ports(chosen: u16, port: u16) -> Result<Vec<(StdListener, Role)>, SimError> {
    let roles: &[Role] = if chosen == 0 { &[Role::LOGIN, Role::API, Role::STREAMING] } else { &[Role::ALL] };
    roles.iter().map(|role| Ok((open_port(port)?, *role))).collect()
}

fn open_port(port: u16) -> Result<StdListener, SimError> {
    let open = || {
        let socket = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|source| SimError::Listen { port, source })
}

fn port_of(socket: &StdListener) -> u16 {
    socket.local_addr().map_or(0, |address| address.port())
}

fn registered(socket: &StdListener) -> Result<TcpListener, SimError> {
    let listener = socket.try_clone().and_then(TcpListener::from_std);
    listener.map_err(|source| SimError::Listen { port: port_of(socket), source })
}

/// `s` is what secure schemes end with.
fn urls<'a>(s: &str, sockets: impl Iterator<Item = &'a StdListener>) -> Urls {
    let ports: Vec<u16> = sockets.map(port_of).collect();
    let at = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or_default();
    Urls {
        login: format!("http{s}://127.0.0.1:{}", at(0)),
        api: format!("http{s}://127.0.0.1:{}", at(1)),
        streaming: format!("ws{s}://127.0.0.1:{}", at(2)),
        gateway: format!("ws{s}://127.0.0.1:{}/gateway", at(2)),
    }
}

//! An endpoint that does what a test says, where the simulator has better manners.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

/// Serves each connection on a thread of its own.
pub struct Gateway {
    address: std::net::SocketAddr,
    /// Path and query of every upgrade, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
}

pub type Socket = WebSocket<TcpStream>;

impl Gateway {
    /// Accepts what `refuse` has no answer for, and hands the open socket to `serve`.
    pub fn start(
        refuse: impl Fn(&Request) -> Option<ErrorResponse> + Send + Sync + 'static,
        serve: impl Fn(Socket) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (theirs, refuse, serve) = (asked.clone(), Arc::new(refuse), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, refuse, serve) = (theirs.clone(), refuse.clone(), serve.clone());
                thread::spawn(move || {
                    #[expect(clippy::result_large_err, reason = "the library's own types")]
                    let judge = |request: &Request, response: Response| {
                        asked.lock().unwrap().push(request.uri().to_string());
                        refuse(request).map_or(Ok(response), Err)
                    };
                    if let Ok(socket) = accept_hdr(stream, judge) {
                        serve(socket);
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// One that lets everybody in.
    pub fn open(serve: impl Fn(Socket) + Send + Sync + 'static) -> Self {
        Self::start(|_| None, serve)
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// Answers pings until the peer is gone; each text goes to `heard`.
pub fn listen(socket: &mut Socket, mut heard: impl FnMut(&mut Socket, &str)) {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => heard(socket, text.as_str()),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// An event as the default layout reads it.
pub fn event(topic: &str, n: u64) -> Message {
    Message::text(format!(r#"{{"topicName":"{topic}","eventBody":{{"n":{n}}},"at":"{n}"}}"#))
}

use serde::Serialize;

/// One connection to a gateway endpoint, refused ones included.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRecord {
    /// Number of the connection.
    pub id: u64,
    /// Its socket, if the upgrade was accepted.
    pub socket: Option<u64>,
    /// `query`, `header`, `first-message`, `since`, `minute` or `open`.
    pub endpoint: &'static str,
    /// When the upgrade was answered.
    pub opened_at: u64,
    /// With which status: 101, 400, 401 or 429.
    pub status: u16,
    /// The first token that was presented and is not `valid`, otherwise `valid`: `expired` has ended or was revoked,
    /// `unknown` never was one; `none` while none was presented.
    pub token: &'static str,
    /// The position that was asked for last, as it came.
    pub position: Option<String>,
    /// Since when events flow: the acknowledgement of a first message, elsewhere the upgrade.
    pub ready_at: Option<u64>,
    /// Frames that came before the acknowledgement, the first message excepted.
    pub early_frames: u64,
    /// Topics that were asked for, in this order.
    pub asked: Vec<Asked>,
    /// First messages that were accepted when the connection was ready already.
    pub renewals: u64,
    /// When the simulator stopped counting it as open.
    pub ended_at: Option<u64>,
    /// How it ended: `refused`, `badToken`, `tokenEnded`, `early`, `scheduled`, or as sockets end.
    pub ended: Option<String>,
    /// Code of the close frame, sent or received.
    pub close_code: Option<u16>,
    /// Events written, replayed ones and copies included.
    pub events: u64,
    /// Events that were sent again from what is kept.
    pub replayed: u64,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// A topic that was asked for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// When.
    pub at: u64,
    /// The topic.
    pub topic: String,
}

impl GatewayRecord {
    pub(crate) fn new(endpoint: &'static str, at: u64) -> Self {
        Self {
            id: 0,
            socket: None,
            endpoint,
            opened_at: at,
            status: 101,
            token: "none",
            position: None,
            ready_at: None,
            early_frames: 0,
            asked: Vec::new(),
            renewals: 0,
            ended_at: None,
            ended: None,
            close_code: None,
            events: 0,
            replayed: 0,
            revision: 0,
        }
    }

    /// A token was presented.
    pub(crate) fn presented(&mut self, standing: &'static str) {
        if matches!(self.token, "none" | "valid") {
            self.token = standing;
        }
    }
}

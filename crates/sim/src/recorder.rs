use std::collections::{HashMap, VecDeque};

use crate::{
    gateway::GatewayRecord,
    log::{
        ChannelRecord, Counts, Delivery, DeliveryState, EventRecord, FaultRecord, Log, RequestRecord,
        SocketRecord,
    },
};

/// Where one frame of an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) delivery: usize,
}

/// Keeps the log: each record carries the revision of its last change.
pub(crate) struct Recorder {
    limit: usize,
    started_at: u64,
    revision: u64,
    counts: Counts,
    requests: VecDeque<RequestRecord>,
    events: VecDeque<EventRecord>,
    sockets: VecDeque<SocketRecord>,
    channels: VecDeque<ChannelRecord>,
    gateway: VecDeque<GatewayRecord>,
    faults: VecDeque<FaultRecord>,
    /// Events that share a frame with another one.
    joined: HashMap<Mark, Vec<Mark>>,
}

impl Recorder {
    pub(crate) fn new(limit: usize, started_at: u64) -> Self {
        Self {
            limit,
            started_at,
            revision: 0,
            counts: Counts::default(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            sockets: VecDeque::new(),
            channels: VecDeque::new(),
            gateway: VecDeque::new(),
            faults: VecDeque::new(),
            joined: HashMap::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn since(&self, revision: u64, now: u64) -> Log {
        fn newer<T: Clone>(records: &VecDeque<T>, revision: u64, of: impl Fn(&T) -> u64) -> Vec<T> {
            records.iter().filter(|record| of(record) > revision).cloned().collect()
        }
        Log {
            revision: self.revision,
            started_at: self.started_at,
            now,
            counts: self.counts,
            requests: newer(&self.requests, revision, |r| r.revision),
            events: newer(&self.events, revision, |r| r.revision),
            sockets: newer(&self.sockets, revision, |r| r.revision),
            channels: newer(&self.channels, revision, |r| r.revision),
            gateway: newer(&self.gateway, revision, |r| r.revision),
            faults: newer(&self.faults, revision, |r| r.revision),
        }
    }

    /// Adds a request and returns its number.
    pub(crate) fn request(&mut self, mut record: RequestRecord) -> u64 {
        self.counts.requests += 1;
        record.id = self.counts.requests;
        record.revision = self.bump();
        let id = record.id;
        self.counts.forgotten += push(&mut self.requests, record, self.limit);
        id
    }

    pub(crate) fn update_request(&mut self, id: u64, change: impl FnOnce(&mut RequestRecord)) {
        let revision = self.bump();
        if let Some(record) = numbered(&mut self.requests, self.counts.requests, id) {
            change(record);
            record.revision = revision;
        }
    }

    /// Adds an event, all deliveries known; returns its number.
    pub(crate) fn event(&mut self, mut record: EventRecord) -> u64 {
        self.counts.published += 1;
        record.seq = self.counts.published;
        record.revision = self.bump();
        settle(&mut record, &mut self.counts);
        let seq = record.seq;
        self.counts.forgotten += push(&mut self.events, record, self.limit);
        seq
    }

    /// Adds a delivery to an event that is in the log already; None if it is not there any more.
    pub(crate) fn deliver_again(&mut self, seq: u64, delivery: Delivery) -> Option<Mark> {
        let revision = self.bump();
        let event = numbered(&mut self.events, self.counts.published, seq)?;
        event.revision = revision;
        event.deliveries.push(delivery);
        if event.reason.as_deref().is_some_and(|reason| reason != "queued") {
            // It had reached nobody, and may yet.
            self.counts.undelivered -= 1;
            event.reason = Some("queued".to_owned());
        }
        Some(Mark { seq, delivery: event.deliveries.len() - 1 })
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.counts.published + 1
    }

    pub(crate) fn written(&mut self, mark: Mark, at: u64) {
        self.deliver(mark, &|delivery| {
            delivery.state = DeliveryState::Written;
            delivery.at = Some(at);
            delivery.reason = None;
        });
    }

    pub(crate) fn lost(&mut self, mark: Mark, reason: &str) {
        self.deliver(mark, &|delivery| {
            delivery.state = DeliveryState::Lost;
            delivery.reason = Some(reason.to_owned());
        });
    }

    /// The marks become one, of a frame that carries them all.
    pub(crate) fn join(&mut self, marks: impl Iterator<Item = Mark>) -> Option<Mark> {
        let mut marks = marks;
        let first = marks.next()?;
        let others: Vec<_> = marks.collect();
        if !others.is_empty() {
            self.joined.insert(first, others);
        }
        Some(first)
    }

    fn deliver(&mut self, mark: Mark, change: &dyn Fn(&mut Delivery)) {
        for other in self.joined.remove(&mark).unwrap_or_default() {
            self.deliver(other, change);
        }
        let revision = self.bump();
        let Some(event) = numbered(&mut self.events, self.counts.published, mark.seq) else { return };
        let Some(delivery) = event.deliveries.get_mut(mark.delivery) else { return };
        // A delivery ends once; what a finished socket says later about it is no news.
        if delivery.state != DeliveryState::Queued {
            return;
        }
        change(delivery);
        let written = delivery.state == DeliveryState::Written;
        let socket = delivery.socket;
        event.revision = revision;
        if written {
            self.counts.deliveries += 1;
        }
        settle(event, &mut self.counts);
        if let (true, Some(socket)) = (written, socket) {
            let mut gateway = None;
            self.update_socket(socket, |record| {
                record.events += 1;
                gateway = record.gateway;
            });
            if let Some(gateway) = gateway {
                self.update_gateway(gateway, |record| record.events += 1);
            }
        }
    }

    /// Adds a socket and returns its number.
    pub(crate) fn socket(&mut self, channel: &str, at: u64) -> u64 {
        self.counts.sockets += 1;
        let record = SocketRecord {
            id: self.counts.sockets,
            channel: channel.to_owned(),
            opened_at: at,
            ended_at: None,
            ended: None,
            close_code: None,
            gone_at: None,
            channel_gone_at: None,
            stalled_at: None,
            resumed_at: None,
            last_inbound_at: None,
            pings: 0,
            control_pings: 0,
            heartbeats: 0,
            events: 0,
            gateway: None,
            revision: self.bump(),
        };
        self.counts.forgotten += push(&mut self.sockets, record, self.limit);
        self.counts.sockets
    }

    pub(crate) fn update_socket(&mut self, id: u64, change: impl FnOnce(&mut SocketRecord)) {
        let revision = self.bump();
        if let Some(record) = numbered(&mut self.sockets, self.counts.sockets, id) {
            change(record);
            record.revision = revision;
        }
    }

    /// Adds a connection to a gateway endpoint and returns its number.
    pub(crate) fn gateway(&mut self, mut record: GatewayRecord) -> u64 {
        self.counts.gateway += 1;
        record.id = self.counts.gateway;
        record.revision = self.bump();
        self.counts.forgotten += push(&mut self.gateway, record, self.limit);
        self.counts.gateway
    }

    pub(crate) fn update_gateway(&mut self, id: u64, change: impl FnOnce(&mut GatewayRecord)) {
        let revision = self.bump();
        if let Some(record) = numbered(&mut self.gateway, self.counts.gateway, id) {
            change(record);
            record.revision = revision;
        }
    }

    pub(crate) fn channel(&mut self, mut record: ChannelRecord) {
        self.counts.channels += 1;
        record.revision = self.bump();
        self.counts.forgotten += push(&mut self.channels, record, self.limit);
    }

    pub(crate) fn channel_ended(&mut self, id: &str, at: u64, how: &str) {
        let revision = self.bump();
        if let Some(record) = self.channels.iter_mut().rev().find(|record| record.id == id) {
            record.ended_at = Some(at);
            record.ended = Some(how.to_owned());
            record.revision = revision;
        }
    }

    pub(crate) fn fault(&mut self, mut record: FaultRecord) {
        record.revision = self.bump();
        self.counts.forgotten += push(&mut self.faults, record, self.limit);
    }

    fn bump(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

/// Counts an event as delivered or undelivered as soon as that is final, once.
fn settle(event: &mut EventRecord, counts: &mut Counts) {
    let written = event.deliveries.iter().filter(|d| d.state == DeliveryState::Written).count();
    let queued = event.deliveries.iter().any(|d| d.state == DeliveryState::Queued);
    let was_unsettled = event.reason.as_deref().is_none_or(|reason| reason == "queued");
    match (written, queued) {
        (0, true) => event.reason = Some("queued".to_owned()),
        (0, false) if was_unsettled => {
            counts.undelivered += 1;
            let first = event.deliveries.iter().find_map(|d| d.reason.clone());
            event.reason = Some(first.unwrap_or_else(|| "noSubscriber".to_owned()));
        }
        (0, false) => {}
        (_, _) => {
            if event.reason.take().is_some() {
                counts.delivered += 1;
            }
        }
    }
}

/// Records are numbered from 1 without holes: the newest is `last`, the oldest may be forgotten.
fn numbered<T>(records: &mut VecDeque<T>, last: u64, id: u64) -> Option<&mut T> {
    let from_end = usize::try_from(last.checked_sub(id)?).ok()?;
    let index = records.len().checked_sub(from_end + 1)?;
    records.get_mut(index)
}

fn push<T>(records: &mut VecDeque<T>, record: T, limit: usize) -> u64 {
    records.push_back(record);
    if records.len() <= limit {
        return 0;
    }
    records.pop_front();
    1
}

impl Recorder {
    /// The simulator stopped: nothing that waits will happen any more.
    pub(crate) fn stopped(&mut self, at: u64) {
        let open: Vec<_> = self.sockets.iter().filter(|s| s.gone_at.is_none()).map(|s| s.id).collect();
        for id in open {
            self.update_socket(id, |record| record.gone_at = Some(at));
        }
        let mut waiting = Vec::new();
        for event in &self.events {
            for (delivery, state) in event.deliveries.iter().map(|d| d.state).enumerate() {
                if state == DeliveryState::Queued {
                    waiting.push(Mark { seq: event.seq, delivery });
                }
            }
        }
        for mark in waiting {
            self.lost(mark, "stopped");
        }
    }
}

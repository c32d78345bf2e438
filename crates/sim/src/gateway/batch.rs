use crate::{
    envelope::Plan,
    frame,
    recorder::Mark,
    state::{State, Timer},
};

/// How long an event waits for others to fill its array.
const WAIT_MS: u64 = 10;

/// An event that waits: its text and its place in the log.
pub(crate) type Waiting = (String, Option<Mark>);

impl State {
    /// Sends an event to a gateway connection, by itself or in an array with others.
    pub(crate) fn send_item(
        &mut self,
        socket: u64,
        item: String,
        mark: Option<Mark>,
        plan: &Plan,
    ) -> Result<(), &'static str> {
        let Some(most) = self.settings.options.gateway.batch else {
            return self.dispatch(socket, plan.encode(&item), mark, plan);
        };
        if plan.delay_ms > 0 || plan.reorder_ms.is_some() || plan.fragment.is_some() {
            return self.dispatch(socket, plan.encode(&format!("[{item}]")), mark, plan);
        }
        if self.sockets.get(&socket).is_some_and(|socket| socket.stalled.is_some()) {
            return Err("stalled");
        }
        let Some(gateway) = self.gateway_mut(socket) else { return Err("socketEnded") };
        gateway.batch.push((item, mark));
        // Not sent here even if it is full: an event that is being published is not in the log yet.
        match gateway.batch.len() {
            full if full == most => self.schedule(self.now, Timer::GatewayBatch(socket)),
            1 => self.schedule(self.now.saturating_add(WAIT_MS), Timer::GatewayBatch(socket)),
            _ => {}
        }
        Ok(())
    }

    /// Sends what waits, so that nothing that comes later overtakes it.
    pub(crate) fn flush_batch(&mut self, socket: u64) {
        let mut waiting = self.take_batch(socket).into_iter().peekable();
        let most = self.settings.options.gateway.batch.unwrap_or(1);
        while waiting.peek().is_some() {
            let (items, marks): (Vec<_>, Vec<_>) = waiting.by_ref().take(most).unzip();
            let mark = self.log.join(marks.into_iter().flatten());
            self.send_in_order(socket, frame::text(&format!("[{}]", items.join(","))), mark);
        }
    }

    /// What waits will not be sent.
    pub(crate) fn lose_batch(&mut self, socket: u64, reason: &str) {
        for mark in self.take_batch(socket).into_iter().filter_map(|(_, mark)| mark) {
            self.log.lost(mark, reason);
        }
    }

    fn take_batch(&mut self, socket: u64) -> Vec<Waiting> {
        self.gateway_mut(socket).map(|gateway| std::mem::take(&mut gateway.batch)).unwrap_or_default()
    }
}

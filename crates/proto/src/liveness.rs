//! The liveness of an open socket (P1): when to ping, when it is dead, and until when nothing sent on it can be missing.

use std::collections::VecDeque;

use crate::config::Heartbeat;
use crate::io::SocketId;
use crate::time::Now;

/// Round trips longer than this say more about us than about the network.
const LONGEST_ROUND_TRIP_MS: u64 = 2_000;
/// Both ends round to milliseconds, and a frame is read a little after it arrived.
const GRAIN_MS: u64 = 2;

/// What liveness needs to know of an open socket.
#[derive(Debug)]
pub(crate) struct OpenSocket {
    pub(crate) id: SocketId,
    /// When the last frame of any kind arrived.
    pub(crate) last: Now,
    /// Pings without a pong yet: when sent, and after which confirmation.
    pings: VecDeque<(Now, u64)>,
    last_ping: Option<u64>,
    /// When WebSocket pings were sent that have no pong yet, each with the number of the ping it went with.
    probes: VecDeque<(u64, u64)>,
    /// Pings sent so far. While a machine is suspended its clock stands still, so times do not tell which came first.
    sent: u64,
    /// Since when the proof of life of a confirmation is asked for.
    proof_since: Option<u64>,
    pub(crate) paused: bool,
    /// After a jump of the clock: the socket has until then to show a frame.
    grace: Option<u64>,
    /// Frames may have waited to be read, so that they do not show when they were sent.
    stale: Option<Stale>,
    /// The service has said that nothing after this instant can be relied on.
    condemned_at: Option<u64>,
    round_trip_ms: u64,
    /// When the youngest ping was sent that was answered, by the wall clock: what was sent before has arrived.
    answered_until: u64,
}

/// Reading stopped for a while.
#[derive(Clone, Copy, Debug)]
struct Stale {
    /// The last frame before that, by the wall clock.
    since: u64,
    /// When the ping was sent whose pong ends the doubt, and its number.
    asked: Option<(u64, u64)>,
}

/// What liveness wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing before this time.
    Wait(u64),
    /// A ping, now.
    Ping,
    /// It is dead: silent too long.
    Silent,
    /// It did not survive a jump of the clock.
    Jumped,
}

impl OpenSocket {
    pub(crate) fn new(id: SocketId, now: Now) -> Self {
        Self {
            id,
            last: now,
            pings: VecDeque::new(),
            last_ping: None,
            probes: VecDeque::new(),
            sent: 0,
            proof_since: None,
            paused: false,
            grace: None,
            stale: None,
            condemned_at: None,
            round_trip_ms: 0,
            answered_until: 0,
        }
    }

    /// Any frame is life. Says from when to when the clock had jumped, if this frame ends that doubt.
    pub(crate) fn heard(&mut self, now: Now) -> Option<(u64, u64)> {
        let before = std::mem::replace(&mut self.last, now);
        self.grace.take().map(|_| (before.wall, now.wall))
    }

    /// A pong. Says which confirmation it proves, and when that was asked, by the wall clock.
    ///
    /// It may answer a later ping than the oldest, if a pong was lost: what it proves is then too little, never too much. But
    /// a round trip that long would make every gap too long.
    pub(crate) fn pong(&mut self, now: Now, heartbeat: &Heartbeat) -> (u64, u64) {
        let due = |sent: &u64| now.mono.saturating_sub(*sent) < heartbeat.pong_timeout_ms;
        let asked = self.pings.iter().map(|(sent, _)| sent.mono).find(due);
        let asked = asked.or_else(|| self.pings.back().map(|(sent, _)| sent.mono));
        let number = self.sent - self.pings.len() as u64 + 1;
        let Some((sent, confirmations)) = self.pings.pop_front() else { return (0, now.wall) };
        self.answered(number);
        self.measure(now, asked.unwrap_or(sent.mono));
        self.answered_until = sent.wall;
        (confirmations, sent.wall)
    }

    /// A WebSocket pong. It proves no subscription, but that the stream is read up to what was sent before it.
    pub(crate) fn probe_answered(&mut self, now: Now) {
        if let Some((sent, number)) = self.probes.pop_front() {
            self.answered(number);
            self.measure(now, sent);
        }
    }

    fn answered(&mut self, number: u64) {
        if self.stale.is_some_and(|stale| stale.asked.is_some_and(|(_, asked)| number >= asked)) {
            self.stale = None;
        }
    }

    fn measure(&mut self, now: Now, sent: u64) {
        let round_trip = now.mono.saturating_sub(sent).min(LONGEST_ROUND_TRIP_MS);
        self.round_trip_ms = self.round_trip_ms.max(round_trip);
    }

    pub(crate) fn pinged(&mut self, now: Now, confirmations: u64) {
        // A pong that never comes must not shift the pairing for ever.
        if self.pings.len() >= 8 {
            self.pings.pop_front();
        }
        self.pings.push_back((now, confirmations));
        self.sent += 1;
        self.last_ping = Some(now.mono);
        if let Some(stale) = &mut self.stale {
            stale.asked.get_or_insert((now.mono, self.sent));
        }
    }

    pub(crate) fn probed(&mut self, now: Now) {
        if self.probes.len() >= 8 {
            self.probes.pop_front();
        }
        self.probes.push_back((now.mono, self.sent));
    }

    /// The driver stopped or resumed reading.
    pub(crate) fn paused(&mut self, now: Now, paused: bool) {
        self.read_late();
        self.paused = paused;
        self.heard(now);
    }

    pub(crate) fn reads_late(&self) -> bool {
        self.stale.is_some()
    }

    /// When the ping was sent that will tell whether what was read late is complete.
    pub(crate) fn asked(&self) -> Option<u64> {
        self.stale.and_then(|stale| stale.asked).map(|(at, _)| at)
    }

    /// What is read next may have waited since the last frame; a pong to a ping sent from now on will tell.
    pub(crate) fn read_late(&mut self) {
        let since = self.stale.map_or(self.last.wall, |stale| stale.since);
        self.stale = Some(Stale { since, asked: None });
    }

    /// The clock jumped or we did not run: what arrived meanwhile is still unread, so a ping decides.
    pub(crate) fn doubt(&mut self, now: Now, heartbeat: &Heartbeat) {
        self.grace = Some(now.mono + heartbeat.pong_timeout_ms.clamp(1, 1_000));
        self.last_ping = None;
        self.read_late();
    }

    /// The last instant before which nothing sent can be missing. What was lost may have been sent while the last
    /// frame was on its way, so the longest round trip seen is taken off; an answered ping needs no such estimate.
    pub(crate) fn sound_until(&self) -> u64 {
        let last = self.stale.map_or(self.last.wall, |stale| stale.since);
        let by_frames = last.saturating_sub(self.round_trip_ms + GRAIN_MS);
        let sound_until = by_frames.max(self.answered_until.min(last));
        self.condemned_at.map_or(sound_until, |at| at.min(sound_until))
    }

    /// Its channel is gone, and was so before the service said it: frames still prove the socket, but no subscription.
    pub(crate) fn condemn(&mut self) {
        self.condemned_at = Some(self.sound_until());
    }

    /// It still brings events, whatever the service said.
    pub(crate) fn vindicate(&mut self) {
        self.condemned_at = None;
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned_at.is_some()
    }

    pub(crate) fn proof_ended(&mut self) {
        self.proof_since = None;
    }

    /// Liveness (P1). `unproven` is the number of the confirmation that waits for its proof.
    pub(crate) fn pulse(&mut self, now: Now, unproven: Option<u64>, heartbeat: &Heartbeat) -> Pulse {
        if self.paused {
            return Pulse::Wait(u64::MAX);
        }
        let mono = now.mono;
        if let Some(until) = self.grace {
            return match self.last_ping {
                None => Pulse::Ping,
                _ if mono >= until => Pulse::Jumped,
                _ => Pulse::Wait(until),
            };
        }
        let silent_at = self.last.mono + heartbeat.silence_ms;
        if mono >= silent_at {
            return Pulse::Silent;
        }
        if let Some(stale) = self.stale {
            match stale.asked.map(|(at, _)| at + heartbeat.pong_timeout_ms) {
                None => return Pulse::Ping,
                // A server that answers no ping: what arrived so long after it was sent after it.
                Some(due) if self.last.mono >= due => self.stale = None,
                Some(_) => {}
            }
        } else {
            // So late no pong comes any more; the next one answers a later ping.
            let is_lost = |(sent, _): &(Now, u64)| mono >= sent.mono + heartbeat.silence_ms;
            while self.pings.front().is_some_and(is_lost) {
                self.pings.pop_front();
            }
        }
        if let Some(confirmation) = unproven {
            let since = *self.proof_since.get_or_insert(mono);
            let asked = self.pings.back().is_some_and(|(_, confirmations)| *confirmations >= confirmation);
            if !asked {
                return Pulse::Ping;
            }
            let proof_due = since + heartbeat.pong_timeout_ms;
            return match self.last_ping {
                _ if mono >= proof_due && self.last.mono <= since => Pulse::Silent,
                _ if mono >= proof_due => Pulse::Wait(silent_at),
                _ => Pulse::Wait(proof_due.min(silent_at)),
            };
        }
        let pinged_since = self.last_ping.filter(|at| *at >= self.last.mono);
        let ping_at = match pinged_since {
            Some(at) => at + heartbeat.pong_timeout_ms,
            None => self.last.mono + heartbeat.ping_after_ms,
        };
        if mono >= ping_at { Pulse::Ping } else { Pulse::Wait(ping_at.min(silent_at)) }
    }

    /// A server that answers no ping but sends other frames is alive: once the pong is overdue, they are the proof.
    pub(crate) fn proven_without_pong(&self, now: Now, heartbeat: &Heartbeat) -> bool {
        self.proof_since
            .is_some_and(|since| now.mono >= since + heartbeat.pong_timeout_ms && self.last.mono > since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: ms, wall: 1_000_000 + ms }
    }

    fn beat() -> Heartbeat {
        Heartbeat::default()
    }

    #[test]
    fn pings_at_20_25_and_30_seconds_of_silence_and_death_at_35() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        let (mut pings, mut now) = (Vec::new(), 0);
        loop {
            match socket.pulse(at(now), None, &beat()) {
                Pulse::Wait(next) => now = next,
                Pulse::Ping => {
                    pings.push(now);
                    socket.pinged(at(now), 0);
                }
                other => {
                    assert_eq!((other, now), (Pulse::Silent, 35_000));
                    break;
                }
            }
        }
        assert_eq!(pings, [20_000, 25_000, 30_000]);
    }

    #[test]
    fn any_frame_is_life() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        for now in (0..600_000).step_by(19_000) {
            assert_eq!(
                socket.pulse(at(now), None, &beat()),
                Pulse::Wait(now + if now == 0 { 20_000 } else { 1_000 })
            );
            socket.heard(at(now));
        }
    }

    #[test]
    fn a_confirmation_is_proven_by_the_pong_to_a_later_ping_only() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        socket.pinged(at(0), 0);
        assert_eq!(socket.pulse(at(1), Some(1), &beat()), Pulse::Ping);
        socket.pinged(at(1), 1);
        assert_eq!(socket.pong(at(2), &beat()), (0, 1_000_000));
        assert_eq!(socket.pong(at(3), &beat()), (1, 1_000_001));
        socket.heard(at(3));
        assert_eq!(socket.sound_until(), 1_000_001);
        socket.heard(at(90));
        assert_eq!(socket.sound_until(), 1_000_090 - 2 - GRAIN_MS);
    }

    #[test]
    fn a_lost_pong_makes_no_round_trip_longer_and_is_given_up() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        socket.pinged(at(0), 1);
        socket.heard(at(1));
        for ping in [10_000, 20_000, 40_000] {
            socket.pinged(at(ping), ping);
            let (proven, _) = socket.pong(at(ping + 3), &beat());
            assert!(proven < ping, "the pong may be that of the ping before");
            socket.heard(at(ping + 3));
            socket.heard(at(ping + 500));
            assert_eq!(socket.sound_until(), 1_000_000 + ping + 500 - 3 - GRAIN_MS);
        }
        assert!(matches!(socket.pulse(at(74_000), None, &beat()), Pulse::Ping));
        socket.heard(at(75_000));
        assert!(matches!(socket.pulse(at(75_000), None, &beat()), Pulse::Wait(_)));
        socket.pinged(at(75_001), 75_001);
        assert_eq!(socket.pong(at(75_004), &beat()).0, 75_001);
    }

    #[test]
    fn a_new_socket_that_shows_nothing_is_given_up_after_the_pong_timeout() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        assert_eq!(socket.pulse(at(0), Some(1), &beat()), Pulse::Ping);
        socket.pinged(at(0), 1);
        assert_eq!(socket.pulse(at(1), Some(1), &beat()), Pulse::Wait(5_000));
        assert_eq!(socket.pulse(at(5_000), Some(1), &beat()), Pulse::Silent);
    }

    #[test]
    fn a_server_without_pong_is_proven_by_its_other_frames() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        socket.pulse(at(0), Some(1), &beat());
        socket.pinged(at(0), 1);
        socket.heard(at(10));
        assert!(!socket.proven_without_pong(at(4_999), &beat()));
        assert!(socket.proven_without_pong(at(5_000), &beat()));
    }

    #[test]
    fn after_a_jump_of_the_clock_a_ping_decides() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        socket.doubt(at(100_000), &beat());
        assert_eq!(socket.pulse(at(100_000), None, &beat()), Pulse::Ping);
        socket.pinged(at(100_000), 0);
        assert_eq!(socket.pulse(at(100_000), None, &beat()), Pulse::Wait(101_000));
        assert_eq!(socket.pulse(at(101_000), None, &beat()), Pulse::Jumped);
        assert_eq!(socket.heard(at(101_000)), Some((1_000_000, 1_101_000)));
        assert!(matches!(socket.pulse(at(101_000), None, &beat()), Pulse::Wait(_)));
    }

    #[test]
    fn a_socket_we_do_not_read_is_not_called_silent() {
        let mut socket = OpenSocket::new(SocketId(1), at(0));
        socket.paused = true;
        assert_eq!(socket.pulse(at(1_000_000), None, &beat()), Pulse::Wait(u64::MAX));
    }
}

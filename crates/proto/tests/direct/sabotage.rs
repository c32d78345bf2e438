//! Planted faults: each makes the machine seem to break a promise, so that a test can see the assertions bite.

use genesys_notifications_proto::{
    Backfilled, Certainty, ClientState, Config, Disposition, Effect, Failure, Gap, Generation, Notice,
    Outcome, Output, SocketId, TopicId,
};

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Tokens are used for ever.
    OldTokenUsed,
    AskedBeforeReady,
    AskedTwice,
    NotAskedAgain,
    CopyDelivered,
    EventSwallowed,
    GapSwallowed,
    GapBeginsTooLate,
    GapsMuchTooLong,
    GapOfAResumedStream,
    RetryAfterIgnored,
    EarlierThanTold,
    NoBackoff,
    CursorForgotten,
    /// What the cursor recognises is forgotten.
    SeenForgotten,
    /// The last position is asked for, although the server leaves out what is left there.
    PositionSkipped,
    NeverOpens,
}

/// The fault at work.
#[derive(Debug)]
pub(crate) struct Sabotage {
    fault: Option<Fault>,
    first: Option<Generation>,
    asked_on: Option<SocketId>,
    opened: u32,
}

impl Sabotage {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, first: None, asked_on: None, opened: 0 }
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// What becomes of what the machine is told of the server.
    pub(crate) fn config(&self, config: &mut Config) {
        let Some(direct) = &mut config.direct else { return };
        match self.fault {
            Some(Fault::AskedBeforeReady) => direct.ready_timeout_ms = None,
            // It is no longer known that the server leaves out the position itself.
            Some(Fault::PositionSkipped) => {
                direct.resume.iter_mut().for_each(|resume| resume.inclusive = Some(true));
            }
            _ => {}
        }
    }

    /// What becomes of an output.
    pub(crate) fn outputs(&mut self, output: Output) -> Vec<Output> {
        let Some(fault) = self.fault else { return vec![output] };
        match (fault, output) {
            (Fault::OldTokenUsed, Output::Start(mut operation)) => {
                if let Effect::Connect { generation: Some(generation), .. } = &mut operation.effect {
                    *generation = *self.first.get_or_insert(*generation);
                }
                vec![Output::Start(operation)]
            }
            (Fault::AskedTwice, Output::Ask(socket, topic)) => {
                vec![Output::Ask(socket, topic), Output::Ask(socket, topic)]
            }
            (Fault::NotAskedAgain, Output::Ask(socket, topic)) => {
                let first = *self.asked_on.get_or_insert(socket);
                if first == socket { vec![Output::Ask(socket, topic)] } else { Vec::new() }
            }
            (Fault::GapSwallowed, Output::Notify(Notice::Gap(_))) => Vec::new(),
            (Fault::GapsMuchTooLong, Output::Notify(Notice::Gap(mut gap))) => {
                gap.from -= 600_000;
                vec![Output::Notify(Notice::Gap(gap))]
            }
            (Fault::GapBeginsTooLate, Output::Notify(Notice::Gap(mut gap))) => {
                gap.from += 20_000;
                gap.to = gap.to.map(|to| to.max(gap.from));
                vec![Output::Notify(Notice::Gap(gap))]
            }
            (Fault::EarlierThanTold, Output::Notify(Notice::State(mut change))) => {
                change.retry_in_ms = change.retry_in_ms.map(|wait| wait + 1_000);
                vec![Output::Notify(Notice::State(change))]
            }
            (Fault::GapOfAResumedStream, Output::Notify(Notice::State(change))) => {
                let mut both = vec![Output::Notify(Notice::State(change.clone()))];
                if change.state == ClientState::Reconnecting {
                    let (id, topics) = ("gap-1000000".to_owned(), vec!["*".to_owned()]);
                    let (reason, certainty) = (change.reason, Certainty::Certain);
                    let (from, to, backfilled) = (0, None, Backfilled::No);
                    both.push(Output::Notify(Notice::Gap(Gap {
                        id,
                        from,
                        to,
                        reason,
                        topics,
                        certainty,
                        backfilled,
                    })));
                }
                both
            }
            (_, output) => vec![output],
        }
    }

    /// What becomes of a result before the machine sees it.
    pub(crate) fn outcome(&mut self, mut outcome: Outcome) -> Outcome {
        match (self.fault, &mut outcome) {
            (Some(Fault::RetryAfterIgnored), Outcome::Socket(Err(Failure::Http(http)))) => {
                http.retry_after_ms = None;
            }
            (Some(Fault::CursorForgotten), Outcome::Cursor(Ok(cursor))) => *cursor = None,
            (Some(Fault::SeenForgotten), Outcome::Cursor(Ok(Some(cursor)))) => cursor.seen.clear(),
            (Some(Fault::NeverOpens), Outcome::Socket(result)) => {
                self.opened += 1;
                if self.opened > 10 {
                    *result = Err(Failure::Protocol("planned".to_owned()));
                }
            }
            _ => {}
        }
        outcome
    }

    /// What becomes of an event.
    pub(crate) fn disposition(&self, disposition: Disposition, topic: TopicId, event: usize) -> Disposition {
        match disposition {
            Disposition::Drop if self.is(Fault::CopyDelivered) => Disposition::Deliver(topic),
            Disposition::Deliver(_) if self.is(Fault::EventSwallowed) && event.is_multiple_of(97) => {
                Disposition::Drop
            }
            other => other,
        }
    }
}

//! Planted faults: each makes the machine seem to break a promise, so that a test can see the assertions bite.

use genesys_notifications_proto::{
    ClientState, Disposition, Effect, Failure, LinkId, LogLine, Notice, Operation, Outcome, Output, Past,
    Reason, StateChange, Ticket, TokenReason, TopicId, Verb,
};

/// One way to be wrong. Most change what the machine says; two change what it is told: silence is hidden from it, and
/// no opening of a socket ever ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    GapSwallowed,
    GapBeginsTooLate,
    GapEndsTooEarly,
    GapsMuchTooLong,
    ReleasedBeforeGap,
    RetryAfterIgnored,
    RateLimitIgnored,
    CopyDelivered,
    EventSuppressed,
    SecondTokenRequest,
    SecondSubscription,
    ForgottenLinkOpened,
    OldTokenUsed,
    TopicLostAfterFailure,
    StateAfterTheEnd,
    OutputAfterTheEnd,
    NeverOpens,
    Spins,
    NoGovernor,
    NoBackoff,
    SilenceHidden,
    LinkLeaked,
    RestoredGapBeginsTooLate,
    RestoredGapForgotten,
    CoverageForgotten,
    GapIdsUsedAgain,
    MarkRunsAhead,
    AuditIgnored,
    TwoRotations,
}

/// The fault at work.
#[derive(Debug)]
pub(crate) struct Sabotage {
    pub(crate) fault: Option<Fault>,
    forgotten: Option<LinkId>,
    old_generation: Option<Effect>,
    held_back: Vec<Output>,
    failures: u32,
}

const BOGUS: u64 = 1 << 40;

impl Sabotage {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, forgotten: None, old_generation: None, held_back: Vec::new(), failures: 0 }
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// What becomes of an output.
    pub(crate) fn outputs(&mut self, output: Output) -> Vec<Output> {
        let Some(fault) = self.fault else { return vec![output] };
        match (fault, output) {
            (Fault::GapSwallowed, Output::Notify(Notice::Gap(_))) => Vec::new(),
            (Fault::GapBeginsTooLate, Output::Notify(Notice::Gap(mut gap))) => {
                gap.from += 30_000;
                gap.to = gap.to.map(|to| to.max(gap.from));
                vec![Output::Notify(Notice::Gap(gap))]
            }
            (Fault::GapEndsTooEarly, Output::Notify(Notice::Gap(mut gap))) => {
                gap.to = gap.to.map(|to| to.saturating_sub(60_000).max(gap.from));
                vec![Output::Notify(Notice::Gap(gap))]
            }
            (Fault::GapsMuchTooLong, Output::Notify(Notice::Gap(mut gap))) => {
                gap.from -= 7_200_000;
                vec![Output::Notify(Notice::Gap(gap))]
            }
            (Fault::ReleasedBeforeGap, Output::Notify(Notice::Gap(gap))) if gap.to.is_some() => {
                self.held_back.push(Output::Notify(Notice::Gap(gap)));
                Vec::new()
            }
            (Fault::ReleasedBeforeGap, release @ Output::Release(_)) => {
                let mut both = vec![release];
                both.append(&mut self.held_back);
                both
            }
            (
                Fault::SecondTokenRequest,
                Output::Start(Operation {
                    ticket,
                    effect: Effect::FetchToken { generation, why },
                    timeout_ms,
                }),
            ) if why == TokenReason::Renewal => {
                let effect = Effect::FetchToken { generation, why };
                let second =
                    Operation { ticket: Ticket(ticket.0 + BOGUS), effect: effect.clone(), timeout_ms };
                vec![Output::Start(Operation { ticket, effect, timeout_ms }), Output::Start(second)]
            }
            (Fault::SecondSubscription, Output::Start(operation))
                if matches!(operation.effect, Effect::Subscribe { .. }) =>
            {
                let second = Operation { ticket: Ticket(operation.ticket.0 + BOGUS), ..operation.clone() };
                vec![Output::Start(operation), Output::Start(second)]
            }
            (Fault::ForgottenLinkOpened, Output::ForgetLink(link)) => {
                self.forgotten = Some(link);
                vec![Output::ForgetLink(link)]
            }
            (Fault::ForgottenLinkOpened, Output::Start(mut operation)) => {
                if let (Some(old), Effect::OpenSocket { link, .. }) = (self.forgotten, &mut operation.effect)
                {
                    *link = old;
                }
                vec![Output::Start(operation)]
            }
            (Fault::OldTokenUsed, Output::Start(mut operation)) => {
                if let Effect::CreateChannel { generation, .. } = &mut operation.effect {
                    match &self.old_generation {
                        Some(Effect::CreateChannel { generation: first, .. }) => *generation = *first,
                        _ => self.old_generation = Some(operation.effect.clone()),
                    }
                }
                vec![Output::Start(operation)]
            }
            (Fault::TopicLostAfterFailure, Output::Start(mut operation)) => {
                if let Effect::Subscribe { topics, verb: Verb::Replace, .. } = &mut operation.effect
                    && self.failures > 0
                    && topics.len() > 1
                {
                    topics.pop();
                }
                vec![Output::Start(operation)]
            }
            (Fault::StateAfterTheEnd, Output::Notify(Notice::State(change))) => {
                let end = change.state.is_terminal();
                let back = StateChange {
                    state: ClientState::Connected,
                    previous: change.state,
                    reason: Reason::Live,
                    ..change.clone()
                };
                let mut both = vec![Output::Notify(Notice::State(change))];
                both.extend(end.then_some(Output::Notify(Notice::State(back))));
                both
            }
            (Fault::OutputAfterTheEnd, Output::Closed) => {
                vec![Output::Closed, Output::Cancel(Ticket(1))]
            }
            (Fault::LinkLeaked, Output::ForgetLink(_)) => Vec::new(),
            (Fault::TwoRotations, Output::Notify(Notice::Log(line)))
                if line.message.contains("(Planned(") =>
            {
                let message = line.message.replace("shard 0", "shard 1");
                let other = LogLine { message, ..line.clone() };
                vec![Output::Notify(Notice::Log(line)), Output::Notify(Notice::Log(other))]
            }
            (_, output) => vec![output],
        }
    }

    /// What becomes of a result before the machine sees it.
    pub(crate) fn outcome(&mut self, mut outcome: Outcome) -> Outcome {
        if let Outcome::Subscriptions(Err(_)) = &outcome {
            self.failures += 1;
        }
        if let (true, Outcome::Listed(listed)) = (self.is(Fault::AuditIgnored), &mut outcome) {
            *listed = Err(Failure::Protocol("planned".into()));
        }
        if self.is(Fault::RetryAfterIgnored) {
            match &mut outcome {
                Outcome::Token(Err(failure))
                | Outcome::Channel(Err(failure))
                | Outcome::Subscriptions(Err(failure))
                | Outcome::Socket(Err(failure)) => forget_wait(failure),
                _ => {}
            }
        }
        outcome
    }

    /// What becomes of what the journal knows.
    pub(crate) fn past(&mut self, mut past: Past) -> Past {
        match self.fault {
            Some(Fault::RestoredGapBeginsTooLate) => past.sound_until += 60_000,
            Some(Fault::RestoredGapForgotten) => {
                past.gaps.iter_mut().for_each(|gap| gap.to = gap.to.or(Some(gap.from)));
            }
            Some(Fault::CoverageForgotten) => past.covered.clear(),
            Some(Fault::GapIdsUsedAgain) => past.gaps.clear(),
            _ => {}
        }
        past
    }

    /// What becomes of an event.
    pub(crate) fn disposition(
        &mut self,
        disposition: Disposition,
        topic: TopicId,
        event: u32,
    ) -> Disposition {
        match disposition {
            Disposition::Drop if self.is(Fault::CopyDelivered) => Disposition::Deliver(topic),
            Disposition::Deliver(_) if self.is(Fault::EventSuppressed) && event.is_multiple_of(97) => {
                Disposition::Drop
            }
            other => other,
        }
    }
}

fn forget_wait(failure: &mut Failure) {
    match failure {
        Failure::Http(http) => http.retry_after_ms = None,
        Failure::OAuth { retry_after_ms, .. } => *retry_after_ms = None,
        _ => {}
    }
}

//! What a scenario wants to look at afterwards.

use genesys_notifications_proto::{
    ClientState, Effect, ErrorReport, Gap, Moment, Notice, Operation, RequestId, SocketId, StateChange,
    TopicStatus,
};

/// What the machine asked for, in order, with the monotonic time.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) keep: bool,
    pub(crate) starts: Vec<(u64, Operation)>,
    pub(crate) notices: Vec<(u64, Notice)>,
    pub(crate) pings: Vec<(u64, SocketId)>,
    /// `(time, socket, close code)`; no code if it was dropped.
    pub(crate) closed: Vec<(u64, SocketId, Option<u16>)>,
    pub(crate) delivered: Vec<(u64, u16)>,
    /// One word per output, for order.
    pub(crate) words: Vec<String>,
}

impl Record {
    pub(crate) fn states(&self) -> Vec<ClientState> {
        let mut states: Vec<ClientState> = self.changes().iter().map(|change| change.state).collect();
        states.dedup();
        states
    }

    pub(crate) fn changes(&self) -> Vec<StateChange> {
        self.pick(|notice| match notice {
            Notice::State(change) => Some(change.clone()),
            _ => None,
        })
    }

    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.pick(|notice| match notice {
            Notice::Gap(gap) => Some(gap.clone()),
            _ => None,
        })
    }

    pub(crate) fn closed_gaps(&self) -> Vec<Gap> {
        self.gaps().into_iter().filter(|gap| gap.to.is_some()).collect()
    }

    pub(crate) fn errors(&self) -> Vec<ErrorReport> {
        self.pick(|notice| match notice {
            Notice::Error(report) => Some(report.clone()),
            _ => None,
        })
    }

    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.pick(|notice| match notice {
            Notice::History(moment) => Some(moment.clone()),
            _ => None,
        })
    }

    pub(crate) fn topics(&self) -> Vec<TopicStatus> {
        self.pick(|notice| match notice {
            Notice::Topic(status) => Some(status.clone()),
            _ => None,
        })
    }

    pub(crate) fn settled(&self) -> Vec<RequestId> {
        self.pick(|notice| match notice {
            Notice::Settled(request) => Some(*request),
            _ => None,
        })
    }

    fn pick<T>(&self, pick: impl Fn(&Notice) -> Option<T>) -> Vec<T> {
        self.notices.iter().filter_map(|(_, notice)| pick(notice)).collect()
    }

    pub(crate) fn tokens(&self) -> Vec<u64> {
        self.when(|effect| matches!(effect, Effect::FetchToken { .. }))
    }

    pub(crate) fn creations(&self) -> Vec<u64> {
        self.when(|effect| matches!(effect, Effect::CreateChannel { .. }))
    }

    pub(crate) fn opens(&self) -> Vec<u64> {
        self.when(|effect| matches!(effect, Effect::OpenSocket { .. }))
    }

    /// When lists were read back.
    pub(crate) fn readings(&self) -> Vec<u64> {
        self.when(|effect| matches!(effect, Effect::ListSubscriptions { .. }))
    }

    /// Times and names of the subscription requests.
    pub(crate) fn subscriptions(&self) -> Vec<(u64, Vec<String>)> {
        let lists = self.starts.iter().filter_map(|(at, operation)| match &operation.effect {
            Effect::Subscribe { topics, .. } => Some((*at, topics.clone())),
            _ => None,
        });
        lists.collect()
    }

    fn when(&self, is: impl Fn(&Effect) -> bool) -> Vec<u64> {
        self.starts.iter().filter(|(_, operation)| is(&operation.effect)).map(|(at, _)| *at).collect()
    }
}

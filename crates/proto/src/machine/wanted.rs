//! The user's topics: wants, and who waits for them to be decided.

use std::collections::BTreeSet;

use crate::config::Limits;
use crate::io::{LinkId, RequestId, TopicChange, TopicId, TopicRequest};
use crate::notice::{ClientState, ErrorCode, ErrorReport, Notice, TopicState, TopicStatus};
use crate::roster::Verdict;
use crate::shard::Shard;

use super::{Context, Machine};

/// With `continuity: 'standby'`, so many channels are left for replacements.
const SPARED_CHANNELS: usize = 2;

/// A request that is not carried out yet.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    awaited: Awaited,
}

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// These topics are decided or no longer wanted.
    Topics(Vec<TopicId>),
    /// None of these links is in use any more, and what took their place is live.
    Replaced(Vec<LinkId>),
    /// The client is connected.
    Connected,
}

impl Machine {
    pub(super) fn change_wanted(&mut self, cx: &mut Context<'_>, request: TopicRequest) {
        let ids: Vec<TopicId> = request.topics.iter().map(|topic| self.roster.intern(topic)).collect();
        let mut touched = BTreeSet::new();
        match request.change {
            TopicChange::Add => {}
            TopicChange::Remove => self.unwant(cx, &ids, &mut touched),
            TopicChange::Replace => {
                let keep: BTreeSet<TopicId> = ids.iter().copied().collect();
                let gone: Vec<TopicId> = self.roster.wanted().filter(|id| !keep.contains(id)).collect();
                self.unwant(cx, &gone, &mut touched);
            }
        }
        if request.change != TopicChange::Remove {
            self.want(&ids, &mut touched);
        }
        self.want_everything_or_topics(cx, &ids, &mut touched);
        self.rewrite(touched, cx.now.mono);
        self.wait_for(request.request, Awaited::Topics(ids));
    }

    /// What these shards are to carry has changed.
    pub(super) fn rewrite(&mut self, shards: BTreeSet<usize>, now: u64) {
        for index in shards {
            let wanted = self.roster.wanted_in(index);
            let shard = &mut self.shards[index];
            shard.wanted = wanted;
            shard.change(now);
        }
    }

    pub(super) fn unwant(&mut self, cx: &mut Context<'_>, ids: &[TopicId], touched: &mut BTreeSet<usize>) {
        self.flush_blemishes();
        let limits = self.config.limits.clone();
        let gone: Vec<TopicId> = ids.iter().copied().filter(|id| self.roster.is_wanted(*id)).collect();
        for id in ids {
            touched.extend(self.roster.unwant(*id, &limits));
        }
        self.moment_of_oblivion(&gone);
        self.no_longer_asked_for(&gone);
        let closed = self.ledger.forget(ids, cx.now.wall);
        self.notify_gaps(closed);
    }

    pub(super) fn want(&mut self, ids: &[TopicId], touched: &mut BTreeSet<usize>) {
        let (shards, words) = self.most_shards();
        let limits = Limits { channels: shards, ..self.config.limits.clone() };
        self.asked_for(ids);
        let had_a_spare = self.has_a_spare();
        let mut homeless = 0;
        for id in ids {
            let known = self.roster.is_wanted(*id);
            match self.roster.want(*id, &limits) {
                // Asked for again after a refusal: perhaps it is permitted by now.
                Ok(shard) if known && matches!(self.roster.verdict(*id), Verdict::Rejected(_)) => {
                    self.roster.set_verdict(*id, Verdict::Pending);
                    self.reconsider(*id);
                    touched.insert(shard);
                }
                Ok(_) if known => {}
                Ok(shard) => {
                    self.starts_anew(*id);
                    touched.insert(shard);
                }
                Err(()) => {
                    homeless += 1;
                    let topic = self.roster.topic(*id).as_str().to_owned();
                    let reason = Some(format!("{words} are full"));
                    let state = TopicState::Rejected;
                    self.notify(Notice::Topic(TopicStatus {
                        topic,
                        state,
                        reason,
                        missing_permissions: None,
                        shard: 0,
                    }));
                }
            }
            if let Some(shard) = self.roster.shard_of(*id) {
                while self.shards.len() <= shard {
                    self.shards.push(Shard::new());
                }
            }
        }
        if had_a_spare && !self.has_a_spare() {
            self.warn_of_no_spare();
        }
        if homeless > 0 {
            let message = format!(
                "{homeless} topics do not fit: {words} carry {} topics each",
                limits.topics_per_channel
            );
            self.notify(Notice::Error(ErrorReport {
                retryable: false,
                ..ErrorReport::new(ErrorCode::TooManyTopics, message)
            }));
        }
    }

    /// How many shards there may be. With a second channel for each, two are spared for replacements.
    fn most_shards(&self) -> (usize, String) {
        let channels = self.config.limits.channels;
        if !self.has_standby() {
            return (channels, format!("{channels} channels"));
        }
        let pairs = (channels.saturating_sub(SPARED_CHANNELS) / 2).max(1);
        (pairs, format!("{pairs} pairs of channels (of {channels} channels, {SPARED_CHANNELS} are spared)"))
    }

    /// A list without it may be on its way since it was last wanted: what was confirmed then says nothing now.
    fn starts_anew(&mut self, id: TopicId) {
        for (_, link) in self.shards.iter_mut().flat_map(Shard::links_mut) {
            if link.subscriptions.confirmed.remove(&id) {
                link.carries_only_confirmed();
            }
        }
    }

    fn reconsider(&mut self, id: TopicId) {
        for shard in &mut self.shards {
            for (_, link) in shard.links_in_use_mut() {
                link.subscriptions.excluded.remove(&id);
                link.subscriptions.rejected.remove(&id);
            }
        }
    }

    /// Before `connect` nothing can be waited for.
    pub(super) fn wait_for(&mut self, request: RequestId, awaited: Awaited) {
        if self.state == ClientState::Idle {
            self.notify(Notice::Settled(request));
        } else {
            self.waiters.push(Waiter { request, awaited });
        }
    }

    pub(super) fn settle_waiters(&mut self) {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain_mut(|waiter| {
            let settled = self.is_settled(&mut waiter.awaited);
            if settled {
                self.notify(Notice::Settled(waiter.request));
            }
            !settled
        });
        self.waiters = waiters;
    }

    fn is_settled(&self, awaited: &mut Awaited) -> bool {
        match awaited {
            Awaited::Topics(topics) => {
                let undecided = |id: &TopicId| {
                    self.roster.is_wanted(*id) && *self.roster.verdict(*id) == Verdict::Pending
                };
                // Only what is decided at the end is dropped: with 20,000 topics a look at each of them is too much.
                while topics.pop_if(|id| !undecided(id)).is_some() {}
                topics.is_empty()
            }
            Awaited::Replaced(links) => {
                let used = |id: &LinkId| {
                    let mut links =
                        self.shards.iter().flat_map(|shard| shard.primary.iter().chain(&shard.standby));
                    links.any(|link| link.id == *id)
                };
                !links.iter().any(used) && self.state == ClientState::Connected
            }
            Awaited::Connected => self.state == ClientState::Connected,
        }
    }
}

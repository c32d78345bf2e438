//! Wanted against confirmed: one writer per channel, lists split when one topic makes them fail (P7).

use std::collections::{BTreeSet, HashMap};

use crate::decision::{Decision, Step, judge};
use crate::failure::Failure;
use crate::io::{Effect, LinkId, Rejection, Ticket, TopicId, TopicResult, Verb};
use crate::link::{Batch, BatchEntry, InFlight, Link, Subscriptions};
use crate::notice::{Certainty, ClientState, ErrorReport, Notice, Reason};
use crate::roster::{ShardIndex, Verdict};
use crate::shard::Role;
use crate::throttle::Door;
use crate::topic::{Topic, pack};

use super::loss::Loss;
use super::results::retryable;
use super::{Context, Machine, What};

/// A topic that the service leaves out of its answer this often in a row counts as rejected.
const MOST_LEFT_OUT: u32 = 3;

impl Machine {
    pub(super) fn drive_subscriptions(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let now = cx.now.mono;
        let shard = &self.shards[index];
        let (revision, flush_at) = (shard.revision, shard.flush_at(self.config.limits.coalesce_ms));
        let Some(link) = shard.link(role) else { return };
        let subscriptions = &link.subscriptions;
        let Some(channel) = link.channel.as_ref().filter(|_| subscriptions.in_flight.is_none()) else {
            return;
        };
        let splitting = !subscriptions.rest.is_empty() && subscriptions.rest_revision == revision;
        if subscriptions.synced == Some(revision) && !splitting {
            return;
        }
        let first = subscriptions.synced.is_none();
        let untouched = subscriptions.confirmed.is_empty() && subscriptions.unsure_since.is_none();
        if first && shard.wanted.is_empty() && untouched {
            return self.nothing_to_subscribe(index, role, revision);
        }
        let at = subscriptions.retry.at.max(if first || splitting { 0 } else { flush_at });
        if at > now {
            return self.wake_at(at);
        }
        let (id, owner) = (link.id, channel.owner);
        let Some(generation) = self.tokens.for_channel(owner, now) else { return };
        if !self.door_is_open(Door::Api, now) {
            return;
        }
        if let Err(at) = cx.governor.call(now) {
            return self.attempt_at(at);
        }
        let batch = if splitting { self.next_of_split(index, role) } else { self.whole_list(index, role) };
        if let (false, Some(link)) = (splitting, self.shards[index].link_mut(role)) {
            link.subscriptions.rest.clear();
        }
        let topics = batch.entries.iter().map(|entry| entry.wire.clone()).collect();
        let effect = Effect::Subscribe { link: id, generation, verb: batch.verb, topics };
        let ticket = self.start(now, What::Subscribe(index, id), effect);
        self.counts.subscription_requests += 1;
        self.joins(index, role, now);
        let shard = &mut self.shards[index];
        shard.changed = None;
        if let Some(link) = shard.link_mut(role) {
            let unsure_before = link.subscriptions.unsure_since;
            link.subscriptions.unsure_since.get_or_insert(cx.now.wall);
            link.subscriptions.in_flight =
                Some(InFlight { ticket, revision, generation, sent: cx.now.wall, unsure_before, batch });
        }
    }

    /// A fresh channel has an empty list already.
    fn nothing_to_subscribe(&mut self, index: ShardIndex, role: Role, revision: u64) {
        if let Some(link) = self.shards[index].link_mut(role) {
            link.subscriptions.synced = Some(revision);
            link.subscriptions.confirmations += 1;
        }
        self.dirty = true;
    }

    /// From the moment a second link subscribes, its events and those of the one in use can be copies of each other.
    pub(super) fn joins(&mut self, index: ShardIndex, role: Role, now: u64) {
        if matches!(role, Role::Standby | Role::Successor) {
            self.expect_copies(index, now);
        }
        if let Some(link) = self.shards[index].link_mut(role) {
            link.joined_at.get_or_insert(now);
        }
    }

    fn whole_list(&mut self, index: ShardIndex, role: Role) -> Batch {
        let shard = &self.shards[index];
        let excluded = shard.link(role).map(|link| &link.subscriptions.excluded);
        let sent: Vec<TopicId> =
            shard.wanted.iter().filter(|id| excluded.is_none_or(|out| !out.contains(id))).copied().collect();
        let (alone, together): (Vec<TopicId>, Vec<TopicId>) =
            sent.into_iter().partition(|id| self.roster.is_alone(*id));
        let together: Vec<&Topic> = together.iter().map(|id| self.roster.topic(*id)).collect();
        let packed = pack(together, self.config.limits.combined_topic_chars);
        let mut entries: Vec<BatchEntry> = packed
            .into_iter()
            .map(|packed| BatchEntry {
                members: packed.members.iter().filter_map(|topic| self.roster.find(topic.as_str())).collect(),
                wire: packed.wire,
            })
            .collect();
        entries.extend(alone.into_iter().map(|id| self.single(id)));
        let verb = if entries.is_empty() { Verb::Clear } else { Verb::Replace };
        Batch { verb, entries }
    }

    fn single(&self, id: TopicId) -> BatchEntry {
        BatchEntry { wire: self.roster.topic(id).as_str().to_owned(), members: vec![id] }
    }

    fn next_of_split(&mut self, index: ShardIndex, role: Role) -> Batch {
        self.shards[index]
            .link_mut(role)
            .and_then(|link| link.subscriptions.rest.pop_front())
            .unwrap_or(Batch { verb: Verb::Add, entries: Vec::new() })
    }

    pub(super) fn subscribe_done(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        ticket: Ticket,
        result: Result<Vec<TopicResult>, Failure>,
    ) {
        let Some((role, link)) = self.shards[index].by_id(link) else { return };
        let Some(request) = link.subscriptions.in_flight.take_if(|request| request.ticket == ticket) else {
            return;
        };
        match result {
            Ok(results) => {
                self.tokens.accepted();
                self.apply(cx, index, role, request, &results);
            }
            Err(failure) => self.subscribe_failed(cx, index, role, request, &failure),
        }
        self.dirty = true;
    }

    fn apply(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        request: InFlight,
        results: &[TopicResult],
    ) {
        let answers: HashMap<String, &TopicResult> =
            results.iter().map(|result| (result.id.to_ascii_lowercase(), result)).collect();
        let answer = |name: &str| answers.get(&name.to_ascii_lowercase()).copied();
        let mut sorted = Sorted::default();
        for entry in &request.batch.entries {
            let whole = answer(&entry.wire);
            for member in &entry.members {
                let own = answer(self.roster.topic(*member).as_str());
                sorted.add(*member, own.or(whole), own.is_none() && entry.members.len() > 1);
            }
        }
        for id in sorted.suspects.iter().chain(&sorted.left_out) {
            self.roster.set_alone(*id);
        }
        let shard = &mut self.shards[index];
        let Some(link) = shard.link_mut(role) else { return };
        let subscriptions = &mut link.subscriptions;
        subscriptions.left_out = if sorted.left_out.is_empty() { 0 } else { subscriptions.left_out + 1 };
        if subscriptions.left_out >= MOST_LEFT_OUT {
            let silence =
                Rejection { reason: "the service did not confirm this topic".into(), ..Rejection::default() };
            sorted.rejected.extend(sorted.left_out.drain(..).map(|id| (id, silence.clone())));
            subscriptions.left_out = 0;
        }
        if request.batch.verb != Verb::Add {
            subscriptions.confirmed.clear();
            subscriptions.rejected.retain(|id, _| subscriptions.excluded.contains(id));
        }
        subscriptions.confirmed.extend(sorted.permitted.iter().copied());
        subscriptions.rejected.extend(sorted.rejected);
        if subscriptions.rest.is_empty() {
            subscriptions.synced = Some(request.revision);
        }
        subscriptions.confirmations += 1;
        let again = !sorted.suspects.is_empty() || !sorted.left_out.is_empty();
        if again && !sorted.left_out.is_empty() {
            subscriptions.retry.again(&self.config.backoff, false, cx.now.mono, cx.random);
        } else {
            subscriptions.retry.reset();
        }
        link.are_listed(sorted.permitted, request.sent);
        if let Some(open) = link.open_mut() {
            open.proof_ended();
        }
        if again {
            shard.change(cx.now.mono);
        }
        if role == Role::Primary {
            self.refresh_verdicts(index);
        }
        self.lose_refused(cx, index, role, Certainty::Certain);
        if let Some(link) = self.shards[index].link_mut(role) {
            let since = link.subscriptions.unsure_since.take();
            let unsure_of = std::mem::take(&mut link.subscriptions.unsure_of);
            self.doubt_combined(cx, index, role, since, unsure_of);
        }
    }

    /// Topics that are asked for alone now may have been missing since they went out under a combined name.
    fn doubt_combined(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        since: Option<u64>,
        unsure_of: BTreeSet<TopicId>,
    ) {
        let Some(since) = since.filter(|_| matches!(role, Role::Primary | Role::Standby)) else { return };
        let Some(link) = self.shards[index].link(role) else { return };
        let alone = unsure_of.into_iter().filter(|id| self.roster.is_alone(*id));
        let topics = self.only_doubtful(link, since, alone);
        let record =
            self.ledger.blemish(topics, since, cx.now.wall, Reason::TopicRejected, Certainty::Possible);
        self.notify_gaps(record);
    }

    /// A topic that was live and is refused now has a gap from here on, or until another live link began to carry it.
    fn lose_refused(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role, certainty: Certainty) {
        let shard = &mut self.shards[index];
        let Some(link) = shard.link_mut(role) else { return };
        link.carries_only_confirmed();
        if !matches!(role, Role::Primary | Role::Standby) {
            return;
        }
        let from = link.refused_since(cx.now);
        let shard = &self.shards[index];
        let Some(link) = shard.link(role) else { return };
        let refused: Vec<TopicId> = shard.wanted.difference(&link.subscriptions.confirmed).copied().collect();
        self.may_miss(index, from, &refused, Reason::TopicRejected, certainty);
    }

    fn subscribe_failed(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        request: InFlight,
        failure: &Failure,
    ) {
        let judgement = judge(Step::Subscribe, failure);
        let report = ErrorReport::of(Step::Subscribe, failure, &judgement);
        // Refused, so not carried out; after anything else the service may have changed the list.
        let refused = failure.status().is_some_and(|status| (400..500).contains(&status) && status != 408);
        if let Some(Link { subscriptions, .. }) = self.shards[index].link_mut(role) {
            let InFlight { batch, unsure_before, .. } = &request;
            if refused {
                subscriptions.unsure_since = *unsure_before;
            } else {
                let combined = batch.entries.iter().filter(|entry| entry.members.len() > 1);
                subscriptions.unsure_of.extend(combined.flat_map(|entry| entry.members.iter().copied()));
            }
            if !refused && batch.verb == Verb::Replace && !subscriptions.rest.is_empty() {
                // A part of a split list: if it was carried out, the other parts are gone.
                let asked: BTreeSet<TopicId> =
                    batch.entries.iter().flat_map(|entry| entry.members.iter().copied()).collect();
                subscriptions.confirmed.retain(|id| asked.contains(id));
                self.lose_refused(cx, index, role, Certainty::Possible);
            }
        }
        match judgement.decision {
            Decision::Split => return self.split(cx, index, role, request, failure),
            Decision::Recreate => {
                self.notify(Notice::Error(retryable(&report)));
                return self.lost(
                    cx,
                    index,
                    role,
                    Loss { decision: Decision::Recreate, ..Loss::channel_gone() },
                );
            }
            Decision::Fatal if !self.tokens.has_proven() => return self.fail(judgement.reason, report),
            Decision::Renew => self.token_refused(cx, request.generation, &report),
            Decision::Retry | Decision::Fatal | Decision::Reposition => {}
        }
        if self.state.is_terminal() {
            return;
        }
        let suspended = self.state == ClientState::Suspended;
        let Some(link) = self.shards[index].link_mut(role) else { return };
        put_back(&mut link.subscriptions, request);
        link.subscriptions.retry.again(&self.config.backoff, suspended, cx.now.mono, cx.random);
        if role == Role::Primary && !link.is_live() {
            self.standing.trouble(judgement.reason, Some(retryable(&report)));
        }
        self.notify(Notice::Error(retryable(&report)));
    }

    /// The service refused a whole list, `ignoreErrors` or not: halve it until the topics at fault stand alone.
    fn split(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        mut request: InFlight,
        failure: &Failure,
    ) {
        let Some(link) = self.shards[index].link_mut(role) else { return };
        let subscriptions = &mut link.subscriptions;
        subscriptions.retry.reset();
        subscriptions.rest_revision = request.revision;
        let verb = request.batch.verb;
        match request.batch.entries.as_slice() {
            [] => subscriptions.retry.again(&self.config.backoff, false, cx.now.mono, cx.random),
            [entry] if entry.members.len() == 1 => {
                let id = entry.members[0];
                let why = Rejection { reason: words(failure), missing_permissions: Vec::new() };
                subscriptions.excluded.insert(id);
                subscriptions.rejected.insert(id, why);
                if let Some(next) = subscriptions.rest.front_mut() {
                    next.verb = if verb == Verb::Replace { verb } else { next.verb };
                } else if verb == Verb::Replace
                    && !(subscriptions.confirmed.is_empty() && subscriptions.unsure_since.is_none())
                {
                    // Nothing is left to ask for, but the service may still have the list from before.
                    subscriptions.rest.push_front(Batch { verb: Verb::Clear, entries: Vec::new() });
                } else {
                    // Everything that could be sent was sent; a list of nothing needs no request to be confirmed.
                    subscriptions.synced = Some(request.revision);
                    subscriptions.confirmations += 1;
                }
                if role == Role::Primary {
                    self.refresh_verdicts(index);
                }
                self.lose_refused(cx, index, role, Certainty::Certain);
            }
            [entry] => {
                let members = entry.members.clone();
                for id in &members {
                    self.roster.set_alone(*id);
                }
                let entries: Vec<BatchEntry> = members.into_iter().map(|id| self.single(id)).collect();
                self.push_front(index, role, Batch { verb, entries });
            }
            entries => {
                let second = request.batch.entries.split_off(entries.len() / 2);
                self.push_front(index, role, Batch { verb: Verb::Add, entries: second });
                self.push_front(index, role, request.batch);
            }
        }
    }

    fn push_front(&mut self, index: ShardIndex, role: Role, batch: Batch) {
        if let Some(link) = self.shards[index].link_mut(role) {
            link.subscriptions.rest.push_front(batch);
        }
    }

    /// Each wanted topic's verdict is what the link in use says of it; while that has not spoken, the last one stands.
    pub(super) fn refresh_verdicts(&mut self, index: ShardIndex) {
        let shard = &self.shards[index];
        let Some(Link { subscriptions, .. }) = &shard.primary else { return };
        let mut news = Vec::new();
        for id in &shard.wanted {
            let verdict = if subscriptions.confirmed.contains(id) {
                Verdict::Subscribed
            } else if let Some(why) = subscriptions.rejected.get(id) {
                Verdict::Rejected(why.clone())
            } else {
                continue;
            };
            if self.roster.set_verdict(*id, verdict) && !self.is_everything(*id) {
                news.push(*id);
            }
        }
        for id in news {
            let status = self.roster.status(id);
            self.notify(Notice::Topic(status));
        }
    }
}

/// An answer's topics by what it says of them.
#[derive(Default)]
struct Sorted {
    permitted: Vec<TopicId>,
    rejected: Vec<(TopicId, Rejection)>,
    /// Refused as part of a combined name: each must be asked for alone.
    suspects: Vec<TopicId>,
    /// Not mentioned: unknown, not success.
    left_out: Vec<TopicId>,
}

impl Sorted {
    fn add(&mut self, id: TopicId, answer: Option<&TopicResult>, as_part: bool) {
        match answer.map(|answer| &answer.rejected) {
            None => self.left_out.push(id),
            Some(None) => self.permitted.push(id),
            Some(Some(_)) if as_part => self.suspects.push(id),
            Some(Some(why)) => self.rejected.push((id, why.clone())),
        }
    }
}

/// What was to be sent is sent again: a whole list is rebuilt, a part of a split list goes back to its place.
fn put_back(subscriptions: &mut Subscriptions, request: InFlight) {
    if request.batch.verb == Verb::Add || !subscriptions.rest.is_empty() {
        subscriptions.rest.push_front(request.batch);
        subscriptions.rest_revision = request.revision;
    }
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Http(http) => {
            let code = http.code.as_deref().unwrap_or("no code");
            http.message.as_ref().map_or_else(|| code.to_owned(), |message| format!("{message} ({code})"))
        }
        other => other.to_string(),
    }
}

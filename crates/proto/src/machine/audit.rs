//! The service's own list of a channel's subscriptions is read back now and then: a subscription that was lost there shows
//! nowhere else (P2).

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::{Decision, Step, judge};
use crate::failure::Failure;
use crate::io::{Effect, LinkId, TopicId};
use crate::link::{Asked, Link};
use crate::notice::{Certainty, Reason};
use crate::random::Random;
use crate::roster::ShardIndex;
use crate::shard::Role;
use crate::throttle::Door;

use super::loss::Loss;
use super::{Context, Machine, What};

/// After a mismatch was mended, or a reading that says nothing because the list was being changed, it is read again this
/// soon.
const AGAIN_MS: u64 = 10_000;
/// A topic that was listed before may be lost more than once; so often in a row it no longer is.
const MOST_LOSSES: u32 = 4;
/// The same after a reading that failed.
const FAILED_MS: u64 = 60_000;

impl Machine {
    pub(super) fn drive_audit(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let (now, every) = (cx.now.mono, self.config.audit_every_ms);
        let revision = self.shards[index].revision;
        let has_a_list = |link: &&mut Link| every > 0 && link.is_live() && link.handshake.is_none();
        let Some(link) = self.shards[index].link_mut(role).filter(has_a_list) else {
            return;
        };
        if link.audit.asked.is_some() {
            return;
        }
        let at = *link.audit.at.get_or_insert_with(|| now + about(every, cx.random));
        if at > now {
            return self.wake_at(at);
        }
        let (id, confirmations) = (link.id, link.subscriptions.confirmations);
        let is_settled = link.is_settled(revision);
        let Some(channel) = link.channel.as_ref().filter(|channel| is_settled && !channel.gone) else {
            return;
        };
        let Some(generation) = self.tokens.for_channel(channel.owner, now) else { return };
        let opens_at = self.throttle.opens_at(Door::Api);
        if opens_at > now {
            return self.wake_at(opens_at);
        }
        if let Err(at) = cx.governor.call_spare(now) {
            return self.wake_at(at);
        }
        self.start(now, What::Audit(index, id), Effect::ListSubscriptions { link: id, generation });
        self.counts.audits += 1;
        if let Some(link) = self.shards[index].link_mut(role) {
            link.audit.asked = Some(Asked { confirmations, wall: cx.now.wall });
        }
    }

    pub(super) fn listed(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        result: Result<Vec<String>, Failure>,
    ) {
        let now = cx.now.mono;
        let revision = self.shards[index].revision;
        let Some((role, link)) = self.shards[index].by_id(link) else { return };
        let Some(asked) = link.audit.asked.take() else { return };
        self.dirty = true;
        if role == Role::Draining {
            return;
        }
        // What has changed meanwhile may or may not be in the list.
        let is_current = link.is_live()
            && link.is_settled(revision)
            && link.subscriptions.confirmations == asked.confirmations;
        let every = self.config.audit_every_ms;
        let next = match &result {
            Err(_) => every.min(FAILED_MS),
            Ok(_) if !is_current => every.min(AGAIN_MS),
            Ok(_) => every,
        };
        link.audit.at = Some(now + about(next, cx.random));
        match result {
            Err(failure) if judge(Step::Subscribe, &failure).decision == Decision::Recreate => {
                self.lost(cx, index, role, Loss::channel_gone());
            }
            Err(failure) => self.log("debug", format!("shard {index}: its list cannot be read: {failure}")),
            Ok(listed) if is_current => self.compare(cx, index, role, asked, &listed),
            Ok(_) => {}
        }
    }

    fn compare(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        asked: Asked,
        listed: &[String],
    ) {
        let listed: BTreeSet<String> = listed.iter().flat_map(|id| expanded(id)).collect();
        let Some(link) = self.shards[index].link(role) else { return };
        let confirmed: BTreeMap<String, TopicId> = link
            .subscriptions
            .confirmed
            .iter()
            .map(|id| (self.roster.topic(*id).as_str().to_ascii_lowercase(), *id))
            .collect();
        // Listed after all.
        self.unlisted.retain(|id| !listed.contains(&self.roster.topic(*id).as_str().to_ascii_lowercase()));
        let missing =
            confirmed.iter().filter(|(name, id)| !listed.contains(*name) && !self.unlisted.contains(id));
        let missing: BTreeSet<TopicId> = missing.map(|(_, id)| *id).collect();
        let good = confirmed.iter().filter(|(name, _)| listed.contains(*name)).map(|(_, id)| *id);
        let good: Vec<TopicId> = good.collect();
        let extra: BTreeSet<String> = listed
            .into_iter()
            .filter(|name| !confirmed.contains_key(name) && !comes_by_itself(name))
            .collect();
        // Confirmed once more since the last time, and still not listed: the list is not to be relied on for these.
        let times = |id: &TopicId| link.audit.missing.get(id).map_or(1, |times| times + 1);
        let most = |id: &TopicId| if self.once_listed.contains(id) { MOST_LOSSES } else { 1 };
        let missed: BTreeMap<TopicId, u32> = missing.iter().map(|id| (*id, times(id))).collect();
        let (again, missing): (BTreeSet<TopicId>, BTreeSet<TopicId>) =
            missing.into_iter().partition(|id| times(id) > most(id));
        let is_news = !missing.is_empty() || !again.is_empty() || extra != link.audit.extra;
        let Some(link) = self.shards[index].link_mut(role) else { return };
        link.are_listed(good.iter().copied(), asked.wall);
        link.audit.missing = missed;
        link.audit.extra.clone_from(&extra);
        self.once_listed.extend(good);
        if !is_news {
            return;
        }
        if !again.is_empty() {
            self.log(
                "warn",
                format!(
                    "the service confirms {} topics and does not list them: not looked at again",
                    again.len()
                ),
            );
            self.unlisted.extend(again);
        }
        if !missing.is_empty() || !extra.is_empty() {
            self.mend(cx, index, role, &missing, extra.len());
        }
    }

    /// What is not listed may not have been carried since the service last said that it is on the list.
    fn mend(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        missing: &BTreeSet<TopicId>,
        extra: usize,
    ) {
        self.counts.audit_mismatches += 1;
        let shard = &mut self.shards[index];
        let revision = shard.revision;
        let Some(link) = shard.link_mut(role) else { return };
        // Its list only: the other link's is sent again when its own reading says so, or what it lost were never told.
        link.subscriptions.synced = revision.checked_sub(1);
        link.audit.at = Some(cx.now.mono + about(self.config.audit_every_ms.min(AGAIN_MS), cx.random));
        let mut since: BTreeMap<u64, Vec<TopicId>> = BTreeMap::new();
        for id in missing {
            since.entry(link.is_unlisted(*id).unwrap_or(cx.now.wall)).or_default().push(*id);
        }
        self.dirty = true;
        self.log(
            "warn",
            format!(
                "shard {index}: the service lists {} topics too few and {extra} too many: its list is sent again",
                missing.len()
            ),
        );
        for (from, topics) in since {
            self.may_miss(index, from, &topics, Reason::SubscriptionMismatch, Certainty::Possible);
        }
    }
}

/// Give or take a fifth.
fn about(ms: u64, random: &mut dyn Random) -> u64 {
    random.between(ms - ms / 5, ms + ms / 5).max(1)
}

/// The single names that a name on the wire stands for, in lower case.
fn expanded(id: &str) -> Vec<String> {
    let id = id.to_ascii_lowercase();
    match id.split_once('?') {
        Some((prefix, suffixes)) => suffixes.split('&').map(|suffix| format!("{prefix}.{suffix}")).collect(),
        None => vec![id],
    }
}

fn comes_by_itself(name: &str) -> bool {
    name == "channel.metadata" || name == "v2.subscription.updated" || name.starts_with("v2.system.")
}

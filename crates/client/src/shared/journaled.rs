//! What a turn does for the journal, and what it hears from it.

use std::collections::VecDeque;

use genesys_notifications_journal::{Journal, News, Origin, Record, Restored};
use genesys_notifications_proto::{Backfilled, ErrorCode, ErrorReport, Frame, Input, Notice, TopicChange};

use crate::batch::Flags;
use crate::chronicle::Chronicle;
use crate::closing::Closing;
use crate::control::Control;
use crate::delivery::BACKFILL_CHANNEL;
use crate::past;
use crate::queue::Arrived;

use super::{Turn, log};

impl Turn<'_> {
    /// Tells the user, and the journal what it is to remember.
    pub(super) fn tell(&mut self, notice: Notice) {
        if let Some((journal, chronicle)) = self.journal() {
            match &notice {
                Notice::Gap(gap) => chronicle.gap(journal, gap),
                Notice::History(moment) => chronicle.moment(journal, moment),
                _ => {}
            }
        }
        let is_last_word =
            matches!(&notice, Notice::Gap(gap) if self.core.fenced_gap.as_ref() == Some(&gap.id));
        if let Some(backfill) = &self.shared.services.backfill
            && !is_last_word
        {
            backfill.hear(&notice);
        }
        match notice {
            // For the report only.
            Notice::History(_) => {}
            notice if is_last_word => self.control_after(Control::Notice(notice)),
            notice => self.control(Control::Notice(notice)),
        }
    }

    /// Tells something after every event received so far was handed out.
    pub(crate) fn control_after(&self, control: Control) {
        let last = self.core.chronicle.as_ref().map(Chronicle::last_sequence);
        self.shared.delivery.push_control_after(control, last);
    }

    /// An event of the REST API, in order with the others; `frame` is the whole frame.
    pub(crate) fn backfill(&mut self, topic: &str, frame: &str) {
        let Frame::Event(envelope) = Frame::read_again(frame) else { return };
        if self.core.filter.as_mut().is_some_and(|filter| !filter.passes_named(topic)) {
            return;
        }
        let (received_at, now) = (self.now.wall, self.now.mono);
        if let Some((journal, chronicle)) = self.journal() {
            let record = Record { received_at, origin: Origin::Backfill, topic, channel: 0, frame };
            return chronicle.appended(journal.append(&record));
        }
        let event = Arrived {
            topic: None,
            is_foreign: false,
            topic_name: topic,
            channel: self.shared.delivery.intern_once(BACKFILL_CHANNEL),
            version: envelope.version.as_deref(),
            text: frame,
            body: envelope.body,
            metadata: envelope.metadata,
            received_at,
            sequence: None,
            flags: Flags::BACKFILL,
        };
        self.shared.delivery.push(&event, None, now);
    }

    /// A gap was filled as far as that goes; told after the events that filled it.
    pub(crate) fn backfilled(&mut self, gap: String, outcome: Backfilled) {
        self.core.fenced_gap = Some(gap.clone());
        self.input(Input::Backfilled { gap, outcome });
        self.core.fenced_gap = None;
    }

    /// A call changed the wanted topics.
    pub(crate) fn remember_wanted(&mut self, change: TopicChange, topics: &[String]) {
        if let Some((journal, chronicle)) = self.journal() {
            chronicle.wanted(journal, change, topics);
        }
    }

    /// Goes on where an earlier run left off. The topics it wanted are wanted already.
    pub(crate) fn restore(&mut self, restored: Restored) {
        if let Some(damage) = &restored.damage {
            self.tell(Notice::Error(past::report(damage)));
        }
        if restored.is_new {
            return;
        }
        if let Some((journal, chronicle)) = self.journal() {
            chronicle.forget(journal, &restored);
        }
        let reader = &self.shared.services.reader;
        let (past, lost) = past::past(restored, reader, self.shared.naming(), self.now.wall);
        if let Some(gap) = lost {
            self.tell(Notice::Gap(gap));
        }
        self.rules(|machine, cx| machine.restore(cx, past));
        self.settle();
    }

    /// Tells the machine what the journal has to say.
    pub(crate) fn hear_journal(&mut self) {
        let Some(kept) = &self.shared.kept else { return };
        let news: VecDeque<News> = kept.outlet.take_news();
        let heard = news.len();
        for news in news {
            match news {
                News::Room => self.shared.delivery.make_room(),
                News::Evicted { topics, from, to } => {
                    self.input(Input::Evicted {
                        topics: past::topics(&topics, self.shared.naming()),
                        from,
                        to,
                    });
                }
                News::Full => {
                    let message = "the journal is full of events that nobody acknowledged";
                    self.input(Input::JournalFailed(error(ErrorCode::JournalFull, message.into(), false)));
                }
                News::Failing(why) => {
                    let message =
                        format!("the journal cannot be written: {why}; nothing is read until it can");
                    self.control(log("warn", message.clone()));
                    self.control(Control::Notice(Notice::Error(error(
                        ErrorCode::JournalFailed,
                        message,
                        true,
                    ))));
                }
                News::Recovered => self.control(log("info", "the journal can be written again".into())),
            }
        }
        self.shared.delivery.news_heard(heard);
    }

    /// Notes how far the journal is sound, if it is time to.
    pub(super) fn mark_if_due(&mut self) {
        if self.core.chronicle.as_ref().is_some_and(|chronicle| chronicle.mark_is_due(self.now.mono)) {
            self.mark();
        }
    }

    /// Notes it for the last time: what comes now is the end.
    pub(crate) fn mark_for_good(&mut self) {
        if self.core.chronicle.is_some() && !self.core.ended {
            self.mark();
        }
        if let Some(chronicle) = &mut self.core.chronicle {
            chronicle.end();
        }
    }

    /// Closes the journal, if there is one, and calls `then` from another thread, or at once.
    pub(super) fn close_journal(&mut self, then: impl Fn() + Clone + Send + 'static) {
        let Some(kept) = self.shared.kept.clone() else { return then() };
        if self.core.journal_closed {
            return then();
        }
        self.core.journal_closed = true;
        match Closing::start(kept.clone(), then.clone()) {
            Ok(closing) => self.core.closing = Some(closing),
            Err(_) => {
                kept.journal.close();
                then();
            }
        }
    }

    /// The end of a client that has nobody to say goodbye to.
    pub(super) fn end_with_journal(&mut self) {
        if self.shared.kept.is_none() {
            return self.shared.announce_end();
        }
        let shared = self.shared.clone();
        self.close_journal(move || {
            shared.announce_end();
            shared.delivery.ring_if_due();
        });
    }

    /// What rows or the journal call a channel.
    pub(super) fn name_channel(&mut self, id: &str) -> u32 {
        let Some(chronicle) = &mut self.core.chronicle else { return self.shared.delivery.intern(id) };
        let number = chronicle.next_channel();
        self.shared.delivery.name_channel(number, id);
        number
    }

    fn mark(&mut self) {
        if self.core.faulty {
            return;
        }
        // What is held back is not in the journal yet, however far its socket has come.
        let held = self.core.held.values().filter_map(|(_, held)| held.since()).min();
        let sound_until = self.core.machine.sound_until(self.now).min(held.unwrap_or(u64::MAX));
        let now = self.now.mono;
        if let Some((journal, chronicle)) = self.journal() {
            chronicle.mark(journal, sound_until, now);
        }
    }

    fn journal(&mut self) -> Option<(&Journal, &mut Chronicle)> {
        Some((&self.shared.kept.as_ref()?.journal, self.core.chronicle.as_mut()?))
    }
}

fn error(code: ErrorCode, message: String, retryable: bool) -> ErrorReport {
    ErrorReport { code, message, retryable, hint: None, status: None, correlation_id: None }
}

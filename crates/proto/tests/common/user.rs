//! What the user does.

use std::collections::BTreeSet;

use genesys_notifications_proto::{Input, RequestId, Topic, TopicChange, TopicRequest};

use super::world::World;

impl World {
    pub(crate) fn connect(&mut self) {
        self.tell(Input::Connect);
    }

    pub(crate) fn close(&mut self) {
        self.tell(Input::Close);
    }

    pub(crate) fn rotate(&mut self) -> u64 {
        let request = self.request();
        self.tell(Input::Rotate(RequestId(request)));
        request
    }

    pub(crate) fn reconnect(&mut self) -> u64 {
        let request = self.request();
        self.tell(Input::Reconnect(RequestId(request)));
        request
    }

    pub(crate) fn change(&mut self, change: TopicChange, names: &[&str]) -> u64 {
        let topics: Vec<Topic> =
            names.iter().flat_map(|name| Topic::expand(name).expect("a topic of the test")).collect();
        let numbers: BTreeSet<u16> = topics.iter().map(|topic| self.service.number(topic.as_str())).collect();
        let wall = self.clock.now().wall;
        let (before, known_until) = (self.truth.wanted(), self.known_until());
        // The machine's word on the gaps of a topic that is no longer wanted comes first.
        let gone: Vec<u16> = match change {
            TopicChange::Add => Vec::new(),
            TopicChange::Remove => before.intersection(&numbers).copied().collect(),
            TopicChange::Replace => before.difference(&numbers).copied().collect(),
        };
        if change != TopicChange::Remove {
            for number in &numbers {
                if !before.contains(number) {
                    self.truth.want(*number);
                    self.wanted_at.insert(*number, self.clock.truth);
                }
            }
        }
        let request = self.request();
        self.tell(Input::Topics(TopicRequest { request: RequestId(request), change, topics }));
        for number in gone {
            self.truth.unwant(number, wall, known_until);
            self.wanted_at.remove(&number);
        }
        self.refresh();
        request
    }

    pub(crate) fn subscribe(&mut self, names: &[&str]) -> u64 {
        self.change(TopicChange::Add, names)
    }

    pub(crate) fn unsubscribe(&mut self, names: &[&str]) -> u64 {
        self.change(TopicChange::Remove, names)
    }

    fn request(&mut self) -> u64 {
        self.last_request += 1;
        self.unsettled.insert(self.last_request);
        self.last_request
    }
}

//! What the user does.

use genesys_notifications_proto::{Input, RequestId, Topic, TopicChange, TopicRequest};

use super::truth::name_of;
use super::world::World;

impl World {
    pub(crate) fn want_all(&mut self) {
        let wanted: Vec<u8> = self.wanted.iter().copied().collect();
        if !wanted.is_empty() {
            self.change(TopicChange::Add, &wanted);
        }
    }

    pub(crate) fn change(&mut self, change: TopicChange, topics: &[u8]) {
        let request = self.request();
        let topics = topics.iter().map(|topic| Topic::free(&name_of(*topic)).expect("a topic of the test"));
        self.tell(Input::Topics(TopicRequest { request, change, topics: topics.collect() }));
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }
}

//! Operational events by the usage events query, the one true replay of the API.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::harvest::Harvest;
use super::recipe::Subject;
use super::{Method, Recipe, Request, Step, Window, encoded};

/// Event definitions in one query.
const AT_ONCE: usize = 50;

const PAGE_SIZE: usize = 200;

/// Pages of one query; they hold 20,000 events.
const MOST_PAGES: u32 = 100;

struct Usage {
    window: Window,
    /// Event definition and topic.
    whose: Vec<(String, String)>,
    after: Option<String>,
    page: u32,
}

pub(super) fn steps(subjects: &[(Subject, String)], window: Window) -> Vec<Box<dyn Step>> {
    let whose: Vec<_> = subjects
        .iter()
        .filter_map(|(subject, topic)| match subject {
            Subject::UsageEvents(definition) => Some((definition.clone(), topic.clone())),
            _ => None,
        })
        .collect();
    let portions = whose.chunks(AT_ONCE);
    portions
        .map(|whose| Box::new(Usage { window, whose: whose.to_vec(), after: None, page: 1 }) as Box<dyn Step>)
        .collect()
}

impl Step for Usage {
    fn recipe(&self) -> Recipe {
        Recipe::UsageEvents
    }

    fn request(&self) -> Request {
        let definitions: Vec<_> = self.whose.iter().map(|(definition, _)| definition).collect();
        let body = json!({
            "interval": self.window.interval(),
            "eventDefinitionIds": definitions,
            "sortOrder": "ASC",
        });
        let after = self.after.iter().map(|after| format!("&after={after}")).collect::<String>();
        Request {
            method: Method::Post,
            path: "/api/v2/usage/events/query".to_owned(),
            query: format!("pageSize={PAGE_SIZE}{after}"),
            body: Some(body.to_string()),
            not_before: self.window.not_before,
        }
    }

    fn read(&mut self, answer: &str, _now: u64, harvest: &mut Harvest) -> Result<bool, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            #[serde(borrow)]
            entities: Option<Vec<&'a RawValue>>,
            next_uri: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Event {
            event_definition: Definition,
        }
        #[derive(Deserialize)]
        struct Definition {
            id: String,
        }
        let page: Page<'_> =
            serde_json::from_str(answer).map_err(|_| "the answer holds no events".to_owned())?;
        for text in page.entities.unwrap_or_default() {
            let Ok(event) = serde_json::from_str::<Event>(text.get()) else {
                harvest.lacks();
                continue;
            };
            let id = event.event_definition.id;
            let topics = self.whose.iter().filter(|(definition, _)| definition.eq_ignore_ascii_case(&id));
            topics.for_each(|(_, topic)| harvest.add(topic, text.get(), self.recipe().source()));
        }
        let Some(after) = page.next_uri.as_deref().and_then(cursor) else { return Ok(false) };
        if self.page >= MOST_PAGES || self.after.as_ref() == Some(&after) {
            harvest.lacks();
            return Ok(false);
        }
        self.page += 1;
        self.after = Some(after);
        Ok(true)
    }
}

/// The cursor in `nextUri`, encoded; nothing else of that address is used.
fn cursor(uri: &str) -> Option<String> {
    let (_, query) = uri.split_once('?')?;
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after="))?;
    let is_encoded = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'%');
    Some(if after.bytes().all(is_encoded) { after.to_owned() } else { encoded(after) })
        .filter(|c| !c.is_empty())
}

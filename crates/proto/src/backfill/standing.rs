//! What is now: presence, routing status, activity of users, and observations of queues.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::harvest::Harvest;
use super::recipe::Subject;
use super::{Method, Recipe, Request, Step, encoded};

/// The service takes no more presences at once; users and queues are asked for in the same portions.
const AT_ONCE: usize = 50;

const SINGLE_PRESENCE: &str = "GET /api/v2/users/{userId}/presences/purecloud";

/// All a queue can tell; the service's own list.
const OBSERVATIONS: [&str; 11] = [
    "oActiveUsers",
    "oAlerting",
    "oInteracting",
    "oLongestInteracting",
    "oLongestWaiting",
    "oMemberUsers",
    "oOffQueueUsers",
    "oOnQueueUsers",
    "oUserPresences",
    "oUserRoutingStatuses",
    "oWaiting",
];

/// One read of the state of some users or queues.
struct Standing {
    what: What,
    /// Id and topic.
    whose: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
enum What {
    Presences,
    /// Of one user; `Presences` fails as a whole if a single user is unknown.
    Presence,
    RoutingStatus,
    Activity,
    Observations,
}

pub(super) fn steps(subjects: &[(Subject, String)]) -> Vec<Box<dyn Step>> {
    let mut found: [Vec<(String, String)>; 4] = Default::default();
    for (subject, topic) in subjects {
        let (place, id) = match subject {
            Subject::Presence(id) => (0, id),
            Subject::RoutingStatus(id) => (1, id),
            Subject::Activity(id) => (2, id),
            Subject::Observations(id) => (3, id),
            _ => continue,
        };
        found[place].push((id.clone(), topic.clone()));
    }
    let kinds = [
        (What::Presences, AT_ONCE),
        (What::RoutingStatus, 1),
        (What::Activity, AT_ONCE),
        (What::Observations, AT_ONCE),
    ];
    let portions = found.iter().zip(kinds).flat_map(|(whose, (what, at_once))| {
        whose.chunks(at_once).map(move |whose| Standing { what, whose: whose.to_vec() })
    });
    portions.map(|standing| Box::new(standing) as Box<dyn Step>).collect()
}

impl Step for Standing {
    fn recipe(&self) -> Recipe {
        match self.what {
            What::Presences | What::Presence => Recipe::Presence,
            What::RoutingStatus => Recipe::RoutingStatus,
            What::Activity => Recipe::Activity,
            What::Observations => Recipe::QueueObservations,
        }
    }

    fn request(&self) -> Request {
        let ids =
            || self.whose.iter().map(|(id, _)| format!("id={}", encoded(id))).collect::<Vec<_>>().join("&");
        let one = || self.whose.first().map(|(id, _)| encoded(id)).unwrap_or_default();
        let (path, query) = match self.what {
            What::Presences => ("/api/v2/users/presences/purecloud/bulk".to_owned(), ids()),
            What::Presence => (format!("/api/v2/users/{}/presences/purecloud", one()), String::new()),
            What::RoutingStatus => (format!("/api/v2/users/{}/routingstatus", one()), String::new()),
            What::Activity => {
                let expand = "expand=presence,routingStatus,outOfOffice&pageSize=100";
                ("/api/v2/users".to_owned(), format!("{}&{expand}", ids()))
            }
            What::Observations => ("/api/v2/analytics/queues/observations/query".to_owned(), String::new()),
        };
        let body = matches!(self.what, What::Observations).then(|| {
            let predicates = self.whose.iter().map(|(id, _)| {
                json!({ "type": "dimension", "dimension": "queueId", "operator": "matches", "value": id })
            });
            let filter = json!({ "type": "or", "predicates": predicates.collect::<Vec<_>>() });
            json!({ "filter": filter, "metrics": OBSERVATIONS }).to_string()
        });
        let method = if body.is_some() { Method::Post } else { Method::Get };
        Request { method, path, query, body, not_before: 0 }
    }

    fn read(&mut self, answer: &str, _now: u64, harvest: &mut Harvest) -> Result<bool, String> {
        let wrong = |_| "the answer is not of the documented shape".to_owned();
        match self.what {
            What::Presence | What::RoutingStatus => {
                let body: &RawValue = serde_json::from_str(answer).map_err(wrong)?;
                let source = match self.what {
                    What::Presence => SINGLE_PRESENCE,
                    _ => Recipe::RoutingStatus.source(),
                };
                self.whose.iter().for_each(|(_, topic)| harvest.add(topic, body.get(), source));
            }
            What::Presences => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Whose {
                    user_id: Option<String>,
                    id: Option<String>,
                }
                let presences: Vec<&RawValue> = serde_json::from_str(answer).map_err(wrong)?;
                let mut found = Vec::new();
                for presence in presences {
                    let whose: Whose = serde_json::from_str(presence.get()).map_err(wrong)?;
                    if let Some(id) = whose.user_id.or(whose.id) {
                        found.push((id, presence.get().to_owned()));
                    }
                }
                self.add(&found, harvest);
            }
            What::Activity => {
                #[derive(Deserialize)]
                struct Users<'a> {
                    #[serde(borrow)]
                    entities: Vec<User<'a>>,
                }
                #[derive(Deserialize, Serialize)]
                #[serde(rename_all = "camelCase")]
                struct User<'a> {
                    id: String,
                    #[serde(borrow)]
                    presence: Option<&'a RawValue>,
                    #[serde(borrow)]
                    routing_status: Option<&'a RawValue>,
                    #[serde(borrow)]
                    out_of_office: Option<&'a RawValue>,
                }
                let users: Users<'_> = serde_json::from_str(answer).map_err(wrong)?;
                // Nothing of the rest, which is personal data that the notification does not hold.
                let told = |user: User<'_>| Ok((user.id.clone(), serde_json::to_string(&user)?));
                let found: Result<Vec<_>, serde_json::Error> = users.entities.into_iter().map(told).collect();
                self.add(&found.map_err(wrong)?, harvest);
            }
            What::Observations => {
                #[derive(Deserialize)]
                struct Observations<'a> {
                    #[serde(borrow)]
                    results: Option<Vec<&'a RawValue>>,
                }
                #[derive(Deserialize)]
                struct Container {
                    group: Group,
                }
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Group {
                    queue_id: Option<String>,
                }
                let observations: Observations<'_> = serde_json::from_str(answer).map_err(wrong)?;
                let mut found = Vec::new();
                for result in observations.results.unwrap_or_default() {
                    let container: Container = serde_json::from_str(result.get()).map_err(wrong)?;
                    if let Some(queue) = container.group.queue_id {
                        found.push((queue, result.get().to_owned()));
                    }
                }
                self.add(&found, harvest);
            }
        }
        Ok(false)
    }

    fn not_found(&self) -> Option<Vec<Box<dyn Step>>> {
        let single = |whose: &(String, String)| {
            Box::new(Self { what: What::Presence, whose: vec![whose.clone()] }) as Box<dyn Step>
        };
        match self.what {
            What::Presences => Some(self.whose.iter().map(single).collect()),
            // The user is gone; others may not be.
            What::Presence | What::RoutingStatus => Some(Vec::new()),
            What::Activity | What::Observations => None,
        }
    }
}

impl Standing {
    /// Ids and bodies that were found, to those who were asked for; the same id may have several.
    fn add(&self, found: &[(String, String)], harvest: &mut Harvest) {
        for (id, topic) in &self.whose {
            for (_, body) in found.iter().filter(|(known, _)| known.eq_ignore_ascii_case(id)) {
                harvest.add(topic, body, self.recipe().source());
            }
        }
    }
}

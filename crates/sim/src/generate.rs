use crate::{
    clock::iso,
    rng::Rng,
    topics::{Catalogue, Kind},
};

/// Once a body is this long, objects that begin have no more than an id, and lists no items.
const SOFT_LIMIT_BYTES: usize = 6 << 10;
const MAX_DEPTH: usize = 6;
/// Objects of one kind come in so many forms, as states of a call do; each is half as frequent as the one before it.
const FORMS: u32 = 6;

/// A body as the topic's schema describes it; None for a topic that no template covers.
///
/// The same topic, seed and time give the same body.
pub(crate) fn body(topic: &str, seed: u64, now: u64) -> Option<String> {
    let catalogue = Catalogue::shared();
    let template = catalogue.find(topic)?;
    let names = Names::of(&template.text, topic);
    let mut writer =
        Writer { catalogue, names, rng: Rng::seeded(seed), now, text: String::with_capacity(512) };
    writer.object(catalogue.schema(template.schema), 0);
    Some(writer.text)
}

/// The ids in the topic's name, by the noun before each.
struct Names<'a> {
    by_noun: Vec<(String, &'a str)>,
    /// What the top-level `id` is, when the topic tells.
    own: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn of(template: &str, topic: &'a str) -> Self {
        let parts: Vec<_> = template.split('.').zip(topic.split('.')).collect();
        let mut by_noun = Vec::new();
        let mut own = None;
        for (i, (part, value)) in parts.iter().enumerate() {
            if *part != "{id}" {
                continue;
            }
            let noun = parts[..i].iter().rev().map(|(part, _)| *part).find(|part| *part != "{id}");
            by_noun.push((singular(noun.unwrap_or_default()), *value));
            // `v2.users.{id}.routingStatus` is about the user, `v2.users.{id}.conversations` about others.
            let suffix = parts.get(i + 1).map(|(part, _)| *part);
            own = suffix.is_none_or(|suffix| singular(suffix) == suffix).then_some(*value);
        }
        Self { by_noun, own }
    }

    /// The id that a field such as `queueId` must carry.
    fn id(&self, field: &str) -> Option<&'a str> {
        let noun = field.strip_suffix("Id")?;
        self.by_noun.iter().find(|(known, _)| known.eq_ignore_ascii_case(noun)).map(|(_, value)| *value)
    }
}

fn singular(word: &str) -> String {
    match word {
        word if word.ends_with("us") || word.ends_with("ss") => word.to_owned(),
        word => word.strip_suffix('s').unwrap_or(word).to_owned(),
    }
}

struct Writer<'a> {
    catalogue: &'static Catalogue,
    names: Names<'a>,
    rng: Rng,
    now: u64,
    text: String,
}

impl Writer<'_> {
    fn object(&mut self, fields: &[(String, Kind)], depth: usize) {
        let is_bare = depth > 0 && self.text.len() > SOFT_LIMIT_BYTES;
        let mut form = self.form(fields);
        self.text.push('{');
        let mut first = true;
        for (name, kind) in fields {
            let is_included = if is_bare { name == "id" } else { includes(&mut form, name, kind, depth) };
            if !is_included {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.text.push(',');
            }
            self.push_text(name);
            self.text.push(':');
            self.value(kind, name, depth);
        }
        self.text.push('}');
    }

    /// What decides which members are there: the same for all objects of a kind in the same form.
    fn form(&mut self, fields: &[(String, Kind)]) -> Rng {
        let form = self.rng.next().trailing_zeros().min(FORMS - 1);
        // Kinds with equally many members share their decisions, which harms nobody.
        Rng::seeded(fields.len() as u64 ^ (u64::from(form) << 32))
    }

    fn value(&mut self, kind: &Kind, name: &str, depth: usize) {
        match kind {
            Kind::Text => {
                let text = self.word(name, depth);
                self.push_text(&text);
            }
            Kind::Date => {
                let at = self.moment(name);
                self.push_text(&iso(at));
            }
            Kind::Integer => {
                let number = self.integer(name);
                self.text.push_str(&number.to_string());
            }
            Kind::Number => {
                let number = self.rng.below(100_000) as f64 / 100.0;
                self.text.push_str(&number.to_string());
            }
            Kind::Boolean => {
                let text = if self.rng.chance(0.5) { "true" } else { "false" };
                self.text.push_str(text);
            }
            Kind::Any => {
                let id = self.rng.uuid();
                self.push_text(&id);
            }
            Kind::Choice(values) => {
                let value = &values[self.rng.index(values.len())];
                self.text.push('"');
                self.text.push_str(value);
                self.text.push('"');
            }
            Kind::Schema(number) => self.object(self.catalogue.schema(*number), depth + 1),
            Kind::Object(fields) => self.object(fields, depth + 1),
            Kind::Array(item) => {
                let most = if depth == 0 { 3 } else { 2 };
                let count = if self.text.len() > SOFT_LIMIT_BYTES { 0 } else { 1 + self.rng.index(most) };
                self.text.push('[');
                for i in 0..count {
                    if i > 0 {
                        self.text.push(',');
                    }
                    self.value(item, name, depth);
                }
                self.text.push(']');
            }
            Kind::Map(item) => {
                self.text.push('{');
                for i in 0..=self.rng.index(2) {
                    if i > 0 {
                        self.text.push(',');
                    }
                    self.push_text(&format!("key{i}"));
                    self.text.push(':');
                    self.value(item, name, depth);
                }
                self.text.push('}');
            }
        }
    }

    /// Keys and words hold no character that JSON would want escaped.
    fn push_text(&mut self, text: &str) {
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }

    fn word(&mut self, name: &str, depth: usize) -> String {
        if name == "id"
            && depth == 0
            && let Some(own) = self.names.own
        {
            return plain(own);
        }
        if let Some(id) = self.names.id(name) {
            return plain(id);
        }
        let lower = name.to_ascii_lowercase();
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
        if name == "id" || name.ends_with("Id") || name.ends_with("Ids") || ends(&["guid", "uuid"]) {
            self.rng.uuid()
        } else if lower == "selfuri" {
            format!("/api/v2/entities/{}", self.rng.uuid())
        } else if ends(&["uri", "url", "href"]) {
            format!("https://example.invalid/{}", self.rng.base32(16))
        } else if lower.contains("email") {
            format!("{}@example.invalid", self.rng.base32(8))
        } else if ends(&["address", "ani", "dnis", "number", "addressto", "addressfrom", "phone"]) {
            format!("tel:+1317555{:04}", self.rng.below(10_000))
        } else if lower == "timezone" {
            self.rng.pick(&["Europe/Berlin", "America/New_York", "Asia/Tokyo"]).to_owned()
        } else if ends(&["language", "locale", "lang"]) {
            self.rng.pick(&["en-US", "de-DE", "ja-JP", "es-MX"]).to_owned()
        } else if ends(&["interval"]) {
            format!("{}/{}", iso(self.now.saturating_sub(1_800_000)), iso(self.now))
        } else if ends(&["date"]) {
            iso(self.now)[..10].to_owned()
        } else if lower == "version" {
            (1 + self.rng.below(500)).to_string()
        } else if ends(&["name", "title", "subject"]) {
            let first =
                self.rng.pick(&["Amara", "Bjorn", "Chandra", "Dolores", "Emeka", "Farah", "Goran", "Hana"]);
            let last = self.rng.pick(&[
                "Okafor",
                "Lindqvist",
                "Ramirez",
                "Sato",
                "Novak",
                "Haddad",
                "Meyer",
                "Silva",
            ]);
            format!("{first} {last}")
        } else if ends(&["message", "text", "notes", "description", "reason"]) {
            let what = self.rng.pick(&[
                "caller asked for",
                "customer wrote about",
                "agent noted",
                "system reported",
            ]);
            format!("{what} case {}", self.rng.below(1_000_000))
        } else {
            format!("{lower}-{}", self.rng.base32(6))
        }
    }

    fn moment(&mut self, name: &str) -> u64 {
        let lower = name.to_ascii_lowercase();
        if ["eventtime", "modifieddate", "datemodified", "timestamp", "statechangetime"]
            .contains(&lower.as_str())
        {
            return self.now;
        }
        self.now.saturating_sub(self.rng.below(600_000))
    }

    fn integer(&mut self, name: &str) -> u64 {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "eventtime" | "timestamp" => self.now,
            "version" => 1 + self.rng.below(500),
            lower if lower.ends_with("time") || lower.ends_with("date") => self.moment(lower),
            lower if lower.ends_with("ms") || lower.ends_with("millis") => self.rng.below(600_000),
            lower if lower.contains("percent") => self.rng.below(101),
            _ => self.rng.below(1_000),
        }
    }
}

fn includes(form: &mut Rng, name: &str, kind: &Kind, depth: usize) -> bool {
    let nested =
        matches!(kind, Kind::Schema(_) | Kind::Array(_) | Kind::Map(_) | Kind::Object(_) | Kind::Any);
    if nested && depth >= MAX_DEPTH {
        return false;
    }
    if depth == 0 || name == "id" {
        return true;
    }
    // What the real bodies leave out is unknown; nested parts thin out so that sizes stay near reported ones.
    let chance = match (depth, nested) {
        (1, false) => 0.9,
        (1, true) => 0.55,
        (2, false) => 0.7,
        (2, true) => 0.4,
        (_, false) => 0.6,
        (_, true) => 0.25,
    };
    form.chance(chance)
}

/// Ids in topics are free text: what JSON would want escaped is left out.
fn plain(id: &str) -> String {
    id.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

//! What an event is recognised by when the server sends it again, perhaps to a later process of a later version.

use super::Envelope;

/// Of 64-bit FNV-1a.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// Odd, as every step must be undoable; from PCG.
const PRIME: u64 = 0x5851_f42d_4c95_7f2d;

impl Envelope<'_> {
    /// 64 bits that stay the same for ever, since cursors hold them. They stand for the topic and the id or, without one, for the
    /// topic, the position and the text of the body.
    ///
    /// FNV-1a widened to words of 64 bits, with a shift in each step, and the finaliser of SplitMix64. The words are: 1 with an id
    /// or 2 without; then of each part its length in bytes, and its bytes, eight to a word, little endian, the last word filled
    /// up with zeros. A position that is missing is one word of all ones.
    pub fn identity(&self) -> u64 {
        let state = match self.id {
            Some(id) => [&*self.topic, id].into_iter().fold(step(BASIS, 1), absorb),
            None => {
                let state = absorb(step(BASIS, 2), &self.topic);
                let position = self.position.as_deref();
                let state = position.map_or_else(|| step(state, u64::MAX), |it| absorb(state, it));
                absorb(state, self.body)
            }
        };
        finish(state)
    }
}

fn absorb(state: u64, part: &str) -> u64 {
    let mut state = step(state, part.len() as u64);
    let (words, rest) = part.as_bytes().as_chunks::<8>();
    for word in words {
        state = step(state, u64::from_le_bytes(*word));
    }
    if rest.is_empty() {
        return state;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(state, u64::from_le_bytes(last))
}

#[inline]
fn step(state: u64, word: u64) -> u64 {
    let product = (state ^ word).wrapping_mul(PRIME);
    product ^ product >> 32
}

fn finish(state: u64) -> u64 {
    let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::HashSet;

    use super::*;

    fn event<'a>(
        topic: &'a str,
        id: Option<&'a str>,
        position: Option<&'a str>,
        body: &'a str,
    ) -> Envelope<'a> {
        Envelope {
            topic: Cow::Borrowed(topic),
            body,
            version: None,
            metadata: None,
            id,
            position: position.map(Cow::Borrowed),
        }
    }

    /// Computed by another program from the description above. A cursor that was written by any version relies on them.
    #[test]
    fn identities_never_change() {
        let table: [(Envelope<'_>, u64); 4] = [
            (event("", None, None, ""), 0x29d5_60fb_0a63_82bd),
            (event("v2.users.u.presence", Some(r#""7f3c""#), None, "{}"), 0x338c_25a3_de75_bd3f),
            (
                event("v2.users.u.presence", None, Some("2026-01-02T03:04:05.678Z"), r#"{"a":1}"#),
                0x6e8e_0174_4337_17bb,
            ),
            (event("*", None, None, r#"{"name":"Müller","note":"exactly 8"}"#), 0x224a_6dbe_b710_8240),
        ];
        let found: Vec<String> =
            table.iter().map(|(event, _)| format!("{:#018x}", event.identity())).collect();
        let expected: Vec<String> = table.iter().map(|(_, identity)| format!("{identity:#018x}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_id_decides_alone_and_without_one_position_and_body_do() {
        let of = |id, position, body| event("t", id, position, body).identity();
        assert_eq!(of(Some("1"), Some("p"), "a"), of(Some("1"), Some("q"), "b"));
        let different = [
            of(Some("1"), Some("p"), "a"),
            of(Some("2"), Some("p"), "a"),
            of(None, Some("p"), "a"),
            of(None, Some("q"), "a"),
            of(None, Some("p"), "b"),
            of(None, None, "a"),
            of(None, Some(""), "a"),
            of(None, Some("pa"), ""),
            of(None, Some("1"), ""),
            event("u", Some("1"), None, "a").identity(),
            event("t1", Some(""), None, "a").identity(),
        ];
        assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
    }

    #[test]
    fn neighbours_are_told_apart_and_differ_in_half_of_the_bits() {
        let mut seen = HashSet::new();
        let (mut flipped, mut last) = (0, 0);
        for n in 0..200_000_u32 {
            let body = format!(r#"{{"n":{n},"text":"always the same"}}"#);
            let identity = event("t", None, None, &body).identity();
            assert!(seen.insert(identity), "{body}");
            flipped += (identity ^ last).count_ones();
            last = identity;
        }
        let mean = f64::from(flipped) / 200_000.0;
        assert!((31.8..32.2).contains(&mean), "{mean}");
        for zeros in 0..100 {
            assert!(seen.insert(event("t", None, None, &"\0".repeat(zeros)).identity()), "{zeros}");
        }
    }
}

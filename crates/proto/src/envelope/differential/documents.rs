//! Frames written from a tape of random bytes: the shorter the tape, the simpler the frame.

const NAMES: [&str; 6] = ["topicName", "eventBody", "version", "metadata", "result", "else"];
const ESCAPED_NAMES: [&str; 4] = [r"topic\u004eame", r"event\u0042ody", r"\u0072esult", r"a\/b"];
const TOPICS: [&str; 4] =
    ["v2.users.u.presence", "channel.metadata", "v2.system.socket_closing", "v2.é.\u{1f600}"];
const PIECES: [&str; 24] = [
    "a",
    "Wörter",
    "{[",
    "]}",
    ",:",
    " ",
    "/",
    "\u{7f}",
    "\u{2028}",
    "\u{1f600}",
    "0123456789abcdef",
    "pong",
    r#"\""#,
    r"\\",
    r"\/",
    r"\b",
    r"\n",
    r"\t",
    r"\u0041",
    r"\u00e9",
    r"\ud83d\ude00",
    r"\ud800",
    r"\uDC00",
    r"\u0000",
];
const MUTATIONS: &[u8] = b"\"\"\\\\{}[]{}[],:,:-+.eE01u9tfn \n\t\0\x1f\x7f\xc3";

pub(super) struct Tape {
    bytes: Vec<u8>,
    at: usize,
}

impl Tape {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) * limit / 256
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A valid JSON object, and whether its names and topics are written without escapes and its topics are strings.
    pub(super) fn frame(&mut self) -> (String, bool) {
        let mut is_usual = true;
        let mut text = self.space();
        text.push('{');
        text += &self.space();
        for member in 0..self.below(8) {
            if member > 0 {
                text += &format!("{},{}", self.space(), self.space());
            }
            let name = match self.below(20) {
                19 => self.one(&ESCAPED_NAMES),
                _ => self.one(&NAMES),
            };
            let value = match (name, self.below(16)) {
                ("topicName" | r"topic\u004eame", 0..15) => format!("\"{}\"", self.one(&TOPICS)),
                (_, 0) => self.nested(),
                _ => self.value(4),
            };
            is_usual &= !name.contains('\\');
            is_usual &= name != "topicName" || value.starts_with('"') && !value.contains('\\');
            text += &format!("\"{name}\"{}:{}{value}", self.space(), self.space());
        }
        text += &format!("{}}}{}", self.space(), self.space());
        (text, is_usual)
    }

    fn nested(&mut self) -> String {
        let mut value = self.value(1);
        for _ in 0..self.below(71) {
            value = match self.below(3) {
                0 => format!("[{value}]"),
                1 => format!("{{\"a\":{value}}}"),
                _ => format!("[{},{value}{}]", self.number(), self.space()),
            };
        }
        value
    }

    fn value(&mut self, levels: usize) -> String {
        match self.below(if levels > 0 { 8 } else { 6 }) {
            0 => self.one(&["null", "true", "false"]).to_owned(),
            1 | 2 => self.number(),
            3..6 => self.string(),
            6 => {
                let items: Vec<String> = (0..self.below(5)).map(|_| self.spaced(levels)).collect();
                format!("[{}{}]", items.join(","), self.space())
            }
            _ => {
                let member =
                    |_| format!("{}{}{}:{}", self.space(), self.string(), self.space(), self.spaced(levels));
                let members: Vec<String> = (0..3).map(member).collect();
                let members = &members[..self.below(4)];
                format!("{{{}{}}}", members.join(","), self.space())
            }
        }
    }

    fn spaced(&mut self, levels: usize) -> String {
        format!("{}{}{}", self.space(), self.value(levels - 1), self.space())
    }

    fn string(&mut self) -> String {
        let pieces: String = (0..self.below(6)).map(|_| self.one(&PIECES)).collect();
        format!("\"{pieces}\"")
    }

    fn number(&mut self) -> String {
        let sign = self.one(&["", "-"]);
        let whole = self.one(&["0", "7", "10", "9007199254740993", "123456789012345678901234567890"]);
        let fraction = self.one(&["", "", ".0", ".5", ".00012345678901234567890"]);
        let exponent = self.one(&["", "", "e0", "E+05", "e-400", "e400"]);
        format!("{sign}{whole}{fraction}{exponent}")
    }

    fn space(&mut self) -> String {
        self.one(&["", "", "", "", "", " ", "\n\t", "\r\n          "]).to_owned()
    }

    /// One to three bytes taken out, put in or replaced, or the end cut off.
    pub(super) fn mutant(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let place = self.below(256) * 256 + self.below(256);
            let place = place % (bytes.len() + 1);
            let byte = self.one(MUTATIONS);
            match self.below(8) {
                0..3 => bytes.insert(place, byte),
                3..5 if place < bytes.len() => bytes[place] = byte,
                5..7 if place < bytes.len() => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

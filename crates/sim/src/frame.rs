use bytes::{Buf, Bytes, BytesMut};

/// RFC 6455 opcodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// Jetty, which the service seems to run, takes no larger message from a client by default.
const MAX_INBOUND_BYTES: usize = 64 << 10;

/// One unmasked frame, as a server sends it.
pub(crate) fn frame(opcode: Opcode, last: bool, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    push_frame(&mut bytes, opcode, last, payload);
    bytes.into()
}

pub(crate) fn text(payload: &str) -> Bytes {
    frame(Opcode::Text, true, payload.as_bytes())
}

/// A text message in fragments of `size` bytes, which may well cut a character in two.
pub(crate) fn fragments(payload: &str, size: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(payload.len() + 16);
    let chunks: Vec<_> = payload.as_bytes().chunks(size).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
        push_frame(&mut bytes, opcode, i + 1 == chunks.len(), chunk);
    }
    bytes.into()
}

pub(crate) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(Opcode::Close, true, &payload)
}

fn push_frame(bytes: &mut Vec<u8>, opcode: Opcode, last: bool, payload: &[u8]) {
    bytes.push(if last { 0x80 } else { 0 } | opcode as u8);
    match payload.len() {
        short @ 0..=125 => bytes.push(short as u8),
        medium @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}

/// What a client sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Inbound {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// What a client sent against the rules: the close code it earns, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Violation(pub(crate) u16, pub(crate) &'static str);

/// Takes client frames apart and puts fragments together.
#[derive(Default)]
pub(crate) struct Decoder {
    opcode: Option<Opcode>,
    partial: Vec<u8>,
}

impl Decoder {
    /// The next message, or None until more bytes have come.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Inbound>, Violation> {
        while let Some((opcode, last, payload)) = take_frame(buffer)? {
            match opcode {
                Opcode::Ping => return Ok(Some(Inbound::Ping(payload))),
                Opcode::Pong => return Ok(Some(Inbound::Pong)),
                Opcode::Close => return close_code(&payload).map(|code| Some(Inbound::Close(code))),
                Opcode::Continuation if self.opcode.is_none() => {
                    return Err(Violation(1002, "continuation of nothing"));
                }
                Opcode::Text | Opcode::Binary if self.opcode.is_some() => {
                    return Err(Violation(1002, "message inside a message"));
                }
                Opcode::Text | Opcode::Binary => self.opcode = Some(opcode),
                Opcode::Continuation => {}
            }
            self.partial.extend_from_slice(&payload);
            if self.partial.len() > MAX_INBOUND_BYTES {
                return Err(Violation(1009, "message too big"));
            }
            if last {
                let payload = std::mem::take(&mut self.partial);
                return match self.opcode.take() {
                    Some(Opcode::Text) => String::from_utf8(payload)
                        .map(|text| Some(Inbound::Text(text)))
                        .map_err(|_| Violation(1007, "text is not UTF-8")),
                    _ => Ok(Some(Inbound::Binary)),
                };
            }
        }
        Ok(None)
    }
}

fn take_frame(buffer: &mut BytesMut) -> Result<Option<(Opcode, bool, Vec<u8>)>, Violation> {
    let [first, second, rest @ ..] = &buffer[..] else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Violation(1002, "unknown opcode")),
    };
    if first & 0x70 != 0 {
        return Err(Violation(1002, "reserved bits without an extension"));
    }
    if second & 0x80 == 0 {
        return Err(Violation(1002, "client frames must be masked"));
    }
    let last = first & 0x80 != 0;
    let (length, extended) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 0),
    };
    if opcode as u8 >= 8 && (length > 125 || !last) {
        return Err(Violation(1002, "control frame too long or in fragments"));
    }
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= MAX_INBOUND_BYTES) else {
        return Err(Violation(1009, "message too big"));
    };
    let head = 2 + extended + 4;
    if buffer.len() < head + length {
        return Ok(None);
    }
    let mask = [buffer[head - 4], buffer[head - 3], buffer[head - 2], buffer[head - 1]];
    buffer.advance(head);
    let mut payload = buffer.split_to(length).to_vec();
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[i % 4];
    }
    Ok(Some((opcode, last, payload)))
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation(1002, "close code cut short")),
        [high, low, ..] => Ok(Some(u16::from_be_bytes([*high, *low]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first, 0x80 | payload.len() as u8];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
        bytes
    }

    #[test]
    fn a_message_in_fragments_with_a_ping_between_arrives_byte_by_byte() {
        let bytes = [masked(0x01, b"he"), masked(0x89, b"?"), masked(0x80, b"llo")].concat();
        let (mut decoder, mut buffer, mut seen) = (Decoder::default(), BytesMut::new(), Vec::new());
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            seen.extend(decoder.next(&mut buffer).expect("no violation"));
        }
        assert_eq!(seen, [Inbound::Ping(b"?".to_vec()), Inbound::Text("hello".to_owned())]);
    }

    #[test]
    fn each_violation_has_its_code() {
        let unmasked = vec![0x81, 1, b'x'];
        let cases = [
            (unmasked, 1002),
            (masked(0x80, b"x"), 1002),
            (masked(0xc1, b"x"), 1002),
            (masked(0x83, b"x"), 1002),
            (masked(0x09, b"x"), 1002),
            (masked(0x88, b"x"), 1002),
            ([masked(0x01, b"x"), masked(0x81, b"y")].concat(), 1002),
            (masked(0x81, b"\xff"), 1007),
            (vec![0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
        ];
        for (bytes, code) in cases {
            let result = Decoder::default().next(&mut BytesMut::from(&bytes[..]));
            assert!(matches!(result, Err(Violation(c, _)) if c == code), "{bytes:?}: {result:?}");
        }
    }
}

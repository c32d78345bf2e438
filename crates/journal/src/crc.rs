//! CRC-32 (the one of zlib and PNG), eight bytes at a time.

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[table - 1][byte];
            tables[table][byte] = (crc >> 8) ^ tables[0][(crc & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of an event: of its topic's name and its frame, one after the other.
pub(crate) fn of_event(topic: &str, frame: &str) -> u32 {
    !extend(extend(!0, topic.as_bytes()), frame.as_bytes())
}

/// The checksum of a text.
pub fn checksum(text: &str) -> u32 {
    of_event("", text)
}

fn extend(mut crc: u32, bytes: &[u8]) -> u32 {
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default()) ^ u64::from(crc);
        crc = (0..8).fold(0, |crc, i| crc ^ TABLES[7 - i][((word >> (8 * i)) & 0xFF) as usize]);
    }
    for byte in eights.remainder() {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xFF) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_check_value_of_the_standard() {
        assert_eq!(of_event("", "123456789"), 0xCBF4_3926);
        assert_eq!(of_event("1234", "56789"), 0xCBF4_3926);
        assert_eq!(of_event("", "The quick brown fox jumps over the lazy dog"), 0x414F_A339);
    }

    #[test]
    fn every_flipped_bit_shows() {
        let frame = "{\"topicName\":\"v2.users.x\"}".repeat(3);
        for bit in 0..frame.len() * 7 {
            let mut bytes = frame.clone().into_bytes();
            bytes[bit / 7] ^= 1 << (bit % 7);
            let flipped = String::from_utf8(bytes).unwrap();
            assert_ne!(of_event("t", &frame), of_event("t", &flipped), "bit {bit}");
        }
    }
}

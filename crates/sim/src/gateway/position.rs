use super::options::Positions;
use crate::clock::parse_iso;

/// Where a stream is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Epoch milliseconds, as the service tells them.
    Time(u64),
    Sequence(u64),
    /// With what is published from now on.
    Latest,
}

impl Position {
    pub(crate) fn read(text: &str, positions: Positions) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        match positions {
            Positions::Timestamp => text.parse().ok().or_else(|| parse_iso(text)).map(Self::Time),
            Positions::Sequence => text.parse().ok().map(Self::Sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_the_endpoint_counts() {
        let time = |text| Position::read(text, Positions::Timestamp);
        let sequence = |text| Position::read(text, Positions::Sequence);
        assert_eq!(time("2030-01-02T03:04:05.678Z"), Some(Position::Time(1_893_553_445_678)));
        assert_eq!(time("1893553445678"), Some(Position::Time(1_893_553_445_678)));
        assert_eq!((time("latest"), sequence("latest")), (Some(Position::Latest), Some(Position::Latest)));
        assert_eq!(sequence("17"), Some(Position::Sequence(17)));
        assert_eq!((time(""), time("yesterday"), sequence("2030-01-02T03:04:05Z")), (None, None, None));
    }
}

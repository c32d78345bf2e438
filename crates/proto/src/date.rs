//! ISO dates of the Gregorian calendar in UTC, as the service writes them, without a clock.

const DAY_MS: u64 = 86_400_000;

/// `2030-01-02T03:04:05.678Z`
pub(crate) fn iso(at_ms: u64) -> String {
    let (days, ms) = (at_ms / DAY_MS, at_ms % DAY_MS);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Milliseconds since the epoch of `2030-01-02T03:04:05[.6789](Z|+01:00)`; none for dates before 1970.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', 't'])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let mut parts = date.split('-');
    let days = days(number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let second = parts.next().map_or(Some(0), number)?;
    let is_time = hour <= 24 && minute < 60 && second <= 60;
    if !(is_time && fraction.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms = ((hour * 60 + minute) * 60 + second) * 1_000 + number(&thousandths)?;
    u64::try_from(days * DAY_MS as i64 + ms - offset(zone)?).ok()
}

/// Milliseconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().skip(1).filter(|c| *c != ':').collect();
    if digits.len() != 4 {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000)
}

fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Days since 1970-01-01; the year is taken to begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9_999 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_893_553_445_678, "2030-01-02T03:04:05.678Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in table {
            assert_eq!((iso(ms).as_str(), parse(text)), (text, Some(ms)));
        }
        for day in (0..40_000).map(|day| day * DAY_MS + 12_345) {
            assert_eq!(parse(&iso(day)), Some(day));
        }
    }

    #[test]
    fn other_forms_are_read_and_nonsense_is_not() {
        let at = Some(1_893_553_445_000);
        for text in ["2030-01-02T03:04:05Z", "2030-01-02T04:04:05+01:00", "2030-01-01T22:34:05.000-0430"] {
            assert_eq!(parse(text), at, "{text}");
        }
        assert_eq!(parse("2030-01-02T03:04:05.6789012Z"), Some(1_893_553_445_678));
        assert_eq!(parse("2030-01-02T03:04Z"), Some(1_893_553_440_000));
        for text in [
            "",
            "2030-01-02",
            "2030-01-02T03:04:05",
            "2030-13-02T03:04:05Z",
            "yesterdayT1:2:3Z",
            "2030-01-02T25:04:05Z",
            "1950-01-02T03:04:05Z",
            "2030-01-02T03:04:05.xZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

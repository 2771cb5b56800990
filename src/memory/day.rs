//! The day that a column of an export names: a day, or a time of it, as service desks' tools write them. It refuses what
//! may mean another day elsewhere, such as 03/04/2026.

use time::{Date, Duration};

use crate::domain::article::Day;

/// The day of a time as an export writes it; where the time says how far from UTC it was read, the day in UTC. `None`
/// where it is none.
pub(super) fn day_of_export(raw: &str) -> Option<Day> {
    let raw = raw.trim();
    let Some((date, time)) = raw.split_once(['T', 't', ' ']) else { return day(raw) };
    let (day, time) = (day(date)?, time.trim_start());
    let clock_ends = time.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(time.len());
    let (clock, offset) = time.split_at(clock_ends);
    let (minutes, offset) = (minutes_of_clock(clock)?, minutes_of_offset(offset.trim())?);
    shifted(day, minutes - offset)
}

/// `2026-03-31`, `2026/03/31` or `31.03.2026`.
fn day(raw: &str) -> Option<Day> {
    if let Some(day) = Day::parse(&raw.replace('/', "-")) {
        return Some(day);
    }
    let parts: Vec<&str> = raw.split('.').collect();
    let [day, month, year] = parts.as_slice() else { return None };
    let is_written_out = |part: &str, longest| (1..=longest).contains(&part.len()) && part.bytes().all(is_digit);
    if !is_written_out(day, 2) || !is_written_out(month, 2) || year.len() != 4 || !year.bytes().all(is_digit) {
        return None;
    }
    Day::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Of `hh:mm`, `hh:mm:ss` or with parts of a second; a leap second counts.
fn minutes_of_clock(raw: &str) -> Option<i64> {
    let (clock, part) = raw.split_once(['.', ',']).unwrap_or((raw, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match *parts.as_slice() {
        [hour, minute] if part == "0" => (hour, minute, "00"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let is_part = !part.is_empty() && part.bytes().all(is_digit);
    let within = |raw: &str, most| two_digits(raw).filter(|number| *number <= most);
    within(second, 60).filter(|_| is_part)?;
    Some(within(hour, 23)? * 60 + within(minute, 59)?)
}

/// Nothing, `Z`, `UTC`, `+hh:mm`, `+hhmm` or `+hh`.
fn minutes_of_offset(raw: &str) -> Option<i64> {
    if raw.is_empty() || ["z", "utc", "gmt"].contains(&raw.to_ascii_lowercase().as_str()) {
        return Some(0);
    }
    let (sign, digits) = match raw.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes = if digits.len() == 2 { 0 } else { two_digits(minutes).filter(|minutes| *minutes < 60)? };
    Some(sign * (two_digits(hours).filter(|hours| *hours < 24)? * 60 + minutes))
}

fn two_digits(raw: &str) -> Option<i64> {
    (raw.len() == 2 && raw.bytes().all(is_digit)).then(|| raw.parse().ok()).flatten()
}

/// The day so many minutes behind the beginning of `day`.
fn shifted(day: Day, minutes: i64) -> Option<Day> {
    if (0..24 * 60).contains(&minutes) {
        return Some(day);
    }
    let date = Date::parse(&day.to_string(), time::macros::format_description!("[year]-[month]-[day]")).ok()?;
    let date = date.checked_add(Duration::days(minutes.div_euclid(24 * 60)))?;
    Day::parse(&date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read_as_tools_write_them() {
        let check = |raw: &str, expected: Option<&str>| {
            assert_eq!(day_of_export(raw).map(|day| day.to_string()).as_deref(), expected, "{raw:?}");
        };
        for same in [
            "2026-03-31",
            " 2026-03-31 ",
            "2026/03/31",
            "31.03.2026",
            "31.3.2026 07:05",
            "2026-03-31 07:05",
            "2026-03-31  07:05:09",
            "2026/03/31 23:59:60",
            "2026-03-31T07:05:09Z",
            "2026-03-31t07:05:09.123z",
            "2026-03-31 07:05:09,5 UTC",
            "2026-03-31T07:05:09+02:00",
            "2026-03-31T07:05:09.000+0200",
            "2026-04-01T01:05:09+02",
            "2026-03-30T20:00:00-05:00",
        ] {
            check(same, Some("2026-03-31"));
        }
        check("2025-12-31 23:30:00 -0100", Some("2026-01-01"));
        check("2024-03-01 00:30 +01:00", Some("2024-02-29"));
        for wrong in [
            "",
            "soon",
            "03/04/2026",
            "31.02.2026",
            "2026-02-30",
            "2026-03-31T",
            "2026-03-31 7:05",
            "2026-03-31 24:00",
            "2026-03-31 07:60",
            "2026-03-31 07:05:61",
            "2026-03-31 07:05:09.",
            "2026-03-31 07:05.5",
            "2026-03-31 07:05:09 CEST",
            "2026-03-31 07:05:09 +2",
            "2026-03-31 07:05:09 +24:00",
            "2026-03-31 07:05:09 +02:60",
            "2026-03-31 07:05:09 –02:00",
            "31.03.26",
            "+1.03.2026",
            "1774940709",
        ] {
            check(wrong, None);
        }
    }
}

//! How soon a ticket is to be answered and solved, by its priority.

use std::time::Duration;

use super::priority::Priority;

const MINUTE: u64 = 60;
/// Units that people write, and their seconds; the largest first.
const UNITS: [(char, u64); 4] =
    [('w', 7 * 24 * 60 * MINUTE), ('d', 24 * 60 * MINUTE), ('h', 60 * MINUTE), ('m', MINUTE)];

/// The targets of one priority, in whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlaTarget {
    response: Duration,
    resolution: Duration,
}

impl SlaTarget {
    /// A year: what is later is no target.
    pub const MOST: Duration = Duration::from_secs(365 * 24 * 60 * MINUTE);

    /// What is wrong where there is no such target.
    pub fn new(response: Duration, resolution: Duration) -> Result<Self, String> {
        for (what, target) in [("response", response), ("resolution", resolution)] {
            if target.is_zero() || target > Self::MOST || target.subsec_nanos() > 0 || target.as_secs() % MINUTE > 0 {
                return Err(format!("{what}: must be whole minutes, from 1 minute to 52 weeks"));
            }
        }
        if response > resolution {
            let (response, resolution) = (written(response), written(resolution));
            return Err(format!("a response within {response} comes after the resolution within {resolution}"));
        }
        Ok(Self { response, resolution })
    }

    /// How soon somebody is to answer.
    pub fn response(&self) -> Duration {
        self.response
    }

    /// How soon it is to be solved.
    pub fn resolution(&self) -> Duration {
        self.resolution
    }

    const fn of_minutes(response: u64, resolution: u64) -> Self {
        Self { response: Duration::from_secs(response * MINUTE), resolution: Duration::from_secs(resolution * MINUTE) }
    }
}

/// The targets of every priority. Total by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlaTargets([SlaTarget; Priority::ALL.len()]);

impl SlaTargets {
    pub fn of(&self, priority: Priority) -> SlaTarget {
        self.0[usize::from(priority.number() - 1)]
    }

    /// The same with another target for this priority.
    #[must_use]
    pub fn with(mut self, priority: Priority, target: SlaTarget) -> Self {
        self.0[usize::from(priority.number() - 1)] = target;
        self
    }

    /// The first priority that is given more time than the one below it, for a warning.
    pub fn inversion(&self) -> Option<String> {
        let mut pairs = Priority::ALL.into_iter().zip(Priority::ALL.into_iter().skip(1));
        pairs.find_map(|(higher, lower)| {
            let (urgent, routine) = (self.of(higher), self.of(lower));
            let is_slower = urgent.response > routine.response || urgent.resolution > routine.resolution;
            is_slower.then(|| format!("{higher} is given more time than {lower}"))
        })
    }
}

impl Default for SlaTargets {
    /// Those in common use: response and resolution within 15 minutes and 4 hours for P1, a day and a week for P5.
    fn default() -> Self {
        const HOUR: u64 = 60;
        const DAY: u64 = 24 * HOUR;
        Self([
            SlaTarget::of_minutes(15, 4 * HOUR),
            SlaTarget::of_minutes(HOUR, 8 * HOUR),
            SlaTarget::of_minutes(4 * HOUR, DAY),
            SlaTarget::of_minutes(8 * HOUR, 3 * DAY),
            SlaTarget::of_minutes(DAY, 7 * DAY),
        ])
    }
}

/// Reads a number and its unit, as in `15m`, `4h`, `1d` or `1w`.
pub fn parse_span(raw: &str) -> Option<Duration> {
    let raw = raw.trim();
    let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| raw.ends_with(*unit))?;
    let digits = raw.strip_suffix(unit)?.trim_end();
    let count: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// As [`parse_span`] reads it, in the largest unit that fits.
pub fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    let fits = UNITS.into_iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(unit, length)| format!("{}{unit}", seconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for (raw, minutes, expected) in
            [("15m", 15, "15m"), ("90m", 90, "90m"), ("4h", 240, "4h"), ("24h", 1_440, "1d"), ("1w", 10_080, "1w")]
        {
            let span = parse_span(raw).unwrap();
            assert_eq!((span.as_secs() / 60, written(span).as_str()), (minutes, expected), "{raw}");
        }
        for raw in ["", "m", "15", "-1m", "+1m", "1.5h", "1y", "99999999999999999999w", "18446744073709551615w"] {
            assert_eq!(parse_span(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_kept_is_refused() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (response, resolution) in [
            (minutes(0), minutes(5)),
            (minutes(9), minutes(5)),
            (minutes(5), minutes(600_000)),
            (Duration::from_secs(90), minutes(5)),
        ] {
            SlaTarget::new(response, resolution).unwrap_err();
        }
        SlaTarget::new(minutes(5), minutes(5)).unwrap();
    }

    #[test]
    fn more_time_for_a_higher_priority_is_warned_of() {
        let targets = SlaTargets::default();
        assert_eq!(targets.inversion(), None);
        let p1 = Priority::ALL[0];
        let slow = targets.with(p1, targets.of(Priority::ALL[4]));
        assert!(slow.inversion().unwrap().contains("P1 is given more time than P2"));
    }
}

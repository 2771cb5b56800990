//! Impact, urgency and the desk's matrix that turns them into a priority. Priority is never guessed.

use std::fmt;

/// How much of the business is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Impact {
    High,
    Medium,
    Low,
}

/// How soon the ticket must be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    High,
    Medium,
    Low,
}

macro_rules! level {
    ($level:ident) => {
        impl $level {
            pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

            /// `None` for anything but `high`, `medium` and `low`.
            pub fn parse(raw: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|level| level.as_str() == raw)
            }

            pub fn as_str(self) -> &'static str {
                match self {
                    Self::High => "high",
                    Self::Medium => "medium",
                    Self::Low => "low",
                }
            }
        }

        impl fmt::Display for $level {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
level!(Impact);
level!(Urgency);

/// P1 (most urgent) to P5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The most urgent first.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// `None` outside 1..=5.
    pub fn new(number: u8) -> Option<Self> {
        (1..=5).contains(&number).then_some(Self(number))
    }

    /// Reads `P1` to `P5`, in either case.
    pub fn parse(raw: &str) -> Option<Self> {
        let digits = raw.strip_prefix(['P', 'p'])?;
        if digits.len() != 1 {
            return None;
        }
        Self::new(digits.parse().ok()?)
    }

    /// 1 is the most urgent.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// The desk's own matrix: rows impact high to low, columns urgency high to low. Total by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityMatrix([[Priority; 3]; 3]);

impl PriorityMatrix {
    pub fn new(rows: [[Priority; 3]; 3]) -> Self {
        Self(rows)
    }

    /// Priority of a ticket of this impact and urgency.
    pub fn priority(&self, impact: Impact, urgency: Urgency) -> Priority {
        self.0[impact as usize][urgency as usize]
    }

    /// The first pair of neighbouring cells where more impact or more urgency gives a less urgent
    /// priority, described for a warning; `None` for a monotonic matrix.
    pub fn inversion(&self) -> Option<String> {
        for (i, impact) in Impact::ALL.into_iter().enumerate() {
            for (u, urgency) in Urgency::ALL.into_iter().enumerate() {
                let here = self.0[i][u];
                let neighbours = [
                    Impact::ALL.get(i + 1).map(|lower| (*lower, urgency)),
                    Urgency::ALL.get(u + 1).map(|lower| (impact, *lower)),
                ];
                for (lower_impact, lower_urgency) in neighbours.into_iter().flatten() {
                    let there = self.priority(lower_impact, lower_urgency);
                    if here > there {
                        return Some(format!(
                            "impact {impact}, urgency {urgency} is {here}, but impact {lower_impact}, urgency {lower_urgency} is {there}"
                        ));
                    }
                }
            }
        }
        None
    }
}

impl fmt::Display for PriorityMatrix {
    /// Row by row, as versions name it: `123/234/345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.map(|row| row.map(|priority| priority.number().to_string()).concat());
        f.write_str(&rows.join("/"))
    }
}

impl Default for PriorityMatrix {
    /// The common 3×3: 1 2 3 / 2 3 4 / 3 4 5.
    fn default() -> Self {
        Self([[1, 2, 3], [2, 3, 4], [3, 4, 5]].map(|row| row.map(Priority)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_matrix_is_the_common_one() {
        let matrix = PriorityMatrix::default();
        let check = |impact, urgency, expected| assert_eq!(matrix.priority(impact, urgency).to_string(), expected);
        check(Impact::High, Urgency::High, "P1");
        check(Impact::High, Urgency::Low, "P3");
        check(Impact::Medium, Urgency::Medium, "P3");
        check(Impact::Low, Urgency::High, "P3");
        check(Impact::Low, Urgency::Low, "P5");
        assert_eq!(matrix.inversion(), None);
    }

    #[test]
    fn an_inverted_matrix_is_named() {
        let rows = [[1, 2, 3], [2, 3, 4], [3, 2, 5]].map(|row| row.map(Priority));
        let inversion = PriorityMatrix::new(rows).inversion().unwrap();
        assert!(inversion.contains("urgency medium is P3"), "{inversion}");
    }

    #[test]
    fn priorities_are_p1_to_p5() {
        assert_eq!(Priority::parse("p2").map(Priority::number), Some(2));
        for raw in ["P0", "P6", "2", "P", "P11", "P+1", ""] {
            assert_eq!(Priority::parse(raw), None, "{raw}");
        }
    }
}

//! What may be done with a field's value: the route that the desk sets for a field, and the one that it comes to
//! for one ticket.

use std::fmt;

/// What a caller may do with a value, the most careful first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Route {
    /// Count it, and show it to nobody.
    Monitor,
    /// Show it to the analyst.
    #[default]
    Recommend,
    /// It may be filled in without a person.
    Autofill,
}

impl Route {
    /// `None` for a name that [`Self::as_str`] gives to no route.
    pub fn parse(raw: &str) -> Option<Self> {
        [Self::Monitor, Self::Recommend, Self::Autofill].into_iter().find(|route| route.as_str() == raw)
    }

    /// As taxonomy files, metrics and scripts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Recommend => "recommend",
            Self::Autofill => "autofill",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the desk wants for every ticket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum RouteSetting {
    /// As though the model had not learnt the field.
    Off,
    Monitor,
    #[default]
    Recommend,
    /// Where a threshold certified for this precision is met; recommended otherwise.
    Autofill(Precision),
}

impl RouteSetting {
    /// The furthest that the desk lets a value go; `None` where the field is off.
    pub fn furthest(self) -> Option<Route> {
        match self {
            Self::Off => None,
            Self::Monitor => Some(Route::Monitor),
            Self::Recommend => Some(Route::Recommend),
            Self::Autofill(_) => Some(Route::Autofill),
        }
    }

    /// As taxonomy files name it.
    pub fn as_str(self) -> &'static str {
        self.furthest().map_or("off", Route::as_str)
    }
}

impl fmt::Display for RouteSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Autofill(precision) => write!(f, "autofill at {precision}"),
            Self::Off | Self::Monitor | Self::Recommend => f.write_str(self.as_str()),
        }
    }
}

/// The share of filled values that must be right, 0.5 to 0.999.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision(f64);

impl Precision {
    pub const LEAST: f64 = 0.5;
    pub const MOST: f64 = 0.999;

    /// `None` outside 0.5 to 0.999.
    pub fn new(share: f64) -> Option<Self> {
        (Self::LEAST..=Self::MOST).contains(&share).then_some(Self(share))
    }

    pub fn share(self) -> f64 {
        self.0
    }
}

impl Default for Precision {
    fn default() -> Self {
        Self(0.95)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_a_share_that_can_be_promised() {
        for share in [0.5, 0.937, 0.95, 0.999] {
            assert_eq!(Precision::new(share).map(Precision::share), Some(share));
        }
        for share in [0.0, 0.499, 0.9991, 1.0, 95.0, -0.95, f64::NAN, f64::INFINITY] {
            assert_eq!(Precision::new(share), None, "{share}");
        }
    }

    #[test]
    fn the_more_careful_route_is_the_lesser() {
        assert!(Route::Monitor < Route::Recommend && Route::Recommend < Route::Autofill);
        assert_eq!(RouteSetting::default().furthest(), Some(Route::Recommend));
        assert_eq!(RouteSetting::Off.as_str(), "off");
    }
}

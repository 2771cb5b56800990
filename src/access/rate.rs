//! How often each caller calls. Whoever waited for a second may make a second's calls at once.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Caller;

/// So many calls may be made at once: those of this time.
const BURST: Duration = Duration::from_secs(1);
/// Callers that are remembered; more than ever call within a second.
const MAX_CALLERS: usize = 10_000;

/// When each caller will have used up what it may.
#[derive(Debug, Default)]
pub(super) struct Rates {
    used_until: Mutex<HashMap<Caller, Instant>>,
}

impl Rates {
    /// Counts a call, or says when the next one may be made.
    pub(super) fn take(&self, caller: &Caller, calls_per_second: NonZeroU32, now: Instant) -> Result<(), Duration> {
        let share = BURST / calls_per_second.get();
        let mut used_until = self.used_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = used_until.get(caller).copied().unwrap_or(now).max(now) + share;
        let ahead = until.saturating_duration_since(now);
        if ahead > BURST {
            return Err(ahead.saturating_sub(BURST));
        }
        if used_until.len() >= MAX_CALLERS {
            used_until.retain(|_, until| *until > now);
            // Everybody called just now: better that all begin anew than that memory grows.
            if used_until.len() >= MAX_CALLERS {
                used_until.clear();
            }
        }
        used_until.insert(caller.clone(), until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Credential, role::Role};

    fn caller(name: &str) -> Caller {
        Caller { name: name.into(), role: Role::Triage, credential: Credential::Token }
    }

    #[test]
    fn a_caller_makes_a_seconds_calls_and_then_waits_for_each() {
        let (rates, start, five) = (Rates::default(), Instant::now(), NonZeroU32::new(5).unwrap());
        let take = |name, milliseconds| rates.take(&caller(name), five, start + Duration::from_millis(milliseconds));
        for _ in 0..5 {
            assert_eq!(take("desk", 0), Ok(()));
        }
        assert_eq!(take("desk", 0), Err(Duration::from_millis(200)));
        assert_eq!(take("desk", 150), Err(Duration::from_millis(50)));
        assert_eq!(take("other", 150), Ok(()));
        assert_eq!(take("desk", 200), Ok(()));
        assert_eq!(take("desk", 200), Err(Duration::from_millis(200)));
        for _ in 0..5 {
            assert_eq!(take("desk", 5_000), Ok(()));
        }
        assert!(take("desk", 5_000).is_err());
    }

    #[test]
    fn one_call_a_second_is_one_call_a_second() {
        let (rates, start) = (Rates::default(), Instant::now());
        let take = |seconds| rates.take(&caller("desk"), NonZeroU32::MIN, start + Duration::from_secs(seconds));
        assert_eq!((take(0), take(0), take(1)), (Ok(()), Err(Duration::from_secs(1)), Ok(())));
    }

    #[test]
    fn callers_that_were_quiet_are_forgotten() {
        let (rates, start) = (Rates::default(), Instant::now());
        for number in 0..3 * MAX_CALLERS {
            rates.take(&caller(&number.to_string()), NonZeroU32::MIN, start).unwrap();
        }
        assert!(rates.used_until.lock().unwrap().len() <= MAX_CALLERS);
    }
}

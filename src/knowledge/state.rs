//! How an index on disk stands, as who looks at it and opens nothing finds it.

use super::files::Unusable;

/// How an index stands to its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexState {
    Current,
    /// So many changes are not in it yet.
    Behind(u64),
    /// It is built anew for a good reason, such as that there is none yet.
    Stale(String),
    Damaged(String),
}

impl IndexState {
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Of an index that goes up to this change, where the database goes up to `last`.
    pub(super) fn of(followed: Result<u64, Unusable>, last: u64) -> Self {
        match followed {
            Ok(followed) if followed == last => Self::Current,
            Ok(followed) if followed < last => Self::Behind(last - followed),
            Ok(_) => Self::Damaged(Unusable::Ahead.to_string()),
            // Nothing to be found, and nothing there to find it.
            Err(Unusable::Missing) if last == 0 => Self::Current,
            Err(reason @ (Unusable::Missing | Unusable::OtherSchema | Unusable::OtherEncoder)) => {
                Self::Stale(reason.to_string())
            }
            Err(reason @ (Unusable::Damaged(_) | Unusable::OtherDatabase | Unusable::Ahead)) => {
                Self::Damaged(reason.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_good_reason_is_no_damage() {
        for (followed, last, expected) in [
            (Ok(3), 3, IndexState::Current),
            (Ok(1), 3, IndexState::Behind(2)),
            (Err(Unusable::Missing), 0, IndexState::Current),
            (Err(Unusable::Missing), 1, IndexState::Stale("there was none".to_owned())),
        ] {
            assert_eq!(IndexState::of(followed, last), expected);
        }
        for (followed, last) in
            [(Ok(4), 3), (Err(Unusable::OtherDatabase), 3), (Err(Unusable::Damaged("x".to_owned())), 3)]
        {
            assert!(IndexState::of(followed, last).is_damaged());
        }
    }
}

//! What a call does, told by its handler for the entry that the call gets in the audit log.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task_local;

use crate::audit::Subjects;

task_local! {
    static NOTED: Noted;
}

/// What was told of one call. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    subjects: Subjects,
    has_rehearsed: bool,
}

impl Noted {
    /// Runs a call whose handler tells what it does.
    pub(super) async fn hear<T>(self, call: impl Future<Output = T>) -> T {
        NOTED.scope(self, call).await
    }

    /// Ids of what the call is about, so far.
    pub(super) fn subjects(&self) -> Subjects {
        self.tell(|told| told.subjects.clone())
    }

    /// The call only asked what it would change.
    pub(super) fn is_rehearsal(&self) -> bool {
        self.tell(|told| told.has_rehearsed && told.subjects.is_empty())
    }

    fn tell<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says what the call at work is about; before it is done, so that one that fails is known too.
pub(super) fn about<'a>(ids: impl IntoIterator<Item = &'a str>) {
    // Only calls that may change something are listened to.
    NOTED.try_with(|noted| noted.tell(|told| told.subjects.extend(ids))).ok();
}

/// Says that the call at work, or a message of it, is not there to change anything, whatever its method can do.
pub(super) fn rehearsed() {
    NOTED.try_with(|noted| noted.tell(|told| told.has_rehearsed = true)).ok();
}

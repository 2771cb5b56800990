//! Progress on standard error: on a terminal only, and only for work that takes longer than a second.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::domain::steering;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// Redraws a second: few enough to cost nothing.
const REDRAWS: u8 = 4;

/// Counts the steps of one command.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: AtomicBool,
}

impl Progress {
    /// Counts `what` without a known end.
    pub(super) fn counting(what: &'static str) -> Self {
        Self::new("{spinner} {human_pos} {msg}, {per_sec}", what)
    }

    /// Goes through stages, each with an end of its own.
    pub(super) fn staged() -> Self {
        Self::new("{msg:18} {wide_bar} {human_pos}/{human_len} {elapsed}", "")
    }

    fn new(template: &str, what: &'static str) -> Self {
        // The templates are fixed and valid; the plain style would do as well.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar =
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style).with_message(what);
        Self { bar, started: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// One more is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        self.show_if_slow();
    }

    /// So much of this stage is done.
    pub(super) fn stage(&self, name: &'static str, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(name);
        self.show_if_slow();
    }

    /// So much of a stage without a known end is done.
    pub(super) fn count(&self, name: &'static str, done: u64) {
        // A bar that is drawn for every row would be most of the work.
        if done.is_multiple_of(1_024) {
            self.bar.unset_length();
            self.bar.set_position(done);
            self.bar.set_message(name);
            self.show_if_slow();
        }
    }

    /// Says something to the user without tearing the bar.
    pub(super) fn warn(&self, warning: impl fmt::Display) {
        self.bar.suspend(|| eprintln!("warning: {}", steering::without(&warning.to_string())));
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show_if_slow(&self) {
        if self.started.elapsed() > SHOWN_AFTER && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        }
    }
}

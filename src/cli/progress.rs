//! Progress on standard error: shown on a terminal only, and only for work that takes over a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws a second: little enough to cost nothing.
const REDRAWS: u8 = 4;

/// Counts `what` without a known end.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    styled(ProgressBar::with_draw_target(None, target()), "{spinner} {human_pos} {msg}, {per_sec}", what)
}

/// Counts `what` up to `total`.
pub(super) fn bar(total: u64, what: &'static str) -> ProgressBar {
    let template = "{wide_bar} {human_pos}/{human_len} {msg}, {per_sec}, {eta} left";
    styled(ProgressBar::with_draw_target(Some(total), target()), template, what)
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(REDRAWS)
}

fn styled(bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    // The templates are fixed and valid; the plain style would do as well.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(what).with_elapsed(Duration::ZERO)
}

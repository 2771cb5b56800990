//! Progress on standard error: a bar on a terminal, for work that takes longer than a second; of jobs a plain line every
//! few seconds where there is no terminal.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::job::number;
use crate::{
    domain::{job::JobCounts, steering},
    jobs,
};

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

    /// For what a sentence encoder reads.
    pub(super) fn encoding() -> Self {
        Self::new("{spinner} {msg}", "")
    }

    /// A sentence encoder has read so many of so many articles or tickets.
    pub(super) fn encoded(&self, done: u64, total: u64) {
        let (done, total) = (HumanCount(done), HumanCount(total));
        self.bar.set_message(format!("read by the sentence encoder: {done} of {total}"));
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

/// Behind so much time without a terminal, a line says how far a job is.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The bar of a job counts thousandths of its input.
const BAR_LENGTH: u32 = 1_000;

/// How far a job is.
pub(super) struct JobProgress {
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl JobProgress {
    pub(super) fn start() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %\n{msg}");
            let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
            ProgressBar::with_draw_target(Some(BAR_LENGTH.into()), target)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, last_line: Mutex::new(Instant::now()) }
    }

    pub(super) fn show(&self, progress: &jobs::Progress) {
        let line = progress_line(progress);
        if let Some(bar) = &self.bar {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
            bar.set_position((progress.fraction * f64::from(BAR_LENGTH)) as u64);
            bar.set_message(line);
            return;
        }
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            eprintln!("{:.0} %: {line}", progress.fraction * 100.0);
        }
    }

    /// Says what else there is to say.
    pub(super) fn note(&self, note: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(note.to_owned()),
            None => eprintln!("{note}"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn progress_line(progress: &jobs::Progress) -> String {
    let JobCounts { rows, changed, abstained, failed } = progress.counts;
    if rows == 0 {
        // As of a training, which counts its tickets at the end.
        return "at work".to_owned();
    }
    let left =
        progress.seconds_left().map(|seconds| format!(", {} left", HumanDuration(Duration::from_secs_f64(seconds))));
    format!(
        "{} tickets, {:.0}/s, {} changed, {} abstained, {} bad{}",
        number(rows),
        progress.rows_a_second,
        number(changed),
        number(abstained),
        number(failed),
        left.unwrap_or_default()
    )
}

//! A text made of pieces of another one, and where each piece stood there: what is found in the prepared text of a
//! ticket is shown in the text that the client sent. It does not decide which pieces are taken.

use std::ops::Range;

/// Where the bytes of a made text come from; the text itself where nothing was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// In the order of the text; empty: every byte stands where it stood.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// First byte in the made text; the run ends where the next begins.
    start: usize,
    source: Range<usize>,
    /// Taken byte for byte; otherwise the run stands for its source as a whole, as `ü` does for `&uuml;`.
    verbatim: bool,
}

impl Offsets {
    /// The bytes of the source that a range of the made text stands for, from the first to the last. On character
    /// boundaries if `bytes` is. An empty range stays empty.
    pub(crate) fn source(&self, bytes: Range<usize>) -> Range<usize> {
        if self.runs.is_empty() {
            return bytes;
        }
        let run_of = |at: usize| self.runs.get(self.runs.partition_point(|run| run.start <= at).saturating_sub(1));
        let within = |run: &Run, at: usize| (run.source.start + (at - run.start)).min(run.source.end);
        let start =
            run_of(bytes.start).map_or(0, |run| within(run, if run.verbatim { bytes.start } else { run.start }));
        let Some(last) = bytes.end.checked_sub(1).filter(|last| *last >= bytes.start) else { return start..start };
        let end = run_of(last).map_or(0, |run| if run.verbatim { within(run, bytes.end) } else { run.source.end });
        start..end.max(start)
    }
}

/// Puts a text together from pieces of a source, which come in order.
#[derive(Debug, Default)]
pub(crate) struct SourceText {
    text: String,
    offsets: Offsets,
}

impl SourceText {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), offsets: Offsets::default() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds the bytes of the source as they are.
    pub(crate) fn take(&mut self, source: &str, bytes: Range<usize>) {
        if bytes.is_empty() {
            return;
        }
        let start = self.text.len();
        self.text.push_str(&source[bytes.clone()]);
        match self.offsets.runs.last_mut() {
            Some(run) if run.verbatim && run.source.end == bytes.start => run.source.end = bytes.end,
            Some(_) | None => self.offsets.runs.push(Run { start, source: bytes, verbatim: true }),
        }
    }

    /// Adds `text` for these bytes of the source.
    pub(crate) fn put(&mut self, text: &str, source: Range<usize>) {
        if text.is_empty() {
            return;
        }
        self.offsets.runs.push(Run { start: self.text.len(), source, verbatim: false });
        self.text.push_str(text);
    }

    /// Takes white space at the end away.
    pub(crate) fn trim_end(&mut self) {
        self.truncate(self.text.trim_end().len());
    }

    /// Cuts to this many bytes, which must be a character boundary.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.text.truncate(bytes);
        let runs = &mut self.offsets.runs;
        runs.truncate(runs.partition_point(|run| run.start < bytes));
        if let Some(run) = runs.last_mut().filter(|run| run.verbatim) {
            run.source.end = run.source.end.min(run.source.start + (bytes - run.start));
        }
    }

    pub(crate) fn into_parts(self) -> (String, Offsets) {
        (self.text, self.offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_its_pieces_stood() {
        let source = "x gr&uuml;<b>n</b> y";
        let mut made = SourceText::default();
        made.take(source, 2..4);
        made.put("ü", 4..10);
        made.take(source, 13..14);
        made.put(" ", 14..18);
        made.take(source, 19..20);
        let (text, offsets) = made.into_parts();
        assert_eq!(text, "grün y");
        let check = |bytes: Range<usize>, expected: &str| assert_eq!(&source[offsets.source(bytes)], expected);
        check(0..5, "gr&uuml;<b>n");
        check(0..2, "gr");
        check(2..4, "&uuml;");
        check(4..5, "n");
        check(6..7, "y");
        check(3..3, "");
    }

    #[test]
    fn what_is_cut_off_is_no_longer_found() {
        let mut made = SourceText::default();
        made.take("one two", 0..4);
        made.put("\n", 4..4);
        made.trim_end();
        made.take("one two", 4..7);
        let (text, offsets) = made.into_parts();
        assert_eq!(text, "onetwo");
        assert_eq!((offsets.source(0..3), offsets.source(3..6), offsets.source(0..6)), (0..3, 4..7, 0..7));
    }

    #[test]
    fn nothing_made_means_nothing_moved() {
        assert_eq!(Offsets::default().source(3..7), 3..7);
    }
}

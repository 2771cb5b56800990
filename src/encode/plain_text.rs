//! A ticket's text as everything reads it, in training and in serving alike: HTML as its text, without what mail
//! programs add, cut to a bound, and with placeholders for what must not be kept. What is found in it can be shown in
//! the text that came in. The rules are those of `html`, `mail` and `redact`; a text that needs none of them is not
//! copied.

use std::{borrow::Cow, ops::Range};

use super::{
    html, mail,
    redact::{Numbers, Redacted, Redactor},
    source_text::{Offsets, SourceText},
};
use crate::domain::steering;

/// A text made ready to be read.
#[derive(Debug)]
pub(crate) struct PlainText<'a> {
    text: Cow<'a, str>,
    placeholders: Vec<Range<usize>>,
    sources: Sources,
    is_truncated: bool,
}

/// Where the bytes of a prepared text stand in the text that came in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    plain: Offsets,
    seen: Offsets,
    trimmed: Offsets,
    redacted: Offsets,
}

impl Sources {
    /// The bytes of the text that came in, from the first to the last that this range of the prepared one stands
    /// for. Between two words that markup parts, the markup belongs to both.
    pub(crate) fn original(&self, bytes: Range<usize>) -> Range<usize> {
        self.plain.source(self.seen.source(self.trimmed.source(self.redacted.source(bytes))))
    }
}

impl<'a> PlainText<'a> {
    /// Reads the text, up to `max_bytes` of what is left of it before placeholders, some longer than what they stand
    /// for, are put in. Takes time linear in the text's length.
    pub(crate) fn of(original: &'a str, max_bytes: usize, redactor: &Redactor) -> Self {
        let made = if html::is_html(original) {
            Some(html::ticket_text(original, max_bytes.saturating_add(1)))
        } else {
            html::has_references(original).then(|| html::unescaped(original, max_bytes.saturating_add(1)))
        };
        let (mut text, plain) = match made.map(SourceText::into_parts) {
            Some((text, offsets)) => (Cow::Owned(text), offsets),
            None => (Cow::Borrowed(original), Offsets::default()),
        };
        let is_truncated = text.len() > max_bytes;
        if is_truncated {
            let cut = text.floor_char_boundary(max_bytes);
            text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(&text[..cut]),
                Cow::Owned(mut text) => {
                    text.truncate(cut);
                    Cow::Owned(text)
                }
            };
        }
        let mut sources = Sources { plain, ..Sources::default() };
        // Before anything looks for words: what parts one unseen must not hide a password from redaction.
        if steering::is_steered(&text) {
            let (seen, offsets) = seen(&text).into_parts();
            text = Cow::Owned(seen);
            sources.seen = offsets;
        }
        let furniture = mail::furniture(&text, is_truncated);
        if !furniture.is_empty() {
            let (trimmed, offsets) = without(&text, &furniture).into_parts();
            text = Cow::Owned(trimmed);
            sources.trimmed = offsets;
        }
        let Redacted { made, placeholders } = redactor.read(&text, &mut Numbers::default());
        if let Some((redacted, offsets)) = made {
            text = Cow::Owned(redacted);
            sources.redacted = offsets;
        }
        Self { text, placeholders, sources, is_truncated }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where placeholders stand, in order.
    pub(crate) fn placeholders(&self) -> &[Range<usize>] {
        &self.placeholders
    }

    /// The text with blanks in the place of placeholders, of the same length: `<email>` must not be read as the word
    /// "email".
    pub(crate) fn words(&self) -> Cow<'_, str> {
        if self.placeholders.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        let mut words = String::with_capacity(self.text.len());
        let mut from = 0;
        for placeholder in &self.placeholders {
            words.push_str(&self.text[from..placeholder.start]);
            words.extend(std::iter::repeat_n(' ', placeholder.len()));
            from = placeholder.end;
        }
        words.push_str(&self.text[from..]);
        Cow::Owned(words)
    }

    /// Whether only the beginning of the text was read.
    pub(crate) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn into_sources(self) -> Sources {
        self.sources
    }
}

/// The text without what steers a terminal or the order of letters.
fn seen(text: &str) -> SourceText {
    let mut made = SourceText::with_capacity(text.len());
    steering::for_each_seen(text, |bytes, character| {
        let mut buffer = [0; 4];
        let shown = character.encode_utf8(&mut buffer);
        if text[bytes.clone()] == *shown {
            made.take(text, bytes);
        } else {
            made.put(shown, bytes);
        }
    });
    made
}

/// The text without these stretches; words on either side of one stay apart.
fn without(text: &str, stretches: &[Range<usize>]) -> SourceText {
    let mut made = SourceText::with_capacity(text.len());
    let mut from = 0;
    for stretch in stretches {
        made.take(text, from..stretch.start);
        if !made.as_str().ends_with(char::is_whitespace) {
            made.put(" ", stretch.clone());
        }
        from = stretch.end;
    }
    made.take(text, from..text.len());
    made
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: usize = 4 << 10;

    #[test]
    fn a_plain_text_is_not_copied() {
        for text in [
            "",
            "VPN drops every few minutes when I work from home. Error 0x80070005.",
            "printer\nThe one on floor 2 - by the lift -- jams.\n\nThanks for a look at it, it worries us\n",
            "user <name> <name> writes from <file:///c:/a b>",
            "if a < b && c > d then Map<String, List<B>> or vector<int>",
            "R&D, AT&T x &amp y &; &#; 1<2",
            "```\n<div>code</div><br>\n```",
            "a <div> is not closed, <T> is no tag, <b and c> neither",
        ] {
            let plain = PlainText::of(text, MAX_BYTES, &Redactor::default());
            assert!(matches!(plain.text, Cow::Borrowed(same) if same == text), "{text}: {plain:?}");
        }
        let long = "vpn down ".repeat(1 << 10);
        let plain = PlainText::of(&long, MAX_BYTES, &Redactor::default());
        assert!(matches!(plain.text, Cow::Borrowed(cut) if cut.len() == MAX_BYTES) && plain.is_truncated());
    }

    #[test]
    fn html_becomes_its_text() {
        for (html, expected) in [
            (
                "Printer\n<html><head><style>p { color: red }</style></head><body><p>Dear desk,</p><p>it &quot;jams&quot;\
                 <br>since&nbsp;noon</p></body></html>",
                "Printer\nDear desk,\nit \"jams\"\nsince noon",
            ),
            ("x\n<p>K&uuml;che &#228; &amp;amp; R&D<p>a < b", "x\nKüche ä &amp; R&D\na < b"),
            ("so<b>me</b><br/>of <name> and <ann@x.example>", "some\nof <name> and <<email>>"),
            ("<o:p></o:p>a<br>b<!-- c --><![if !x]>d<![endif]>", "a\nbd"),
            ("it&#39;s 5 &gt; 4 &unknown; &", "it's 5 > 4 &unknown; &"),
            ("<div>never <b closed <p>and <i>on", "never <b closed\nand on"),
            ("<br><script>alert(1)", ""),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c", "a b\nc"),
        ] {
            let plain = PlainText::of(html, MAX_BYTES, &Redactor::default());
            assert_eq!(plain.as_str().trim_end(), expected, "{html}");
        }
    }

    #[test]
    fn words_are_found_in_the_text_that_came_in() {
        let html = "T\u{fc}r &amp; Tor\n<p>Der T&uuml;r&ouml;ffner <b>klem</b>mt</p>\n<p>Im Haus B, seit heute fr&#252;h</p>\
                    <p>Mit freundlichen Gr&uuml;&szlig;en<br>Ann</p>";
        let plain = PlainText::of(html, MAX_BYTES, &Redactor::default());
        assert_eq!(plain.as_str().trim_end(), "Tür & Tor\nDer Türöffner klemmt\nIm Haus B, seit heute früh");
        for (word, expected) in [
            ("Tür", "Tür"),
            ("&", "&amp;"),
            ("Türöffner", "T&uuml;r&ouml;ffner"),
            ("klemmt", "klem</b>mt"),
            ("früh", "fr&#252;h"),
            ("Haus B", "Haus B"),
        ] {
            let start = plain.as_str().find(word).unwrap();
            assert_eq!(&html[plain.sources.original(start..start + word.len())], expected);
        }
    }

    #[test]
    fn a_placeholder_leads_back_to_what_it_stands_for() {
        let html =
            "VPN<br>mail <b>ann</b>@x.example or tel. +49&nbsp;30 1234567<br>Mit freundlichen Gr&uuml;&szlig;en<br>Ann";
        let plain = PlainText::of(html, MAX_BYTES, &Redactor::default());
        assert_eq!(plain.as_str().trim_end(), "VPN\nmail <email> or tel. <phone>");
        assert_eq!(plain.words().trim_end(), "VPN\nmail         or tel.");
        let sources: Vec<_> =
            plain.placeholders().iter().map(|bytes| &html[plain.sources.original(bytes.clone())]).collect();
        assert_eq!(sources, ["ann</b>@x.example", "+49&nbsp;30 1234567"]);
    }

    #[test]
    fn what_is_not_seen_hides_nothing_from_redaction() {
        for (text, expected) in [
            ("bob\u{200b}@zw.example prints", "<email> prints"),
            ("pass\u{200d}word: ZwjLeak9!", "password: <password>"),
            ("password\u{feff}: BomLeak9!", "password: <password>"),
            ("Kenn\u{ad}wort: ShyLeak2!", "Kennwort: <password>"),
            ("pass\u{1b}[1mword\u{1b}[0m: EscLeak1!", "password: <password>"),
            ("<p>Pass&shy;wort: ShyLeak7!</p>", "Passwort: <password>"),
            ("<p>pass<wbr>word: WbrLeak8!</p>", "password: <password>"),
            ("<table><tr><td>Password</td><td>TdLeak77!</td></tr></table>", "Password <password>"),
            ("DE89\u{200b}370400440532013000", "<iban>"),
            ("card 4111\u{200b} 1111 1111 1111", "card <card>"),
            ("one\rtwo\r\nthree", "one\ntwo\r\nthree"),
        ] {
            let plain = PlainText::of(text, MAX_BYTES, &Redactor::default());
            assert_eq!(plain.as_str().trim_end(), expected, "{text:?}");
        }
        let text = "mail bob\u{200b}@zw.ex\u{ad}ample now";
        let plain = PlainText::of(text, MAX_BYTES, &Redactor::default());
        let place = plain.placeholders()[0].clone();
        assert_eq!(&text[plain.sources.original(place)], "bob\u{200b}@zw.ex\u{ad}ample");
    }

    #[test]
    fn a_bound_counts_what_is_left() {
        let html = format!("<p style=\"{}\">ab</p> <b>cd</b>", "x".repeat(5_000));
        let plain = PlainText::of(&html, 4, &Redactor::default());
        assert_eq!((plain.as_str(), plain.is_truncated()), ("ab\nc", true));
        assert!(!PlainText::of(&html, MAX_BYTES, &Redactor::default()).is_truncated());
    }

    #[test]
    fn hostile_texts_are_read_in_linear_time() {
        let units = ["<", "<a", "<p>", "</p", "<!--", "<br", "&", "&#", "&a;", "&amp;", "[cid:", ">", "\n>", "\n--\n"];
        let lines = ["From: a\nSent: b\nSubject: c\n", "thanks\n", "\nOn 3 a wrote:", "<script>", "&nbsp;", "--\n\n"];
        for unit in units.into_iter().chain(lines) {
            for start in ["", "a\n", "<br>\n"] {
                let text = start.to_owned() + &unit.repeat((256 << 10) / unit.len());
                assert!(PlainText::of(&text, MAX_BYTES, &Redactor::default()).as_str().len() <= MAX_BYTES);
                PlainText::of(&text, usize::MAX, &Redactor::default());
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_every_word_has_its_place(
            text in "(\\PC|[a-z ]{4}|\n|\r|\u{200b}|\u{200d}|\u{1b}\\[1m|<p>|</p>|<br>|<b|&uuml;|&nbsp;|&#x1F600;|<!--|-->|\\[cid:x\\]|\n> |\nFrom: |\nSubject: |\
                     \nthanks\n|-- ){0,60}",
            max_bytes in 0_usize..300,
        ) {
            let plain = PlainText::of(&text, max_bytes, &Redactor::default());
            prop_assert_eq!(plain.words().len(), plain.as_str().len());
            prop_assert!(!plain.placeholders().is_empty() || plain.as_str().len() <= max_bytes);
            let mut end = 0;
            for (start, character) in plain.as_str().char_indices() {
                let original = plain.sources.original(start..start + character.len_utf8());
                prop_assert!(original.start >= end, "{original:?}");
                prop_assert!(text.get(original.clone()).is_some());
                if character.is_ascii_lowercase() && !original.is_empty() {
                    prop_assert_eq!(&text[original.clone()], character.to_string());
                }
                end = original.end;
            }
        }
    }
}

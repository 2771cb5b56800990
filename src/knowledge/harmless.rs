//! An article as it is kept: its text, and nothing that acts on who reads it. Cleaned once, on its way in, so that
//! the store, the index and every answer hold the same and no door can be forgotten.
//! Titles, summaries, names and categories lose tags and what steers; in body and sections raw HTML becomes its text, and
//! of links and images only those to http, https and mailto stay. Code is left as it is: nobody runs it.

use std::{borrow::Cow, ops::Range};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::markdown;
use crate::{
    domain::{article::Article, known_error::KnownError, steering},
    encode::html,
};

/// What one round takes out may let the rest become a tag or a link; a text that goes on doing so is no article.
const MAX_ROUNDS: usize = 8;
const ALLOWED_SCHEMES: [&str; 3] = ["http://", "https://", "mailto:"];

/// The article without anything that acts; one whose title is nothing else is called by its id.
pub(super) fn cleaned(article: &Article) -> Article {
    let Article {
        id,
        title,
        summary,
        body,
        kind,
        status,
        products,
        category,
        valid_until,
        link,
        problem,
        known_error: KnownError { symptoms, cause, workaround, fix, affected },
        version,
    } = article;
    Article {
        id: id.clone(),
        title: Some(line(title)).filter(|title| !title.trim().is_empty()).unwrap_or_else(|| id.clone()),
        summary: lines(summary),
        body: markdown_body(body),
        kind: *kind,
        status: *status,
        products: products.iter().map(|product| line(product)).collect(),
        category: category.as_deref().map(line),
        valid_until: *valid_until,
        // Refused where it holds anything else than an address.
        link: link.clone(),
        problem: problem.as_deref().map(line),
        known_error: KnownError {
            symptoms: markdown_body(symptoms),
            cause: markdown_body(cause),
            workaround: markdown_body(workaround),
            fix: markdown_body(fix),
            affected: affected.iter().map(|name| line(name)).collect(),
        },
        version: *version,
    }
}

/// A text of one line, without tags.
pub(super) fn line(text: &str) -> String {
    html::without_elements(&steering::one_line(text)).into_owned()
}

fn lines(text: &str) -> String {
    html::without_elements(&steering::without(text)).into_owned()
}

/// Markdown that renders to text and links that anybody may follow.
fn markdown_body(text: &str) -> String {
    let mut clean = steering::without(text);
    for _ in 0..MAX_ROUNDS {
        let taken = harmful(&clean);
        if taken.is_empty() {
            return clean.into_owned();
        }
        clean = Cow::Owned(replaced(&clean, taken));
    }
    let plain = markdown::read(&clean).text;
    steering::without(&plain).chars().fold(String::with_capacity(plain.len()), |mut escaped, character| {
        match character {
            // As below: a backslash before it is not enough for all readers.
            '<' => escaped.push_str("&lt;"),
            '[' | '&' | '\\' => escaped.extend(['\\', character]),
            _ => escaped.push(character),
        }
        escaped
    })
}

/// A stretch of a text and what stands there instead.
struct Replacement {
    bytes: Range<usize>,
    with: String,
}

/// A link or an image that must go, while its text is read.
struct OpenLink {
    bytes: Range<usize>,
    text: Option<Range<usize>>,
    /// How many links and images it stands in.
    depth: usize,
}

/// What must go from a Markdown text, in any order; none lies in another.
fn harmful(text: &str) -> Vec<Replacement> {
    let mut taken: Vec<Replacement> = Vec::new();
    if !text.contains(['<', '[', '&']) {
        return taken;
    }
    let parser = Parser::new_ext(text, markdown::OPTIONS);
    for (_, definition) in parser.reference_definitions().iter() {
        if !is_allowed(&definition.dest) {
            taken.push(Replacement { bytes: definition.span.clone(), with: String::new() });
        }
    }
    let mut open: Option<OpenLink> = None;
    let mut depth = 0;
    let mut hidden: Option<(&'static str, usize)> = None;
    let mut block: Option<Range<usize>> = None;
    let mut in_code = false;
    for (event, bytes) in parser.into_offset_iter() {
        if let Some(link) = &mut open
            && bytes.start > link.bytes.start
            && bytes.end < link.bytes.end
        {
            let from = link.text.as_ref().map_or(bytes.start, |text| text.start.min(bytes.start));
            let to = link.text.as_ref().map_or(bytes.end, |text| text.end.max(bytes.end));
            link.text = Some(from..to);
        }
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                depth += 1;
                if open.is_none() && hidden.is_none() && !is_allowed(&dest_url) {
                    open = Some(OpenLink { bytes, text: None, depth });
                }
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                if let Some(link) = open.take_if(|link| link.depth == depth) {
                    let with = link.text.map(|inner| text[inner].to_owned()).unwrap_or_default();
                    taken.push(Replacement { bytes: link.bytes, with });
                }
                depth -= 1;
            }
            Event::InlineHtml(tag) if open.is_none() => match hidden {
                Some((element, start)) if html::closes(&tag, element) => {
                    taken.push(Replacement { bytes: start..bytes.end, with: " ".to_owned() });
                    hidden = None;
                }
                Some(_) => {}
                None => {
                    hidden = html::hidden_element(&tag).map(|element| (element, bytes.start));
                    if hidden.is_none() {
                        let parts = html::parts(&tag) != html::Part::Nothing;
                        taken.push(Replacement { bytes, with: if parts { " ".into() } else { String::new() } });
                    }
                }
            },
            Event::Start(Tag::HtmlBlock) => block = Some(bytes),
            Event::End(TagEnd::HtmlBlock) => {
                if let Some(bytes) = block.take() {
                    // Read as text, a reference such as `&lt;` must not become the beginning of a tag.
                    let shown = html::text(&text[bytes.clone()]);
                    let with = format!("\n{}\n\n", steering::without(&shown).replace('<', "&lt;"));
                    taken.push(Replacement { bytes, with });
                }
            }
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell) => {
                if let Some((_, start)) = hidden.take() {
                    taken.push(Replacement { bytes: start..bytes.end.max(start), with: "\n".to_owned() });
                }
            }
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            // The text holds none as such: it is a reference, such as `&#27;`.
            Event::Text(shown) if !in_code && shown.contains(steering::steers) => {
                taken.push(Replacement { bytes, with: String::new() });
            }
            Event::Text(_) if !in_code => taken.extend(almost_tags(text, bytes)),
            Event::Start(_)
            | Event::End(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    taken
}

/// What is no tag in `CommonMark` and one to other readers of Markdown and to browsers, such as `<svg/onload=…>`: its
/// first character as a reference, with the backslash before it, which not all of them know.
fn almost_tags(text: &str, bytes: Range<usize>) -> impl Iterator<Item = Replacement> {
    let opens =
        |at: &usize| text[at + 1..].starts_with(|next: char| next.is_ascii_alphabetic() || "/!?".contains(next));
    let places = text[bytes.clone()].match_indices('<').map(move |(at, _)| bytes.start + at).filter(opens);
    places.map(|at| {
        let start = at - usize::from(text[..at].ends_with('\\'));
        Replacement { bytes: start..at + 1, with: "&lt;".to_owned() }
    })
}

/// Whether anybody may follow an address. One without a scheme leads nowhere outside the page that it was written for.
fn is_allowed(address: &str) -> bool {
    let has = |scheme: &str| address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    ALLOWED_SCHEMES.into_iter().any(has)
}

fn replaced(text: &str, mut replacements: Vec<Replacement>) -> String {
    replacements.sort_by_key(|replacement| (replacement.bytes.start, std::cmp::Reverse(replacement.bytes.end)));
    let mut made = String::with_capacity(text.len());
    let mut from = 0;
    for Replacement { bytes, with } in replacements {
        // One inside another waits for the next round.
        if bytes.start >= from {
            made.push_str(&text[from..bytes.start]);
            made.push_str(&with);
            from = bytes.end;
        }
    }
    made.push_str(&text[from..]);
    made
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(markdown: &str, expected: &str) {
        assert_eq!(markdown_body(markdown).trim_end(), expected, "{markdown}");
        assert_eq!(markdown_body(expected), expected, "{markdown} again");
    }

    #[test]
    fn harmless_markdown_is_kept_to_the_letter() {
        for text in [
            "# Head\n\nSome *text*, `<script>` and [a link](https://x.example/a?b=c#d \"title\").\n\n- one\n- two\n",
            "```html\n<script>alert(1)</script>\n```\n\n    <b>code</b>\n",
            "Write to <mailto:desk@x.example> or <https://x.example>, ![](http://x.example/a.png).",
            "if a < b && c > d, 1<2, vector&lt;int>, a [bracket] and [another] (one)",
            "[ref] and [text][ref]\n\n[ref]: https://x.example\n",
            "|a|b|\n|-|-|\n|c|d|\n",
        ] {
            assert_eq!(markdown_body(text), text);
        }
    }

    #[test]
    fn html_becomes_its_text() {
        check("a <b>bold</b> word<br>here", "a bold word here");
        check("x <script>alert(1)</script> y", "x   y");
        check("x <script>alert(1)\nalert(2)\n\ny", "x \n\ny");
        check("<script>\nalert(1)\n</script>\n\nafter", "\n\n\n\nafter");
        check(
            "before\n\n<div onclick=\"x()\">\n<p>kept &lt;b&gt;</p>\n</div>\n\nafter",
            "before\n\n\nkept &lt;b>\n\n\nafter",
        );
        check("<img src=x onerror=alert(1)>", "");
        check("<scr<b>ipt>alert(1)</scr</b>ipt>", "&lt;script>alert(1)&lt;/script>");
        check("a <svg/onload=alert(1)> b", "a &lt;svg/onload=alert(1)> b");
        check("<script/x>alert(1)</script/y>", "&lt;script/x>alert(1)&lt;/script/y>");
        check("\\<img src=x> a < b <3", "&lt;img src=x> a < b <3");
    }

    #[test]
    fn references_to_what_steers_go_too() {
        check("a&#x202e;b &#27;[31mc&#13; &amp; &#100;", "ab [31mc &amp; &#100;");
        check("<div>\n&#27;[31mred&#13;&#x202e;end\n</div>", "\nred\nend");
        check("`&#27;` and [x](https://x.example)", "`&#27;` and [x](https://x.example)");
    }

    #[test]
    fn only_links_that_anybody_may_follow_stay() {
        check("[a *b*](javascript:alert(1)) c", "a *b* c");
        check("[a](<java&#115;cript:alert(1)>) [b](JaVaScRiPt:x) [c](data:text/html,x) [d](file:///etc)", "a b c d");
        check("![alt](data:image/svg+xml;base64,AAAA) ![x](../a.png)", "alt x");
        check("<javascript:alert(1)> <vbscript:x>", "javascript:alert(1) vbscript:x");
        check(
            "[a](javascript:1)(javascript:2) [a](javascript:1)(https://x.example)",
            "a(javascript:2) a(https://x.example)",
        );
        check("[[a](javascript:1)](javascript:2)", "a");
        check("[text][ref], [ref]\n\n[ref]: javascript:alert(1) \"t\"\n\nend", "text, ref\n\n\n\nend");
        check("[![alt](javascript:1)](https://x.example)", "[alt](https://x.example)");
        check(
            "[HTTPS](HTTPS://x.example) [m](MAILTO:a@x.example) [top](#top) x []()",
            "[HTTPS](HTTPS://x.example) [m](MAILTO:a@x.example) top x",
        );
    }

    #[test]
    fn other_fields_are_lines_of_text() {
        let article = Article {
            id: "a".into(),
            title: "Pass\u{202e}word <script>alert(1)</script>of\nList<T> \u{1b}[31mred".into(),
            summary: "One <b>bold</b>\nline, a < b <svg onload=x()>".into(),
            products: vec!["Win\0dows".into(), "<iframe src=x></iframe>VPN".into()],
            category: Some("net\u{200b}work/vpn".into()),
            problem: Some("P<b>1</b>".into()),
            known_error: KnownError {
                symptoms: "It <b>stops</b>".into(),
                cause: "[x](javascript:alert(1))".into(),
                workaround: "<script>alert(1)</script>Wait".into(),
                fix: "Up\u{202e}date".into(),
                affected: vec!["srv<script>x</script>07".into()],
            },
            ..Article::default()
        };
        let clean = cleaned(&article);
        assert_eq!(clean.title, "Password of List<T> red");
        assert_eq!(clean.summary, "One bold\nline, a < b ");
        assert_eq!(clean.products, ["Windows", "VPN"]);
        assert_eq!(clean.category.as_deref(), Some("network/vpn"));
        assert_eq!(clean.problem.as_deref(), Some("P1"));
        assert_eq!(
            clean.known_error.sections().map(|(_, text)| text.trim()).collect::<Vec<_>>(),
            ["It stops", "x", "Wait", "Update",]
        );
        assert_eq!(clean.known_error.affected, ["srv07"]);
        assert_eq!(cleaned(&clean), clean);
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        for unit in [
            "<",
            "<b>",
            "[",
            "[a](javascript:x)",
            "<scr<b>ipt>",
            "![",
            "</",
            "<!--",
            "[a]: javascript:x\n",
            "&lt;",
            "> <b>\n",
        ] {
            markdown_body(&unit.repeat((256 << 10) / unit.len()));
        }
        let nested = format!("{}a{}", "[".repeat(2_000), "](javascript:x)".repeat(2_000));
        assert!(harmful(&markdown_body(&nested)).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(
            text in "(\\PC|[a-z ]{3}|\n|\n\n|<script>|</script>|<b>|<|>|\\[|\\]|\\]\\(javascript:x\\)|\\]\\(https://x\\)|!|\\(|\\)|`|&lt;|&#27;|&#13;|&#x202e;|<div>|\\\\|\n> |\n- |\\]: data:x\n|<javascript:x>|\u{1b}\\[1m|\u{202e}){0,40}",
        ) {
            let clean = markdown_body(&text);
            prop_assert!(harmful(&clean).is_empty(), "{clean:?}");
            prop_assert!(!clean.chars().any(steering::steers), "{clean:?}");
        }
    }
}

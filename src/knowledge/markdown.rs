//! Markdown to the plain text that is searched and shown. Markup, addresses of links, tags of HTML and scripts are
//! dropped; code stays, since error messages stand in it.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::encode::html::{self, Part};

/// The Markdown that articles are written in.
pub(super) const OPTIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH);

/// A Markdown text without its markup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlainText {
    /// Blocks, a line each.
    pub text: String,
    pub headings: Vec<String>,
}

pub(super) fn read(markdown: &str) -> PlainText {
    let mut plain = PlainText { text: String::with_capacity(markdown.len()), headings: Vec::new() };
    let mut heading_start = None;
    // The element, such as `script`, inside which text is no text.
    let mut hidden: Option<&'static str> = None;
    let mut html_block = String::new();
    for event in Parser::new_ext(markdown, OPTIONS) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                end_line(&mut plain.text);
                heading_start = Some(plain.text.len());
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some(start) = heading_start.take() {
                    plain.headings.push(plain.text[start..].trim().to_owned());
                }
                end_line(&mut plain.text);
            }
            Event::Text(text) | Event::Code(text) if hidden.is_none() => plain.text.push_str(&text),
            Event::SoftBreak | Event::End(TagEnd::TableCell) => plain.text.push(' '),
            Event::HardBreak | Event::Rule | Event::Start(Tag::Item) => end_line(&mut plain.text),
            Event::InlineHtml(tag) => match hidden {
                Some(element) if html::closes(&tag, element) => hidden = None,
                Some(_) => {}
                None => {
                    hidden = html::hidden_element(&tag);
                    if html::parts(&tag) != Part::Nothing && !plain.text.ends_with([' ', '\n']) {
                        plain.text.push(' ');
                    }
                }
            },
            Event::Html(part) => html_block.push_str(&part),
            Event::End(TagEnd::HtmlBlock) => {
                end_line(&mut plain.text);
                plain.text.push_str(&html::text(&html_block));
                html_block.clear();
                end_line(&mut plain.text);
            }
            Event::End(TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::Item | TagEnd::TableHead | TagEnd::TableRow) => {
                hidden = None;
                end_line(&mut plain.text);
            }
            Event::Start(_)
            | Event::End(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }
    plain.text.truncate(plain.text.trim_end().len());
    plain.headings.retain(|heading| !heading.is_empty());
    plain
}

fn end_line(text: &mut String) {
    text.truncate(text.trim_end_matches([' ', '\n']).len());
    if !text.is_empty() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, text: &str, headings: &[&str]) {
        let plain = read(markdown);
        assert_eq!(plain.text, text, "{markdown}");
        assert_eq!(plain.headings, headings, "{markdown}");
    }

    #[test]
    fn markup_is_dropped_and_words_stay_apart() {
        check(
            "# A *big* title\n\nSome **bold** text\nand [a link](https://x.example \"t\").",
            "A big title\nSome bold text and a link.",
            &["A big title"],
        );
        check("- one\n- two\n  - three\n\n1. four", "one\ntwo\nthree\nfour", &[]);
        check("|a|b|\n|-|-|\n|c|d|", "a b\nc d", &[]);
        check("Under\n=====\n\nline  \nbreak\n\n---\n\nend", "Under\nline\nbreak\nend", &["Under"]);
        check("", "", &[]);
    }

    #[test]
    fn code_stays() {
        check(
            "Run `net stop spooler`:\n\n```\nerror 0x80070005\n```\n\n    indented",
            "Run net stop spooler:\nerror 0x80070005\nindented",
            &[],
        );
        check("the file my_file_name.txt", "the file my_file_name.txt", &[]);
    }

    #[test]
    fn tags_and_scripts_are_dropped_and_the_text_of_html_stays() {
        check("a <b>bold</b> word<br>here", "a bold word here", &[]);
        check("before\n\n<script>\nalert(1)\n</script>\n\nafter", "before\nafter", &[]);
        check("x <script>alert(1)</script> y", "x  y", &[]);
        check("x <SCRIPT>alert(1)\n\ny", "x\ny", &[]);
        check("<div>\n<p>kept</p>\n</div>\n\nstays", "kept\nstays", &[]);
        check(
            "# Head\n<h2>Cause</h2><p>The spooler<br />hangs.</p>\n\nend",
            "Head\nCause\nThe spooler hangs.\nend",
            &["Head"],
        );
    }
}

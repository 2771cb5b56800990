//! The text of HTML that stands in Markdown, as exports of other systems have it. Tags, comments, scripts and styles
//! are dropped; what they part stays apart. It is read for its words only: nothing of it is ever shown as HTML.

use pulldown_cmark::{Event, Parser};

/// Elements whose content is no text.
const HIDDEN: [&str; 2] = ["script", "style"];
const BLOCKS: [&str; 26] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
];
const SPACES: [&str; 5] = ["br", "td", "th", "ul", "option"];
/// Longest name of a character reference, with its marks.
const MAX_REFERENCE_BYTES: usize = 34;

/// What a tag does to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Nothing,
    Words,
    Lines,
}

/// The element, such as `script`, that a tag opens and whose content is no text.
pub(super) fn hidden_element(tag: &str) -> Option<&'static str> {
    let name = name(tag.strip_prefix('<')?);
    HIDDEN.into_iter().find(|element| name.eq_ignore_ascii_case(element))
}

pub(super) fn closes(tag: &str, element: &str) -> bool {
    tag.strip_prefix("</").is_some_and(|rest| name(rest).eq_ignore_ascii_case(element))
}

pub(super) fn parts(tag: &str) -> Part {
    let Some(rest) = tag.strip_prefix('<') else { return Part::Nothing };
    let name = name(rest.strip_prefix('/').unwrap_or(rest));
    let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is_one_of(&BLOCKS) {
        Part::Lines
    } else if is_one_of(&SPACES) {
        Part::Words
    } else {
        Part::Nothing
    }
}

fn name(rest: &str) -> &str {
    &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())]
}

/// The text between the tags of a whole block, a line for each block in it.
pub(super) fn text(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        push_words(&mut text, &rest[..start]);
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, behind)| behind);
            continue;
        }
        let opens = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if !opens {
            text.push('<');
            rest = &rest[1..];
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[..=end];
        rest = &rest[end + 1..];
        if let Some(element) = hidden_element(tag) {
            rest = behind_content(rest, element);
        }
        match parts(tag) {
            Part::Nothing => {}
            Part::Words => push_blank(&mut text),
            Part::Lines => {
                text.truncate(text.trim_end().len());
                text.push('\n');
            }
        }
    }
    push_words(&mut text, rest);
    text.trim().to_owned()
}

/// What follows the content of a hidden element; nothing where it does not end.
fn behind_content<'a>(mut rest: &'a str, element: &str) -> &'a str {
    while let Some(start) = rest.find("</") {
        rest = &rest[start..];
        if closes(rest, element) {
            return rest;
        }
        rest = &rest[2..];
    }
    ""
}

fn push_blank(text: &mut String) {
    if !text.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
}

/// Adds text with its character references read and its white space made single blanks.
fn push_words(text: &mut String, raw: &str) {
    if raw.starts_with(char::is_whitespace) {
        push_blank(text);
    }
    for (place, word) in raw.split_whitespace().enumerate() {
        if place > 0 {
            push_blank(text);
        }
        push_unescaped(text, word);
    }
    if raw.ends_with(char::is_whitespace) {
        push_blank(text);
    }
}

fn push_unescaped(text: &mut String, mut word: &str) {
    while let Some(start) = word.find('&') {
        text.push_str(&word[..start]);
        word = &word[start..];
        let end = word.bytes().take(MAX_REFERENCE_BYTES).position(|byte| byte == b';').map_or(1, |end| end + 1);
        // Markdown has the same references.
        for event in Parser::new(&word[..end]) {
            if let Event::Text(read) = event {
                text.push_str(&read);
            }
        }
        word = &word[end..];
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_between_tags_is_kept() {
        for (html, expected) in [
            ("<p>One</p><p>two<br/>three</p>", "One\ntwo three"),
            ("<table>\n <tr><td>a</td><td>b</td></tr>\n <TR><TD>c</TD></TR></table>", "a b\nc"),
            ("<ul><li>one<li>two</ul>", "one\ntwo"),
            ("so<b>me</b>  <a href='https://x.example'>link</a>", "some link"),
            ("<p>a</p><script>if (a</b) alert(1)</script ><style>p{}</STYLE><p>z", "a\nz"),
            ("a<script>never closed", "a"),
            ("a<!-- <p>gone</p> -->b<!-- open", "ab"),
            ("1 < 2 &amp;&lt;&uuml;&#228; &nbsp;&unknown; & x&y", "1 < 2 &<ü\u{e4} \u{a0}&unknown; & x&y"),
            ("<!DOCTYPE html><?php?>x", "x"),
            ("a <b", "a <b"),
            ("<pre>code</pre>", "code"),
            ("<preview>a</preview>b", "ab"),
            ("", ""),
        ] {
            let text = text(html);
            let expected = expected.trim_end();
            assert!(text == expected || text == expected.to_owned() + " ", "{html}: {text:?}");
        }
    }

    #[test]
    fn hostile_html_is_read_in_one_pass() {
        for unit in ["<", "<a", "<!--", "</", "<script>", "&", "&#", "<script></b>", "ä<"] {
            text(&unit.repeat((1 << 20) / unit.len()));
        }
    }
}

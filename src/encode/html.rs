//! The text of HTML: of articles, where it stands in Markdown or is the whole, and of tickets that a mail program or
//! another tool wrote. Tags, comments, scripts and styles are dropped; what they part stays apart. It is read for its
//! words only: nothing of it is ever shown as HTML, and broken HTML keeps its words rather than its rules.

use std::{borrow::Cow, ops::Range};

use pulldown_cmark::{Event, Parser};

use super::source_text::SourceText;

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
/// Elements of bodies of mails and of rich text fields that part no words. What is in none of the lists is no tag in
/// a ticket: people write `<name>` and `vector<int>`.
const INLINE: [&str; 40] = [
    "a", "abbr", "b", "base", "big", "caption", "center", "cite", "code", "col", "colgroup", "del", "em", "font",
    "head", "html", "i", "img", "ins", "kbd", "label", "link", "mark", "meta", "nobr", "q", "s", "samp", "small",
    "span", "strike", "strong", "sub", "sup", "tbody", "thead", "title", "tt", "u", "wbr",
];
/// Elements that show or load something and stand in no list above.
const ACTIVE: [&str; 17] = [
    "applet", "audio", "button", "embed", "frame", "frameset", "iframe", "input", "math", "noscript", "object",
    "select", "source", "svg", "template", "textarea", "video",
];
/// Namespaces of the tags that Office writes, such as `<o:p>`.
const NAMESPACES: [&str; 5] = ["o", "v", "w", "m", "st1"];
/// How far into a text is looked for signs of HTML.
const EVIDENCE_BYTES: usize = 16 << 10;
/// Longest name of a character reference, with its marks.
const MAX_REFERENCE_BYTES: usize = 34;

/// What a tag does to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Words,
    Lines,
}

/// How HTML is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Every tag is one, and white space is one blank.
    Article,
    /// Only tags of elements that a ticket may hold are tags, and lines stay lines.
    Ticket,
}

/// The element, such as `script`, that a tag opens and whose content is no text.
pub(crate) fn hidden_element(tag: &str) -> Option<&'static str> {
    let name = name(tag.strip_prefix('<')?);
    HIDDEN.into_iter().find(|element| name.eq_ignore_ascii_case(element))
}

pub(crate) fn closes(tag: &str, element: &str) -> bool {
    tag.strip_prefix("</").is_some_and(|rest| name(rest).eq_ignore_ascii_case(element))
}

pub(crate) fn parts(tag: &str) -> Part {
    let Some(rest) = tag.strip_prefix('<') else { return Part::Nothing };
    let name = name(rest.strip_prefix('/').unwrap_or(rest));
    if is_one_of(name, &BLOCKS) {
        Part::Lines
    } else if is_one_of(name, &SPACES) {
        Part::Words
    } else {
        Part::Nothing
    }
}

/// The text between the tags of an article or a block of it, a line for each block in it.
pub(crate) fn text(html: &str) -> String {
    read(html, Reading::Article, usize::MAX).as_str().trim().to_owned()
}

/// A line of plain text without the tags of HTML elements and without scripts. Other things between angle brackets
/// stay, such as `List<T>`, and so do character references.
pub(crate) fn without_elements(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    // What is left on both sides of a tag may be one. Each round takes bytes away.
    while let Some(shorter) = without_some_elements(&clean) {
        clean = Cow::Owned(shorter);
    }
    clean
}

/// `None` where there is no tag.
fn without_some_elements(text: &str) -> Option<String> {
    let mut made = String::new();
    let mut end = 0;
    for (start, _) in text.match_indices('<') {
        if start < end {
            continue;
        }
        let Some(tag) =
            tag_at(text, start).filter(|tag| is_ticket_tag(&text[tag.clone()]) || is_active(&text[tag.clone()]))
        else {
            continue;
        };
        made.push_str(&text[end..start]);
        let written = &text[tag.clone()];
        if parts(written) != Part::Nothing && !made.ends_with(char::is_whitespace) {
            made.push(' ');
        }
        end = hidden_element(written).map_or(tag.end, |element| behind_content(text, tag.end, element));
    }
    (end > 0).then(|| made + &text[end..])
}

/// Whether a tag that no ticket holds does something where it is taken for HTML.
fn is_active(tag: &str) -> bool {
    let rest = tag.trim_start_matches(['<', '/']);
    let behind = &rest[name(rest).len()..];
    is_one_of(name(rest), &ACTIVE) || (behind.starts_with([' ', '/']) && behind.contains('='))
}

/// Whether a ticket's text is HTML, or holds some as mail programs write it. Placeholders, addresses between angle
/// brackets, comparisons, generics and fenced code are none.
pub(crate) fn is_html(text: &str) -> bool {
    if !text.contains('<') || text.contains("```") {
        return false;
    }
    let text = &text[..text.floor_char_boundary(EVIDENCE_BYTES)];
    let mut opened = Vec::new();
    let mut blocks = 0;
    for tag in text.match_indices('<').filter_map(|(start, _)| tag_at(text, start)) {
        let tag = &text[tag];
        let is_document = tag.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
        if is_document || is_element(tag, "html") || is_element(tag, "body") || is_element(tag, "br") {
            return true;
        }
        if !is_ticket_tag(tag) {
            continue;
        }
        // A tag alone may be about HTML; a pair, or two blocks, are HTML.
        let closing = tag.strip_prefix("</");
        let name = name(closing.unwrap_or(&tag[1..]));
        let is_opened = opened.iter().any(|known: &&str| known.eq_ignore_ascii_case(name));
        blocks += usize::from(parts(tag) != Part::Nothing);
        if blocks > 1 || (closing.is_some() && is_opened) {
            return true;
        }
        if closing.is_none() && !is_opened {
            opened.push(name);
        }
    }
    false
}

/// A ticket's text without its tags; stops at the first tag behind `limit` bytes.
pub(crate) fn ticket_text(html: &str, limit: usize) -> SourceText {
    read(html, Reading::Ticket, limit)
}

/// Whether the text seems to hold character references, such as `&amp;`.
pub(crate) fn has_references(text: &str) -> bool {
    text.match_indices('&').any(|(start, _)| reference_at(text, start).is_some())
}

/// A ticket's text that has character references, such as `&amp;`, but no tags.
pub(crate) fn unescaped(text: &str, limit: usize) -> SourceText {
    let mut made = SourceText::with_capacity(text.len().min(limit));
    let mut from = 0;
    while from < text.len() && made.as_str().len() < limit {
        let end = text[from..].find('&').map_or(text.len(), |found| from + found);
        made.take(text, from..end);
        from = end;
        if from < text.len() {
            from = push_reference(&mut made, text, from, Reading::Ticket);
        }
    }
    made
}

fn name(rest: &str) -> &str {
    &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())]
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn is_element(tag: &str, element: &str) -> bool {
    let rest = tag.trim_start_matches(['<', '/']);
    name(rest).eq_ignore_ascii_case(element) && has_attributes_only(&rest[element.len()..])
}

/// Whether what looks like a tag is one of HTML or Office.
fn is_ticket_tag(tag: &str) -> bool {
    if tag.starts_with("<!") || tag.starts_with("<?") {
        return true;
    }
    let rest = tag.trim_start_matches(['<', '/']);
    let name = name(rest);
    let behind = &rest[name.len()..];
    if behind.starts_with(':') {
        return is_one_of(name, &NAMESPACES);
    }
    let lists: [&[&str]; 4] = [&BLOCKS, &SPACES, &INLINE, &HIDDEN];
    lists.iter().any(|names| is_one_of(name, names)) && has_attributes_only(behind)
}

/// What may stand behind the name of a tag: nothing, or attributes with values; `<b and c>` is no tag.
fn has_attributes_only(behind: &str) -> bool {
    let behind = behind.trim_end_matches('>').trim_end_matches('/');
    behind.trim().is_empty() || (behind.starts_with(char::is_whitespace) && behind.contains('='))
}

/// The bytes of the `<…>` that begins at `start`, where a `<` stands, if it may be a tag. What another `<` interrupts
/// is none.
fn tag_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[start + 1..];
    let opens = rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?'));
    let length = rest.iter().position(|byte| matches!(byte, b'<' | b'>')).filter(|_| opens)?;
    (rest[length] == b'>').then_some(start..start + length + 2)
}

fn read(html: &str, reading: Reading, limit: usize) -> SourceText {
    let mut made = SourceText::with_capacity((html.len() / 2).min(limit));
    let mut from = 0;
    while let Some(start) = html[from..].find('<').map(|found| from + found) {
        push_words(&mut made, html, from..start, reading);
        if made.as_str().len() >= limit {
            return made;
        }
        if html[start..].starts_with("<!--") {
            from = html[start..].find("-->").map_or(html.len(), |end| start + end + 3);
            continue;
        }
        let tag = tag_at(html, start).filter(|tag| reading == Reading::Article || is_ticket_tag(&html[tag.clone()]));
        let Some(tag) = tag else {
            made.take(html, start..start + 1);
            from = start + 1;
            continue;
        };
        from = tag.end;
        let written = &html[tag.clone()];
        if let Some(element) = hidden_element(written) {
            from = behind_content(html, from, element);
        }
        match parts(written) {
            Part::Words if reading == Reading::Ticket && is_element(written, "br") => put_line(&mut made, tag),
            Part::Nothing => {}
            Part::Words => put_blank(&mut made, tag),
            Part::Lines => {
                made.trim_end();
                put_line(&mut made, tag);
            }
        }
    }
    push_words(&mut made, html, from..html.len(), reading);
    made
}

/// Where the content of a hidden element ends; the end of all where it does not.
fn behind_content(html: &str, mut from: usize, element: &str) -> usize {
    while let Some(found) = html[from..].find("</") {
        from += found;
        if closes(&html[from..], element) {
            return from;
        }
        from += 2;
    }
    html.len()
}

fn put_blank(made: &mut SourceText, source: Range<usize>) {
    if !made.as_str().is_empty() && !made.as_str().ends_with(char::is_whitespace) {
        made.put(" ", source);
    }
}

fn put_line(made: &mut SourceText, source: Range<usize>) {
    if !made.as_str().is_empty() {
        made.put("\n", source);
    }
}

/// Adds text with its character references read and its white space made single blanks, or lines in a ticket.
fn push_words(made: &mut SourceText, html: &str, bytes: Range<usize>, reading: Reading) {
    let mut from = bytes.start;
    while from < bytes.end {
        let rest = &html[from..bytes.end];
        let blanks = rest.len() - rest.trim_start().len();
        if blanks > 0 {
            let space = from..from + blanks;
            if reading == Reading::Ticket && rest[..blanks].contains('\n') {
                made.trim_end();
                put_line(made, space);
            } else if &rest[..blanks] == " "
                && !made.as_str().is_empty()
                && !made.as_str().ends_with(char::is_whitespace)
            {
                made.take(html, space);
            } else {
                put_blank(made, space);
            }
            from += blanks;
            continue;
        }
        if rest.starts_with('&') {
            from = push_reference(made, &html[..bytes.end], from, reading);
            continue;
        }
        let length = rest.find(|c: char| c == '&' || c.is_whitespace()).unwrap_or(rest.len());
        made.take(html, from..from + length);
        from += length;
    }
}

/// The bytes of what looks like the character reference that begins at `start`, where a `&` stands.
fn reference_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[start + 1..];
    let is_of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'#';
    let length = rest.iter().take(MAX_REFERENCE_BYTES).take_while(is_of_name).count();
    let is_name = rest[..length].last().is_some_and(u8::is_ascii_alphanumeric);
    (is_name && rest.get(length) == Some(&b';')).then_some(start..start + length + 2)
}

/// Adds the character that the reference at `from` stands for; returns where it ends. What is no reference stays.
fn push_reference(made: &mut SourceText, html: &str, from: usize, reading: Reading) -> usize {
    let Some(source) = reference_at(html, from) else {
        made.take(html, from..from + 1);
        return from + 1;
    };
    let written = &html[source.clone()];
    match character(written) {
        None => made.take(html, source.clone()),
        Some(read) if reading == Reading::Ticket && read.chars().all(char::is_whitespace) => {
            put_blank(made, source.clone());
        }
        Some(read) => made.put(&read, source.clone()),
    }
    source.end
}

/// What a character reference stands for; `None` where there is none of this name.
fn character(reference: &str) -> Option<Cow<'static, str>> {
    // Nearly all that mail programs write, without the cost of a parser.
    const FREQUENT: [(&str, &str); 7] = [
        ("&nbsp;", "\u{a0}"),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
    ];
    if let Some((_, text)) = FREQUENT.iter().find(|(name, _)| *name == reference) {
        return Some(Cow::Borrowed(text));
    }
    // Markdown has the same references.
    Parser::new(reference).find_map(|event| {
        if let Event::Text(text) = event { (*text != *reference).then(|| Cow::Owned(text.into_string())) } else { None }
    })
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

//! Markdown as the blocks it is made of, in plain text: paragraphs line by line, lists item by item.
//! What stands below an item, such as a list of its own or code, follows it in further lines.

use std::mem;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::lines;
use crate::{encode::html, knowledge::markdown};

/// What stands before an item of a list within an item.
const NESTED_MARK: &str = "- ";

/// A block of the document; quotations are read as what they quote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Heading {
        level: u32,
        title: String,
    },
    Paragraph {
        lines: Vec<String>,
        /// Whether all of it is set in bold, as headings are where somebody avoids them.
        is_bold: bool,
    },
    List {
        /// The first number of an ordered list.
        start: Option<u64>,
        items: Vec<String>,
    },
    Code(String),
    /// Of a table.
    Row(String),
}

pub(super) fn read(markdown: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, markdown::OPTIONS) {
        reader.take(event);
    }
    reader.end_paragraph();
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    /// Of the paragraph, heading or row being read; whether a line ends where the author said so.
    lines: Vec<(String, bool)>,
    line: String,
    /// Bytes of the paragraph in bold, and whether text is bold now.
    bold_bytes: usize,
    is_bold: bool,
    /// Lists open around what is read.
    depth: usize,
    /// Of the outermost open list.
    start: Option<u64>,
    items: Vec<String>,
    /// An item of a nested list begins with the next text.
    begins_nested: bool,
    heading: Option<u32>,
    is_code: bool,
    html: String,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) => {
                if self.is_bold {
                    self.bold_bytes += text.len();
                }
                self.line.push_str(&text);
            }
            Event::SoftBreak => self.end_line(false),
            Event::HardBreak => self.end_line(true),
            Event::InlineHtml(tag) => {
                if html::parts(&tag) != html::Part::Nothing && !self.line.ends_with(' ') {
                    self.line.push(' ');
                }
            }
            Event::Html(part) => self.html.push_str(&part),
            Event::Rule => self.end_paragraph(),
            Event::InlineMath(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_paragraph();
                self.heading = (self.depth == 0).then_some(*level as u32);
            }
            Tag::List(start) => {
                self.end_paragraph();
                if self.depth == 0 {
                    self.start = *start;
                }
                self.depth += 1;
            }
            Tag::Item => {
                self.end_paragraph();
                if self.depth == 1 {
                    self.items.push(String::new());
                }
                self.begins_nested = self.depth > 1;
            }
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.end_paragraph();
                self.is_code = true;
            }
            Tag::Strong => self.is_bold = true,
            Tag::Paragraph | Tag::HtmlBlock | Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::BlockQuote(_) => {
                self.end_paragraph();
            }
            Tag::TableCell
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Emphasis
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript
            | Tag::Link { .. }
            | Tag::Image { .. }
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => match self.heading.take() {
                Some(level) => {
                    let title = self.take_lines().join(" ");
                    self.bold_bytes = 0;
                    self.blocks.push(Block::Heading { level, title });
                }
                None => self.end_paragraph(),
            },
            TagEnd::List(_) => {
                self.end_paragraph();
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    let mut items = mem::take(&mut self.items);
                    items.retain(|item| !item.trim().is_empty());
                    let start = self.start.take();
                    if !items.is_empty() {
                        self.blocks.push(Block::List { start, items });
                    }
                }
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                let code = mem::take(&mut self.line);
                self.add_code(code.trim_end());
            }
            TagEnd::Strong => self.is_bold = false,
            TagEnd::TableCell => self.line.push_str(lines::CELL_END),
            TagEnd::TableHead | TagEnd::TableRow => {
                let row = self.take_lines().join(" ");
                let row = row.trim_matches([' ', '|']);
                self.bold_bytes = 0;
                if self.depth > 0 {
                    self.add_to_item(row);
                } else if !row.is_empty() {
                    self.blocks.push(Block::Row(row.to_owned()));
                }
            }
            TagEnd::HtmlBlock => {
                let text = html::text(&mem::take(&mut self.html));
                self.lines.extend(text.lines().map(|line| (line.to_owned(), true)));
                self.end_paragraph();
            }
            TagEnd::Paragraph | TagEnd::Item | TagEnd::Table | TagEnd::BlockQuote(_) => self.end_paragraph(),
            TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Emphasis
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::Link
            | TagEnd::Image
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    fn end_line(&mut self, is_meant: bool) {
        let line = mem::take(&mut self.line);
        self.lines.push((line, is_meant));
    }

    fn take_lines(&mut self) -> Vec<String> {
        self.end_line(true);
        lines::unwrapped(mem::take(&mut self.lines))
    }

    fn end_paragraph(&mut self) {
        if self.is_code {
            return;
        }
        let lines = self.take_lines();
        let bold_bytes = mem::take(&mut self.bold_bytes);
        if lines.is_empty() {
            return;
        }
        if self.depth > 0 {
            self.add_to_item(&lines.join("\n"));
            return;
        }
        let is_bold = bold_bytes > 0 && lines.len() == 1 && lines[0].trim_end_matches(':').len() <= bold_bytes;
        self.blocks.push(Block::Paragraph { lines, is_bold });
    }

    fn add_code(&mut self, code: &str) {
        if self.depth > 0 {
            self.add_to_item(code);
        } else if !code.trim().is_empty() {
            self.blocks.push(Block::Code(code.to_owned()));
        }
    }

    fn add_to_item(&mut self, text: &str) {
        let mark = if mem::take(&mut self.begins_nested) { NESTED_MARK } else { "" };
        let Some(item) = self.items.last_mut() else { return };
        if text.is_empty() {
            return;
        }
        if !item.is_empty() {
            item.push('\n');
        }
        item.push_str(mark);
        item.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(level: u32, title: &str) -> Block {
        Block::Heading { level, title: title.into() }
    }

    fn paragraph(lines: &[&str]) -> Block {
        Block::Paragraph { lines: lines.iter().map(|line| (*line).to_owned()).collect(), is_bold: false }
    }

    fn list(start: Option<u64>, items: &[&str]) -> Block {
        Block::List { start, items: items.iter().map(|item| (*item).to_owned()).collect() }
    }

    #[test]
    fn documents_are_read_block_by_block() {
        for (markdown, blocks) in [
            ("", vec![]),
            ("# A *b*\n\nOne `two`\nthree.", vec![heading(1, "A b"), paragraph(&["One two three."])]),
            ("1. Open\n2. Close", vec![list(Some(1), &["Open", "Close"])]),
            ("- one\n- two\n  - three\n  - four\n\n    five", vec![list(None, &["one", "two\n- three\n- four\nfive"])]),
            ("4. Run\n\n   ```\n   a  b\n\n   c\n   ```\n5. Look", vec![list(Some(4), &["Run\na  b\n\nc", "Look"])]),
            ("Run:\n\n    x = 1\n    y", vec![paragraph(&["Run:"]), Block::Code("x = 1\ny".into())]),
            ("|a|b|\n|-|-|\n|c|d|", vec![Block::Row("a | b".into()), Block::Row("c | d".into())]),
            ("> quoted\n\nplain", vec![paragraph(&["quoted"]), paragraph(&["plain"])]),
            ("line  \nbreak\n\n---\nend", vec![paragraph(&["line", "break"]), paragraph(&["end"])]),
            ("- # Big\n  text", vec![list(None, &["Big\ntext"])]),
            ("-\n- \n", vec![]),
            ("**Cause:**", vec![Block::Paragraph { lines: vec!["Cause:".into()], is_bold: true }]),
            ("<p>one<br>two</p>", vec![paragraph(&["one two"])]),
            ("![alt](x.png) [a](b)", vec![paragraph(&["alt a"])]),
        ] {
            assert_eq!(read(markdown), blocks, "{markdown}");
        }
    }
}

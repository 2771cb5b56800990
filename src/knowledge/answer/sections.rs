//! An article as sections with what each is for, and these as the units that passages are made of: sentences, lists and
//! blocks of code.

use std::mem;

use super::{
    blocks::{self, Block},
    flattened,
    kinds::{self, Kind},
    lines,
};
use crate::{
    domain::known_error::Section,
    knowledge::{schema::PASSAGE_SOURCE_BYTES, texts::IndexedText},
};

/// Below all headings that have marks: a line that stands there as one.
const UNMARKED_LEVEL: u32 = 7;
/// A longer bold line is a sentence.
const MAX_BOLD_HEADING_CHARS: usize = 80;
/// So many paragraphs between two items of an ordered list belong to the first one.
const MAX_UNITS_BETWEEN: usize = 4;

/// A heading and what stands below it, up to the next one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub heading: String,
    pub kind: Kind,
    /// Of a known error.
    pub section: Option<Section>,
    /// Whether it is from an export that lost its line breaks.
    pub is_flattened: bool,
    pub units: Vec<Unit>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Of a list the items, a line or more each.
    pub text: String,
    pub form: Form,
    pub words: usize,
    /// Else it goes on in the line of the one before.
    pub begins_line: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    Sentence,
    Code,
    List {
        items: Vec<String>,
        /// Numbered, or of things to do.
        is_steps: bool,
        /// The number of the item that would come next.
        next: Option<u64>,
        /// Whether its end was cut off.
        goes_on: bool,
    },
}

/// All of an article in the order in which it is read; parts without text are left out.
pub(super) fn of(text: &IndexedText) -> Vec<Part> {
    let mut parts = Parts::new(None, Kind::Restating, "");
    for line in text.summary.lines() {
        parts.add_line(line.trim());
    }
    let mut all = parts.made;
    all.extend(read(&text.body, None, Kind::Other, &text.title));
    for (section, markdown) in text.known_error.sections() {
        let kind = match section {
            Section::Symptoms => Kind::Restating,
            Section::Cause => Kind::Cause,
            Section::Workaround | Section::Fix => Kind::Answering,
        };
        all.extend(read(markdown, Some(section), kind, &text.title));
    }
    all.retain(|part| !part.units.is_empty());
    all
}

fn read(markdown: &str, section: Option<Section>, kind: Kind, title: &str) -> Vec<Part> {
    let blocks = blocks::read(markdown);
    let mut parts = Parts::new(section, kind, title_of_all(&blocks, title));
    match flattened_of(&blocks) {
        Some(stretches) => parts.add_flattened(stretches),
        None => blocks.into_iter().for_each(|block| parts.add(block)),
    }
    if markdown.len() + 3 >= PASSAGE_SOURCE_BYTES {
        parts.cut_off();
    }
    for part in &mut parts.made {
        part.units = mem::take(&mut part.units).into_iter().flat_map(without_single_item).collect();
    }
    parts.made
}

/// One item is no list.
fn without_single_item(unit: Unit) -> Vec<Unit> {
    match &unit.form {
        Form::List { items, goes_on: false, .. } if items.len() == 1 => {
            let mut parts = Parts::new(None, Kind::Other, "");
            unit.text.lines().for_each(|line| parts.add_line(line));
            parts.made.into_iter().flat_map(|part| part.units).collect()
        }
        Form::List { .. } | Form::Sentence | Form::Code => vec![unit],
    }
}

fn flattened_of(blocks: &[Block]) -> Option<Vec<flattened::Stretch>> {
    let mut text_lines = Vec::new();
    for block in blocks {
        let Block::Paragraph { lines, .. } = block else { return None };
        text_lines.extend(lines.iter().map(String::as_str));
    }
    flattened::read(&text_lines)
}

/// The first heading, where it is that of the whole document and says nothing of a part of it.
fn title_of_all<'a>(blocks: &'a [Block], title: &str) -> &'a str {
    let mut headings = blocks.iter().filter_map(|block| match block {
        Block::Heading { level, title } => Some((*level, title.as_str())),
        Block::Paragraph { .. } | Block::List { .. } | Block::Code(_) | Block::Row(_) => None,
    });
    let Some((level, first)) = headings.next() else { return "" };
    let is_title = first.trim().to_lowercase() == title.trim().to_lowercase();
    let mut others = headings.peekable();
    let is_above_all = others.peek().is_some() && others.all(|(other, _)| other > level) && !kinds::is_name(first);
    if is_title || is_above_all { first } else { "" }
}

/// Builds the parts of one text.
struct Parts {
    made: Vec<Part>,
    section: Option<Section>,
    /// What is under no heading of its own.
    base: Kind,
    /// The heading of the document.
    title: String,
    /// Whether the last unit is a list that took up what its last item announced.
    is_absorbed: bool,
    /// The headings around what is read, each with its level.
    around: Vec<(u32, Kind)>,
}

impl Parts {
    fn new(section: Option<Section>, base: Kind, title: &str) -> Self {
        let title = title.to_owned();
        let mut parts = Self { made: Vec::new(), section, base, title, is_absorbed: false, around: Vec::new() };
        parts.begin(String::new(), base, false);
        parts
    }

    fn begin(&mut self, heading: String, kind: Kind, is_flattened: bool) {
        self.made.push(Part { heading, kind, section: self.section, is_flattened, units: Vec::new() });
    }

    fn add(&mut self, block: Block) {
        match block {
            Block::Heading { level, title } => self.add_heading(level, title),
            Block::Paragraph { lines, is_bold } => self.add_paragraph(&lines, is_bold),
            Block::List { start, items } => self.add_list(start, items),
            Block::Code(code) => {
                if !self.absorb(&code) {
                    self.push(code, Form::Code, true);
                }
            }
            Block::Row(row) => self.push(row, Form::Sentence, true),
        }
    }

    /// A heading that says nothing of its kind is of the kind of the one above it.
    fn add_heading(&mut self, level: u32, title: String) {
        self.around.retain(|(other, _)| *other < level);
        self.is_absorbed = false;
        let own = if title == self.title { Kind::Other } else { kinds::of_heading(&title) };
        let kind = if own == Kind::Other { self.around.last().map_or(self.base, |(_, kind)| *kind) } else { own };
        self.around.push((level, kind));
        self.begin(title, kind, false);
    }

    fn add_paragraph(&mut self, text_lines: &[String], is_bold: bool) {
        if let [line] = text_lines {
            let is_short = line.chars().count() <= MAX_BOLD_HEADING_CHARS && !line.ends_with(['.', '!', ';', ',']);
            if (is_bold && is_short) || kinds::is_name(line) {
                return self.add_heading(UNMARKED_LEVEL, line.trim_end_matches(':').to_owned());
            }
        }
        let headings = lines::headings(text_lines);
        let mut runs = lines::step_runs(text_lines, &headings).into_iter().peekable();
        let mut place = 0;
        while let Some(line) = text_lines.get(place) {
            if let Some(run) = runs.next_if(|run| run.start == place) {
                self.push_list(text_lines[run.clone()].to_vec(), true, None);
                place = run.end;
                continue;
            }
            if headings[place] {
                self.add_heading(UNMARKED_LEVEL, line.trim_end_matches(':').to_owned());
            } else {
                self.add_line(line);
            }
            place += 1;
        }
    }

    fn add_line(&mut self, line: &str) {
        for (number, sentence) in lines::sentences(line).into_iter().enumerate() {
            self.push(sentence.to_owned(), Form::Sentence, number == 0);
        }
    }

    fn add_list(&mut self, start: Option<u64>, items: Vec<String>) {
        if let Some(start) = start
            && (start > 1 || self.is_absorbed)
            && self.continue_list(start, &items)
        {
            return;
        }
        if start.is_none() {
            let lines: Vec<String> = items.iter().map(|item| format!("- {item}")).collect();
            if self.absorb(&lines.join("\n")) {
                return;
            }
        }
        if let [item] = &items[..] {
            if start == Some(1) {
                // The rest may follow behind code or a picture.
                return self.push_list(items, true, Some(2));
            }
            item.lines().for_each(|line| self.add_line(line));
            return;
        }
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let is_steps = start.is_some() || items.first().is_some_and(|item| lines::is_imperative(item));
        self.push_list(items, is_steps, start.map(|start| start.saturating_add(count)));
    }

    /// Whether the items go on with an ordered list that was interrupted; what stands between belongs to its last item.
    fn continue_list(&mut self, start: u64, items: &[String]) -> bool {
        let Some(Part { units, .. }) = self.made.last_mut() else { return false };
        // Many number all items with 1.
        let is_first = start == 1;
        let goes_before = |unit: &Unit| match &unit.form {
            Form::List { next: Some(next), .. } => *next == start || is_first,
            Form::List { next: None, .. } | Form::Sentence | Form::Code => false,
        };
        let looked_at = units.len().saturating_sub(MAX_UNITS_BETWEEN + 1);
        let Some(place) = units[looked_at..].iter().rposition(goes_before) else { return false };
        let between: Vec<Unit> = units.drain(looked_at + place + 1..).collect();
        let Some(Unit { form: Form::List { items: before, next, .. }, text, words, .. }) = units.last_mut() else {
            return false;
        };
        let behind_last = text.len();
        for unit in between {
            match &unit.form {
                Form::List { items, .. } => items.iter().for_each(|item| {
                    text.push_str("\n- ");
                    text.push_str(item);
                }),
                Form::Sentence | Form::Code => {
                    text.push(if unit.begins_line { '\n' } else { ' ' });
                    text.push_str(&unit.text);
                }
            }
        }
        if let Some(last) = before.last_mut() {
            last.push_str(&text[behind_last..]);
        }
        for item in items {
            text.push('\n');
            text.push_str(item);
        }
        *words += lines::count_words(&text[behind_last..]);
        *next = start.checked_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        before.extend(items.iter().cloned());
        true
    }

    /// Adds what an item of the ordered list just read has announced to that item, although it is not indented as far.
    fn absorb(&mut self, text: &str) -> bool {
        let Some(Unit { form: Form::List { items, next: Some(_), .. }, text: all, words, .. }) =
            self.made.last_mut().and_then(|part| part.units.last_mut())
        else {
            return false;
        };
        let Some(last) = items.last_mut().filter(|last| lines::is_lead_in(last)) else { return false };
        for whole in [last, all] {
            whole.push('\n');
            whole.push_str(text);
        }
        *words += lines::count_words(text);
        self.is_absorbed = true;
        true
    }

    fn push_list(&mut self, items: Vec<String>, is_steps: bool, next: Option<u64>) {
        self.push(items.join("\n"), Form::List { items, is_steps, next, goes_on: false }, true);
    }

    fn push(&mut self, text: String, form: Form, begins_line: bool) {
        if text.trim().is_empty() {
            return;
        }
        self.is_absorbed = false;
        if let Some(part) = self.made.last_mut() {
            part.units.push(Unit { words: lines::count_words(&text), text, form, begins_line });
        }
    }

    fn add_flattened(&mut self, stretches: Vec<flattened::Stretch>) {
        for flattened::Stretch { heading, sentences } in stretches {
            let kind = if heading.is_empty() { self.base } else { kinds::of_heading(heading) };
            self.begin(heading.to_owned(), kind, true);
            for sentence in sentences.into_iter().filter(|sentence| flattened::is_worth(sentence)) {
                let is_number = sentence.starts_with(|c: char| c.is_ascii_digit());
                self.push(sentence, Form::Sentence, is_number);
            }
        }
    }

    /// The end of the text is not that of the article: a list goes on, and half a sentence is none.
    fn cut_off(&mut self) {
        let Some(Part { units, .. }) = self.made.last_mut() else { return };
        if let Some(Unit { form: Form::List { goes_on, .. }, .. }) = units.last_mut() {
            *goes_on = true;
        } else if units.len() > 1 {
            units.pop();
        }
    }
}

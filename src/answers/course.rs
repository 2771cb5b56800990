//! Pure: what a turn is about, in the light of what was said before.

use super::{conversation::Conversation, products, turn::Reading};
use crate::{
    domain::answer::{Speaker, Turn},
    encode::{PlainText, Redactor},
};

/// What says less than this goes on about what was said before.
const TERMS_OF_A_MATTER: usize = 3;
/// Turns that a short one is read together with, the latest first.
const EARLIER_TURNS: usize = 3;
/// So much of what was said is asked of the articles.
const MAX_QUESTION_BYTES: usize = 8 << 10;
/// A question is asked again where an earlier one has this part of its words.
const SAME_QUESTION: f32 = 0.8;
const MAX_SENTENCES: usize = 12;
const MAX_SENTENCE_CHARS: usize = 300;

/// A conversation up to the turn that is said now.
pub(super) struct Course {
    /// What the user said, oldest first, without the turn of now.
    earlier: Vec<Reading>,
    pub now: Reading,
    pub conversation: Conversation,
    /// The user took up one of the choices.
    has_chosen: bool,
}

/// What the articles are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matter {
    pub text: String,
    /// The user goes on about the same: what was shown did not end it.
    pub goes_on: bool,
}

impl Course {
    /// Reads the turns, the last of which is said now. Of the bot's nothing is read: they are what it made of our answers.
    pub(super) fn read(turns: &[Turn], conversation: Conversation, redactor: &Redactor) -> Self {
        let said = turns.iter().filter(|turn| turn.speaker == Speaker::User);
        let read = |turn: &Turn| Reading::of(PlainText::of(&turn.text, usize::MAX, redactor).as_str().trim());
        let mut earlier: Vec<Reading> = said.map(read).collect();
        let now = earlier.pop().unwrap_or_default();
        Self { earlier, now, conversation, has_chosen: false }
    }

    /// Takes up the product that the user was asked for, and those that a caller knows.
    pub(super) fn take_products(&mut self, known: &[String]) {
        let choices = std::mem::take(&mut self.conversation.choices);
        let chosen: Vec<&String> = choices.iter().filter(|choice| products::names(&self.now.said, choice)).collect();
        self.has_chosen = !chosen.is_empty();
        for product in known.iter().chain(chosen) {
            self.conversation.is_about(product);
        }
    }

    /// Whether the turn says nothing of any matter and refuses nothing.
    pub(super) fn is_beside_the_matter(&self) -> bool {
        !self.now.has_matter() && !self.now.refuses && !self.has_chosen
    }

    /// Whether the user said so little of a matter so far that more of it may find what this does not.
    pub(super) fn is_vague(&self) -> bool {
        self.earlier.iter().chain([&self.now]).map(|turn| turn.terms.len()).sum::<usize>() < TERMS_OF_A_MATTER
    }

    /// What it is about; `None` where nothing was said of any matter.
    pub(super) fn matter(&self) -> Option<Matter> {
        let with_matter = || self.earlier.iter().rev().filter(|turn| turn.has_matter());
        let is_asked_again = || with_matter().any(|turn| part_in(&self.now.terms, &turn.terms) >= SAME_QUESTION);
        let is_short = self.now.terms.len() < TERMS_OF_A_MATTER;
        let goes_on = with_matter().next().is_some() && (is_short || self.now.refuses || is_asked_again());
        if !goes_on {
            let text = bounded(self.now.matter.trim());
            return self.now.has_matter().then(|| Matter { text: text.to_owned(), goes_on });
        }
        // The first line of a question weighs more.
        let mut text = bounded(self.now.matter.trim()).to_owned();
        for turn in with_matter().take(EARLIER_TURNS) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(turn.matter.trim());
        }
        Some(Matter { text: bounded(&text).to_owned(), goes_on })
    }

    /// Whether anything that the user said names this product.
    pub(super) fn names(&self, product: &str) -> bool {
        self.earlier.iter().chain([&self.now]).any(|turn| products::names(&turn.said, product))
    }

    /// What the user said of the matter, sentence by sentence, without what was said twice; the first ones, and of a
    /// long conversation the last.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = Vec::new();
        for turn in self.earlier.iter().chain([&self.now]).filter(|turn| turn.has_matter() && !turn.asks_for_person) {
            for bytes in super::turn::sentences(&turn.said) {
                let sentence = &turn.said[bytes];
                let short: String = sentence.chars().take(MAX_SENTENCE_CHARS).collect();
                if Reading::of(sentence).has_matter() && !sentences.contains(&short) {
                    sentences.push(short);
                }
            }
        }
        // How it began and how it stands.
        if sentences.len() > MAX_SENTENCES {
            let gone = MAX_SENTENCES / 2..sentences.len() - MAX_SENTENCES / 2;
            sentences.drain(gone);
        }
        sentences
    }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUESTION_BYTES)]
}

/// The part of a question's different words that an earlier one has.
#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn part_in(question: &[String], earlier: &[String]) -> f32 {
    let both = question.iter().filter(|term| earlier.contains(term)).count();
    if question.is_empty() { 0.0 } else { both as f32 / question.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(turns: &[&str]) -> Course {
        let turns: Vec<Turn> =
            turns.iter().map(|text| Turn { speaker: Speaker::User, text: (*text).to_owned() }).collect();
        Course::read(&turns, Conversation::default(), &Redactor::default())
    }

    #[test]
    fn a_turn_stands_for_itself_or_goes_on() {
        let check = |turns: &[&str], text: Option<&str>, goes_on: bool| {
            let expected = text.map(|text| Matter { text: text.to_owned(), goes_on });
            assert_eq!(course(turns).matter(), expected, "{turns:?}");
        };
        check(&["hi"], None, false);
        check(&["VPN drops at home"], Some("VPN drops at home"), false);
        check(&["printer"], Some("printer"), false);
        check(&["VPN drops at home", "on the Mac"], Some("on the Mac\nVPN drops at home"), true);
        check(&["VPN drops at home", "no"], Some("VPN drops at home"), true);
        check(
            &["VPN drops at home", "hi", "How do I book a meeting room?"],
            Some("How do I book a meeting room?"),
            false,
        );
        check(
            &["How do I book a meeting room", "How do I book a meeting room?"],
            Some("How do I book a meeting room?\nHow do I book a meeting room"),
            true,
        );
        check(
            &["password", "How do I set a password for the VPN?"],
            Some("How do I set a password for the VPN?"),
            false,
        );
        check(
            &["VPN drops at home", "that didn't help, the Mac client says error 809"],
            Some(", the Mac client says error 809\nVPN drops at home"),
            true,
        );
    }

    #[test]
    fn the_product_that_was_asked_for_is_taken_up_however_it_is_said() {
        let mut course = course(&["It does not start", "it's OUTLOOK I think"]);
        course.conversation.choices = vec!["Outlook".into(), "Teams".into()];
        course.take_products(&["Exchange".into(), "outlook".into()]);
        assert_eq!(course.conversation.products, ["Exchange", "outlook"]);
        assert!(course.conversation.choices.is_empty());
    }

    #[test]
    fn a_hand_over_is_made_of_what_the_user_said_of_the_matter() {
        let turns = [
            "Hello!",
            "My VPN drops. It began on Monday. pw: hunter2",
            "no",
            "My VPN drops.",
            "I want to talk to a human",
        ];
        let sentences = course(&turns).sentences();
        assert_eq!(sentences.len(), 3, "{sentences:?}");
        assert_eq!(sentences[..2], ["My VPN drops.", "It began on Monday."]);
        assert!(!sentences[2].contains("hunter2"));
        let many: Vec<String> = (0..40).map(|number| format!("Printer {number} jams.")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sentences = course(&many).sentences();
        assert_eq!(
            (sentences.len(), sentences[0].as_str(), sentences[11].as_str()),
            (12, "Printer 0 jams.", "Printer 39 jams.")
        );
    }
}

//! Pure: what a turn is about, in the light of what was said before.

use super::{conversation::Conversation, products, turn::Reading};
use crate::{
    domain::answer::{SmallTalk, Speaker, Turn},
    encode::{PlainText, Redactor},
};

/// What says less than this goes on about what was said before.
const TERMS_OF_A_MATTER: usize = 3;
/// And what says less than this cannot stand for itself.
const TERMS_OF_A_QUESTION: usize = 2;
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
    /// Products that the caller knows it to be about.
    known: Vec<String>,
}

/// What the articles are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matter {
    pub text: String,
    /// The user goes on about the same.
    pub goes_on: bool,
    /// And says nothing new of it: what was shown did not help.
    pub refuses: bool,
}

impl Course {
    /// Reads the turns, the last of which is said now. Of the bot's nothing is read: they are what it made of our answers.
    pub(super) fn read(turns: &[Turn], conversation: Conversation, redactor: &Redactor) -> Self {
        let said = turns.iter().filter(|turn| turn.speaker == Speaker::User);
        let read = |turn: &Turn| Reading::of(PlainText::of(&turn.text, usize::MAX, redactor).as_str().trim());
        let mut earlier: Vec<Reading> = said.map(read).collect();
        let now = earlier.pop().unwrap_or_default();
        Self { earlier, now, conversation, has_chosen: false, known: Vec::new() }
    }

    /// Takes up the product that the user was asked for, and those that a caller knows.
    pub(super) fn take_products(&mut self, known: &[String]) {
        let choices = std::mem::take(&mut self.conversation.choices);
        let chosen: Vec<&String> = choices.iter().filter(|choice| products::names(&self.now.said, choice)).collect();
        self.has_chosen = !chosen.is_empty();
        for product in known.iter().chain(chosen) {
            self.conversation.is_about(product);
        }
        self.known = known.to_vec();
    }

    /// What the turn is where it says nothing of any matter and refuses nothing. A nod is an answer only where something was
    /// shown.
    pub(super) fn small_talk(&self) -> Option<SmallTalk> {
        let is_beside_the_matter = !self.now.has_matter() && !self.now.refuses && !self.has_chosen;
        let talk = self.now.small_talk.filter(|_| is_beside_the_matter)?;
        (talk != SmallTalk::Acknowledgement || !self.conversation.shown.is_empty()).then_some(talk)
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
        let goes_on =
            with_matter().next().is_some() && (is_short || self.has_chosen || self.now.refuses || is_asked_again());
        if !goes_on {
            let text = bounded(self.now.matter.trim());
            return self.now.has_matter().then(|| Matter { text: text.to_owned(), goes_on, refuses: false });
        }
        // The first line of a question weighs more.
        let mut text = bounded(self.now.matter.trim()).to_owned();
        for turn in with_matter().take(EARLIER_TURNS) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(turn.matter.trim());
        }
        let refuses = self.now.refuses || !self.now.has_matter() || is_asked_again();
        Some(Matter { text: bounded(&text).to_owned(), goes_on, refuses: refuses && !self.has_chosen })
    }

    /// The turn by itself, where it goes on about the same by its length alone: a short question may be another matter.
    pub(super) fn alone(&self, matter: &Matter) -> Option<Matter> {
        let is_question = self.now.terms.len() >= TERMS_OF_A_QUESTION;
        let may_be = matter.goes_on && !matter.refuses && !self.has_chosen && is_question;
        let text = || bounded(self.now.matter.trim()).to_owned();
        may_be.then(|| Matter { text: text(), goes_on: false, refuses: false })
    }

    /// Products that the caller knows it to be about.
    pub(super) fn known_products(&self) -> Vec<&str> {
        self.known.iter().map(String::as_str).collect()
    }

    /// Forgets the products of what was spoken of before, where that is over.
    pub(super) fn turn_to(&mut self, matter: &Matter) {
        if !matter.goes_on {
            self.conversation.products = self.known.clone();
        }
        self.conversation.is_exhausted &= matter.goes_on && !self.now.has_matter();
    }

    /// Whether what the user said of this matter names this product.
    pub(super) fn names(&self, matter: &Matter, product: &str) -> bool {
        let earlier = self.earlier.iter().filter(|_| matter.goes_on);
        earlier.chain([&self.now]).any(|turn| products::names(&turn.said, product))
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
            let found = course(turns).matter().map(|matter| (matter.text, matter.goes_on));
            assert_eq!(found, text.map(|text| (text.to_owned(), goes_on)), "{turns:?}");
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
    fn who_adds_something_does_not_refuse() {
        let refuses = |turns: &[&str]| course(turns).matter().unwrap().refuses;
        assert!(!refuses(&["forgot my password"]) && !refuses(&["forgot my password", "on Windows"]));
        assert!(!refuses(&["parental leave", "when does HR confirm?"]));
        for last in ["no", "that did not help", "forgot my password", "no, on Windows"] {
            assert!(refuses(&["forgot my password", last]), "{last}");
        }
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
    fn another_matter_forgets_the_products_of_the_one_before() {
        let mut course = course(&["Outlook does not start", "How do I connect the VPN on a train?"]);
        course.conversation.products = vec!["Outlook".into()];
        let matter = course.matter().unwrap();
        course.turn_to(&matter);
        assert!(course.conversation.products.is_empty() && !course.names(&matter, "Outlook"));
        assert!(course.names(&matter, "VPN"));
        let mut goes_on = super::tests::course(&["Outlook does not start", "on my phone"]);
        goes_on.conversation.products = vec!["Exchange".into()];
        let matter = goes_on.matter().unwrap();
        goes_on.turn_to(&matter);
        assert!(goes_on.conversation.products == ["Exchange"] && goes_on.names(&matter, "Outlook"));
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

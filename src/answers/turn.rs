//! What a turn of a conversation is beside its matter: a greeting, thanks, a refusal of what was shown, a wish for a person.
//! Known by phrases; what is left when these are taken out is the matter.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use super::phrases;
use crate::{domain::answer::SmallTalk, knowledge::subject_terms};

/// No phrase has more words.
const MAX_PHRASE_WORDS: usize = 8;
/// A sentence that asks for a person says little else.
const MAX_WISH_WORDS: usize = 16;
const MAX_WISH_TERMS: usize = 6;
/// Between what begins a direct wish and the person stand so many words at most.
const MAX_WORDS_BETWEEN: usize = 3;
/// Of a long turn the beginning is looked at for phrases.
const MAX_WORDS: usize = 400;

/// What stands in a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// All of it.
    pub said: String,
    /// The turn without what is said beside the matter.
    pub matter: String,
    /// The different words of the matter that carry a subject, in order.
    pub terms: Vec<String>,
    /// Some of what is said is a refusal.
    pub refuses: bool,
    pub asks_for_person: bool,
    /// What is said beside the matter; meaningful where there is no matter.
    pub small_talk: Option<SmallTalk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phrase {
    Talk(Talk),
    Refusal,
}

/// The later ones say what a turn is where it holds several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Talk {
    Acknowledgement,
    Greeting,
    Thanks,
    Goodbye,
    AboutTheBot,
}

impl From<Talk> for SmallTalk {
    fn from(talk: Talk) -> Self {
        match talk {
            Talk::Acknowledgement => Self::Acknowledgement,
            Talk::Greeting => Self::Greeting,
            Talk::Thanks => Self::Thanks,
            Talk::Goodbye => Self::Goodbye,
            Talk::AboutTheBot => Self::AboutTheBot,
        }
    }
}

/// Phrases by their words, joined by blanks. A refusal is one whatever else it is.
static PHRASES: LazyLock<HashMap<String, Phrase>> = LazyLock::new(|| {
    let lists = [
        (phrases::FILLERS, Phrase::Talk(Talk::Acknowledgement)),
        (phrases::GREETINGS, Phrase::Talk(Talk::Greeting)),
        (phrases::THANKS, Phrase::Talk(Talk::Thanks)),
        (phrases::GOODBYES, Phrase::Talk(Talk::Goodbye)),
        (phrases::ABOUT_THE_BOT, Phrase::Talk(Talk::AboutTheBot)),
        (phrases::REFUSALS, Phrase::Refusal),
    ];
    let phrase = |(list, kind): (&'static str, Phrase)| list.lines().map(move |line| (key_of(line), kind));
    lists.into_iter().flat_map(phrase).collect()
});

/// A word as phrases are compared by, with where it stands.
struct Word {
    key: String,
    bytes: Range<usize>,
}

impl Reading {
    /// Reads a plain text.
    pub(super) fn of(text: &str) -> Self {
        let words: Vec<Word> = words(text).take(MAX_WORDS).collect();
        let asks_for_person = asks_for_person(text, &words);
        let mut reading = Self { said: text.to_owned(), asks_for_person, ..Self::default() };
        let mut talk = None;
        let mut from = 0;
        let mut place = 0;
        while place < words.len() {
            let Some((length, phrase)) = phrase_at(&words[place..]) else {
                place += 1;
                continue;
            };
            match phrase {
                Phrase::Talk(found) => talk = talk.max(Some(found)),
                Phrase::Refusal => reading.refuses = true,
            }
            reading.matter.push_str(&text[from..words[place].bytes.start]);
            from = words[place + length - 1].bytes.end;
            place += length;
        }
        reading.matter.push_str(&text[from..]);
        reading.terms = subject_terms(&reading.matter);
        // A picture says no more than a nod.
        let is_wordless = words.is_empty() && !text.trim().is_empty();
        let talk = talk.or(is_wordless.then_some(Talk::Acknowledgement));
        reading.small_talk = talk.map(SmallTalk::from);
        reading
    }

    /// Whether it says something of a matter.
    pub(super) fn has_matter(&self) -> bool {
        !self.terms.is_empty()
    }
}

/// The longest phrase at the beginning of these words.
fn phrase_at(words: &[Word]) -> Option<(usize, Phrase)> {
    let longest = words.len().min(MAX_PHRASE_WORDS);
    let mut keys: Vec<String> = Vec::with_capacity(longest);
    for word in &words[..longest] {
        let key = keys.last().map_or_else(|| word.key.clone(), |before| format!("{before} {}", word.key));
        keys.push(key);
    }
    (1..=longest).rev().find_map(|length| Some((length, *PHRASES.get(&keys[length - 1])?)))
}

fn words(text: &str) -> impl Iterator<Item = Word> {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '\'' | '’');
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_part)?;
        let end = text[start..].find(|character| !is_part(character)).map_or(text.len(), |length| start + length);
        rest = end;
        Some(Word { key: key_of_word(&text[start..end]), bytes: start..end })
    })
}

fn key_of_word(word: &str) -> String {
    word.chars().filter(|character| !matches!(character, '\'' | '’')).flat_map(char::to_lowercase).collect()
}

fn key_of(phrase: &str) -> String {
    words(phrase).map(|word| word.key).collect::<Vec<_>>().join(" ")
}

fn asks_for_person(text: &str, words: &[Word]) -> bool {
    static TURNS: LazyLock<Vec<String>> = LazyLock::new(|| phrases::PERSON_TURNS.lines().map(key_of).collect());
    let keys: Vec<&str> = words.iter().map(|word| word.key.as_str()).collect();
    let whole = keys.join(" ");
    if TURNS.contains(&whole) {
        return true;
    }
    sentences(text).any(|sentence| {
        let keys: Vec<&str> = words
            .iter()
            .filter(|word| sentence.start <= word.bytes.start && word.bytes.end <= sentence.end)
            .map(|word| word.key.as_str())
            .collect();
        let has = |list: &str| keys.iter().any(|key| list.split_ascii_whitespace().any(|word| word == *key));
        let is_wish = keys.len() <= MAX_WISH_WORDS
            && has(phrases::PERSON_WISHES)
            && has(phrases::PERSON_VERBS)
            && has(phrases::PERSONS)
            && subject_terms(&text[sentence.clone()]).len() <= MAX_WISH_TERMS;
        is_wish || has_direct_wish(&keys)
    })
}

/// Whether words that can mean nothing else are followed by a person: "get me a real person", "speak to an agent".
fn has_direct_wish(keys: &[&str]) -> bool {
    static TALKS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| beginnings(phrases::TALKS));
    static WISHES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| beginnings(phrases::DIRECT_WISHES));
    let is_person = |key: &&str| phrases::PERSONS.split_ascii_whitespace().any(|word| word == *key);
    (0..keys.len()).any(|start| {
        let talks = TALKS.iter().filter(|_| start == 0);
        let after = WISHES.iter().chain(talks).filter(|words| starts_with(&keys[start..], words)).map(Vec::len).max();
        after.is_some_and(|length| keys[start + length..].iter().take(MAX_WORDS_BETWEEN + 1).any(is_person))
    })
}

fn beginnings(list: &str) -> Vec<Vec<String>> {
    list.lines().map(|line| key_of(line).split(' ').map(str::to_owned).collect()).collect()
}

fn starts_with(keys: &[&str], words: &[String]) -> bool {
    keys.len() >= words.len() && keys.iter().zip(words).all(|(key, word)| key == word)
}

/// The bytes of each sentence or line, without blanks around it.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let rest = &text[start..];
        let ends = rest.char_indices().find(|(at, character)| match character {
            '\n' => true,
            '.' | '!' | '?' => rest[at + 1..].chars().next().is_none_or(char::is_whitespace),
            _ => false,
        });
        let end = ends.map_or(text.len(), |(at, character)| start + at + character.len_utf8());
        let bytes = start..end;
        start = end;
        Some(bytes)
    })
    .filter_map(|bytes| {
        let sentence = &text[bytes.clone()];
        let trimmed = sentence.trim();
        let start = bytes.start + (sentence.len() - sentence.trim_start().len());
        (!trimmed.is_empty()).then_some(start..start + trimmed.len())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_talk_is_told_from_a_matter() {
        for (text, expected) in [
            ("Hi there!", Some(SmallTalk::Greeting)),
            ("good morning, how are you?", Some(SmallTalk::AboutTheBot)),
            ("Thanks a lot, that worked 👍", Some(SmallTalk::Thanks)),
            ("ok great thank you, bye", Some(SmallTalk::Goodbye)),
            ("Are you a robot?", Some(SmallTalk::AboutTheBot)),
            ("Vielen Dank, tschüss!", Some(SmallTalk::Goodbye)),
            ("merci beaucoup", Some(SmallTalk::Thanks)),
            ("¡Hola! Buenos días", Some(SmallTalk::Greeting)),
            ("ok", Some(SmallTalk::Acknowledgement)),
            ("👍", Some(SmallTalk::Acknowledgement)),
            ("no thanks", Some(SmallTalk::Thanks)),
        ] {
            let reading = Reading::of(text);
            assert_eq!((reading.small_talk, reading.has_matter()), (expected, false), "{text}: {reading:?}");
        }
        for text in ["Hello, my printer jams", "thanks, but Outlook still asks for the password", "hi vpn down"] {
            assert!(Reading::of(text).has_matter(), "{text}");
        }
        assert_eq!(Reading::of("Hello, my printer jams").terms, ["printer", "jam"]);
    }

    #[test]
    fn a_refusal_is_known_and_what_is_added_to_it_is_matter() {
        for text in [
            "No.",
            "that didn't help",
            "That did not work, I already tried that",
            "still not working!!",
            "das hat nicht geholfen",
            "ça ne marche pas",
            "no funciona",
        ] {
            let reading = Reading::of(text);
            assert!(reading.refuses && !reading.has_matter(), "{text}: {reading:?}");
        }
        let more = Reading::of("That didn't help, it is the Mac client");
        assert!(more.refuses && more.terms == ["mac", "client"], "{more:?}");
        assert!(!Reading::of("How do I book a room?").refuses);
    }

    #[test]
    fn a_wish_for_a_person_is_known() {
        for text in [
            "agent",
            "Human, please!",
            "I want to talk to a human",
            "can I speak to someone please?",
            "This is useless. Let me talk to a real person.",
            "please connect me with an agent about my locked account",
            "Ich möchte mit einem Mitarbeiter sprechen",
            "je voudrais parler à quelqu'un",
            "quiero hablar con una persona",
            "kan ik iemand spreken",
            "please call me back",
            "speak to an agent",
            "this is useless, get me a person",
            "connect me with support",
            "transfer me to the service desk",
            "the coffee machine shows E05 and leaks since the morning, please get me a real person",
            "I want a human",
            "can someone call me?",
        ] {
            assert!(Reading::of(text).asks_for_person, "{text}");
        }
        for text in [
            "The backup agent does not start",
            "When I speak to someone in Teams the sound drops",
            "a person left our team, what about the account?",
            "how do I forward mails to another mailbox",
            "Which representative office has a printer?",
            "How do I get someone access to the folder?",
            "I need a person record in SAP",
        ] {
            assert!(!Reading::of(text).asks_for_person, "{text}");
        }
    }

    #[test]
    fn sentences_end_at_marks_and_lines_and_not_within_names() {
        let of = |text: &'static str| sentences(text).map(|bytes| &text[bytes]).collect::<Vec<_>>();
        assert_eq!(
            of("It fails. Error 10.0.22631!  Why?\nfile.txt is gone"),
            ["It fails.", "Error 10.0.22631!", "Why?", "file.txt is gone"]
        );
        assert!(of(" \n ").is_empty());
    }

    proptest! {
        #[test]
        fn any_turn_can_be_read(text in "(?s).{0,300}") {
            let reading = Reading::of(&text);
            prop_assert!(reading.matter.len() <= text.len());
            for bytes in sentences(&text) {
                prop_assert!(!text[bytes].trim().is_empty());
            }
        }
    }
}

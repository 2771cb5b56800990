//! A question, a ticket's text or what an analyst typed, as the words to ask for and how much each counts.
//! How much of a text is read is bounded, and so are the looks that words take which no article holds.

use std::{collections::HashSet, ops::Range};

use tantivy::TantivyError;

use super::{
    dictionary::{self, Dictionary, Entry},
    language::Language,
    word_map::WordMap,
    words::{Terms, is_desk_term},
};

/// A word repeated more often, as in a pasted log, says no more.
pub(crate) const MAX_REPEATS: f32 = 6.0;
/// Of a long text, such as a pasted log, only the beginning is looked at.
const MAX_DIFFERENT_WORDS: usize = 400;
pub(crate) const MAX_BYTES_READ: usize = 16 << 10;
/// A word in a ticket's summary counts as so many in its description.
pub(crate) const SUMMARY_WORD: f32 = 1.5;
/// So many words that no article holds are looked at, the first ones.
const MAX_UNKNOWN_WORDS: usize = 8;
const MAX_PAIRS: usize = 100;
/// Few texts have more different words.
const MAX_TYPICAL_WORDS: usize = 128;
/// What is only meant counts less than what was written.
const RESPELT_SHARE: f32 = 0.8;
const PART_SHARE: f32 = 0.6;
const JOINED_SHARE: f32 = 0.5;

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A ticket: words that every ticket holds are left out where others remain, and the first line is its summary.
    Ticket,
    /// A person who chose the words.
    Analyst,
}

/// A word to ask for, which some article holds.
pub(super) struct AskedWord {
    pub text: String,
    /// How often it stands in the question, weighed.
    pub times: f32,
    pub entry: Entry,
}

/// What is asked for.
pub(super) struct Question {
    pub language: Option<Language>,
    /// In no certain order.
    pub words: Vec<AskedWord>,
}

struct Count {
    text: String,
    times: f32,
    /// Letters only: neither a code nor a part of one, nor written as a name.
    is_plain: bool,
}

impl Question {
    pub(super) fn read(text: &str, asker: Asker, dictionary: &Dictionary<'_>) -> Result<Self, TantivyError> {
        let text = &text[..text.floor_char_boundary(MAX_BYTES_READ)];
        let language = Language::of(text);
        let mut words = Words { dictionary, asked: WordMap::with_capacity(MAX_TYPICAL_WORDS) };
        let counts = count_words(text, asker, language);
        let pairs: Vec<Pair<'_>> = adjacent_pairs(text).take(MAX_PAIRS).filter_map(Pair::new).collect();
        let written = counts.iter().map(|count| count.text.as_str());
        dictionary.fetch(written.chain(pairs.iter().map(|pair| pair.joined.as_str())));
        let mut unknown = Vec::new();
        for count in counts {
            if !words.add(&count.text, count.times) && count.is_plain {
                unknown.push(count);
            }
        }
        let mut explained = HashSet::new();
        for Pair { first, second, joined } in pairs {
            if dictionary.is_joined(&joined, first, second) && !words.asked.contains(&joined) {
                words.add(&joined, JOINED_SHARE);
                explained.extend([first.to_lowercase(), second.to_lowercase()]);
            }
        }
        unknown.retain(|count| !explained.contains(&count.text));
        for Count { text, times, .. } in unknown.into_iter().take(MAX_UNKNOWN_WORDS) {
            words.add_meanings(&text, times, language)?;
        }
        Ok(Self { language, words: words.asked.into_values().collect() })
    }
}

/// Two words that stand side by side, and what they may be in one.
struct Pair<'a> {
    first: &'a str,
    second: &'a str,
    joined: String,
}

impl<'a> Pair<'a> {
    fn new((first, second): (&'a str, &'a str)) -> Option<Self> {
        Some(Self { first, second, joined: dictionary::joined(first, second)? })
    }
}

/// The words gathered so far.
struct Words<'a> {
    dictionary: &'a Dictionary<'a>,
    asked: WordMap<AskedWord>,
}

impl Words<'_> {
    /// Whether some article holds the word.
    fn add(&mut self, word: &str, times: f32) -> bool {
        if let Some(asked) = self.asked.get_mut(word) {
            asked.times += times;
            return true;
        }
        let Some(entry) = self.dictionary.entry(word) else { return false };
        self.asked.insert(word, AskedWord { text: word.to_owned(), times, entry });
        true
    }

    /// Adds what a word may mean that no article holds: another form of it, else what it is when spelt right, else
    /// its parts.
    fn add_meanings(&mut self, word: &str, times: f32, language: Option<Language>) -> Result<(), TantivyError> {
        for form in language.map(|language| language.other_forms(word)).unwrap_or_default() {
            if self.add(&form, times) {
                // Its other forms go with it.
                return Ok(());
            }
        }
        if let Some(respelt) = self.dictionary.respelt(word)? {
            self.add(&respelt, RESPELT_SHARE * times);
            return Ok(());
        }
        for part in self.dictionary.parts(word, language.is_some_and(Language::is_compounding)) {
            self.add(&part, PART_SHARE * times);
        }
        Ok(())
    }
}

/// The different words of a text in order, with how often they stand there.
fn count_words(text: &str, asker: Asker, language: Option<Language>) -> Vec<Count> {
    let summary_end = if asker == Asker::Ticket { text.find('\n').unwrap_or(0) } else { 0 };
    let shouts = !text.chars().any(char::is_lowercase);
    let mut counts: Vec<Count> = Vec::new();
    let mut places: WordMap<usize> = WordMap::with_capacity(MAX_TYPICAL_WORDS);
    let mut terms = Terms::new(text);
    while let Some((term, bytes)) = terms.next_term() {
        let times = if bytes.start < summary_end { SUMMARY_WORD } else { 1.0 };
        if let Some(&place) = places.get(term) {
            counts[place].times = (counts[place].times + times).min(MAX_REPEATS);
        } else if counts.len() < MAX_DIFFERENT_WORDS {
            places.insert(term, counts.len());
            let is_plain = is_plain_word(text, bytes, shouts);
            counts.push(Count { text: term.to_owned(), times, is_plain });
        }
    }
    let carries_nothing = |count: &Count| {
        (asker == Asker::Ticket && is_desk_term(&count.text))
            || language.is_some_and(|language| language.is_function_term(&count.text))
    };
    if !counts.iter().all(carries_nothing) {
        counts.retain(|count| !carries_nothing(count));
    }
    counts
}

/// Whether the word is written as words are: letters only, not held to others by a connector, and in capitals only
/// where the whole text is.
fn is_plain_word(text: &str, bytes: Range<usize>, shouts: bool) -> bool {
    let word = &text[bytes.clone()];
    let holds = |near: Option<char>, beyond: Option<char>| match near {
        Some('_' | '@' | '\\' | '/' | '=') => true,
        Some('.' | '-' | '\'' | '’' | ':') => beyond.is_some_and(char::is_alphanumeric),
        Some(_) | None => false,
    };
    let (mut before, mut after) = (text[..bytes.start].chars().rev(), text[bytes.end..].chars());
    word.chars().all(char::is_alphabetic)
        && (shouts || word.chars().any(char::is_lowercase))
        && !holds(before.next(), before.next())
        && !holds(after.next(), after.next())
}

/// Plain words with one blank between them.
fn adjacent_pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut previous: Option<&str> = None;
    text.split(|character: char| character.is_ascii_whitespace()).filter_map(move |word| {
        let trimmed = word.trim_end_matches(|character: char| character.is_ascii_punctuation());
        let is_plain = trimmed.len() > 1 && trimmed.chars().all(char::is_alphabetic);
        let pair = previous.filter(|_| is_plain).map(|previous| (previous, trimmed));
        previous = (is_plain && trimmed.len() == word.len()).then_some(word);
        pair
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::article::Article,
        knowledge::{KnowledgeBase, SearchFilter, evidence::by_words},
        store::Store,
    };

    /// Articles by id, title and text, and questions with the id of their article.
    type Desk = (&'static [(&'static str, &'static str, &'static str)], &'static [(&'static str, &'static str)]);

    const GERMAN: Desk = (
        &[
            ("drucker", "Treiber für den Drucker installieren", "Laden Sie den Treiber vom Server, dann neu starten."),
            ("passwort", "Passwort ändern", "So ändern Sie das Kennwort: Strg+Alt+Entf drücken, das alte eingeben."),
            ("laufwerk", "Netzlaufwerk verbinden", "Das gemeinsame Laufwerk wird über den Explorer verbunden."),
            ("vpn", "VPN bricht ab", "Die Verbindung zum Firmennetz endet nach wenigen Minuten."),
            ("postfach", "Postfach ist voll", "Löschen Sie alte Nachrichten. Große Anhänge belegen den meisten Platz."),
            ("bildschirm", "Zweiter Bildschirm bleibt schwarz", "Prüfen Sie das Kabel, dann die Auflösung einstellen."),
            ("konto", "Gesperrtes Konto freischalten", "Nach fünf falschen Versuchen wird das Konto gesperrt."),
        ],
        &[
            ("Ich brauche den Druckertreiber für das neue Gerät", "drucker"),
            ("Meine Passwortänderung geht nicht", "passwort"),
            ("wie kann ich meine Passwörter aendern", "passwort"),
            ("die Laufwerke sind weg", "laufwerk"),
            ("Verbindungen brechen ständig ab", "vpn"),
            ("meine Postfächer sind zu voll", "postfach"),
            ("große Anhaenge in den Nachrichten", "postfach"),
            ("die Bildschirmauflösung ist nicht richtig", "bildschirm"),
            ("bitte um Hilfe, die Konten sind gespert", "konto"),
        ],
    );
    const DUTCH: Desk = (
        &[
            ("printer", "Stuurprogramma voor de printer", "Download het stuurprogramma van de server."),
            ("wachtwoord", "Wachtwoord wijzigen", "Zo wijzigt u het wachtwoord op de werkplek."),
            ("postvak", "Postvak is vol", "Verwijder oude berichten. Grote bijlagen nemen ruimte in."),
            ("scherm", "Tweede scherm blijft zwart", "Controleer de kabel en kies het uitgebreide beeld."),
        ],
        &[
            ("mijn wachtwoorden zijn niet meer goed", "wachtwoord"),
            ("wachtwoordwijziging lukt niet", "wachtwoord"),
            ("het bericht komt niet aan, er is een bijlage bij", "postvak"),
            ("de schermen doen het niet", "scherm"),
        ],
    );
    const FRENCH: Desk = (
        &[
            ("imprimante", "Installer le pilote de l’imprimante", "Téléchargez le pilote depuis le serveur."),
            ("lecteur", "Connecter un lecteur réseau", "Le dossier partagé se connecte depuis l’explorateur."),
            ("compte", "Débloquer un compte", "Après cinq essais erronés le compte est bloqué."),
        ],
        &[
            ("l'imprimante ne marche pas", "imprimante"),
            ("nous avons des imprimantes en panne", "imprimante"),
            ("les lecteurs ne sont pas connectés", "lecteur"),
            ("deux comptes bloqués depuis hier", "compte"),
        ],
    );
    const SPANISH: Desk = (
        &[
            ("impresora", "Instalar el controlador de la impresora", "Descargue el controlador del servidor."),
            ("unidad", "Conectar una unidad de red", "La carpeta compartida se conecta desde el explorador."),
            ("cuenta", "Desbloquear una cuenta", "Tras cinco intentos fallidos la cuenta queda bloqueada."),
        ],
        &[
            ("no puedo descargar los controladores", "impresora"),
            ("las unidades no se conectan", "unidad"),
            ("no encuentro las carpetas compartidas", "unidad"),
            ("tengo cuentas que están bloqueadas", "cuenta"),
        ],
    );
    const ENGLISH: Desk = (
        &[
            ("printer", "Printer driver", "Install the driver of the printer."),
            ("logon", "Slow logon", "The logon takes minutes because of the profile."),
            ("onedrive", "OneDrive does not sync", "Reset OneDrive, then wait for the files."),
            ("wifi", "Wi-Fi drops", "Forget the network and join it again."),
            ("steam", "Steam leaks", "The pipe in the boiler room."),
            ("stream", "Stream of the meeting stops", "Open the stream in another browser."),
            ("ora", "ORA-01017 at fs01.corp.example", "The message is EACCES, see setupx.log."),
        ],
        &[
            ("the pritner", "printer"),
            ("prnter drivr", "printer"),
            ("printerdriver", "printer"),
            ("log on takes long", "logon"),
            ("one drive is stuck", "onedrive"),
            ("wifi", "wifi"),
            ("wi fi", "wifi"),
            ("steam", "steam"),
            ("stream", "stream"),
        ],
    );

    fn base(articles: &[(&str, &str, &str)]) -> (tempfile::TempDir, KnowledgeBase) {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = KnowledgeBase::open(Store::open(folder.path()).unwrap(), folder.path(), None).unwrap();
        let articles = articles.iter().map(|(id, title, body)| Article {
            id: (*id).into(),
            title: (*title).into(),
            body: (*body).into(),
            ..Article::default()
        });
        knowledge.upsert(&articles.collect::<Vec<_>>()).unwrap();
        (folder, knowledge)
    }

    fn suggested(knowledge: &KnowledgeBase, text: &str) -> Vec<String> {
        let hits = by_words(knowledge, text, 10);
        hits.into_iter().map(|hit| hit.id).collect()
    }

    fn found(knowledge: &KnowledgeBase, text: &str) -> Vec<String> {
        let hits = knowledge.search(text, &SearchFilter::default(), 0, 10).unwrap();
        hits.into_iter().map(|hit| hit.id).collect()
    }

    #[test]
    fn questions_find_their_article_in_other_forms_compounds_and_spellings() {
        for (articles, questions) in [ENGLISH, GERMAN, DUTCH, FRENCH, SPANISH] {
            let (_folder, knowledge) = base(articles);
            for (question, id) in questions {
                assert_eq!(suggested(&knowledge, question).first().map(String::as_str), Some(*id), "{question}");
                assert_eq!(found(&knowledge, question).first().map(String::as_str), Some(*id), "{question}");
            }
        }
    }

    #[test]
    fn languages_do_not_disturb_each_other() {
        let desks = [ENGLISH, GERMAN, DUTCH, FRENCH, SPANISH];
        let articles: Vec<_> = desks.iter().flat_map(|(articles, _)| articles.iter().copied()).collect();
        let ids: Vec<String> = desks
            .iter()
            .enumerate()
            .flat_map(|(n, (all, _))| all.iter().map(move |(id, ..)| format!("{n}{id}")))
            .collect();
        let articles: Vec<_> =
            articles.iter().zip(&ids).map(|((_, title, body), id)| (id.as_str(), *title, *body)).collect();
        let (_folder, knowledge) = base(&articles);
        let questions = desks.iter().enumerate().flat_map(|(n, (_, all))| all.iter().map(move |(q, id)| (n, *q, *id)));
        let right = questions
            .clone()
            .filter(|(n, question, id)| suggested(&knowledge, question).first() == Some(&format!("{n}{id}")));
        assert_eq!(right.count(), questions.count());
    }

    #[test]
    fn a_known_word_a_code_and_a_name_are_never_respelt() {
        let (_folder, knowledge) = base(ENGLISH.0);
        assert_eq!(suggested(&knowledge, "steam"), ["steam"]);
        assert_eq!(found(&knowledge, "stream"), ["stream"]);
        for text in ["01018", "fs02.exampel.invalid", "an EACCESS here", "x@setupy.invalid", "prin", "pritnre"] {
            assert_eq!(suggested(&knowledge, text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(suggested(&knowledge, "MY PRITNER"), ["printer"], "all in capitals is no name");
    }

    #[test]
    fn a_word_of_the_summary_counts_more() {
        let (_folder, knowledge) = base(&[("a", "Toner", "empty"), ("b", "Paper", "empty")]);
        assert_eq!(suggested(&knowledge, "paper\ntoner"), ["b", "a"]);
        assert_eq!(suggested(&knowledge, "toner\npaper"), ["a", "b"]);
    }

    #[test]
    fn any_question_takes_a_bounded_number_of_looks() {
        let (_folder, knowledge) = base(GERMAN.0);
        let view = knowledge.view();
        let different = |unit: &str| (0_u32..20_000).map(|n| unit.replace('#', &letters(n))).collect::<String>();
        for text in [
            "x".repeat(64 << 10),
            "ä".repeat(32 << 10),
            different("#kauderwelsch "),
            different("die #kauderwelschdruckertreiber und "),
            different("drucker #treiber "),
            "nicht druckertreiberdruckertreiber ".repeat(2_000),
            "der drucker und die treiber ".repeat(2_400),
            "a b ".repeat(16 << 10),
        ] {
            for asker in [Asker::Ticket, Asker::Analyst] {
                let dictionary = Dictionary::new(&view.snapshot);
                let question = Question::read(&text, asker, &dictionary).unwrap();
                let looks = dictionary.looks();
                assert!(looks <= 3_000, "{looks} looks for {}…", text.chars().take(40).collect::<String>());
                assert!(question.words.len() <= MAX_DIFFERENT_WORDS + MAX_PAIRS + 2 * MAX_UNKNOWN_WORDS);
            }
            suggested(&knowledge, &text);
        }
    }

    /// A different short word for each number.
    fn letters(mut number: u32) -> String {
        let mut word = String::new();
        for _ in 0..4 {
            word.push(char::from(b"abcdefghijklm"[(number % 13) as usize]));
            number /= 13;
        }
        word
    }
}

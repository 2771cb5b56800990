//! The language of a question and the other forms of its words: German, Dutch, French and Spanish.
//! English needs none of it: articles and questions lose their plurals alike, and further forms found nothing better.
//! Known by function words, because questions are short. What an index holds does not depend on it.

use std::sync::LazyLock;

use super::{
    word_map::WordMap,
    words::{self, cut_plural},
};

/// Fewer letters are no stem.
const MIN_STEM_CHARS: usize = 4;
/// The language shows in the first words, or not at all.
const MAX_WORDS_READ: usize = 200;
/// No function word is longer.
const MAX_WORD_BYTES: usize = 16;

/// A language in which questions are asked otherwise than in English.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    German,
    Dutch,
    French,
    Spanish,
}

impl Language {
    const ALL: [Self; 4] = [Self::German, Self::Dutch, Self::French, Self::Spanish];

    /// The language whose function words stand in the text most often; `None` for English, for texts without
    /// function words and where two languages share those.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut times = [0_u32; Self::ALL.len()];
        let mut times_english = 0;
        let mut lower = String::new();
        let words = text.split(|character: char| !character.is_alphabetic());
        for word in words.filter(|word| !word.is_empty()).take(MAX_WORDS_READ) {
            if word.len() > MAX_WORD_BYTES {
                continue;
            }
            lower.clear();
            if word.is_ascii() {
                lower.push_str(word);
                lower.make_ascii_lowercase();
            } else {
                lower.extend(word.chars().flat_map(char::to_lowercase));
            }
            if let Some(languages) = FUNCTION_WORDS.get(&lower) {
                times_english += u32::from(languages & ENGLISH != 0);
                for (times, language) in times.iter_mut().zip(Self::ALL) {
                    *times += u32::from(languages & language.bit() != 0);
                }
            }
        }
        let most = times.into_iter().max().filter(|most| *most > times_english)?;
        let mut most_used = Self::ALL.into_iter().zip(times).filter(|(_, times)| *times == most);
        most_used.next().filter(|_| most_used.next().is_none()).map(|(language, _)| language)
    }

    /// Whether a term is a word of this language that carries no subject.
    pub(crate) fn is_function_term(self, term: &str) -> bool {
        FUNCTION_TERMS.get(term).is_some_and(|languages| languages & self.bit() != 0)
    }

    /// Other forms that the word of this term may take, as terms. Endings alone decide, as in light stemmers
    /// (Savoy, "Light stemming approaches for the French, Portuguese, German and Hungarian languages", 2006).
    pub(super) fn other_forms(self, term: &str) -> Vec<String> {
        let endings = self.endings();
        let stem_of = |ending: &&str| term.strip_suffix(*ending).filter(|stem| stem.chars().count() >= MIN_STEM_CHARS);
        let Some(shortest) = endings.iter().filter_map(stem_of).min_by_key(|stem| stem.len()) else {
            return Vec::new();
        };
        let mut forms: Vec<String> = Vec::with_capacity(4 * endings.len());
        // A word that ends as if it were inflected may be a stem: `Passwort`.
        let stems = [Some(term.to_owned()), self.with_other_vowel(term)];
        let stems = stems.into_iter().chain([Some(shortest.to_owned()), self.with_other_vowel(shortest)]);
        for stem in stems.flatten() {
            for ending in endings {
                let mut form = format!("{stem}{ending}");
                cut_plural(&mut form);
                if form != term && !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    /// Whether words are made of others without a blank between them.
    pub(super) fn is_compounding(self) -> bool {
        matches!(self, Self::German | Self::Dutch)
    }

    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::German => &["", "e", "en", "em", "er", "es", "ern", "n", "s", "t", "te", "ten", "et", "ung", "ungen"],
            Self::Dutch => &["", "e", "en", "s", "t", "te", "ten", "d", "de", "den", "er", "ing", "ingen"],
            Self::French => {
                &["", "e", "s", "es", "x", "é", "ée", "és", "ées", "er", "ez", "ent", "ant", "ait", "eur", "euse"]
            }
            Self::Spanish => {
                &["", "o", "a", "e", "s", "os", "as", "es", "ar", "an", "en", "ó", "ado", "ada", "ados", "adas", "ando"]
            }
        }
    }

    /// In German the last vowel of a stem changes with its form: `Passwort`, `Passwörter`; and what a keyboard does
    /// not have is written in two letters.
    fn with_other_vowel(self, stem: &str) -> Option<String> {
        if self != Self::German {
            return None;
        }
        for (written, meant) in [("ae", "ä"), ("oe", "ö"), ("ue", "ü")] {
            if let Some(place) = stem.find(written) {
                return Some(format!("{}{meant}{}", &stem[..place], &stem[place + written.len()..]));
            }
        }
        let (place, vowel) = stem.char_indices().rev().find(|(_, letter)| "aouäöü".contains(*letter))?;
        let other = match vowel {
            'a' => "ä",
            'o' => "ö",
            'u' => "ü",
            'ä' => "a",
            'ö' => "o",
            _ => "u",
        };
        Some(format!("{}{other}{}", &stem[..place], &stem[place + vowel.len_utf8()..]))
    }

    fn bit(self) -> u8 {
        match self {
            Self::German => 1,
            Self::Dutch => 2,
            Self::French => 4,
            Self::Spanish => 8,
        }
    }

    /// Function words and words of courtesy.
    fn function_words(self) -> &'static str {
        match self {
            Self::German => {
                "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bitte bzw da dabei damit \
                 danke dann das dass dem den denn der des dich die dies diese diesem diesen dieser dieses doch dort du \
                 durch ein eine einem einen einer eines er es etwas euch für gar geht gerne grüße grüßen guten habe \
                 haben hallo hat hatte hier hilfe hätte ich ihm ihn ihr ihre ihrem ihren im immer in ist ja jede jeden \
                 jeder jetzt kann kein keine keinen könnte können leider man mehr mein meine meinem meinen meiner mich \
                 mir mit muss nach nicht nichts noch nun nur ob oder ohne schon sehr seit sein seine sich sie sind so \
                 soll tag und uns unser unsere unter vielen vom von vor war warum was weil wenn wer werden wie wieder \
                 will wir wird wo wurde zu zum zur zwar zwischen über"
            }
            Self::Dutch => {
                "aan al als altijd bent bij blijft daar dan dat de deze die dit doen door dus een en er geen goedemorgen \
                 groet groeten haar had hallo heb hebben heeft hem het hier hij hoe hun ik in is je jullie kan kon kunnen \
                 maar mag meer met mij mijn moet na naar niet niets nog nu of om onder ons ook op over sinds te tegen toch \
                 toen tot u uit uw van veel vanaf voor vriendelijke waar waarom want waren was wat we wel werd wie wij \
                 wil worden wordt zal ze zeer zelf zich zij zijn zo zonder zou"
            }
            Self::French => {
                "alors après au aucun aussi autre aux avant avec avez avoir avons bien bonjour ça car ce cela ces cet \
                 cette chaque comme comment cordialement dans de depuis des donc du elle elles en encore est et était \
                 être eu fait faire ici il ils je la le les leur leurs lors lui ma mais me merci mes moi mon même ne nos \
                 notre nous on ont ou où par pas peu peut peux plus pour pourquoi qu quand que quel quelle qui sa sans se \
                 sera ses si son sont sur ta tous tout toute toutes très tu un une vers vos votre vous y été"
            }
            Self::Spanish => {
                "al algo antes así aún bien buenos cada como con cual cuando cuál cómo de del desde después donde dos días \
                 e el ella ellos en era es esa ese eso esta estado estamos están estar este esto estoy está favor fue \
                 gracias ha hace hacer hago han hasta hay he hola la las le les lo los me mi mis mucho muy más ni no nos \
                 nuestra nuestro o os otra otro para pero poco podemos por porque puede puedo que qué quien saludos se sea \
                 ser si sin sino sobre solo son su sus sí también tan te tengo tiene toda todo todos tu un una unas uno \
                 unos usted y ya yo"
            }
        }
    }
}

/// Beside the bits of the other languages.
const ENGLISH: u8 = 16;

/// The languages of each function word, as bits.
static FUNCTION_WORDS: LazyLock<WordMap<u8>> = LazyLock::new(|| {
    let mut words = languages_of(str::to_owned);
    for word in words::function_words() {
        words.insert(word, 0);
        if let Some(languages) = words.get_mut(word) {
            *languages |= ENGLISH;
        }
    }
    words
});
/// The same as terms.
static FUNCTION_TERMS: LazyLock<WordMap<u8>> = LazyLock::new(|| {
    languages_of(|word| {
        let mut term = word.to_owned();
        cut_plural(&mut term);
        term
    })
});

fn languages_of(read: impl Fn(&str) -> String) -> WordMap<u8> {
    let mut words = WordMap::with_capacity(1_000);
    for language in Language::ALL {
        for word in language.function_words().split_ascii_whitespace().map(&read) {
            words.insert(&word, 0);
            if let Some(languages) = words.get_mut(&word) {
                *languages |= language.bit();
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is a look into the dictionary.
    const MAX_FORMS: usize = 68;

    #[test]
    fn the_language_shows_in_function_words() {
        for (text, language) in [
            ("Der Drucker druckt nicht", Some(Language::German)),
            ("drucker druckt nicht", Some(Language::German)),
            ("Outlook stürzt beim Start ab", Some(Language::German)),
            ("De printer doet het niet meer", Some(Language::Dutch)),
            ("L'imprimante ne marche pas depuis hier", Some(Language::French)),
            ("La impresora no funciona desde ayer", Some(Language::Spanish)),
            ("The printer does not print since Monday", None),
            ("printer offline", None),
            ("Hi team, der Drucker in my office is out of paper and I need it", None),
            ("", None),
            ("0x80070005", None),
        ] {
            assert_eq!(Language::of(text), language, "{text}");
        }
    }

    #[test]
    fn forms_of_a_word_lead_to_each_other() {
        for (language, one, other) in [
            (Language::German, "druckern", "drucker"),
            (Language::German, "passwörter", "passwort"),
            (Language::German, "passwort", "passwörter"),
            (Language::German, "ändern", "änderung"),
            (Language::German, "pruefen", "prüfung"),
            (Language::Dutch, "wachtwoorden", "wachtwoord"),
            (Language::French, "bloquée", "bloquer"),
            (Language::Spanish, "bloqueado", "bloquear"),
            (Language::Spanish, "impresora", "impresoras"),
        ] {
            let mut other = other.to_owned();
            cut_plural(&mut other);
            let forms = language.other_forms(one);
            assert!(one == other || forms.contains(&other), "{one}: {forms:?}");
            assert!(forms.len() <= MAX_FORMS && !forms.iter().any(|form| form == one), "{one}: {forms:?}");
        }
        assert_eq!(Language::German.other_forms("vpn"), Vec::<String>::new());
    }
}

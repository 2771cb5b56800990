//! What a section of an article is for, by the words of its heading: whether it answers, says why, or only says the
//! question again. English, German, French, Spanish and Dutch.

use std::sync::LazyLock;

/// What a section does for someone who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Answering,
    Cause,
    /// Says something of it: content, summary, prerequisites.
    Half,
    /// Nothing is known of it: no heading, or one of the matter itself.
    Other,
    /// Says what the one who asks has said: symptoms, the problem.
    Restating,
    /// References and the like.
    Footer,
}

/// A heading with more words is a sentence.
const MAX_WORDS: usize = 24;
/// Words such as `problem` name a section in a short heading, and are of the matter in a longer one.
const MAX_NAME_WORDS: usize = 3;

/// Where in a heading a phrase tells the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// In a heading of a few words.
    Short,
    /// All of it.
    Whole,
}

/// Looked through in this order.
const PHRASES: [(Kind, Place, &str); 9] = [
    (
        Kind::Restating,
        Place::Anywhere,
        "steps to reproduce; error description; problem description; problem summary; problem statement; applies to; \
         original product version; original kb number; affected products; schritte zur reproduktion; fehlerbeschreibung; \
         problembeschreibung",
    ),
    (
        Kind::Footer,
        Place::Anywhere,
        "related information; related articles; related links; related topics; related content; related documentation; \
         see also; more information; additional information; additional resources; additional references; \
         cross reference information; change history; revision history; get notified; product alias; important note; \
         third party information disclaimer; data collection; weitere informationen; weiterführende links; siehe auch; \
         mehr informationen; voir aussi; plus d'informations; informations complémentaires; ver también; véase también; \
         más información; información adicional; zie ook; meer informatie",
    ),
    (
        Kind::Footer,
        Place::Short,
        "reference; references; disclaimer; history; notices; feedback; next steps; status; acknowledgement; \
         acknowledgements; verweise; quellen; änderungsverlauf; références; referencias; referenties",
    ),
    (
        Kind::Answering,
        Place::Anywhere,
        "answer; answers; solution; solutions; resolution; resolutions; resolving; resolve; workaround; workarounds; \
         work around; fix; fixes; fixing; remediation; remediations; mitigation; mitigations; steps; instructions; \
         procedure; problem conclusion; how to; how do; how can; how should; what can i do; what should i do; \
         what can you do; what should you do; what to do; lösung; lösungen; problemlösung; lösungsweg; behebung; \
         fehlerbehebung; abhilfe; umgehung; umgehungslösung; vorgehen; vorgehensweise; anleitung; antwort; schritte; \
         so geht's; was tun; was kann ich tun; wie kann ich; wie kann man; beheben; solución; soluciones; respuesta; \
         procedimiento; pasos; cómo; résolution; résoudre; contournement; réponse; procédure; étapes; correctif; comment; \
         que faire; oplossing; oplossingen; antwoord; stappen; werkwijze; hoe kan ik; wat te doen",
    ),
    (
        Kind::Cause,
        Place::Anywhere,
        "cause; causes; reason; reasons; why; ursache; ursachen; grund; warum; causa; causas; por qué; pourquoi; raison; \
         oorzaak; oorzaken; waarom",
    ),
    (
        Kind::Half,
        Place::Short,
        "content; summary; details; diagnosing the problem; diagnosis; environment; prerequisites; requirements; \
         download description; download package; vulnerability details; introduction; overview; zusammenfassung; \
         voraussetzungen; umgebung; einleitung; überblick; übersicht; résumé; prérequis; resumen; requisitos; \
         samenvatting; vereisten",
    ),
    (
        Kind::Restating,
        Place::Short,
        "symptom; symptoms; abstract; symptome; symptômes; síntomas; symptomen; fehlerbild; störungsbild; betrifft",
    ),
    (
        Kind::Restating,
        Place::Whole,
        "problem; problems; problem s; the problem; issue; issues; the issue; question; error; error message; störung; \
         frage; fehler; fehlermeldung; problème; le problème; problema; el problema; pregunta; probleem; het probleem; \
         vraag; problemstellung",
    ),
    (Kind::Half, Place::Whole, "download; installation; diagnose"),
];

struct Phrase {
    kind: Kind,
    place: Place,
    words: Vec<&'static str>,
}

static READ: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let split = |&(kind, place, phrases): &(Kind, Place, &'static str)| {
        let phrases = phrases.split(';').map(|phrase| phrase.split_whitespace().collect());
        phrases.map(move |words| Phrase { kind, place, words }).collect::<Vec<_>>()
    };
    PHRASES.iter().flat_map(split).collect()
});

/// What a section with this heading is for.
pub(super) fn of_heading(heading: &str) -> Kind {
    let words = words(heading);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let fits = |phrase: &&Phrase| match phrase.place {
        Place::Anywhere => words.windows(phrase.words.len()).any(|part| part == phrase.words),
        Place::Short => {
            words.len() <= MAX_NAME_WORDS.max(phrase.words.len())
                && words.windows(phrase.words.len()).any(|part| part == phrase.words)
        }
        Place::Whole => words == phrase.words,
    };
    READ.iter().find(fits).map_or(Kind::Other, |phrase| phrase.kind)
}

/// Whether a line is nothing else than the name of a section, such as `Lösung:`; then it is a heading without marks.
pub(super) fn is_name(line: &str) -> bool {
    let words = words(line.trim_end_matches(':'));
    READ.iter().any(|phrase| phrase.words == words)
}

/// Whether a heading is that of a step behind the first: nobody begins there.
pub(super) fn is_later_step(heading: &str) -> bool {
    const STEPS: [&str; 5] = ["step", "schritt", "étape", "paso", "stap"];
    let words = words(heading);
    let number = words.get(1).and_then(|number| number.parse::<u32>().ok());
    words.first().is_some_and(|first| STEPS.contains(&first.as_str())) && number.is_some_and(|number| number > 1)
}

/// Whether a heading announces what something is, which says little to those who want it to work.
pub(super) fn explains(heading: &str) -> bool {
    const BEGINNINGS: [&[&str]; 12] = [
        &["what", "is"],
        &["what", "are"],
        &["about"],
        &["was", "ist"],
        &["was", "sind"],
        &["über"],
        &["qu'est", "ce"],
        &["à", "propos"],
        &["qué", "es"],
        &["acerca"],
        &["wat", "is"],
        &["wat", "zijn"],
    ];
    let words = words(heading);
    let begins =
        |beginning: &&[&str]| words.len() > beginning.len() && words.iter().zip(*beginning).all(|(a, b)| a == b);
    BEGINNINGS.iter().any(begins)
}

/// In lower case, without numbers before them.
fn words(heading: &str) -> Vec<String> {
    let words = heading.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’')));
    let words = words.filter(|word| !word.is_empty()).skip_while(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    words.take(MAX_WORDS).map(|word| word.to_lowercase().replace('’', "'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tell_what_a_section_is_for() {
        for (kind, headings) in [
            (
                Kind::Answering,
                &[
                    "Resolution",
                    "RESOLVING THE PROBLEM",
                    "2. Fix",
                    "Problem conclusion",
                    "How can I fix the problem?",
                    "Lösung:",
                    "Umgehungslösung",
                    "Résolution",
                    "Solución",
                    "Tijdelijke oplossing",
                    "So geht’s",
                    "Workarounds and mitigations",
                ][..],
            ),
            (Kind::Cause, &["Cause", "Root cause", "Ursachen", "Why does it happen?", "Oorzaak"]),
            (Kind::Half, &["Summary", "Diagnosing the problem", "Prerequisites", "Voraussetzungen", "Download"]),
            (
                Kind::Restating,
                &["Symptoms", "PROBLEM(S)", "Steps to reproduce the issue", "Symptome", "Applies to", "Problème"],
            ),
            (Kind::Footer, &["References", "See also", "Related information", "Next steps", "Siehe auch"]),
            (Kind::Other, &["", "Opening the editor", "Problem reports in Outlook 2016", "1.", "日本"]),
        ] {
            for heading in headings {
                assert_eq!(of_heading(heading), kind, "{heading}");
            }
        }
    }

    #[test]
    fn explanations_are_known() {
        for heading in ["What is threading?", "About signatures", "Was ist ein Profil?", "Qu’est-ce que c’est"] {
            assert!(explains(heading), "{heading}");
        }
        for heading in ["", "About", "What happens", "Is it about signatures?"] {
            assert!(!explains(heading), "{heading}");
        }
    }

    #[test]
    fn steps_behind_the_first_are_known() {
        assert!(is_later_step("Step 2: Restart") && is_later_step("Schritt 3"));
        assert!(!is_later_step("Step 1") && !is_later_step("Steps") && !is_later_step("2. Step") && !is_later_step(""));
    }

    #[test]
    fn a_line_that_is_a_name_is_a_heading() {
        for name in ["Cause", "Lösung:", "2. WORKAROUND"] {
            assert!(is_name(name), "{name}");
        }
        for line in ["", "Cause of it all", "Restart", "The solution is near."] {
            assert!(!is_name(line), "{line}");
        }
    }
}

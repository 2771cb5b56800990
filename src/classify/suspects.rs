//! Rows whose label is probably wrong: those that the cross-check confidently gives another label (confident
//! learning, Northcutt, Jiang and Chuang 2021), and those whose text stands elsewhere under another label.
//! Only points at them; whether a label is wrong is for a person to say.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::training_set::{TrainingField, TrainingRows};

/// A label of fewer rows is neither doubted nor proposed: rows held back leave too few of them to learn from.
const MIN_ROWS: usize = 5;

/// A label to look at again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suspect {
    /// Number of the text.
    pub(crate) row: usize,
    pub(crate) given: Verdict,
    pub(crate) suggested: Verdict,
    /// How likely the suggested label is, 0 to 1, to a model that has not seen the row.
    pub(crate) confidence: f32,
    /// By how much the suggested label is likelier than the given one; the higher, the more suspicious.
    pub(crate) margin: f32,
    pub(crate) reason: Reason,
}

/// What a row is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Number of the label in its field.
    Label(usize),
    OutOfScope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Mislabelled,
    ConflictingDuplicate,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mislabelled => "mislabelled",
            Self::ConflictingDuplicate => "conflicting duplicate",
        }
    }
}

/// Groups of rows whose texts have the same [`text_hash`]; only those of two rows or more.
pub(crate) fn duplicates(hashes: &[u128]) -> Vec<Vec<usize>> {
    let mut hashed: Vec<(u128, usize)> = hashes.iter().enumerate().map(|(row, hash)| (*hash, row)).collect();
    hashed.sort_unstable();
    let groups = hashed.chunk_by(|one, next| one.0 == next.0).filter(|group| group.len() > 1);
    groups.map(|group| group.iter().map(|(_, row)| *row).collect()).collect()
}

/// The same for texts that are equal but for case and blanks.
pub(crate) fn text_hash(text: &str) -> u128 {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        plain.push_str(&word.to_lowercase());
        plain.push(' ');
    }
    xxh3_128(plain.as_bytes())
}

/// The suspects of one field, most suspicious first. `confidences` gives a row's confidence in every label by a
/// model that was fitted without the row, `None` for rows that were not scored; `duplicates` are those of
/// [`duplicates`].
pub(crate) fn find(
    rows: &TrainingRows,
    field: &TrainingField,
    duplicates: &[Vec<usize>],
    confidences: impl Fn(usize) -> Option<Vec<f32>>,
) -> Vec<Suspect> {
    // A row that stands under two labels is named once, for the reason that is certain.
    let mut by_row: BTreeMap<usize, Suspect> =
        mislabelled(field, &confidences).into_iter().map(|suspect| (suspect.row, suspect)).collect();
    for group in duplicates {
        by_row.extend(conflicting(rows, field, group, &confidences).into_iter().map(|suspect| (suspect.row, suspect)));
    }
    let mut suspects: Vec<Suspect> = by_row.into_values().collect();
    suspects.sort_by(|a, b| b.margin.total_cmp(&a.margin));
    suspects
}

/// Off the diagonal of the confident joint: a label counts as confident for a row from the mean confidence on that
/// the rows of this label have in it.
fn mislabelled(field: &TrainingField, confidences: impl Fn(usize) -> Option<Vec<f32>>) -> Vec<Suspect> {
    let labelled = || field.of_row.iter().enumerate().filter_map(|(row, label)| Some((row, (*label)? as usize)));
    let mut sums = vec![(0.0_f64, 0_usize); field.labels.len()];
    for (row, label) in labelled() {
        if let Some(of_row) = confidences(row) {
            sums[label].0 += f64::from(of_row[label]);
            sums[label].1 += 1;
        }
    }
    let thresholds: Vec<f64> =
        sums.iter().map(|(sum, rows)| if *rows < MIN_ROWS { f64::INFINITY } else { sum / *rows as f64 }).collect();
    let suspect = |(row, given): (usize, usize)| {
        if thresholds[given].is_infinite() {
            return None;
        }
        let of_row = confidences(row)?;
        let confident = (0..of_row.len()).filter(|label| f64::from(of_row[*label]) >= thresholds[*label]);
        let suggested = confident.max_by(|a, b| of_row[*a].total_cmp(&of_row[*b]))?;
        let margin = of_row[suggested] - of_row[given];
        (margin > 0.0).then_some(Suspect {
            row,
            given: Verdict::Label(given),
            suggested: Verdict::Label(suggested),
            confidence: of_row[suggested],
            margin,
            reason: Reason::Mislabelled,
        })
    };
    labelled().filter_map(suspect).collect()
}

/// The rows of one text that do not say what most of them do; of as many, what the model holds likelier.
fn conflicting(
    rows: &TrainingRows,
    field: &TrainingField,
    group: &[usize],
    confidences: impl Fn(usize) -> Option<Vec<f32>>,
) -> Vec<Suspect> {
    let verdict = |row: usize| match field.of_row[row] {
        Some(label) => Some(Verdict::Label(label as usize)),
        None => rows.outside[row].then_some(Verdict::OutOfScope),
    };
    let verdicts: Vec<(usize, Verdict)> = group.iter().filter_map(|&row| Some((row, verdict(row)?))).collect();
    let mut counts = BTreeMap::<Verdict, usize>::new();
    for (_, verdict) in &verdicts {
        *counts.entry(*verdict).or_default() += 1;
    }
    if counts.len() < 2 {
        return Vec::new();
    }
    let of_text = verdicts.iter().find_map(|(row, _)| confidences(*row));
    let confidence = |verdict: Verdict| match verdict {
        Verdict::Label(label) => of_text.as_ref().map_or(0.0, |of_text| of_text[label]),
        Verdict::OutOfScope => 0.0,
    };
    let likelier = |(one, count): &(Verdict, usize), (other, other_count): &(Verdict, usize)| {
        count.cmp(other_count).then(confidence(*one).total_cmp(&confidence(*other)))
    };
    let Some((suggested, _)) = counts.into_iter().max_by(likelier) else { return Vec::new() };
    let suspect = |(row, given): (usize, Verdict)| Suspect {
        row,
        given,
        suggested,
        confidence: confidence(suggested),
        margin: confidence(suggested) - confidence(given),
        reason: Reason::ConflictingDuplicate,
    };
    verdicts.into_iter().filter(|(_, given)| *given != suggested).map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one field with labels by number; `None` is out of scope.
    fn rows(labelled: &[(&str, Option<u32>)]) -> TrainingRows {
        let field = TrainingField {
            name: "topic".to_owned(),
            labels: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            of_row: labelled.iter().map(|(_, label)| *label).collect(),
        };
        TrainingRows {
            text_hashes: labelled.iter().map(|(text, _)| text_hash(text)).collect(),
            numbers: (0..).take(labelled.len()).collect(),
            fields: vec![field],
            outside: labelled.iter().map(|(_, label)| label.is_none()).collect(),
            languages: Vec::new(),
            added: labelled.len(),
        }
    }

    fn found(rows: &TrainingRows, confidences: &[[f32; 3]]) -> Vec<(usize, Verdict, &'static str)> {
        let groups = duplicates(&rows.text_hashes);
        let suspects = find(rows, &rows.fields[0], &groups, |row| Some(confidences[row].to_vec()));
        suspects.iter().map(|suspect| (suspect.row, suspect.suggested, suspect.reason.as_str())).collect()
    }

    #[test]
    fn rows_that_confidently_belong_elsewhere_are_found_the_surest_first() {
        let texts: Vec<String> = (0..14).map(|row| format!("text {row}")).collect();
        // Rows 5, 6 and 12 look like the other label; 6 not as sure as rows of that label usually are.
        let labelled: Vec<_> =
            texts.iter().enumerate().map(|(row, text)| (&**text, Some(u32::from(row > 6)))).collect();
        let mut confidences = [[0.9, 0.1, 0.0]; 7].into_iter().chain([[0.1, 0.9, 0.0]; 7]).collect::<Vec<_>>();
        confidences[5] = [0.1, 0.9, 0.0];
        confidences[6] = [0.4, 0.6, 0.0];
        confidences[12] = [0.98, 0.02, 0.0];
        assert_eq!(
            found(&rows(&labelled), &confidences),
            [(12, Verdict::Label(0), "mislabelled"), (5, Verdict::Label(1), "mislabelled")]
        );
    }

    #[test]
    fn rare_labels_are_neither_doubted_nor_suggested() {
        let texts: Vec<String> = (0..10).map(|row| format!("text {row}")).collect();
        let labelled: Vec<_> =
            texts.iter().enumerate().map(|(row, text)| (&**text, Some(u32::from(row > 7)))).collect();
        let mut confidences = vec![[0.9, 0.1, 0.0]; 10];
        confidences[3] = [0.1, 0.9, 0.0];
        assert_eq!(found(&rows(&labelled), &confidences), []);
    }

    #[test]
    fn copies_with_another_label_are_found() {
        let mislabelled = rows(&[
            ("VPN is  down", Some(0)),
            ("vpn is down", Some(0)),
            ("vpn\nis down", Some(1)),
            ("toner is empty", Some(0)),
            ("Toner is empty ", Some(1)),
            ("tell me a joke", None),
            ("Tell me a joke", Some(2)),
            ("tell me a joke!", Some(1)),
        ]);
        let mut confidences = [[0.2, 0.7, 0.1]; 8];
        confidences[6] = [0.3, 0.3, 0.4];
        confidences[5] = confidences[6];
        assert_eq!(
            found(&mislabelled, &confidences),
            [
                (3, Verdict::Label(1), "conflicting duplicate"),
                (5, Verdict::Label(2), "conflicting duplicate"),
                // Most copies say otherwise, though the model doubts it.
                (2, Verdict::Label(0), "conflicting duplicate"),
            ]
        );
    }
}

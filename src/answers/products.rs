//! Pure: which products a conversation is about, and whether the user must be asked.

use crate::domain::answer::ClarifyingQuestion;

/// An article of another product than the best one's fits as well from this part of the best one's share on.
const AS_GOOD: f64 = 0.8;
/// From this part on its product is among the choices.
const WORTH_NAMING: f64 = 0.5;
const MAX_CHOICES: usize = 5;

/// An article that fits, with its share and its products.
pub(super) struct Fit {
    pub share: f64,
    pub products: Vec<String>,
}

/// Whether the text names a product, as whole words.
pub(super) fn names(text: &str, product: &str) -> bool {
    let (text, product) = (text.to_lowercase(), product.trim().to_lowercase());
    if product.is_empty() {
        return false;
    }
    let is_bound = |character: Option<char>| character.is_none_or(|character| !character.is_alphanumeric());
    text.match_indices(&product).any(|(start, found)| {
        is_bound(text[..start].chars().next_back()) && is_bound(text[start + found.len()..].chars().next())
    })
}

/// Whether an article is about one of these products, or says nothing of products.
pub(super) fn suits(products: &[String], wanted: &[String]) -> bool {
    let is_wanted = |product: &String| wanted.iter().any(|wanted| wanted.to_lowercase() == product.to_lowercase());
    products.is_empty() || wanted.is_empty() || products.iter().any(is_wanted)
}

/// What to ask where articles of other products fit as well as the best one, best first; `None` where one fits best.
pub(super) fn question(fits: &[&Fit]) -> Option<ClarifyingQuestion> {
    let best = fits.first().filter(|best| !best.products.is_empty())?;
    let is_rival = |fit: &&&Fit| {
        !fit.products.is_empty()
            && fit.share >= AS_GOOD * best.share
            && fit.products.iter().all(|product| !best.products.contains(product))
    };
    fits.iter().find(is_rival)?;
    let mut choices: Vec<String> = Vec::new();
    for fit in fits.iter().filter(|fit| fit.share >= WORTH_NAMING * best.share) {
        for product in &fit.products {
            if choices.len() < MAX_CHOICES && !choices.contains(product) {
                choices.push(product.clone());
            }
        }
    }
    Some(ClarifyingQuestion { text: "Which product is this about?".to_owned(), choices })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(share: f64, products: &[&str]) -> Fit {
        Fit { share, products: products.iter().map(|product| (*product).to_owned()).collect() }
    }

    #[test]
    fn a_product_is_named_as_whole_words() {
        for (text, product, expected) in [
            ("Outlook asks for a password", "Outlook", true),
            ("my OUTLOOK, again", "outlook", true),
            ("the new outlook for mac crashes", "Outlook for Mac", true),
            ("Outlooks", "Outlook", false),
            ("SAP", "SAP GUI", false),
            ("größe", "öß", false),
            ("anything", " ", false),
        ] {
            assert_eq!(names(text, product), expected, "{text} {product}");
        }
    }

    #[test]
    fn the_user_is_asked_where_articles_of_other_products_fit_as_well() {
        let asked = |fits: &[Fit]| question(&fits.iter().collect::<Vec<_>>()).map(|question| question.choices);
        let owned = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[fit(0.4, &["A"])]), None);
        assert_eq!(asked(&[fit(0.4, &["A"]), fit(0.35, &["B"])]), owned(&["A", "B"]));
        assert_eq!(asked(&[fit(0.4, &["A"]), fit(0.3, &["B"])]), None);
        assert_eq!(asked(&[fit(0.4, &["A", "B"]), fit(0.39, &["B"])]), None);
        assert_eq!(asked(&[fit(0.4, &[]), fit(0.39, &["B"])]), None);
        assert_eq!(
            asked(&[fit(0.4, &["A"]), fit(0.39, &["A"]), fit(0.38, &["B"]), fit(0.25, &["C"]), fit(0.1, &["D"])]),
            owned(&["A", "B", "C"])
        );
    }

    #[test]
    fn an_article_suits_where_it_is_of_the_product_or_of_none() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (products, wanted, expected) in
            [(&[][..], &["A"][..], true), (&["A", "B"], &["b"], true), (&["A"], &["B"], false), (&["A"], &[], true)]
        {
            assert_eq!(suits(&owned(products), &owned(wanted)), expected, "{products:?} {wanted:?}");
        }
    }
}

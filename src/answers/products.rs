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

fn is_wanted(product: &str, wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| wanted.to_lowercase() == product.to_lowercase())
}

/// Whether an article suits who wants these products, beside the others that fit: it says nothing of products, or is about
/// one that is wanted; and none of the others is about more of them where this one is for something else, as for the other
/// of two systems.
pub(super) fn suits(fit: &Fit, others: &[&Fit], wanted: &[String]) -> bool {
    if fit.products.is_empty() || wanted.is_empty() {
        return true;
    }
    let of = |fit: &Fit| fit.products.iter().filter(|product| is_wanted(product, wanted)).count();
    let is_for_something_else = |other: &&Fit| {
        fit.products.iter().any(|product| !is_wanted(product, wanted) && !other.products.contains(product))
    };
    let ours = of(fit);
    ours > 0 && !others.iter().any(|other| of(other) > ours && is_for_something_else(other))
}

/// What to ask where articles of other products fit as well as the best one, best first; `None` where one fits best. What
/// they have in common, and what is `wanted`, tells nothing apart.
pub(super) fn question(fits: &[&Fit], wanted: &[String]) -> Option<ClarifyingQuestion> {
    let best = fits.first()?;
    let has_own = |fit: &Fit, other: &Fit| {
        fit.products.iter().any(|product| !is_wanted(product, wanted) && !other.products.contains(product))
    };
    let is_rival = |fit: &&&Fit| fit.share >= AS_GOOD * best.share && has_own(fit, best) && has_own(best, fit);
    let rival = fits.iter().find(is_rival)?;
    let tells = |product: &String| {
        let is_common = best.products.contains(product) && rival.products.contains(product);
        !is_common && !is_wanted(product, wanted)
    };
    let mut choices: Vec<String> = Vec::new();
    for fit in fits.iter().filter(|fit| fit.share >= WORTH_NAMING * best.share) {
        for product in fit.products.iter().filter(|product| tells(product)) {
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
        let asked = |fits: &[Fit]| question(&fits.iter().collect::<Vec<_>>(), &[]).map(|question| question.choices);
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
    fn what_articles_have_in_common_tells_them_not_apart() {
        let wanted = ["falcon vpn".to_owned()];
        let fits = [fit(0.4, &["Falcon VPN", "Windows"]), fit(0.39, &["Falcon VPN", "macOS"])];
        let fits: Vec<&Fit> = fits.iter().collect();
        assert_eq!(question(&fits, &wanted).unwrap().choices, ["Windows", "macOS"]);
        assert_eq!(question(&fits, &[]).unwrap().choices, ["Windows", "macOS"]);
        assert_eq!(question(&fits, &["Windows".to_owned()]), None);
        let general = [fit(0.4, &["Falcon VPN"]), fit(0.39, &["Falcon VPN", "macOS"])];
        assert_eq!(question(&general.iter().collect::<Vec<_>>(), &wanted), None);
    }

    #[test]
    fn an_article_suits_where_it_is_of_the_product_or_of_none() {
        let check = |products: &[&str], others: &[&[&str]], wanted: &[&str], expected: bool| {
            let others: Vec<Fit> = others.iter().map(|products| fit(0.1, products)).collect();
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let suits = suits(&fit(0.1, products), &others.iter().collect::<Vec<_>>(), &wanted);
            assert_eq!(suits, expected, "{products:?} {wanted:?}");
        };
        check(&[], &[], &["A"], true);
        check(&["A", "B"], &[], &["b"], true);
        check(&["A"], &[], &["B"], false);
        check(&["A"], &[], &[], true);
        check(&["VPN", "macOS"], &[&["VPN", "Windows"]], &["VPN", "Windows"], false);
        check(&["VPN"], &[&["VPN", "Windows"]], &["VPN", "Windows"], true);
    }
}

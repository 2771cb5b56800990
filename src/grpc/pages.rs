//! Tokens of pages: where the next one begins, tied to what was asked for where that matters.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use crate::{error::FieldViolation, jobs::ResultPlace};

/// For lists in the order of ids: behind the last one of the page.
pub(super) fn id_token(last_id: &str) -> String {
    last_id.bytes().fold(String::new(), |mut token, byte| {
        // Writing to a string cannot fail.
        write!(token, "{byte:02x}").ok();
        token
    })
}

/// The id that a page is to begin behind; empty for the first page.
pub(super) fn parse_id_token(token: &str) -> Result<String, Vec<FieldViolation>> {
    let parse = || {
        if !token.len().is_multiple_of(2) {
            return None;
        }
        let bytes = token.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        String::from_utf8(bytes.collect::<Option<_>>()?).ok()
    };
    parse().ok_or_else(foreign)
}

/// For lists in the order of numbers, the latest first: behind the last one of the page.
pub(super) fn number_token(last: u64) -> String {
    last.to_string()
}

/// The number that a page is to begin behind; `None` for the first page.
pub(super) fn parse_number_token(token: &str) -> Result<Option<u64>, Vec<FieldViolation>> {
    if token.is_empty() {
        return Ok(None);
    }
    // No record has a number beyond those of the database.
    let number = token.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    number.map(Some).ok_or_else(foreign)
}

/// The same for versions of an article.
pub(super) fn parse_version_token(token: &str) -> Result<Option<u32>, Vec<FieldViolation>> {
    parse_number_token(token)?.map(|number| u32::try_from(number).map_err(|_| foreign())).transpose()
}

/// For results of a job; `asked` is what they were asked for with.
pub(super) fn result_token(next: ResultPlace, asked: &str) -> String {
    format!("{}-{}-{:x}", next.chunk, next.skip, xxh3_64(asked.as_bytes()))
}

pub(super) fn parse_result_token(token: &str, asked: &str) -> Result<ResultPlace, Vec<FieldViolation>> {
    if token.is_empty() {
        return Ok(ResultPlace::default());
    }
    let parse = || {
        let (chunk, rest) = token.split_once('-')?;
        let (skip, hash) = rest.split_once('-')?;
        let is_same = u64::from_str_radix(hash, 16).ok()? == xxh3_64(asked.as_bytes());
        is_same.then_some(ResultPlace { chunk: chunk.parse().ok()?, skip: skip.parse().ok()? })
    };
    parse().ok_or_else(foreign)
}

pub(super) fn foreign() -> Vec<FieldViolation> {
    vec![FieldViolation::new("page_token", "does not come from a previous page of the same request")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_token_survives_any_id() {
        for id in ["", "KB0001", "größe/😀"] {
            assert_eq!(parse_id_token(&id_token(id)).as_deref(), Ok(id));
        }
        for token in ["zz", "4", "ff", "é"] {
            assert_eq!(parse_id_token(token), Err(foreign()), "{token}");
        }
    }

    #[test]
    fn a_result_token_belongs_to_its_request() {
        let place = ResultPlace { chunk: 7, skip: 1_999 };
        let token = result_token(place, "3 changed");
        assert_eq!(parse_result_token(&token, "3 changed"), Ok(place));
        assert_eq!(parse_result_token("", "3"), Ok(ResultPlace::default()));
        for other in [token.as_str(), "1-2", "x-2-3", "--", "99999999999999999999-0-0", "é"] {
            assert_eq!(parse_result_token(other, "3"), Err(foreign()), "{other}");
        }
    }
}

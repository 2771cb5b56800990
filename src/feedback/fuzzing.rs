//! For the fuzz targets in `fuzz/`: handles and conversations as they come back, forged and sealed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::Mac as _;

use super::handle::{Kind, SIGNATURE_BYTES, Seal};
use crate::encode::Redactor;

/// Opens the text as a handle of every kind, and its bytes as one that bears the right signature.
pub fn open_handle(bytes: &[u8]) {
    let seal = Seal::new(&[7; 32], Redactor::default());
    open(&seal, &String::from_utf8_lossy(bytes));
    if bytes.len() <= SIGNATURE_BYTES {
        return;
    }
    let mut signed = bytes.to_vec();
    let signature = seal.signed(bytes).finalize().into_bytes();
    signed[1..=SIGNATURE_BYTES].copy_from_slice(&signature[..SIGNATURE_BYTES]);
    open(&seal, &BASE64_URL_SAFE_NO_PAD.encode(signed));
}

fn open(seal: &Seal, handle: &str) {
    seal.open(handle).ok();
    for kind in [Kind::Suggestion, Kind::Decision, Kind::Conversation] {
        seal.opened(kind, handle).ok();
    }
}

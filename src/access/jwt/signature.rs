//! Verifies signatures of signed tokens with ring, which TLS uses as well. It signs nothing.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    crypto::{CryptoProvider, JwkUtils, JwtVerifier},
    errors::{Error, ErrorKind},
};
use ring::{
    hmac,
    signature::{self as asymmetric, UnparsedPublicKey, VerificationAlgorithm},
};
use signature::{Error as WrongSignature, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(Error::from(ErrorKind::InvalidAlgorithm)),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    jwk_utils: JwkUtils::new_unimplemented(),
};

/// Has the library verify with what stands here. Harmless to call again.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // An error only says that one is installed already, and nobody else in this program does that.
    ONCE.call_once(|| {
        PROVIDER.install_default().ok();
    });
}

struct PublicKey {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

struct Secret(hmac::Key);

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let public = |verification: &'static dyn VerificationAlgorithm| {
        let key = UnparsedPublicKey::new(verification, key.as_bytes().to_vec());
        Ok(Box::new(PublicKey { algorithm, key }) as Box<dyn JwtVerifier>)
    };
    // A token names its algorithm itself: a key of another family must never come to it.
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Secret(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_hmac_secret()?)))),
        Algorithm::RS256 => public(&asymmetric::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::ES256 => public(&asymmetric::ECDSA_P256_SHA256_FIXED),
        Algorithm::EdDSA => public(&asymmetric::ED25519),
        Algorithm::HS384
        | Algorithm::HS512
        | Algorithm::ES384
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), WrongSignature> {
        self.key.verify(message, signature).map_err(|_| WrongSignature::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Secret {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), WrongSignature> {
        hmac::verify(&self.0, message, signature).map_err(|_| WrongSignature::new())
    }
}

impl JwtVerifier for Secret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

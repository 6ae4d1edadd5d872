//! Ed25519 signatures (RFC 8032) under bytes, for what somebody has to prove later.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pyo3::prelude::*;

/// The public key of a secret one, and its signature of a message.
#[pyfunction]
#[pyo3(signature = (secret, message, /))]
pub(crate) fn seal(secret: [u8; 32], message: &[u8]) -> ([u8; 32], Vec<u8>) {
    let key = SigningKey::from_bytes(&secret);
    (key.verifying_key().to_bytes(), key.sign(message).to_bytes().to_vec())
}

/// Whether a signature is that of a message by a public key.
#[pyfunction]
#[pyo3(signature = (public, message, signature, /))]
pub(crate) fn is_sealed(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = <&[u8; 32]>::try_from(public) else { return false };
    let (key, signature) = (VerifyingKey::from_bytes(public), Signature::from_slice(signature));
    matches!((key, signature), (Ok(key), Ok(s)) if key.verify_strict(message, &s).is_ok())
}

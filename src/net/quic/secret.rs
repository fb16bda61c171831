//! The keys that let a restarted node tell its peers that it lost their connections.
//!
//! A peer that does not know of the restart goes on sending into a connection that is gone. The new
//! process answers with a stateless reset, which the peer believes only if it is made with the key of the
//! old process; and it looks at such a packet at all only if the connection id checks out under the old
//! process's key. So both come from a secret that the node keeps on disk. Without it a peer would notice
//! after the idle time-out only.

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use quinn_proto::crypto::{CryptoError, HmacKey};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::tls13::{Hkdf, OkmBlock};
use std::fmt;
use std::sync::Arc;

const TAG_BYTES: usize = 32;

/// 32 random bytes, made once per data directory and kept there.
#[derive(Clone, Copy)]
pub struct NodeSecret(pub [u8; 32]);

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(..)")
    }
}

impl NodeSecret {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn endpoint_config(self) -> EndpointConfig {
        let reset = HmacSha256(self.derive(b"eraft stateless reset"));
        let ids = self.derive(b"eraft connection ids");
        let ids = u64::from_le_bytes(ids[..8].try_into().expect("eight of 32 bytes"));
        let mut config = EndpointConfig::new(Arc::new(reset));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        config
    }

    fn derive(self, purpose: &[u8]) -> [u8; TAG_BYTES] {
        HmacSha256(self.0).tag(purpose)
    }
}

/// HMAC-SHA-256, by the provider that TLS uses anyway.
struct HmacSha256([u8; TAG_BYTES]);

impl HmacSha256 {
    fn tag(&self, data: &[u8]) -> [u8; TAG_BYTES] {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("its name says so");
        let hkdf: &dyn Hkdf = suite.hkdf_provider;
        let tag = hkdf.hmac_sign(&OkmBlock::new(&self.0), data);
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl HmacKey for HmacSha256 {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.tag(data));
    }

    fn signature_len(&self) -> usize {
        TAG_BYTES
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Takes the same time wherever the difference is.
        let expected = self.tag(data);
        let differences =
            expected.iter().zip(signature).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        if differences == 0 && signature.len() == TAG_BYTES { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_hmac_sha_256() {
        // RFC 4231, test case 1, with the key zero-padded as HMAC does.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let tag = HmacSha256(key).tag(b"Hi There");
        assert_eq!(tag[..4], [0xb0, 0x34, 0x4c, 0x61]);
        assert!(HmacSha256(key).verify(b"Hi There", &tag).is_ok());
        assert!(HmacSha256(key).verify(b"Hi there", &tag).is_err());
        assert!(HmacSha256(key).verify(b"Hi There", &tag[..31]).is_err());
        let secret = NodeSecret([7; 32]);
        assert_ne!(secret.derive(b"a"), secret.derive(b"b"));
    }
}

//! The TLS settings of QUIC: TLS 1.3 only, certificates on both sides, no resumption.
//!
//! Resumption and 0-RTT would save 0.6 ms once per reconnect and make the first bytes replayable. The
//! provider is always passed explicitly: the process-wide default belongs to nobody.

use super::identity::Identity;
use super::verify::AnyNode;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// The application protocol both sides must name.
const QUIC_PROTOCOL: &[u8] = b"eraft";

/// The cryptography in use.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The accepting side of a node: the other side must show a certificate of our authority.
pub(crate) fn server_config(identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots(), provider())
        .build()
        .map_err(verifier_error)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())?;
    config.alpn_protocols = vec![QUIC_PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The dialing side of a node: it knows whom it dials, and the certificate must name that node.
pub(crate) fn node_config(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(identity.roots(), provider())
        .build()
        .map_err(verifier_error)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(identity.chain(), identity.key())?;
    Ok(dialing(config))
}

/// A client that may not know which node it dials.
pub(crate) fn client_config(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let verifier =
        AnyNode { roots: identity.roots(), algorithms: provider.signature_verification_algorithms };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain(), identity.key())?;
    Ok(dialing(config))
}

fn dialing(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![QUIC_PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

fn verifier_error(error: VerifierBuilderError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

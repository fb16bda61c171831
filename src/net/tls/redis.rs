//! TLS for the Redis ports: whatever certificate the operator has, TLS 1.2 and 1.3, and client
//! certificates if an authority for them is given.

use super::config::provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why the Redis ports cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum RedisTlsError {
    /// A file is missing, unreadable or no PEM.
    #[error("cannot load {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or one of them cannot be used.
    #[error("{path} cannot be used for TLS: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An acceptor for the Redis ports. With `client_ca`, a client must show a certificate it signed.
///
/// # Errors
/// When a file cannot be loaded or used.
pub fn redis_acceptor(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<TlsAcceptor, RedisTlsError> {
    let unusable =
        |path: &Path, reason: String| RedisTlsError::Unusable { path: path.to_owned(), reason };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| unusable(certificate, error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for ca in load_certificates(path)? {
                roots.add(ca).map_err(|error| unusable(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| unusable(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|source| RedisTlsError::File { path: key.to_owned(), source })?;
    let config = builder
        .with_single_cert(load_certificates(certificate)?, private)
        .map_err(|error| unusable(key, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RedisTlsError> {
    let file_error = |source| RedisTlsError::File { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path)
        .map_err(file_error)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(file_error)?;
    if found.is_empty() {
        return Err(file_error(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::net::tls::{Role, create_ca, issue};

    #[test]
    fn an_acceptor_is_made_and_a_wrong_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        create_ca(path).unwrap();
        issue(path, Role::Node(NodeId(1)), path).unwrap();
        let (cert, key, ca) =
            (path.join("node-1.pem"), path.join("node-1-key.pem"), path.join("ca.pem"));
        assert!(redis_acceptor(&cert, &key, None).is_ok());
        assert!(redis_acceptor(&cert, &key, Some(&ca)).is_ok());
        for (cert, key, named) in [
            (&cert, &path.join("none.pem"), "none.pem"),
            (&cert, &path.join("ca-key.pem"), "ca-key.pem"),
            (&key, &key, "node-1-key.pem"),
        ] {
            let error = redis_acceptor(cert, key, None).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}

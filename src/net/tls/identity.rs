//! Loading certificates: a role's certificate and key, and the authority they are checked with.
//!
//! What is wrong is found here, at start, with the file's name and the next step, and not at the first
//! handshake.

use super::config::provider;
use super::issue::CA_CERTIFICATE;
use super::role::Role;
use super::verify::certificate_names;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is missing, unreadable or no PEM.
    #[error(
        "cannot load {path}: {source}; certificates are made by `eraftctl cert init` and `eraftctl cert issue`"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds a certificate or key that cannot be used.
    #[error("{path} cannot be used: {source}; issue it anew with `eraftctl cert issue`")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The certificate is somebody else's.
    #[error("{path} does not name {role}: issue one that does with `eraftctl cert issue`")]
    OtherRole {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        role: Role,
    },
}

/// A role's certificate chain and key, and the authority it trusts.
pub struct Identity {
    role: Role,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            role: self.role,
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            roots: self.roots.clone(),
        }
    }
}

impl Identity {
    /// Loads `ca.pem` and the role's certificate and key from `dir`.
    ///
    /// # Errors
    /// When one of the files is missing or no good, or the certificate names another role.
    pub fn load(dir: &Path, role: Role) -> Result<Self, IdentityError> {
        let ca_path = dir.join(CA_CERTIFICATE);
        let certificate_path = dir.join(format!("{}.pem", role.file_stem()));
        let key_path = dir.join(format!("{}-key.pem", role.file_stem()));

        let mut roots = RootCertStore::empty();
        for ca in load_certificates(&ca_path)? {
            roots
                .add(ca)
                .map_err(|source| IdentityError::Unusable { path: ca_path.clone(), source })?;
        }
        let chain = load_certificates(&certificate_path)?;
        let key = PrivateKeyDer::from_pem_file(&key_path)
            .map_err(|source| IdentityError::File { path: key_path.clone(), source })?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider())
            .map_err(|source| IdentityError::Unusable { path: key_path, source })?;
        if !certificate_names(&chain, role) {
            return Err(IdentityError::OtherRole { path: certificate_path, role });
        }
        Ok(Self { role, chain, key, roots: Arc::new(roots) })
    }

    /// What it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }
}

/// The certificates in a PEM file: at least one.
fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let file_error = |source| IdentityError::File { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(file_error)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(file_error)?;
    if certificates.is_empty() {
        return Err(file_error(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::net::tls::{IssueError, create_ca, issue};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_issued_loads_and_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, out) = (dir.path().join("ca"), dir.path().join("out"));
        create_ca(&ca).unwrap();
        for role in [Role::Node(NodeId(1)), Role::Admin, Role::Client] {
            issue(&ca, role, &out).unwrap();
            assert_eq!(Identity::load(&out, role).unwrap().role(), role);
        }
        for key in [ca.join("ca-key.pem"), out.join("node-1-key.pem"), out.join("admin-key.pem")] {
            assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{key:?}");
        }
        assert!(!out.join("ca-key.pem").exists(), "the authority's key stays where it is");
        assert!(matches!(create_ca(&ca), Err(IssueError::Exists(_))));
        assert!(matches!(issue(&ca, Role::Admin, &out), Err(IssueError::Exists(_))));
        assert!(matches!(
            issue(&out, Role::Node(NodeId(2)), &out),
            Err(IssueError::NoAuthority(_))
        ));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        create_ca(path).unwrap();
        let one = Role::Node(NodeId(1));
        let missing = Identity::load(path, one).unwrap_err().to_string();
        assert!(missing.contains("node-1.pem") && missing.contains("cert issue"), "{missing}");

        issue(path, one, path).unwrap();
        issue(path, Role::Node(NodeId(2)), path).unwrap();
        fs::copy(path.join("node-1.pem"), path.join("admin.pem")).unwrap();
        fs::copy(path.join("node-1-key.pem"), path.join("admin-key.pem")).unwrap();
        let other = Identity::load(path, Role::Admin).unwrap_err();
        assert!(matches!(other, IdentityError::OtherRole { role: Role::Admin, .. }), "{other}");

        fs::copy(path.join("node-2-key.pem"), path.join("node-1-key.pem")).unwrap();
        let mixed = Identity::load(path, one).unwrap_err();
        assert!(matches!(mixed, IdentityError::Unusable { .. }), "{mixed}");

        fs::write(path.join("node-2.pem"), "rubbish").unwrap();
        let rubbish = Identity::load(path, Role::Node(NodeId(2))).unwrap_err().to_string();
        assert!(rubbish.contains("node-2.pem"), "{rubbish}");
    }
}

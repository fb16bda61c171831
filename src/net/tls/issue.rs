//! Making certificates: a cluster's authority, and what it signs.
//!
//! The authority's subject is a constant, so that issuing needs its key only. Nothing is ever overwritten:
//! a second authority of the same name would lock all nodes out. Keys are readable by their owner alone.

use super::role::Role;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The authority's certificate, in every folder of certificates.
pub const CA_CERTIFICATE: &str = "ca.pem";
/// The authority's key: needed to issue, not to run.
pub const CA_KEY: &str = "ca-key.pem";

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600 + 6 * 3600);
const CA_YEARS: u32 = 30;
const ISSUED_YEARS: u32 = 20;

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// There is such a file already.
    #[error(
        "{0} exists already; it is never overwritten: remove it first if it is really not needed"
    )]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authority is missing.
    #[error("{0} is missing: make the cluster's authority first (`eraftctl cert init`)")]
    NoAuthority(PathBuf),
    /// The cryptography failed, or a key file holds no key.
    #[error("{path}: {source}")]
    Crypto {
        /// For which file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
}

/// Makes a new authority in `dir` (created if missing): `ca.pem` and `ca-key.pem`.
///
/// # Errors
/// When one of them exists already, or cannot be written.
pub fn create_ca(dir: &Path) -> Result<(), IssueError> {
    fs::create_dir_all(dir).map_err(|source| IssueError::File {
        action: "create",
        path: dir.to_owned(),
        source,
    })?;
    let (certificate_path, key_path) = (dir.join(CA_CERTIFICATE), dir.join(CA_KEY));
    refuse_existing(&[&certificate_path, &key_path])?;
    let crypto = |source| IssueError::Crypto { path: certificate_path.clone(), source };
    let key = KeyPair::generate().map_err(crypto)?;
    let certificate = ca_params().self_signed(&key).map_err(crypto)?;
    write_new(&key_path, &key.serialize_pem(), 0o600)?;
    write_new(&certificate_path, &certificate.pem(), 0o644)?;
    sync_folder(dir)
}

/// Signs a new certificate for `role` with the authority in `ca_dir`, and puts it with its key and
/// `ca.pem` into `out_dir` (created if missing; may be `ca_dir`).
///
/// # Errors
/// When there is no authority, the role's files exist already, or something cannot be written.
pub fn issue(ca_dir: &Path, role: Role, out_dir: &Path) -> Result<(), IssueError> {
    let ca_path = ca_dir.join(CA_CERTIFICATE);
    let ca_key_path = ca_dir.join(CA_KEY);
    let ca_pem = read_authority(&ca_path)?;
    let ca_key = KeyPair::from_pem(&read_authority(&ca_key_path)?)
        .map_err(|source| IssueError::Crypto { path: ca_key_path, source })?;

    fs::create_dir_all(out_dir).map_err(|source| IssueError::File {
        action: "create",
        path: out_dir.to_owned(),
        source,
    })?;
    let stem = role.file_stem();
    let certificate_path = out_dir.join(format!("{stem}.pem"));
    let key_path = out_dir.join(format!("{stem}-key.pem"));
    refuse_existing(&[&certificate_path, &key_path])?;
    let crypto = |source| IssueError::Crypto { path: certificate_path.clone(), source };
    let key = KeyPair::generate().map_err(crypto)?;
    let certificate = role_params(role)
        .and_then(|params| params.signed_by(&key, &Issuer::new(ca_params(), &ca_key)))
        .map_err(crypto)?;

    write_new(&key_path, &key.serialize_pem(), 0o600)?;
    write_new(&certificate_path, &certificate.pem(), 0o644)?;
    let ca_copy = out_dir.join(CA_CERTIFICATE);
    if !ca_copy.exists() {
        write_new(&ca_copy, &ca_pem, 0o644)?;
    }
    sync_folder(out_dir)
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "eraft");
    params.distinguished_name.push(DnType::CommonName, "eraft cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, CA_YEARS);
    params
}

fn role_params(role: Role) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([role.dns_name()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "eraft");
    params.distinguished_name.push(DnType::CommonName, role.dns_name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Only a node may stand on the accepting side: an admin's certificate does not pass for a node's.
    params.extended_key_usages = match role {
        Role::Node(_) => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Role::Admin | Role::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, ISSUED_YEARS);
    Ok(params)
}

/// Validity begins long ago: a node whose clock was set back must still reach its peers.
fn set_validity(params: &mut CertificateParams, years: u32) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = (SystemTime::now() + YEAR * years).into();
}

fn refuse_existing(paths: &[&Path]) -> Result<(), IssueError> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => Err(IssueError::Exists((*path).to_owned())),
        None => Ok(()),
    }
}

fn read_authority(path: &Path) -> Result<String, IssueError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IssueError::NoAuthority(path.to_owned()),
        _ => IssueError::File { action: "read", path: path.to_owned(), source },
    })
}

fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), IssueError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => IssueError::Exists(path.to_owned()),
        _ => IssueError::File { action: "write", path: path.to_owned(), source },
    })
}

fn sync_folder(dir: &Path) -> Result<(), IssueError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|source| IssueError::File {
        action: "sync",
        path: dir.to_owned(),
        source,
    })
}

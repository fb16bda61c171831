//! `cert`: makes certificates. Needs no cluster.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::args::{Cert, Issue};
use eraft::net::tls::{CA_CERTIFICATE, CA_KEY, Role, create_ca, issue};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Makes an authority, or a certificate.
pub(crate) fn run(cert: &Cert, certs: Option<&Path>, as_json: bool) -> Result<Answer, Trouble> {
    let made = match cert {
        Cert::Init { folder } => {
            let folder = place(folder.as_deref(), certs)?;
            create_ca(&folder).map_err(|error| Trouble::new(error.to_string()))?;
            [folder.join(CA_CERTIFICATE), folder.join(CA_KEY)]
        }
        Cert::Issue(asked) => {
            let folder = place(asked.folder.as_deref(), certs)?;
            let out = asked.out.clone().unwrap_or_else(|| folder.clone());
            let role = role(asked);
            issue(&folder, role, &out).map_err(|error| Trouble::new(error.to_string()))?;
            let stem = role.file_stem();
            [out.join(format!("{stem}.pem")), out.join(format!("{stem}-key.pem"))]
        }
    };
    let names = made.map(|path| path.display().to_string());
    if as_json {
        print_json(&json!({ "certificate": names[0], "key": names[1] }))?;
    } else {
        print(format!("made {} and {}", names[0], names[1]))?;
    }
    Ok(Answer::Yes)
}

fn place(folder: Option<&Path>, certs: Option<&Path>) -> Result<PathBuf, Trouble> {
    let place = folder.or(certs).map(Path::to_owned);
    place.ok_or_else(|| Trouble::new("which folder? `eraftctl cert init DIR`, or --certs DIR"))
}

fn role(asked: &Issue) -> Role {
    match (asked.role.node, asked.role.admin) {
        (Some(node), _) => Role::Node(node),
        (None, true) => Role::Admin,
        (None, false) => Role::Client,
    }
}

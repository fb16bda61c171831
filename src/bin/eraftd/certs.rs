//! The certificates of a dev cluster, made at its first start, all or none.

use crate::plan::{Plan, certs};
use crate::trouble::Trouble;
use eraft::ids::NodeId;
use eraft::net::tls::{Role, create_ca, issue};
use std::path::Path;

/// Makes the authority and a certificate for each node, an admin and a client, unless that was done before.
pub(crate) fn make(dir: &Path, plan: &Plan) -> Result<(), Trouble> {
    let place = certs(dir);
    if place.exists() {
        return Ok(());
    }
    // Renamed when complete: a start that is killed half way leaves nothing that looks whole.
    let fresh = dir.join("certs.new");
    match std::fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Trouble::file("remove", &fresh, error));
        }
        _ => {}
    }
    let trouble = |error: &dyn std::fmt::Display| Trouble::new(error.to_string());
    create_ca(&fresh).map_err(|error| trouble(&error))?;
    let nodes = plan.nodes.iter().map(|node| Role::Node(NodeId(node.id)));
    for role in nodes.chain([Role::Admin, Role::Client]) {
        issue(&fresh, role, &fresh).map_err(|error| trouble(&error))?;
    }
    std::fs::rename(&fresh, &place).map_err(|error| Trouble::file("make", &place, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eraft::net::tls::Identity;

    #[test]
    fn all_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(2, 1, 6379, 8080).unwrap();
        std::fs::create_dir(dir.path().join("certs.new")).unwrap();
        make(dir.path(), &plan).unwrap();
        let place = certs(dir.path());
        for role in [Role::Node(NodeId(2)), Role::Admin, Role::Client] {
            Identity::load(&place, role).unwrap();
        }
        let before = std::fs::read(place.join("ca.pem")).unwrap();
        make(dir.path(), &plan).unwrap();
        assert_eq!(std::fs::read(place.join("ca.pem")).unwrap(), before);
    }
}

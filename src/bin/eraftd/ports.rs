//! Whether all ports of a dev cluster are free, asked before anything is made.

use crate::plan::Plan;
use crate::trouble::Trouble;
use std::io;
use std::net::{TcpListener, UdpSocket};

/// Names the first port that cannot be had.
pub(crate) fn check(plan: &Plan) -> Result<(), Trouble> {
    for node in &plan.nodes {
        for (flag, what, address) in [
            ("--redis-port", "Redis", &node.redis),
            ("--redis-port", "Redis Cluster", &node.cluster),
            ("--http-port", "HTTP", &node.http),
        ] {
            let free = TcpListener::bind(address).map(drop);
            free.map_err(|error| taken(flag, what, address, &error, node.id))?;
        }
        let free = UdpSocket::bind(&node.quic).map(drop);
        free.map_err(|error| taken("--redis-port", "QUIC (UDP)", &node.quic, &error, node.id))?;
    }
    Ok(())
}

fn taken(flag: &str, what: &str, address: &str, error: &io::Error, node: u32) -> Trouble {
    Trouble::new(format!(
        "cannot listen on {address}, the {what} port of node {node}: {error}; stop what listens there (is another \
         eraftd running?) or choose other ports with {flag}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut plan = Plan::new(1, 1, 6379, 8080).unwrap();
        let node = &mut plan.nodes[0];
        for place in [&mut node.redis, &mut node.cluster, &mut node.quic] {
            *place = "127.0.0.1:0".into();
        }
        node.http = address.to_string();
        let said = check(&plan).unwrap_err().to_string();
        assert!(said.contains(&address.to_string()) && said.contains("--http-port"), "{said}");
        drop(taken);
        check(&plan).unwrap();
    }
}

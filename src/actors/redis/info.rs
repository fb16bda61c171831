//! INFO.

use super::connection::Connection;
use crate::actors::router::Mode;
use crate::net::message::MoveProgress;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The version of Redis whose commands are spoken; clients decide by it what they may use.
pub(super) const REDIS_VERSION: &str = "7.0.15";

const ALL: [&str; 8] =
    ["server", "clients", "memory", "persistence", "stats", "replication", "cluster", "keyspace"];

/// Moves that are told one by one.
const MOVES_SHOWN: usize = 16;

/// The sections asked for; none means all.
pub(super) fn text(connection: &Connection, sections: &[String]) -> String {
    let everything = sections.is_empty()
        || sections.iter().any(|s| matches!(s.as_str(), "all" | "default" | "everything"));
    let mut out = String::new();
    for section in ALL.iter().chain(&["servers"]) {
        if everything || sections.iter().any(|wanted| wanted == section) {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            write_section(connection, section, &mut out);
        }
    }
    out
}

fn write_section(connection: &Connection, section: &str, out: &mut String) {
    let shared = connection.router.shared();
    let context = &connection.context;
    let mut title = section.to_owned();
    title[..1].make_ascii_uppercase();
    // Writing into a String cannot fail.
    let _ = write!(out, "# {title}\r\n");
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = write!(out, "{key}:{value}\r\n");
    };
    match section {
        "server" => {
            line("redis_version", &REDIS_VERSION);
            line("eraft_version", &env!("CARGO_PKG_VERSION"));
            let mode = if context.kind.is_cluster() { "cluster" } else { "standalone" };
            line("redis_mode", &mode);
            line("os", &std::env::consts::OS);
            line("arch_bits", &usize::BITS);
            line("process_id", &std::process::id());
            line("tcp_port", &connection.entry.local.port());
            line("uptime_in_seconds", &(shared.mono().0 / 1_000));
            line("node", &shared.node);
        }
        "clients" => {
            line("connected_clients", &context.registry.count());
            line("maxclients", &crate::limits::CONNECTIONS_MAX);
        }
        "memory" => {
            let memory = crate::actors::process::resident_bytes();
            line("used_memory", &memory);
            line("used_memory_rss", &memory);
        }
        "persistence" => {
            line("loading", &0);
            line("aof_enabled", &1);
            line("durability", &"every acknowledged write is synced on a majority");
            line("disk_low", &u8::from(shared.disk_low.load(Relaxed)));
            line("disk_slow", &u8::from(shared.health().slow));
        }
        "stats" => {
            line("total_connections_received", &context.registry.accepted.load(Relaxed));
            line("total_commands_processed", &context.registry.commands.load(Relaxed));
            line("request_bytes_in_flight", &shared.request_bytes.load(Relaxed));
            line("forwarded_answers_lost", &shared.answers_lost.load(Relaxed));
        }
        "replication" => {
            let leads = shared.boards().values().any(|board| board.leads());
            line(
                "role",
                &if leads || connection.context.kind.mode() == Mode::Cluster {
                    "master"
                } else {
                    "slave"
                },
            );
            line("connected_slaves", &shared.peers.connected().len());
            let leases = shared.lease_reads.load(Relaxed);
            line("lease_reads", &if leases { "on" } else { "off" });
            line("lease_reads_served", &shared.lease_reads_served.load(Relaxed));
        }
        "cluster" => {
            line("cluster_enabled", &u8::from(context.kind.is_cluster()));
            // Of the moves that are driven from this node.
            let (moves, waiting, rate) = shared.move_reports.sum();
            line("moves", &moves);
            line("moves_buckets_waiting", &waiting);
            line("moves_bytes_per_second", &rate);
            for (place, one) in shared.move_reports.told().iter().take(MOVES_SHOWN).enumerate() {
                line(&format!("move{place}"), &move_fields(one));
            }
        }
        "keyspace" => {
            // The keys of the replicas here, as far as they are applied here.
            let keys: u64 = shared.boards().values().map(|board| board.stats().keys).sum();
            if keys > 0 {
                line("db0", &format!("keys={keys},expires=0,avg_ttl=0"));
            }
        }
        "servers" => {
            if let Some(view) = shared.view() {
                out.push_str(&view.servers_text());
            }
        }
        _ => unreachable!("only sections of the list"),
    }
}

/// A move as `eraftctl moves` tells it. -1 stands for what is not known; why it stands still, if it does,
/// comes last, since these are words.
fn move_fields(one: &MoveProgress) -> String {
    let known = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |it| it.to_string());
    let buckets: u32 = one.ranges.iter().map(|range| range.count()).sum();
    let mut fields = format!(
        "from={},to={},number={},buckets={buckets},phase={},bytes_done={},bytes_total={},\
         bytes_per_second={},milliseconds_left={}",
        one.from.0,
        one.to.0,
        one.number,
        one.phase,
        one.bytes,
        known(one.total),
        one.bytes_per_second,
        known(one.millis_left)
    );
    if let Some(why) = &one.stands_still {
        fields.push_str(",stands_still=");
        fields.push_str(why);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Bucket, GroupId};
    use crate::shard::BucketRange;

    #[test]
    fn a_move_is_one_line() {
        let mut one = MoveProgress {
            from: GroupId(1),
            number: 7,
            to: GroupId(2),
            ranges: vec![BucketRange { first: Bucket(3), last: Bucket(5) }],
            phase: "copying".into(),
            stands_still: None,
            bytes: 100,
            total: Some(400),
            bytes_per_second: 50,
            millis_left: Some(6_000),
        };
        assert_eq!(
            move_fields(&one),
            "from=1,to=2,number=7,buckets=3,phase=copying,bytes_done=100,bytes_total=400,\
             bytes_per_second=50,milliseconds_left=6000"
        );
        (one.total, one.millis_left) = (None, None);
        one.stands_still = Some("the source does not answer".into());
        assert!(move_fields(&one).ends_with(
            ",bytes_total=-1,bytes_per_second=50,milliseconds_left=-1,\
             stands_still=the source does not answer"
        ));
    }
}

//! The commands on the connection and on the node.

use super::facts::{KeySpec, Name, Spec, category, flag};
use category::{CONNECTION, DANGEROUS};
use flag::{ADMIN, ALLOW_BUSY, FAST, LOADING, NO_AUTH, NO_MULTI, NOSCRIPT, READONLY, STALE};

const OPEN: u32 = LOADING | STALE;
const GREETING: u32 = NOSCRIPT | OPEN | FAST | NO_AUTH | ALLOW_BUSY;
const CHANGING: &[&str] = &["nondeterministic_output"];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const fn connection(id: Name, name: &'static str, arity: i8, flags: u32) -> Spec {
    Spec::new(id, name, arity, flags).of("connection", CONNECTION)
}
const fn server(id: Name, name: &'static str, arity: i8, flags: u32) -> Spec {
    Spec::new(id, name, arity, flags).of("server", 0)
}
const fn client(name: &'static str, arity: i8, flags: u32) -> Spec {
    connection(Name::Client, name, arity, flags | OPEN)
}
const fn command(name: &'static str, arity: i8) -> Spec {
    connection(Name::Command, name, arity, OPEN).of("server", CONNECTION)
}
const fn config(name: &'static str, arity: i8, flags: u32) -> Spec {
    server(Name::Config, name, arity, flags | OPEN)
}

#[rustfmt::skip]
const CLIENT: &[Spec] = &[
    client("getname", 2, NOSCRIPT).since("2.6.9", "The name of this connection."),
    client("help", 2, 0).since("5.0.0", "Lists the subcommands."),
    client("id", 2, NOSCRIPT).since("5.0.0", "The number of this connection."),
    client("info", 2, NOSCRIPT).since("6.2.0", "Describes this connection.").tips(CHANGING),
    client("kill", -3, ADMIN | NOSCRIPT).since("2.4.0", "Closes connections of this node.")
        .costs("O(N) for N connections"),
    client("list", -2, ADMIN | NOSCRIPT).since("2.4.0", "Describes the connections of this node.")
        .costs("O(N) for N connections").tips(CHANGING),
    client("no-evict", 3, ADMIN | NOSCRIPT).since("7.0.0", "Accepted; connections are not evicted."),
    client("no-touch", 3, NOSCRIPT).since("7.2.0", "Accepted; reading a key changes nothing."),
    client("reply", 3, NOSCRIPT).since("3.2.0", "Turns replies off and on."),
    client("setinfo", 4, NOSCRIPT).since("7.2.0", "Says which library the client is."),
    client("setname", 3, NOSCRIPT).since("2.6.9", "Names this connection."),
];

#[rustfmt::skip]
const COMMAND: &[Spec] = &[
    command("count", 2).since("2.8.13", "Counts the commands."),
    command("docs", -2).since("7.0.0", "Describes commands to people.")
        .costs("O(N) for N commands").tips(ANY_ORDER),
    command("getkeys", -4).since("2.8.13", "Picks the keys out of a command.")
        .costs("O(N) for N arguments"),
    command("getkeysandflags", -4).since("7.0.0", "Picks the keys out of a command, with their use.")
        .costs("O(N) for N arguments"),
    command("help", 2).since("5.0.0", "Lists the subcommands."),
    command("info", -2).since("2.8.13", "Describes commands to clients.")
        .costs("O(N) for N commands").tips(ANY_ORDER),
    command("list", -2).since("7.0.0", "Lists the names of commands.")
        .costs("O(N) for N commands of all").tips(ANY_ORDER),
];

#[rustfmt::skip]
const CONFIG: &[Spec] = &[
    config("get", -3, ADMIN | NOSCRIPT).since("2.0.0", "Reads settings.")
        .costs("O(N) for N patterns"),
    config("help", 2, 0).since("5.0.0", "Lists the subcommands."),
    config("resetstat", 2, ADMIN | NOSCRIPT).since("2.0.0", "Sets the statistics back to zero."),
    config("rewrite", 2, ADMIN | NOSCRIPT).since("2.8.0", "Refused: settings come from the outside."),
    config("set", -4, ADMIN | NOSCRIPT).since("2.0.0", "Changes settings.")
        .costs("O(N) for N settings")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const MEASURED: &[KeySpec] = &[KeySpec { first: 2, last: 0, step: 1, flags: &["RO"] }];

#[rustfmt::skip]
const MEMORY: &[Spec] = &[
    server(Name::Memory, "help", 2, OPEN).since("4.0.0", "Lists the subcommands."),
    server(Name::Memory, "usage", -3, READONLY).keys(MEASURED)
        .since("4.0.0", "The bytes that a key and its value take."),
];

#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    connection(Name::Auth, "auth", -2, GREETING).since("1.0.0", "Shows the password."),
    connection(Name::Client, "client", -2, 0).of("connection", 0).subcommands(CLIENT)
        .since("2.4.0", "Connections and their settings.").costs("depends on the subcommand"),
    connection(Name::Echo, "echo", 2, OPEN | FAST).since("1.0.0", "Answers what it is given."),
    connection(Name::Hello, "hello", -1, GREETING)
        .since("6.0.0", "Agrees on the protocol, authenticates and names the connection."),
    connection(Name::Ping, "ping", -1, FAST).since("1.0.0", "Answers PONG, or what it is given.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    connection(Name::Quit, "quit", -1, GREETING).since("1.0.0", "Closes the connection."),
    connection(Name::Reset, "reset", 1, GREETING).since("6.2.0", "Makes the connection as new."),
    connection(Name::Select, "select", 2, OPEN | FAST)
        .since("1.0.0", "Chooses a database; there is one, 0."),
    connection(Name::Command, "command", -1, OPEN).of("server", CONNECTION)
        .subcommands(COMMAND).tips(ANY_ORDER)
        .since("2.8.13", "Describes all commands to clients.").costs("O(N) for N commands of all"),
    server(Name::Config, "config", -2, 0).subcommands(CONFIG)
        .since("2.0.0", "Settings.").costs("depends on the subcommand"),
    server(Name::Info, "info", -1, OPEN).of("server", DANGEROUS)
        .since("1.0.0", "Facts and statistics of this node.")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    server(Name::Memory, "memory", -2, 0).subcommands(MEMORY)
        .since("4.0.0", "What things cost.").costs("depends on the subcommand"),
    server(Name::Shutdown, "shutdown", -1, ADMIN | NOSCRIPT | OPEN | NO_MULTI | ALLOW_BUSY)
        .since("1.0.0", "Stops this node."),
    server(Name::Time, "time", 1, OPEN | FAST).since("2.6.0", "The time of this node's clock.")
        .tips(CHANGING),
    server(Name::Wait, "wait", 3, NOSCRIPT).of("generic", CONNECTION)
        .since("3.0.0", "Counts the replicas that have all acknowledged writes.")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
];

//! The table as Redis's `COMMAND` replies show it. Clients read them to find keys in commands they do
//! not know, so shapes and words are Redis 7's; the sentences are ours.

use super::facts::{KeySpec, Spec};
use super::table::{COMMANDS, lookup, lookup_subcommand};
use crate::kv::Reply;

/// A row of the table, found by its full name.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The command, of a subcommand its container.
    pub command: &'static Spec,
    /// The subcommand.
    pub subcommand: Option<&'static Spec>,
}

impl Found {
    /// Looks up `get` or `client|id`, in whatever case.
    #[must_use]
    pub fn by_full_name(name: &[u8]) -> Option<Self> {
        let Some(bar) = name.iter().position(|&byte| byte == b'|') else {
            return Some(Self { command: lookup(name)?, subcommand: None });
        };
        let command = lookup(&name[..bar])?;
        let subcommand = Some(lookup_subcommand(command, &name[bar + 1..])?);
        Some(Self { command, subcommand })
    }

    /// All commands, without their subcommands.
    pub fn all() -> impl Iterator<Item = Self> {
        COMMANDS.iter().map(|command| Self { command, subcommand: None })
    }

    /// Its subcommands.
    pub fn subcommands(self) -> impl Iterator<Item = Self> {
        let command = self.command;
        let alone = self.subcommand.is_none();
        let subcommands = if alone { command.subcommands } else { &[] };
        subcommands.iter().map(move |subcommand| Self { command, subcommand: Some(subcommand) })
    }

    /// The row.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        self.subcommand.unwrap_or(self.command)
    }

    /// `get` or `client|id`.
    #[must_use]
    pub fn full_name(self) -> String {
        match self.subcommand {
            None => self.command.name.to_owned(),
            Some(subcommand) => format!("{}|{}", self.command.name, subcommand.name),
        }
    }

    /// What `COMMAND` and `COMMAND INFO` say of it.
    #[must_use]
    pub fn info(self) -> Reply {
        let spec = self.spec();
        let (first, last, step) = spec.key_range();
        Reply::Array(vec![
            Reply::text(self.full_name()),
            Reply::Integer(spec.arity.into()),
            statuses(spec.flag_names().map(str::to_owned)),
            Reply::Integer(first),
            Reply::Integer(last),
            Reply::Integer(step),
            statuses(spec.category_names().map(|name| format!("@{name}"))),
            Reply::Set(spec.tips.iter().map(|tip| Reply::text(*tip)).collect()),
            Reply::Set(spec.keys.iter().map(key_spec).collect()),
            // Redis gives a set if there are none, else an array.
            match self.subcommands().map(Self::info).collect::<Vec<_>>() {
                none if none.is_empty() => Reply::Set(none),
                some => Reply::Array(some),
            },
        ])
    }

    /// What `COMMAND DOCS` says of it: its full name and the facts.
    #[must_use]
    pub fn docs(self) -> (Reply, Reply) {
        let spec = self.spec();
        let mut facts = vec![
            field("summary", Reply::text(spec.summary)),
            field("since", Reply::text(spec.since)),
            field("group", Reply::text(spec.group)),
            field("complexity", Reply::text(spec.complexity)),
        ];
        if let Some((since, by)) = spec.replaced {
            facts.push(field("doc_flags", statuses(["deprecated".to_owned()])));
            facts.push(field("deprecated_since", Reply::text(since)));
            facts.push(field("replaced_by", Reply::text(by)));
        }
        if self.subcommands().next().is_some() {
            let subcommands = self.subcommands().map(Self::docs).collect();
            facts.push(field("subcommands", Reply::Map(subcommands)));
        }
        (Reply::text(self.full_name()), Reply::Map(facts))
    }
}

/// What `COMMAND GETKEYSANDFLAGS` says of a key in this place.
#[must_use]
pub fn key_flags(spec: &KeySpec) -> Reply {
    statuses(spec.flags.iter().map(|flag| (*flag).to_owned()))
}

/// The lines of a container's `HELP`.
#[must_use]
pub fn help(container: &Spec) -> Reply {
    let name = container.name.to_ascii_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![Reply::Status(first)];
    for subcommand in container.subcommands {
        lines.push(Reply::Status(subcommand.name.to_ascii_uppercase()));
        lines.push(Reply::Status(format!("    {}", subcommand.summary)));
    }
    Reply::Array(lines)
}

fn key_spec(spec: &KeySpec) -> Reply {
    let place = vec![field("index", Reply::Integer(spec.first.into()))];
    let range = vec![
        field("lastkey", Reply::Integer(spec.last.into())),
        field("keystep", Reply::Integer(spec.step.into())),
        field("limit", Reply::Integer(0)),
    ];
    Reply::Map(vec![
        field("flags", key_flags(spec)),
        field("begin_search", typed("index", place)),
        field("find_keys", typed("range", range)),
    ])
}

fn typed(kind: &str, spec: Vec<(Reply, Reply)>) -> Reply {
    Reply::Map(vec![field("type", Reply::text(kind)), field("spec", Reply::Map(spec))])
}

fn field(name: &str, value: Reply) -> (Reply, Reply) {
    (Reply::text(name), value)
}

fn statuses(names: impl IntoIterator<Item = String>) -> Reply {
    Reply::Set(names.into_iter().map(Reply::Status).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_bar_are_subcommands() {
        assert_eq!(Found::by_full_name(b"CLIENT|ID").unwrap().full_name(), "client|id");
        assert_eq!(Found::by_full_name(b"Get").unwrap().full_name(), "get");
        for nothing in [&b"client|"[..], b"client|id|", b"|id", b"get|id", b"nothing"] {
            assert!(Found::by_full_name(nothing).is_none());
        }
    }

    #[test]
    fn the_info_of_a_command_has_ten_parts_in_order() {
        let Reply::Array(parts) = Found::by_full_name(b"mset").unwrap().info() else { panic!() };
        assert_eq!(parts.len(), 10);
        assert_eq!(parts[0], Reply::text("mset"));
        assert_eq!(parts[1], Reply::Integer(-3));
        assert_eq!(parts[2], statuses(["write".into(), "denyoom".into()]));
        assert_eq!(parts[3..6], [Reply::Integer(1), Reply::Integer(-1), Reply::Integer(2)]);
        assert_eq!(parts[6], statuses(["@write".into(), "@string".into(), "@slow".into()]));
        let Reply::Array(client) = Found::by_full_name(b"client").unwrap().info() else { panic!() };
        let Reply::Array(subcommands) = &client[9] else { panic!() };
        let Reply::Array(subcommand) = &subcommands[0] else { panic!() };
        assert_eq!(subcommand[0], Reply::text("client|getname"));
    }
}

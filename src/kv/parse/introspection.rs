//! COMMAND: answered from the table of commands alone.

use super::arguments::{Answer, is};
use super::parsed::Parsed;
use super::resolve::Resolved;
use crate::kv::glob;
use crate::kv::spec::{Found, category, help, key_flags};
use crate::kv::{Reply, ReplyError};
use bytes::Bytes;

pub(super) fn parse(found: Resolved, arguments: &[Bytes]) -> Answer<Parsed> {
    let rest = &arguments[arguments.len().min(2)..];
    let reply = match found.subcommand.map(|subcommand| subcommand.name) {
        None => Reply::Array(Found::all().map(Found::info).collect()),
        Some("count") => Reply::Integer(i64::try_from(Found::all().count()).unwrap_or(i64::MAX)),
        Some("info") if rest.is_empty() => Reply::Array(Found::all().map(Found::info).collect()),
        Some("info") => {
            let info = |name: &Bytes| Found::by_full_name(name).map_or(Reply::Nil, Found::info);
            Reply::Array(rest.iter().map(info).collect())
        }
        Some("docs") if rest.is_empty() => Reply::Map(Found::all().map(Found::docs).collect()),
        Some("docs") => {
            let found = rest.iter().filter_map(|name| Found::by_full_name(name));
            Reply::Map(found.map(Found::docs).collect())
        }
        Some("list") => list(rest)?,
        Some("getkeys") => Reply::Array(keys(rest)?.into_iter().map(|(key, _)| key).collect()),
        Some("getkeysandflags") => {
            let with_flags = |(key, flags)| Reply::Array(vec![key, flags]);
            Reply::Array(keys(rest)?.into_iter().map(with_flags).collect())
        }
        Some(_) => help(found.command),
    };
    Ok(Parsed::Answer(reply))
}

fn list(rest: &[Bytes]) -> Answer<Reply> {
    let everything =
        || Found::all().flat_map(|found| [found].into_iter().chain(found.subcommands()));
    let names: Vec<String> = match rest {
        [] => Found::all().map(Found::full_name).collect(),
        [filter, kind, value] if is(filter, "FILTERBY") => match kind {
            // There are no modules.
            kind if is(kind, "MODULE") => Vec::new(),
            kind if is(kind, "ACLCAT") => {
                let wanted = category::by_name(value);
                let has = |found: &Found| found.spec().all_categories() & wanted != 0;
                everything().filter(has).map(Found::full_name).collect()
            }
            kind if is(kind, "PATTERN") => {
                let pattern = value.to_ascii_lowercase();
                let fits = |name: &String| glob::matches(&pattern, name.as_bytes());
                everything().map(Found::full_name).filter(fits).collect()
            }
            _ => return Err(ReplyError::syntax()),
        },
        _ => return Err(ReplyError::syntax()),
    };
    Ok(Reply::Array(names.into_iter().map(Reply::text).collect()))
}

/// The keys of a command given in words, each with its flags.
fn keys(words: &[Bytes]) -> Answer<Vec<(Reply, Reply)>> {
    let invalid = || ReplyError::err("Invalid command specified");
    let name = words.first().ok_or_else(invalid)?;
    let mut found = Found::by_full_name(name).filter(|found| found.subcommand.is_none());
    if let (Some(container), Some(word)) = (found, words.get(1))
        && container.subcommands().next().is_some()
    {
        found = container.subcommands().find(|found| is(word, found.spec().name));
    }
    let spec = found.ok_or_else(invalid)?.spec();
    if spec.keys.is_empty() {
        return Err(ReplyError::err("The command has no key arguments"));
    }
    if !spec.takes(words.len()) {
        let text = "Invalid number of arguments specified for command";
        return Err(ReplyError::err(text));
    }
    let positions = spec.keys.iter().flat_map(|keys| {
        keys.positions(words.len()).map(move |position| (position, key_flags(keys)))
    });
    Ok(positions.map(|(at, flags)| (Reply::Bulk(words[at].clone()), flags)).collect())
}

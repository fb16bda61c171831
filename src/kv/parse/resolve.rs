//! Which command it is: the name, perhaps a subcommand, and the number of arguments.

use super::arguments::{Answer, shown};
use super::parsed::Parsed;
use super::{connection, introspection, keyspace, server, strings};
use crate::kv::ReplyError;
use crate::kv::spec::{Found, Name, lookup, lookup_subcommand};
use bytes::Bytes;

/// How much of an unknown command is shown to its sender, bytes.
const SHOWN_BYTES: usize = 128;

/// A command that exists and has the right number of arguments.
pub type Resolved = Found;

/// Looks the command up. A connection that must authenticate first checks the flags of what it gets
/// before it parses on.
///
/// # Errors
/// For an unknown command or subcommand, or a wrong number of arguments.
pub fn resolve(arguments: &[Bytes]) -> Answer<Resolved> {
    let (name, rest) = match arguments {
        [name, rest @ ..] => (name.as_ref(), rest),
        [] => (&b""[..], arguments),
    };
    let Some(command) = lookup(name) else {
        return Err(unknown_command(name, rest));
    };
    let subcommand = match rest.first() {
        Some(word) if !command.subcommands.is_empty() => match lookup_subcommand(command, word) {
            Some(subcommand) => Some(subcommand),
            None => {
                return Err(ReplyError::err(format!(
                    "unknown subcommand '{}'. Try {} HELP.",
                    shown(cut(word, SHOWN_BYTES)),
                    command.name.to_ascii_uppercase()
                )));
            }
        },
        _ => None,
    };
    let found = Found { command, subcommand };
    if !found.spec().takes(arguments.len()) {
        return Err(ReplyError::arity(&found.full_name()));
    }
    Ok(found)
}

/// Reads the arguments of a command that was looked up before.
///
/// # Errors
/// What the client did wrong.
pub fn parse(found: Resolved, arguments: &[Bytes]) -> Answer<Parsed> {
    use Name as N;
    let id = found.command.id;
    match id {
        N::Append
        | N::Decr
        | N::DecrBy
        | N::Get
        | N::GetDel
        | N::GetEx
        | N::GetRange
        | N::GetSet
        | N::Incr
        | N::IncrBy
        | N::IncrByFloat
        | N::MGet
        | N::MSet
        | N::MSetNx
        | N::PSetEx
        | N::Set
        | N::SetEx
        | N::SetNx
        | N::SetRange
        | N::StrLen
        | N::SubStr => strings::parse(id, arguments),
        N::Copy
        | N::DbSize
        | N::Del
        | N::Exists
        | N::Expire
        | N::ExpireAt
        | N::ExpireTime
        | N::FlushAll
        | N::FlushDb
        | N::Keys
        | N::Object
        | N::Persist
        | N::PExpire
        | N::PExpireAt
        | N::PExpireTime
        | N::PTtl
        | N::RandomKey
        | N::Rename
        | N::RenameNx
        | N::Scan
        | N::Touch
        | N::Ttl
        | N::Type
        | N::Unlink => keyspace::parse(found, arguments),
        N::Auth
        | N::Client
        | N::Echo
        | N::Hello
        | N::Ping
        | N::Quit
        | N::Reset
        | N::Select
        | N::Asking
        | N::ReadOnly
        | N::ReadWrite => connection::parse(found, arguments),
        N::Command => introspection::parse(found, arguments),
        N::Config
        | N::Info
        | N::Memory
        | N::Shutdown
        | N::Time
        | N::Wait
        | N::Cluster
        | N::ShardGroup => server::parse(found, arguments),
    }
}

fn unknown_command(name: &[u8], rest: &[Bytes]) -> ReplyError {
    let mut beginning = String::new();
    let mut room = SHOWN_BYTES;
    for word in rest {
        if room == 0 {
            break;
        }
        let word = cut(word, room);
        beginning += &format!("'{}' ", shown(word));
        room = room.saturating_sub(word.len() + 3);
    }
    let name = shown(cut(name, SHOWN_BYTES));
    ReplyError::err(format!("unknown command '{name}', with args beginning with: {beginning}"))
}

/// The start of a word; as in Redis, a zero byte ends it.
fn cut(word: &[u8], limit: usize) -> &[u8] {
    let word = &word[..word.len().min(limit)];
    word.split(|&byte| byte == 0).next().unwrap_or_default()
}

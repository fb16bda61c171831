//! The commands on the connection.

use super::arguments::{Answer, integer, is, shown};
use super::parsed::{
    ClientCommand, ClientFilter, ConnectionCommand, Hello, Kill, KillFilter, Parsed, ReplyMode,
};
use super::resolve::Resolved;
use crate::kv::spec::{Name, help};
use crate::kv::{Reply, ReplyError, number};
use bytes::Bytes;

pub(super) fn parse(found: Resolved, arguments: &[Bytes]) -> Answer<Parsed> {
    use ConnectionCommand as C;
    let command = match (found.command.id, arguments) {
        (Name::Ping, [_]) => return Ok(Parsed::Answer(Reply::Status("PONG".to_owned()))),
        (Name::Ping | Name::Echo, [_, text]) => {
            return Ok(Parsed::Answer(Reply::Bulk(text.clone())));
        }
        (Name::Select, [_, database]) => {
            return match integer(database)? {
                0 => Ok(Parsed::Answer(Reply::Ok)),
                _ => Err(ReplyError::err("DB index is out of range")),
            };
        }
        (Name::Hello, [_, options @ ..]) => C::Hello(hello(options)?),
        (Name::Auth, [_, password]) => C::Auth { user: None, password: password.clone() },
        (Name::Auth, [_, user, password]) => {
            C::Auth { user: Some(user.clone()), password: password.clone() }
        }
        (Name::Auth, _) => return Err(ReplyError::syntax()),
        (Name::Quit, _) => C::Quit,
        (Name::Reset, _) => C::Reset,
        (Name::ReadOnly, _) => C::ReadOnly(true),
        (Name::ReadWrite, _) => C::ReadOnly(false),
        (Name::Asking, _) => C::Asking,
        (Name::Client, [_, _, rest @ ..]) => match client(found, rest)? {
            Some(command) => C::Client(command),
            None => return Ok(Parsed::Answer(help(found.command))),
        },
        _ => return Err(ReplyError::arity(&found.full_name())),
    };
    Ok(Parsed::Connection(command))
}

fn hello(options: &[Bytes]) -> Answer<Hello> {
    let mut hello = Hello::default();
    let [version, options @ ..] = options else { return Ok(hello) };
    hello.version = match number::integer(version) {
        Some(2) => Some(2),
        Some(3) => Some(3),
        Some(_) => return Err(ReplyError::new("NOPROTO", "unsupported protocol version")),
        None => {
            let text = "Protocol version is not an integer or out of range";
            return Err(ReplyError::err(text));
        }
    };
    let mut rest = options;
    while let [option, after @ ..] = rest {
        rest = match after {
            [user, password, after @ ..] if is(option, "AUTH") => {
                hello.auth = Some((user.clone(), password.clone()));
                after
            }
            [name, after @ ..] if is(option, "SETNAME") => {
                check_name(name, "Client names")?;
                hello.name = Some(name.clone());
                after
            }
            _ => {
                let text = format!("Syntax error in HELLO option '{}'", shown(option));
                return Err(ReplyError::err(text));
            }
        };
    }
    Ok(hello)
}

/// A CLIENT subcommand; `None` for its help.
fn client(found: Resolved, rest: &[Bytes]) -> Answer<Option<ClientCommand>> {
    Ok(Some(match (found.spec().name, rest) {
        ("getname", _) => ClientCommand::GetName,
        ("id", _) => ClientCommand::Id,
        ("info", _) => ClientCommand::Info,
        ("setname", [name]) => {
            check_name(name, "Client names")?;
            ClientCommand::SetName(name.clone())
        }
        ("setinfo", [what, value]) if is(what, "LIB-NAME") => {
            check_name(value, "lib-name")?;
            ClientCommand::SetLibraryName(value.clone())
        }
        ("setinfo", [what, value]) if is(what, "LIB-VER") => {
            check_name(value, "lib-ver")?;
            ClientCommand::SetLibraryVersion(value.clone())
        }
        ("setinfo", [what, _]) => {
            return Err(ReplyError::err(format!("Unrecognized option '{}'", shown(what))));
        }
        ("reply", [mode]) => ClientCommand::Reply(match mode {
            mode if is(mode, "ON") => ReplyMode::On,
            mode if is(mode, "OFF") => ReplyMode::Off,
            mode if is(mode, "SKIP") => ReplyMode::Skip,
            _ => return Err(ReplyError::syntax()),
        }),
        ("no-evict", [on]) => ClientCommand::NoEvict(switch(on, "ON", "OFF")?),
        ("no-touch", [on]) => ClientCommand::NoTouch(switch(on, "ON", "OFF")?),
        ("list", rest) => ClientCommand::List(list(rest)?),
        ("kill", rest) => ClientCommand::Kill(kill(rest)?),
        _ => return Ok(None),
    }))
}

fn list(rest: &[Bytes]) -> Answer<ClientFilter> {
    match rest {
        [] => Ok(ClientFilter::All),
        [option, kind] if is(option, "TYPE") => {
            Ok(if is_normal(kind)? { ClientFilter::All } else { ClientFilter::None })
        }
        [option, ids @ ..] if is(option, "ID") && !ids.is_empty() => {
            let id = |word: &Bytes| {
                let id = number::integer(word).and_then(|id| u64::try_from(id).ok());
                id.ok_or_else(|| ReplyError::err("Invalid client ID"))
            };
            Ok(ClientFilter::Ids(ids.iter().map(id).collect::<Answer<_>>()?))
        }
        _ => Err(ReplyError::syntax()),
    }
}

fn kill(rest: &[Bytes]) -> Answer<Kill> {
    if let [address] = rest {
        return Ok(Kill::Address(address.clone()));
    }
    let mut filter = KillFilter {
        id: None,
        address: None,
        local_address: None,
        user: None,
        normal: true,
        skip_me: true,
    };
    let (options, odd) = rest.as_chunks::<2>();
    for [option, value] in options {
        match option {
            option if is(option, "ID") => {
                let id = number::integer(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                let text = "client-id should be greater than 0";
                filter.id = Some(id.ok_or_else(|| ReplyError::err(text))?);
            }
            option if is(option, "ADDR") => filter.address = Some(value.clone()),
            option if is(option, "LADDR") => filter.local_address = Some(value.clone()),
            option if is(option, "TYPE") => filter.normal = is_normal(value)?,
            option if is(option, "SKIPME") => filter.skip_me = switch(value, "YES", "NO")?,
            option if is(option, "USER") => {
                if !is_default(value) {
                    return Err(ReplyError::err(format!("No such user '{}'", shown(value))));
                }
                filter.user = Some(value.clone());
            }
            _ => return Err(ReplyError::syntax()),
        }
    }
    if odd.is_empty() { Ok(Kill::Filter(filter)) } else { Err(ReplyError::syntax()) }
}

/// The one user there is; names of users know upper and lower case.
fn is_default(user: &[u8]) -> bool {
    user == b"default"
}

/// Whether a type of clients is that of all of ours, or another that Redis knows.
fn is_normal(kind: &[u8]) -> Answer<bool> {
    if is(kind, "normal") {
        return Ok(true);
    }
    if ["master", "replica", "slave", "pubsub"].iter().any(|other| is(kind, other)) {
        return Ok(false);
    }
    Err(ReplyError::err(format!("Unknown client type '{}'", shown(kind))))
}

fn switch(word: &[u8], on: &str, off: &str) -> Answer<bool> {
    match word {
        word if is(word, on) => Ok(true),
        word if is(word, off) => Ok(false),
        _ => Err(ReplyError::syntax()),
    }
}

/// Names stand in lines apart by blanks, so they hold neither.
fn check_name(name: &[u8], what: &str) -> Answer<()> {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    let text = format!("{what} cannot contain spaces, newlines or special characters.");
    Err(ReplyError::err(text))
}

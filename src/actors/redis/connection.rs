//! One client connection: bytes in, a turn, bytes out, until it ends.

use super::held::Held;
use super::output::Output;
use super::port::PortContext;
use super::registry::Entry;
use super::turn::{Turn, ValueSize, value_bytes};
use super::{keyspace, server};
use crate::actors::router::{Mode, Router};
use crate::ids::Bucket;
use crate::kv::parse::{
    ClientCommand, ClientFilter, ConnectionCommand, Hello, Kill, KillFilter, Parsed, ReplyMode,
    parse, resolve,
};
use crate::kv::spec::flag;
use crate::kv::{Reply, ReplyError};
use crate::limits;
use crate::net::resp::{Decoder, ProtocolError, Request, RespVersion};
use bytes::BytesMut;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// What was found in the read buffer.
struct Taken {
    requests: Vec<Request>,
    trouble: Option<ProtocolError>,
    /// Nothing whole is left in it.
    starved: bool,
}

/// What was taken from the client at one time and is being carried out.
struct Batch {
    start: Instant,
    turn: Turn,
    /// How each command of the turn is answered: with its name, in which protocol, or not at all.
    pending: Vec<(&'static str, RespVersion, bool)>,
}

/// A connection's own state.
pub(super) struct Connection {
    pub(super) context: Arc<PortContext>,
    pub(super) router: Router,
    pub(super) entry: Arc<Entry>,
    pub(super) version: RespVersion,
    authenticated: bool,
    closing: bool,
    silent: bool,
    skip: bool,
    /// READONLY was sent: reads may be answered by an observer here.
    readonly: bool,
    value_size: ValueSize,
}

impl Connection {
    pub(super) fn new(context: Arc<PortContext>, router: Router, entry: Arc<Entry>) -> Self {
        let authenticated = context.settings.password.is_none();
        let value_size = ValueSize::unknown(router.value_bytes_max());
        Self {
            context,
            router,
            entry,
            version: RespVersion::Resp2,
            authenticated,
            closing: false,
            silent: false,
            skip: false,
            readonly: false,
            value_size,
        }
    }

    fn mode(&self) -> Mode {
        self.context.kind.mode()
    }

    /// Serves the connection until either side closes it.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> std::io::Result<()> {
        let mut decoder = Decoder::new(self.limits());
        let mut held = Held::new(self.router.shared());
        let mut output = Output::new(stream, self.entry.clone());
        let mut buffer = BytesMut::new();
        loop {
            let Taken { requests, trouble, starved } = self.take(&mut decoder, &mut buffer);
            let room = held.unfinished(decoder.held_bytes().saturating_add(buffer.len()));
            if !requests.is_empty() {
                self.run(requests, &mut output).await?;
                decoder.set_limits(self.limits());
            }
            if let Some(trouble) = &trouble {
                self.context.metrics.protocol_errors.increment(1);
                if *trouble != ProtocolError::Http {
                    output.line(trouble.to_line().as_bytes());
                }
            } else if !room {
                let why = "this node holds too many bytes of requests that are not whole yet";
                output.reply(ReplyError::not_done(why).into(), self.version).await?;
            }
            output.write().await?;
            let refused = trouble.is_some() || !room;
            if refused || self.closing || self.entry.is_killed() {
                return output.finish(refused).await;
            }
            if starved {
                let read = output.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(());
                }
                held.received(read);
            }
        }
    }

    fn limits(&self) -> crate::net::resp::Limits {
        crate::net::resp::Limits {
            bulk_bytes_max: self.router.value_bytes_max(),
            authenticated: self.authenticated,
            ..crate::net::resp::Limits::default()
        }
    }

    /// Cuts the commands that have arrived out of the buffer, up to one turn's worth.
    fn take(&self, decoder: &mut Decoder, buffer: &mut BytesMut) -> Taken {
        let mut taken = Taken { requests: Vec::new(), trouble: None, starved: false };
        let mut bytes = 0;
        while taken.requests.len() < limits::PIPELINE_COMMANDS_MAX
            && bytes < limits::PIPELINE_BYTES_MAX
        {
            match decoder.decode(buffer) {
                Ok(Some(request)) => {
                    bytes += request.arguments.iter().map(bytes::Bytes::len).sum::<usize>();
                    taken.requests.push(request);
                    // What authentication changes is judged before more is taken.
                    if !self.authenticated {
                        break;
                    }
                }
                Ok(None) => {
                    taken.starved = true;
                    break;
                }
                Err(trouble) => {
                    taken.trouble = Some(trouble);
                    break;
                }
            }
        }
        taken
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        requests: Vec<Request>,
        output: &mut Output<'_, S>,
    ) -> std::io::Result<()> {
        self.context.registry.commands.fetch_add(requests.len() as u64, Relaxed);
        let mut batch = Batch {
            start: Instant::now(),
            turn: Turn::new(&self.value_size),
            pending: Vec::with_capacity(requests.len()),
        };
        let mut last = None;
        for request in requests {
            if batch.turn.is_full() {
                self.flush(&mut batch, output).await?;
            }
            let found = resolve(&request.arguments);
            let name = found.as_ref().map_or("unknown", |found| found.command.name);
            let parsed = found.and_then(|found| {
                if !self.authenticated && !found.spec().is(flag::NO_AUTH) {
                    return Err(ReplyError::new("NOAUTH", "Authentication required."));
                }
                parse(found, &request.arguments)
            });
            let mut shown = !self.silent;
            match parsed {
                Ok(Parsed::Data(command)) => self.data(&mut batch, command, output).await?,
                Ok(Parsed::Split(split)) => self.split(&mut batch, split, output).await?,
                Ok(Parsed::Answer(reply)) => batch.turn.ready(reply),
                Err(error) => batch.turn.ready(error.into()),
                Ok(Parsed::Connection(command)) => {
                    let was_skipping = std::mem::take(&mut self.skip);
                    let reply = self.connection(command);
                    shown = !self.silent && !was_skipping && !self.skip && reply.is_some();
                    batch.turn.ready(reply.unwrap_or(Reply::Ok));
                    last = Some((name, self.version));
                    batch.pending.push((name, self.version, shown));
                    if self.closing {
                        break;
                    }
                    continue;
                }
                // What concerns more than its own keys waits for what came before it.
                Ok(Parsed::Cluster(command)) => {
                    self.flush(&mut batch, output).await?;
                    batch.turn.ready(keyspace::run(self, command).await);
                }
                Ok(Parsed::Server(command)) => {
                    self.flush(&mut batch, output).await?;
                    batch.turn.ready(server::run(self, command).await);
                }
            }
            shown &= !std::mem::take(&mut self.skip);
            last = Some((name, self.version));
            batch.pending.push((name, self.version, shown));
        }
        if let Some((name, version)) = last {
            self.entry.set_last(name, if version == RespVersion::Resp3 { 3 } else { 2 });
        }
        self.flush(&mut batch, output).await
    }

    /// Sends off what the turn has gathered, brings the client the replies, and begins another turn.
    async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        batch: &mut Batch,
        output: &mut Output<'_, S>,
    ) -> std::io::Result<()> {
        if batch.pending.is_empty() {
            return Ok(());
        }
        let turn = std::mem::replace(&mut batch.turn, Turn::new(&self.value_size));
        let asked = turn.asks_for_values();
        let replies = turn.finish(&self.router, self.mode()).await;
        let seconds = batch.start.elapsed().as_secs_f64();
        let mut largest = 0;
        for (reply, (name, version, shown)) in replies.into_iter().zip(batch.pending.drain(..)) {
            self.context.latency(name, seconds);
            largest = largest.max(value_bytes(&reply));
            if shown {
                output.reply(reply, version).await?;
            }
        }
        if asked {
            self.value_size.seen(largest);
        }
        batch.turn = Turn::new(&self.value_size);
        Ok(())
    }

    async fn data<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        batch: &mut Batch,
        command: crate::kv::Command,
        output: &mut Output<'_, S>,
    ) -> std::io::Result<()> {
        let Some(bucket) = command.bucket() else {
            batch.turn.ready(ReplyError::err("a command without a key").into());
            return Ok(());
        };
        let may_observe = self.readonly && !command.is_write();
        if let Some(error) =
            self.redirect(bucket).filter(|_| !(may_observe && self.router.observes(bucket)))
        {
            batch.turn.ready(error.into());
        } else if let Err(command) = batch.turn.data(&self.router, bucket, command) {
            self.flush(batch, output).await?;
            let taken = batch.turn.data(&self.router, bucket, command);
            assert!(taken.is_ok(), "an empty turn takes any command");
        }
        Ok(())
    }

    async fn split<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        batch: &mut Batch,
        split: crate::kv::parse::Split,
        output: &mut Output<'_, S>,
    ) -> std::io::Result<()> {
        // Redis Cluster's clients split by slot themselves.
        if self.mode() == Mode::Here {
            batch.turn.ready(ReplyError::cross_slot().into());
        } else if let Err(split) = batch.turn.split(&self.router, split) {
            self.flush(batch, output).await?;
            let taken = batch.turn.split(&self.router, split);
            assert!(taken.is_ok(), "an empty turn takes any command");
        }
        Ok(())
    }

    /// On the cluster port: where to ask for this bucket, if not here.
    pub(super) fn redirect(&self, bucket: Bucket) -> Option<ReplyError> {
        if self.mode() == Mode::Cluster {
            return None;
        }
        super::cluster::redirect(&self.router, bucket)
    }

    /// Commands on the connection itself; `None` is answered with silence.
    fn connection(&mut self, command: ConnectionCommand) -> Option<Reply> {
        Some(match command {
            ConnectionCommand::Hello(hello) => self.hello(hello),
            ConnectionCommand::Auth { user, password } => {
                match self.check(user.as_deref(), &password) {
                    Ok(()) => Reply::Ok,
                    Err(error) => error.into(),
                }
            }
            ConnectionCommand::Quit => {
                self.closing = true;
                Reply::Ok
            }
            ConnectionCommand::Reset => {
                self.version = RespVersion::Resp2;
                self.authenticated = self.context.settings.password.is_none();
                self.silent = false;
                self.readonly = false;
                self.entry.set_name(b"");
                Reply::Status("RESET".into())
            }
            // On the plain port reads may be answered anywhere in any case.
            ConnectionCommand::ReadOnly(readonly) => {
                self.readonly = readonly;
                Reply::Ok
            }
            ConnectionCommand::Asking => Reply::Ok,
            ConnectionCommand::Client(command) => return self.client(command),
        })
    }

    fn check(&mut self, user: Option<&[u8]>, password: &[u8]) -> Result<(), ReplyError> {
        let Some(wanted) = &self.context.settings.password else {
            return if user.is_none() {
                Err(ReplyError::err(
                    "AUTH <password> called without any password configured for the default user. \
                     Are you sure your configuration is correct?",
                ))
            } else {
                Ok(())
            };
        };
        let user_fits = user.is_none_or(|user| user == b"default");
        if user_fits && same(wanted.as_bytes(), password) {
            self.authenticated = true;
            Ok(())
        } else {
            Err(ReplyError::new("WRONGPASS", "invalid username-password pair or user is disabled."))
        }
    }

    fn hello(&mut self, hello: Hello) -> Reply {
        if let Some((user, password)) = &hello.auth
            && self.context.settings.password.is_some()
            && let Err(error) = self.check(Some(user), password)
        {
            return error.into();
        }
        if !self.authenticated {
            return ReplyError::new(
                "NOAUTH",
                "HELLO must be called with the client already authenticated, otherwise the HELLO \
                 <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
                 the RESP protocol version at the same time",
            )
            .into();
        }
        if let Some(name) = &hello.name {
            self.entry.set_name(name);
        }
        match hello.version {
            Some(3) => self.version = RespVersion::Resp3,
            Some(_) => self.version = RespVersion::Resp2,
            None => {}
        }
        let text = |text: &str| Reply::text(text);
        let version = if self.version == RespVersion::Resp3 { 3 } else { 2 };
        let mode = if self.mode() == Mode::Here { "cluster" } else { "standalone" };
        Reply::Map(vec![
            (text("server"), text("redis")),
            (text("version"), text(super::info::REDIS_VERSION)),
            (text("proto"), Reply::Integer(version)),
            (text("id"), Reply::Integer(self.entry.id.cast_signed())),
            (text("mode"), text(mode)),
            (text("role"), text("master")),
            (text("modules"), Reply::Array(Vec::new())),
        ])
    }

    fn client(&mut self, command: ClientCommand) -> Option<Reply> {
        let registry = &self.context.registry;
        Some(match command {
            ClientCommand::GetName => match self.entry.name() {
                name if name.is_empty() => Reply::Nil,
                name => Reply::text(name),
            },
            ClientCommand::SetName(name) => {
                self.entry.set_name(&name);
                Reply::Ok
            }
            ClientCommand::Id => Reply::Integer(self.entry.id.cast_signed()),
            ClientCommand::Info => Reply::Verbatim(self.entry.line()),
            ClientCommand::List(filter) => Reply::Verbatim(match filter {
                ClientFilter::All => registry.list(|_| true),
                ClientFilter::None => String::new(),
                ClientFilter::Ids(ids) => registry.list(|id| ids.contains(&id)),
            }),
            ClientCommand::Kill(Kill::Address(address)) => {
                let filter = KillFilter {
                    id: None,
                    address: Some(address),
                    local_address: None,
                    user: None,
                    normal: true,
                    skip_me: false,
                };
                match registry.kill(self.entry.id, &filter) {
                    0 => ReplyError::err("No such client").into(),
                    _ => Reply::Ok,
                }
            }
            ClientCommand::Kill(Kill::Filter(filter)) => {
                let killed = registry.kill(self.entry.id, &filter);
                Reply::Integer(i64::try_from(killed).unwrap_or(i64::MAX))
            }
            ClientCommand::SetLibraryName(name) => {
                self.entry.set_library(&name);
                Reply::Ok
            }
            ClientCommand::SetLibraryVersion(version) => {
                self.entry.set_library_version(&version);
                Reply::Ok
            }
            ClientCommand::NoEvict(_) | ClientCommand::NoTouch(_) => Reply::Ok,
            ClientCommand::Reply(mode) => {
                self.silent = mode == ReplyMode::Off;
                self.skip = mode == ReplyMode::Skip;
                return (mode == ReplyMode::On).then_some(Reply::Ok);
            }
        })
    }
}

/// Compares without telling by its time how much was right.
fn same(wanted: &[u8], given: &[u8]) -> bool {
    let differs = wanted.iter().zip(given).fold(0, |differs, (a, b)| differs | (a ^ b));
    wanted.len() == given.len() && differs == 0
}

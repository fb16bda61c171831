//! What is known of a command besides how it works: the words in which the tables of this folder are
//! written. They are the words of Redis's `COMMAND` reply, which clients read to route keys.

/// Names a command. One per row of the table; subcommands are named by their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the command of that name")]
#[rustfmt::skip]
pub enum Name {
    Append, Decr, DecrBy, Get, GetDel, GetEx, GetRange, GetSet, Incr, IncrBy, IncrByFloat, MGet, MSet,
    MSetNx, PSetEx, Set, SetEx, SetNx, SetRange, StrLen, SubStr,
    Copy, DbSize, Del, Exists, Expire, ExpireAt, ExpireTime, FlushAll, FlushDb, Keys, Persist, PExpire,
    Object, PExpireAt, PExpireTime, PTtl, RandomKey, Rename, RenameNx, Scan, Touch, Ttl, Type, Unlink,
    Auth, Client, Echo, Hello, Ping, Quit, Reset, Select,
    Command, Config, Info, Memory, Shutdown, Time, Wait,
    Asking, Cluster, ReadOnly, ReadWrite, ShardGroup,
}

/// The facts of one command or subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which command; a subcommand carries its container's.
    pub id: Name,
    /// In lower case; of a subcommand only its own part.
    pub name: &'static str,
    /// Arguments with the name (and the subcommand's): exactly this many, or at least, if negative.
    pub arity: i8,
    /// See [`flag`].
    pub flags: u32,
    /// Categories that do not follow from the flags; see [`category`].
    pub categories: u32,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// The chapter of the manual.
    pub group: &'static str,
    /// The version of Redis that had it first; of ours, where Redis has no such command.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What to use in its place, if it is outdated: since when, and what.
    pub replaced: Option<(&'static str, &'static str)>,
    /// Hints for clients that split commands over nodes.
    pub tips: &'static [&'static str],
    /// Its subcommands; a command with some does nothing alone, `COMMAND` excepted.
    pub subcommands: &'static [Spec],
}

/// Where keys stand among the arguments; the name is argument 0.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// The first key.
    pub first: u8,
    /// The last one, counted from the first; negative: from the end of the arguments.
    pub last: i8,
    /// From one key to the next.
    pub step: u8,
    /// What is done with them, in Redis's words.
    pub flags: &'static [&'static str],
}

/// Flags of commands.
#[expect(missing_docs, reason = "Redis's words")]
pub mod flag {
    pub const WRITE: u32 = 1;
    pub const READONLY: u32 = 1 << 1;
    /// May grow the data: refused when the disk is nearly full.
    pub const DENYOOM: u32 = 1 << 2;
    pub const ADMIN: u32 = 1 << 3;
    pub const NOSCRIPT: u32 = 1 << 4;
    pub const LOADING: u32 = 1 << 5;
    pub const STALE: u32 = 1 << 6;
    pub const FAST: u32 = 1 << 7;
    /// May be sent before authentication.
    pub const NO_AUTH: u32 = 1 << 8;
    pub const NO_MULTI: u32 = 1 << 9;
    pub const ALLOW_BUSY: u32 = 1 << 10;

    /// In the order in which Redis lists them.
    pub(super) const NAMES: [(u32, &str); 11] = [
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (NOSCRIPT, "noscript"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MULTI, "no_multi"),
        (ALLOW_BUSY, "allow_busy"),
    ];
}

/// Categories of commands, as access lists name them.
#[expect(missing_docs, reason = "Redis's words")]
pub mod category {
    pub const KEYSPACE: u32 = 1;
    pub const READ: u32 = 1 << 1;
    pub const WRITE: u32 = 1 << 2;
    pub const STRING: u32 = 1 << 3;
    pub const ADMIN: u32 = 1 << 4;
    pub const FAST: u32 = 1 << 5;
    pub const SLOW: u32 = 1 << 6;
    pub const DANGEROUS: u32 = 1 << 7;
    pub const CONNECTION: u32 = 1 << 8;

    /// In the order in which Redis lists them.
    pub(super) const NAMES: [(u32, &str); 9] = [
        (KEYSPACE, "keyspace"),
        (READ, "read"),
        (WRITE, "write"),
        (STRING, "string"),
        (ADMIN, "admin"),
        (FAST, "fast"),
        (SLOW, "slow"),
        (DANGEROUS, "dangerous"),
        (CONNECTION, "connection"),
    ];

    /// The category of this name, in whatever case; 0 if there is none.
    #[must_use]
    pub fn by_name(name: &[u8]) -> u32 {
        let found = NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map_or(0, |(bit, _)| *bit)
    }
}

impl Spec {
    pub(super) const fn new(id: Name, name: &'static str, arity: i8, flags: u32) -> Self {
        Self {
            id,
            name,
            arity,
            flags,
            categories: 0,
            keys: &[],
            group: "",
            since: "",
            complexity: "O(1)",
            summary: "",
            replaced: None,
            tips: &[],
            subcommands: &[],
        }
    }

    pub(super) const fn of(self, group: &'static str, categories: u32) -> Self {
        Self { group, categories, ..self }
    }

    pub(super) const fn keys(self, keys: &'static [KeySpec]) -> Self {
        Self { keys, ..self }
    }

    pub(super) const fn since(self, since: &'static str, summary: &'static str) -> Self {
        Self { since, summary, ..self }
    }

    pub(super) const fn costs(self, complexity: &'static str) -> Self {
        Self { complexity, ..self }
    }

    pub(super) const fn tips(self, tips: &'static [&'static str]) -> Self {
        Self { tips, ..self }
    }

    pub(super) const fn replaced(self, since: &'static str, by: &'static str) -> Self {
        Self { replaced: Some((since, by)), ..self }
    }

    pub(super) const fn subcommands(self, subcommands: &'static [Spec]) -> Self {
        Self { subcommands, ..self }
    }

    /// Whether all these flags are set.
    #[must_use]
    pub const fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether a command of `count` arguments, its name included, has the right number.
    #[must_use]
    pub fn takes(&self, count: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// All categories, those that follow from the flags included.
    #[must_use]
    pub const fn all_categories(&self) -> u32 {
        let mut all = self.categories;
        if self.is(flag::WRITE) {
            all |= category::WRITE;
        }
        if self.is(flag::READONLY) {
            all |= category::READ;
        }
        if self.is(flag::ADMIN) {
            all |= category::ADMIN | category::DANGEROUS;
        }
        all | if self.is(flag::FAST) { category::FAST } else { category::SLOW }
    }

    /// The flags' names.
    pub fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        let flags = self.flags;
        flag::NAMES.into_iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| name)
    }

    /// The categories' names, without their `@`.
    pub fn category_names(&self) -> impl Iterator<Item = &'static str> {
        let all = self.all_categories();
        category::NAMES.into_iter().filter(move |(bit, _)| all & bit != 0).map(|(_, name)| name)
    }

    /// First key, last key (negative: from the end) and step, as clients older than key
    /// specifications want them; zeros without keys.
    #[must_use]
    pub fn key_range(&self) -> (i64, i64, i64) {
        let (Some(first), Some(last)) = (self.keys.first(), self.keys.last()) else {
            return (0, 0, 0);
        };
        let end = if last.last < 0 {
            last.last.into()
        } else {
            i64::from(last.first) + i64::from(last.last)
        };
        (first.first.into(), end, first.step.into())
    }

    /// The positions of the keys in a command of `count` arguments.
    pub fn key_positions(&self, count: usize) -> impl Iterator<Item = usize> {
        self.keys.iter().flat_map(move |keys| keys.positions(count))
    }
}

impl KeySpec {
    /// The positions of these keys in a command of `count` arguments.
    pub fn positions(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = usize::from(self.first);
        let last = usize::from(self.last.unsigned_abs());
        let end = if self.last < 0 {
            count.saturating_sub(last - 1)
        } else {
            (first + last + 1).min(count)
        };
        (first..end).step_by(usize::from(self.step))
    }
}

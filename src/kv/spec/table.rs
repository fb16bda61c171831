//! The table of all commands, and the way from a name to its row: a perfect match on the name's bytes,
//! packed into one number in lower case, through a small hash table that the compiler fills.

use super::facts::{Name, Spec};
use super::{cluster, keyspace, server, strings};

/// All commands, in no order that means anything.
pub static COMMANDS: [Spec; COUNT] = concatenated();

const FAMILIES: [&[Spec]; 4] =
    [strings::COMMANDS, keyspace::COMMANDS, server::COMMANDS, cluster::COMMANDS];

const COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

const fn concatenated() -> [Spec; COUNT] {
    let mut all = [Spec::new(Name::Get, "", 0, 0); COUNT];
    let (mut at, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            all[at] = FAMILIES[family][row];
            at += 1;
            row += 1;
        }
        family += 1;
    }
    all
}

/// Names are at most this long.
const NAME_BYTES_MAX: usize = 16;
/// Places of the hash table: a power of two, several times the number of commands.
const PLACES: usize = 512;
const EMPTY: u8 = u8::MAX;
const _: () = assert!(COUNT < EMPTY as usize && COUNT * 4 <= PLACES);

static PACKED: [u128; COUNT] = packed_names();
static TABLE: [u8; PLACES] = hash_table();

/// The facts of the command of this name, in whatever case.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = [0; NAME_BYTES_MAX];
    bytes[..name.len()].copy_from_slice(name);
    bytes.make_ascii_lowercase();
    let packed = u128::from_le_bytes(bytes);
    let mut place = hash(packed);
    loop {
        let row = TABLE[place];
        if row == EMPTY {
            return None;
        }
        let row = usize::from(row);
        if PACKED[row] == packed {
            // A name with a zero byte behind it packs to the same number.
            let spec = &COMMANDS[row];
            return (spec.name.len() == name.len()).then_some(spec);
        }
        place = (place + 1) % PLACES;
    }
}

/// The subcommand of this name, in whatever case.
#[must_use]
pub fn lookup_subcommand(container: &Spec, name: &[u8]) -> Option<&'static Spec> {
    container.subcommands.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

const fn hash(packed: u128) -> usize {
    let folded = (packed as u64) ^ ((packed >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.ilog2())) as usize
}

const fn packed_names() -> [u128; COUNT] {
    let mut packed = [0; COUNT];
    let mut row = 0;
    while row < COUNT {
        let name = COMMANDS_CONST[row].name.as_bytes();
        let mut at = 0;
        while at < name.len() {
            packed[row] |= (name[at] as u128) << (8 * at);
            at += 1;
        }
        row += 1;
    }
    packed
}

const COMMANDS_CONST: [Spec; COUNT] = concatenated();

const fn hash_table() -> [u8; PLACES] {
    let packed = packed_names();
    let mut table = [EMPTY; PLACES];
    let mut row = 0;
    while row < COUNT {
        let mut place = hash(packed[row]);
        while table[place] != EMPTY {
            place = (place + 1) % PLACES;
        }
        table[place] = row as u8;
        row += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case_and_nothing_else_is() {
        for spec in &COMMANDS {
            assert_eq!(lookup(spec.name.as_bytes()).unwrap().id, spec.id);
            assert_eq!(lookup(spec.name.to_uppercase().as_bytes()).unwrap().id, spec.id);
            assert!(lookup(&spec.name.as_bytes()[1..]).is_none_or(|other| other.id != spec.id));
            assert!(lookup(format!("{}\0", spec.name).as_bytes()).is_none());
            assert!(lookup(format!("{}x", spec.name).as_bytes()).is_none());
        }
        assert!(lookup(b"").is_none());
        assert!(lookup(&[0; 16]).is_none());
        assert!(lookup(&[b'a'; 1000]).is_none());
    }

    #[test]
    fn names_and_ids_are_used_once_and_rows_are_complete() {
        let names: BTreeSet<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        let ids: BTreeSet<_> = COMMANDS.iter().map(|spec| spec.id).collect();
        assert_eq!((names.len(), ids.len()), (COUNT, COUNT));
        for spec in COMMANDS.iter().chain(COMMANDS.iter().flat_map(|spec| spec.subcommands)) {
            assert_ne!(spec.arity, 0, "{}", spec.name);
            assert!(!spec.summary.is_empty() && !spec.group.is_empty(), "{}", spec.name);
            assert!(!spec.since.is_empty(), "{}", spec.name);
            assert!(spec.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
    }

    #[test]
    fn keys_are_where_the_table_says() {
        let positions =
            |name: &[u8], count| lookup(name).unwrap().key_positions(count).collect::<Vec<_>>();
        assert_eq!(positions(b"get", 2), [1]);
        assert_eq!(positions(b"mget", 4), [1, 2, 3]);
        assert_eq!(positions(b"mset", 5), [1, 3]);
        assert_eq!(positions(b"copy", 4), [1, 2]);
        assert!(positions(b"ping", 1).is_empty());
        assert_eq!(lookup(b"copy").unwrap().key_range(), (1, 2, 1));
        assert_eq!(lookup(b"mset").unwrap().key_range(), (1, -1, 2));
        assert_eq!(lookup(b"scan").unwrap().key_range(), (0, 0, 0));
    }
}

//! Keeps the arrows of ARCHITECTURE.md's "Code map" pointing one way, by reading the sources.
//!
//! Cargo checks circles between crates, nothing checks them between modules. This test takes every path
//! that a file of `src` names (imports, and paths within the code) and compares it with the table below:
//! which folder may import which, which crate belongs to which folder, and what the thinking folders must
//! do without. It depends on nothing and also compiles alone: `rustc --test tests/arrows.rs`.
//!
//! Test code has to respect the arrows between folders, but may use clocks, files and threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folder, and the folders it may import besides itself and the vocabulary (`src/*.rs`).
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("raft", &[]),
    ("shard", &[]),
    ("kv", &["shard"]),
    ("store", &["raft", "shard", "kv"]),
    ("net", &["raft", "shard", "kv"]),
    ("actors", &["raft", "shard", "kv", "store", "net"]),
    ("client", &["shard", "kv", "net"]),
    ("bin", &["raft", "shard", "kv", "store", "net", "actors", "client"]),
];

/// A crate, and the only folder that may name it.
const BELONGS_TO: &[(&str, &str)] = &[
    ("fjall", "store"),
    ("lsm_tree", "store"),
    ("quinn", "net"),
    ("quinn_proto", "net"),
    ("rustls", "net"),
    ("rcgen", "net"),
    ("tokio_rustls", "net"),
    ("actix", "actors"),
    ("actix_rt", "actors"),
];

/// Folders without clock, disk, network, async, randomness or hash order.
const THINKING: &[&str] = &["raft", "shard", "kv"];

/// Words that do not occur there.
const WORDS_FORBIDDEN: &[&str] = &[
    "tokio",
    "rand",
    "getrandom",
    "HashMap",
    "HashSet",
    "RandomState",
    "DefaultHasher",
    "Instant",
    "SystemTime",
    "async",
    "await",
    "thread_local",
];

/// Beginnings of paths that do not occur there.
const PATHS_FORBIDDEN: &[&str] = &[
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "core::net",
    "core::time",
    "thread",
    "fs",
];

#[test]
fn the_arrows_point_one_way() {
    let root = root();
    let sources = Sources::read(&root.join("src"));
    assert!(sources.files.len() > 5, "the sources are found: {}", root.display());
    let wrong = sources.check();
    assert!(wrong.is_empty(), "against ARCHITECTURE.md, \"Code map\":\n{}", wrong.join("\n"));
}

#[test]
fn the_map_and_the_folders_are_the_same() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for (folder, _) in MAY_IMPORT {
        assert!(map.contains(&format!("| `src/{folder}` |")), "no row for src/{folder}");
    }
    for entry in std::fs::read_dir(root().join("src")).expect("src") {
        let path = entry.expect("an entry of src").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let known = MAY_IMPORT.iter().any(|(folder, _)| *folder == name);
        assert!(!path.is_dir() || known, "src/{name} has no row in the code map and in this test");
    }
}

fn root() -> PathBuf {
    option_env!("CARGO_MANIFEST_DIR").unwrap_or(".").into()
}

/// The text of all files below `src`, by their path there (`shard/slot.rs`).
#[derive(Default)]
struct Sources {
    files: BTreeMap<String, String>,
}

impl Sources {
    fn read(src: &Path) -> Self {
        let mut sources = Self::default();
        let mut folders = vec![src.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder);
            for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a source file");
                    let name = path.strip_prefix(src).expect("below src").to_string_lossy();
                    sources.files.insert(name.replace('\\', "/"), text);
                }
            }
        }
        sources
    }

    /// Everything that points the wrong way, as `src/FILE:LINE: what`.
    fn check(&self) -> Vec<String> {
        let vocabulary: BTreeSet<&str> =
            self.files.keys().filter(|name| !name.contains('/')).map(|name| stem(name)).collect();
        let parsed: BTreeMap<&str, Vec<Token>> =
            self.files.iter().map(|(name, text)| (name.as_str(), tokens(text))).collect();
        let tests = test_files(&parsed);
        let mut wrong = Vec::new();
        for (name, tokens) in &parsed {
            let file = File { name, vocabulary: &vocabulary };
            let is_test = tests.iter().any(|module| {
                name.strip_prefix(module.as_str())
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            file.check_arrows(tokens, &mut wrong);
            file.check_words(tokens, &mut wrong);
            if !is_test && THINKING.contains(&file.folder()) {
                file.check_thinking(&without_tests(tokens), &mut wrong);
            }
        }
        wrong
    }
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".rs").unwrap_or(name)
}

struct File<'a> {
    name: &'a str,
    vocabulary: &'a BTreeSet<&'a str>,
}

impl File<'_> {
    /// The folder of `src`; empty for the vocabulary.
    fn folder(&self) -> &str {
        self.name.split_once('/').map_or("", |(folder, _)| folder)
    }

    fn complain(&self, line: usize, what: &str, wrong: &mut Vec<String>) {
        wrong.push(format!("src/{}:{line}: {what}", self.name));
    }

    fn check_arrows(&self, tokens: &[Token], wrong: &mut Vec<String>) {
        let folder = self.folder();
        // `lib.rs` names all folders, and in a binary `crate` is the binary.
        if self.name == "lib.rs" || folder == "bin" {
            return;
        }
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == folder);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| *allowed);
        for (line, path) in paths(tokens) {
            let Some(target) = self.target_of(&path) else {
                continue;
            };
            let known = MAY_IMPORT.iter().any(|(name, _)| *name == target);
            if target == folder || allowed.contains(&target) || self.vocabulary.contains(target) {
                continue;
            }
            let path = path.join("::");
            let from = if folder.is_empty() { "the vocabulary" } else { folder };
            if known {
                self.complain(line, &format!("{from} may not import {target} ({path})"), wrong);
            } else {
                self.complain(line, &format!("{path} names no folder and no vocabulary"), wrong);
            }
        }
    }

    /// The first name below the crate's root that a path names, if it starts there.
    fn target_of<'p>(&self, path: &'p [String]) -> Option<&'p str> {
        if path.first().is_some_and(|first| first == "crate") {
            let name = path.get(1)?.as_str();
            return (name != "self" && name != "*").then_some(name);
        }
        // `super::super::...` may climb to the root as well. A name found there that is no folder
        // comes from an inline module, which is one level deeper than its file.
        let climbs = path.iter().take_while(|name| *name == "super").count();
        let file = self.name.strip_suffix("/mod.rs").unwrap_or(stem(self.name));
        if climbs < file.split('/').count() {
            return None;
        }
        let name = path.get(climbs)?.as_str();
        MAY_IMPORT.iter().any(|(folder, _)| *folder == name).then_some(name)
    }

    fn check_words(&self, tokens: &[Token], wrong: &mut Vec<String>) {
        for token in tokens {
            let owner = BELONGS_TO.iter().find(|(word, _)| *word == token.text);
            if let Some((word, owner)) = owner.filter(|(_, owner)| *owner != self.folder()) {
                self.complain(token.line, &format!("only src/{owner} says {word}"), wrong);
            }
        }
    }

    fn check_thinking(&self, tokens: &[Token], wrong: &mut Vec<String>) {
        let folder = self.folder();
        for token in tokens.iter().filter(|token| WORDS_FORBIDDEN.contains(&token.text.as_str())) {
            self.complain(token.line, &format!("{folder} does without {}", token.text), wrong);
        }
        for (line, path) in paths(tokens) {
            let path = path.join("::");
            let forbidden = PATHS_FORBIDDEN.iter().any(|forbidden| {
                path.strip_prefix(forbidden)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            });
            if forbidden {
                self.complain(line, &format!("{folder} does without {path}"), wrong);
            }
        }
    }
}

/// A word, `::`, or one other character of the code.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

/// The code in pieces, without comments, texts and characters.
fn tokens(code: &str) -> Vec<Token> {
    let chars: Vec<char> = code.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut line, mut i) = (Vec::new(), 1, 0);
    while i < chars.len() {
        let start = i;
        let mut text = String::new();
        if at(i) == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if at(i) == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if at(i) == '"' {
            i = after_text(&chars, i);
        } else if at(i) == '\'' {
            // A character, or the tick of a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if word(at(i)) {
            while word(at(i)) {
                i += 1;
            }
            text = chars[start..i].iter().collect();
            let hashes = (i..chars.len()).take_while(|&j| at(j) == '#').count();
            if matches!(text.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                i = after_raw_text(&chars, i + hashes, hashes);
                text.clear();
            } else if matches!(text.as_str(), "b" | "c") && at(i) == '"' {
                text.clear();
            } else if text == "r" && hashes == 1 && word(at(i + 1)) {
                // `r#type` is the word after the mark.
                i += 1;
                text.clear();
            }
        } else if at(i) == ':' && at(i + 1) == ':' {
            i += 2;
            text = "::".to_owned();
        } else {
            text = if at(i).is_whitespace() { String::new() } else { at(i).to_string() };
            i += 1;
        }
        if !text.is_empty() {
            tokens.push(Token { line, text });
        }
        line += chars[start..i.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn after_text(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn after_raw_text(chars: &[char], quote: usize, hashes: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() {
        let closed = chars[i] == '"' && chars[i + 1..].iter().take(hashes).all(|&c| c == '#');
        i += 1;
        if closed {
            return i + hashes;
        }
    }
    i
}

/// Every path of two names and more, groups taken apart: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let follows = tokens.get(i + 1).is_some_and(|next| next.text == "::");
        if tokens[i].is_word() && follows {
            i = path(tokens, i, &[], &mut found);
        } else if tokens[i].text == "use" && tokens.get(i + 1).is_some_and(|next| next.text == "{")
        {
            i = path(tokens, i + 1, &[], &mut found);
        } else {
            i += 1;
        }
    }
    found
}

/// Reads the path at `i` that continues `before`; answers where it ends.
fn path(
    tokens: &[Token],
    mut i: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut names = before.to_vec();
    let line = tokens.get(i).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            "{" => {
                i += 1;
                while let Some(token) = tokens.get(i) {
                    match token.text.as_str() {
                        "}" => return i + 1,
                        "," => i += 1,
                        // The new name after `as` is no path.
                        "as" => i += 2,
                        _ => {
                            let next = path(tokens, i, &names, found);
                            // What is no path is stepped over.
                            i = next.max(i + 1);
                        }
                    }
                }
                return i;
            }
            "*" if !names.is_empty() => {
                names.push("*".to_owned());
                found.push((line, names));
                return i + 1;
            }
            text if token.is_word() => {
                names.push(text.to_owned());
                i += 1;
                if tokens.get(i).is_none_or(|next| next.text != "::") {
                    found.push((line, names));
                    return i;
                }
                i += 1;
            }
            _ => break,
        }
    }
    if names.len() > before.len() {
        found.push((line, names));
    }
    i
}

/// Where the item that follows `#[cfg(test)]` at `i` ends; `None` if there is no such attribute.
fn test_item(tokens: &[Token], i: usize) -> Option<(usize, Option<&str>)> {
    let texts = ["#", "[", "cfg", "(", "test", ")", "]"];
    let here = tokens.get(i..i + texts.len())?;
    if !here.iter().zip(texts).all(|(token, text)| token.text == text) {
        return None;
    }
    let (mut end, mut depth, mut module) = (i + texts.len(), 0u32, None);
    while let Some(token) = tokens.get(end) {
        end += 1;
        match token.text.as_str() {
            "mod" if depth == 0 => module = tokens.get(end).map(|name| name.text.as_str()),
            ";" if depth == 0 => return Some((end, module)),
            "{" | "(" | "[" => depth += 1,
            "}" if depth <= 1 => return Some((end, None)),
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Some((end, None))
}

fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if let Some((end, _)) = test_item(tokens, i) {
            i = end;
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

/// The modules declared as `#[cfg(test)] mod name;`, as paths without `.rs`.
fn test_files(parsed: &BTreeMap<&str, Vec<Token>>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (name, tokens) in parsed {
        let inner = name.strip_suffix("mod.rs").map(str::to_owned);
        let inner = inner.unwrap_or_else(|| format!("{}/", stem(name)));
        for i in 0..tokens.len() {
            if let Some((_, Some(module))) = test_item(tokens, i) {
                files.insert(format!("{inner}{module}"));
            }
        }
    }
    files
}

#[cfg(test)]
mod the_test_itself {
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let mut sources = Sources::default();
        for (name, text) in files.iter().chain(&[("ids.rs", ""), ("lib.rs", "pub mod ids;")]) {
            sources.files.insert((*name).to_owned(), (*text).to_owned());
        }
        sources.check()
    }

    /// Exactly one complaint, of this line.
    fn wrong(name: &str, text: &str, what: &str) {
        let complaints = check(&[(name, text)]);
        assert_eq!(complaints.len(), 1, "{text:?}: {complaints:?}");
        assert!(complaints[0].contains(what), "{complaints:?} does not say {what}");
    }

    fn fine(name: &str, text: &str) {
        assert_eq!(check(&[(name, text)]), [""; 0], "{text:?}");
    }

    #[test]
    fn imports_against_the_map_are_caught() {
        wrong(
            "raft/log.rs",
            "use crate::store::wal::Wal;",
            "raft/log.rs:1: raft may not import store",
        );
        wrong(
            "kv/apply.rs",
            "\n\nuse crate::{ids::NodeId, net::{self}};",
            ":3: kv may not import net",
        );
        wrong("shard/a.rs", "fn f() -> crate::kv::Reply { loop {} }", "shard may not import kv");
        wrong("net/quic/a.rs", "use crate::store;", "net may not import store");
        wrong("net/quic/a.rs", "use crate::{store, raft};", "net may not import store");
        wrong("store/wal/a.rs", "pub use crate::actors::*;", "store may not import actors");
        wrong("raft/a/b.rs", "use super::super::super::kv::X;", "raft may not import kv");
        wrong("raft/mod.rs", "use super::kv::X;", "raft may not import kv");
        wrong("raft/mod.rs", "#[cfg(test)] mod t { use crate::kv::X; }", "raft may not import kv");
        wrong("rows.rs", "use crate::kv::X;", "the vocabulary may not import kv");
        wrong("kv/a.rs", "use crate::Error;", "names no folder");
    }

    #[test]
    fn imports_along_the_map_are_fine() {
        fine("kv/a.rs", "use crate::{ids::{NodeId, Term}, kv::b, shard::bucket_of as bucket};");
        fine(
            "store/a.rs",
            "use crate::raft::entry::Entry; // crate::net::X\n/* crate::net /* :: */ X */",
        );
        fine("store/a.rs", r##"const A: &str = r#"crate::net::X " fjall"#; const B: char = '"';"##);
        fine(
            "raft/a.rs",
            "pub(in crate::raft) fn f<'a>(x: &'a str) -> crate::ids::Term { g('\\'') }",
        );
        fine("raft/a.rs", "mod tests { use super::super::config::X; }");
        fine("actors/a.rs", "use crate::net::quic; use actix::prelude::*;");
        fine("bin/eraftd.rs", "use eraft::actors::node; use crate::flags::X;");
        fine("lib.rs", "pub mod raft; pub use crate::raft::X;");
    }

    #[test]
    fn crates_stay_in_their_folder() {
        wrong("kv/a.rs", "use fjall::Keyspace;", "only src/store says fjall");
        wrong(
            "bin/eraftd.rs",
            "fn main() { ::actix::System::new(); }",
            "only src/actors says actix",
        );
        wrong("actors/a.rs", "use {quinn, std::fmt};", "only src/net says quinn");
        wrong("store/a.rs", "extern crate rustls as tls;", "only src/net says rustls");
        wrong(
            "raft/a.rs",
            "#[cfg(test)] mod t { use lsm_tree::X; }",
            "only src/store says lsm_tree",
        );
        fine("store/a.rs", "use fjall::Keyspace; use lsm_tree::Tree;");
        fine("kv/a.rs", "fn f() { log(\"fjall \\\" rustls\", b\"quinn\"); }");
    }

    #[test]
    fn the_thinking_folders_do_without_the_world() {
        wrong("raft/a.rs", "use std::time::Duration;", "raft does without std::time::Duration");
        wrong("kv/a.rs", "use std::{fmt, fs::{File}, sync::Arc}; // fs", "std::fs");
        wrong("kv/a.rs", "use std::{fmt, {net}};", "std::net");
        wrong("shard/a.rs", "fn f() { std::thread::sleep(x) }", "std::thread");
        wrong("shard/a.rs", "use std::collections::HashMap;", "does without HashMap");
        wrong("kv/a.rs", "use tokio::sync::mpsc;", "does without tokio");
        wrong("kv/a.rs", "pub async fn f() {}", "does without async");
        wrong("raft/a.rs", "fn f() { rand::random() }", "does without rand");
        wrong(
            "raft/a.rs",
            "#[cfg(test)] mod t { fn f() {} }\nuse std::net::X;",
            ":2: raft does without",
        );
        wrong("raft/a.rs", "#[cfg(test)] use x::HashSet;\nuse y::HashSet;", ":2:");
        fine(
            "net/a.rs",
            "use std::{net::TcpStream, collections::HashMap, time::Instant}; use tokio::x;",
        );
        fine("raft/a.rs", "/// HashMap\nfn random(operand: u8) { let threads = 1; }");
    }

    #[test]
    fn test_code_may_use_the_world() {
        fine(
            "raft/a.rs",
            "#[cfg(test)]\n#[allow(x)]\npub(super) mod t { use std::fs; fn f() { {} } }",
        );
        let declared = ("raft/a.rs", "#[cfg(test)] mod tests;");
        assert_eq!(check(&[declared, ("raft/a/tests.rs", "use std::fs::File;")]), [""; 0]);
        assert_eq!(check(&[declared, ("raft/a/tests/b.rs", "use std::fs::File;")]), [""; 0]);
        assert_eq!(
            check(&[
                ("raft/mod.rs", "#[cfg(test)] mod tests;"),
                ("raft/tests.rs", "use std::fs::F;")
            ]),
            [""; 0]
        );
        assert_eq!(check(&[declared, ("raft/a/testsuite.rs", "use std::fs::File;")]).len(), 1);
        assert_eq!(
            check(&[("raft/a.rs", "mod tests;"), ("raft/a/tests.rs", "use std::fs::File;")]).len(),
            1
        );
    }
}

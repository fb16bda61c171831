//! Golden scripts: stories about replicas, told with every message and every change of state.
//!
//! They stand in `src/raft/scripts`, one file a story, named `<area>_<case>`, and open with one sentence of
//! purpose. A script that tells another story than it did fails; `UPDATE_GOLDENFILES=1 cargo test --lib
//! raft::tests::script` writes the new one down, to be read before it is committed.
//!
//! ```text
//! n1->n2 t1 Append after i0/t0 commit i0 entries i1/t1..i1/t1     a message is sent
//! n2 follower of n1 in t1                                         a role, leader or term has changed
//! n2 has i1, commits i1                                           what is on its disk, what it knows to be decided
//! n2 applies i1 "a"                                               its state machine is told
//! ```
//!
//! Messages wait on the wire until a command delivers or drops them, writes wait until they are synced,
//! and clocks stand still until they are ticked; `settle` and `run` do all that in order.

mod stage;
mod view;

use goldenscript::{Command, Context, Runner};
use stage::Stage;
use std::error::Error;

impl Runner for Stage {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let done = self.carry_out(command);
        let told = self.told();
        // What had happened before an error is told as well.
        done.map(|()| told.clone()).map_err(|error| format!("{told}{error}").into())
    }
}

#[test]
fn all() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/scripts");
    let mut stories: Vec<_> = std::fs::read_dir(&folder)
        .expect("the scripts are beside the core")
        .map(|file| file.expect("a file").path())
        .collect();
    stories.sort();
    assert!(stories.len() >= 60, "only {} stories", stories.len());
    let mut failed = Vec::new();
    for story in stories {
        let text = std::fs::read_to_string(&story).expect("a text");
        let name = story.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(text.starts_with("# "), "{name} does not open with its purpose");
        assert!(name.contains('_'), "{name} is not <area>_<case>");
        println!("{name}");
        if let Err(error) = goldenscript::run(&mut Stage::default(), &story) {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

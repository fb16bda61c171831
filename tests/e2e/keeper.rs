//! A child process that ends with this one, whatever happens to it, and whose folder is removed then.
//!
//! A small shell waits at the end of a pipe that only we hold open. When we are gone (also by `kill -9`, also when a
//! cluster sits in a `static` and is never dropped) it ends the child and removes the folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
cat >/dev/null
kill -TERM "$1" 2>/dev/null
i=0
while kill -0 "$1" 2>/dev/null && [ "$i" -lt 120 ]; do sleep 0.1; i=$((i+1)); done
kill -KILL "$1" 2>/dev/null
[ -n "$2" ] && rm -rf "$2"
"#;

/// The shell that waits for our end.
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Keeps an eye on `process`; `folder` (if any) is removed after it.
    pub(crate) fn start(process: u32, folder: Option<&Path>) -> Keeper {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper", &process.to_string()])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        Keeper(child)
    }

    /// No longer needed: the process has been waited for.
    pub(crate) fn dismiss(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! Where the published verdict of a history is found.

use super::Published;

/// In a list: a line for each file, its name and `linearizable` or `violation`.
pub(crate) fn listed(list: &str, file: &str) -> Result<Published, String> {
    let mut found = list.lines().filter_map(|line| {
        let (name, verdict) = line.trim().split_once(char::is_whitespace)?;
        (name == file).then(|| verdict.trim())
    });
    let verdict = found.next().ok_or("no published verdict")?;
    if found.any(|other| other != verdict) {
        return Err("two published verdicts".to_owned());
    }
    match verdict {
        "linearizable" => Ok(Published::Linearizable),
        "violation" => Ok(Published::Violation),
        other => Err(format!("a published verdict that says {other:?}")),
    }
}

/// In the name of the file.
pub(crate) fn named(file: &str) -> Result<Published, String> {
    match file.strip_suffix(".txt") {
        Some(name) if name.ends_with("-ok") => Ok(Published::Linearizable),
        Some(name) if name.ends_with("-bad") => Ok(Published::Violation),
        _ => Err("no published verdict: the name ends neither in -ok nor in -bad".to_owned()),
    }
}

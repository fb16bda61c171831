//! `history`: the chain of versions of the config table.

use crate::answer::{Answer, Trouble, print, print_json, say};
use crate::reach::Reach;
use crate::table::plain;
use crate::words::History;
use eraft::net::message::{AdminRequest, AdminResponse};
use eraft::shard::{ConfigReply, VersionSummary};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    /// Oldest first.
    versions: Vec<Version>,
}

#[derive(Serialize)]
struct Version {
    version: u64,
    /// Milliseconds since the epoch, in the config group's replicated time.
    time_ms: u64,
    /// The same, for people.
    time: String,
    by: String,
    what: String,
}

/// Asks, and prints.
pub(crate) async fn run(reach: &Reach, history: &History) -> Result<Answer, Trouble> {
    let request = AdminRequest::History { until: history.until, count: history.count };
    let links = match reach.client().await?.ask(&request).await? {
        AdminResponse::Config(ConfigReply::History(links)) => links,
        _ => return Err(Trouble::new("the node gave an answer that does not fit the question")),
    };
    if links.is_empty() {
        say("no such version is kept; `eraftctl history` shows the newest");
        return Ok(Answer::No);
    }
    let versions: Vec<Version> = links.into_iter().map(version).collect();
    if reach.json {
        print_json(&Document { versions })?;
    } else {
        let mut table = plain(&["VERSION", "TIME (UTC)", "BY", "WHAT"]);
        for one in versions {
            table.add_row([one.version.to_string(), one.time, one.by, one.what]);
        }
        print(table.trim_fmt())?;
    }
    Ok(Answer::Yes)
}

fn version(link: VersionSummary) -> Version {
    Version {
        version: link.version.0,
        time_ms: link.time.0,
        time: utc(link.time.0),
        by: link.by,
        what: link.what,
    }
}

/// `2026-11-26 08:30:00`. Days are counted in eras of 400 years from March, which puts the leap day last.
fn utc(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_as_in_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (1_795_681_800, "2026-11-26 08:30:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds * 1_000), text);
        }
    }
}

//! `moves` and `watch`: how far the moves of buckets are.

use crate::answer::{Answer, Trouble, print, print_json, say};
use crate::change::newest;
use crate::reach::Reach;
use crate::table::{bytes, plain};
use crate::wait::statuses;
use eraft::client::Client;
use eraft::ids::GroupId;
use eraft::net::message::{MoveProgress, NodeStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks of `watch`.
const LOOK: Duration = Duration::from_secs(1);

/// What is told of all moves.
#[derive(Debug, Serialize)]
struct Document {
    /// The version of the config table.
    config: u64,
    /// Moves that have begun.
    moves: Vec<Move>,
    /// What the table wants to move, whether it has begun or not.
    pending: Vec<Pending>,
    /// What all moves to one group may take together, if there is a limit.
    bytes_per_second_max: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Move {
    id: String,
    from: u32,
    to: u32,
    buckets: u32,
    ranges: String,
    phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_still: Option<String>,
    bytes: u64,
    bytes_total: Option<u64>,
    bytes_per_second: u64,
    milliseconds_left: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Pending {
    range: String,
    buckets: u32,
    from: u32,
    to: u32,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_still: Option<String>,
}

/// `moves`.
pub(crate) async fn moves(reach: &Reach) -> Result<Answer, Trouble> {
    let document = look(reach, &reach.client().await?).await?;
    if reach.json {
        print_json(&document)?;
    } else {
        print(text(&document))?;
    }
    Ok(Answer::Yes)
}

/// `watch`: until nothing is left to move.
pub(crate) async fn watch(reach: &Reach) -> Result<Answer, Trouble> {
    let client = reach.client().await?;
    let bars = (!reach.json && io::stderr().is_terminal()).then(Bars::default);
    let mut bars = bars;
    loop {
        let document = look(reach, &client).await?;
        match &mut bars {
            Some(bars) => bars.show(&document),
            None if reach.json => {
                let line = serde_json::to_string(&document);
                print(line.map_err(|error| Trouble::new(format!("cannot print: {error}")))?)?;
            }
            None => print(text(&document))?,
        }
        if document.moves.is_empty() && document.pending.is_empty() {
            if bars.is_some() {
                say("every bucket is where it should be");
            }
            return Ok(Answer::Yes);
        }
        sleep(LOOK).await;
    }
}

async fn look(reach: &Reach, client: &Client) -> Result<Document, Trouble> {
    let table = newest(client).await?;
    let said = statuses(reach, &table).await;
    let known: Vec<NodeStatus> = said.into_iter().filter_map(|(_, status)| status.ok()).collect();
    let groups = known.iter().flat_map(|status| &status.groups);
    let led: BTreeSet<GroupId> =
        groups.filter(|one| one.role == "leader").map(|one| one.group).collect();
    let mut moves: Vec<MoveProgress> = known.into_iter().flat_map(|status| status.moves).collect();
    moves.sort_by_key(|one| (one.from, one.number));
    moves.dedup_by_key(|one| (one.from, one.number));
    let pending = table.pending().into_iter().map(|pending| Pending {
        range: pending.range.to_string(),
        buckets: pending.range.count(),
        from: pending.from.0,
        to: pending.to.0,
        paused: table.moves.is_paused(pending.from, pending.to),
        stands_still: [pending.from, pending.to]
            .into_iter()
            .find(|group| !led.contains(group))
            .map(|group| format!("no leader of group {} answers", group.0)),
    });
    Ok(Document {
        config: table.version.0,
        moves: moves.into_iter().map(one).collect(),
        pending: pending.collect(),
        bytes_per_second_max: table.moves.bytes_per_second,
    })
}

fn one(told: MoveProgress) -> Move {
    let ranges: Vec<String> = told.ranges.iter().map(ToString::to_string).collect();
    Move {
        id: format!("{}/{}", told.from.0, told.number),
        from: told.from.0,
        to: told.to.0,
        buckets: told.ranges.iter().map(|range| range.count()).sum(),
        ranges: ranges.join(","),
        phase: told.phase,
        stands_still: told.stands_still,
        bytes: told.bytes,
        bytes_total: told.total,
        bytes_per_second: told.bytes_per_second,
        milliseconds_left: told.millis_left,
    }
}

fn text(document: &Document) -> String {
    if document.moves.is_empty() && document.pending.is_empty() {
        return "every bucket is where it should be".into();
    }
    let mut table =
        plain(&["MOVE", "FROM", "TO", "BUCKETS", "PHASE", "DONE", "OF", "RATE", "LEFT", "STALL"]);
    for one in &document.moves {
        table.add_row([
            one.id.clone(),
            one.from.to_string(),
            one.to.to_string(),
            one.buckets.to_string(),
            one.phase.clone(),
            bytes(one.bytes),
            one.bytes_total.map_or_else(|| "-".into(), bytes),
            format!("{}/s", bytes(one.bytes_per_second)),
            one.milliseconds_left.map_or_else(|| "-".into(), |left| format!("{} s", left / 1_000)),
            one.stands_still.clone().unwrap_or_default(),
        ]);
    }
    let mut text = if document.moves.is_empty() { String::new() } else { table.trim_fmt() };
    for pending in &document.pending {
        let Pending { range, buckets, from, to, paused, stands_still } = pending;
        text.push_str(&format!("\n{range} ({buckets} buckets): group {from} → group {to}"));
        let paused = paused.then_some("paused");
        for why in paused.into_iter().chain(stands_still.as_deref()) {
            text.push_str(&format!(" ({why})"));
        }
    }
    text.trim_start().to_owned()
}

/// A bar for each move.
#[derive(Default)]
struct Bars {
    screen: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, document: &Document) {
        let gone = |id: &String| document.moves.iter().all(|one| one.id != *id);
        for id in self.bars.keys().filter(|id| gone(id)).cloned().collect::<Vec<_>>() {
            if let Some(bar) = self.bars.remove(&id) {
                bar.finish_and_clear();
            }
        }
        for one in &document.moves {
            let bar = self.bars.entry(one.id.clone()).or_insert_with(|| {
                let style = "{prefix:>12} [{bar:30}] {bytes}/{total_bytes} {msg}";
                let style = ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                self.screen.add(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
            });
            bar.set_length(one.bytes_total.unwrap_or(one.bytes).max(one.bytes));
            bar.set_position(one.bytes);
            bar.set_prefix(format!("{} → {}", one.id, one.to));
            let left = one.milliseconds_left.map(|left| format!(", {} s left", left / 1_000));
            let still = one.stands_still.as_deref().map(|why| format!(", {why}"));
            bar.set_message(format!(
                "{} {}/s{}{}",
                one.phase,
                bytes(one.bytes_per_second),
                left.unwrap_or_default(),
                still.unwrap_or_default()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_shown_with_what_is_left() {
        let empty = Document {
            config: 3,
            moves: Vec::new(),
            pending: Vec::new(),
            bytes_per_second_max: None,
        };
        assert_eq!(text(&empty), "every bucket is where it should be");
        let told = Move {
            id: "1/4".into(),
            from: 1,
            to: 2,
            buckets: 6,
            ranges: "0-5".into(),
            phase: "copying".into(),
            stands_still: None,
            bytes: 1_024,
            bytes_total: Some(4_096),
            bytes_per_second: 512,
            milliseconds_left: Some(6_000),
        };
        let waits = Pending {
            range: "0-9".into(),
            buckets: 10,
            from: 1,
            to: 2,
            paused: true,
            stands_still: Some("no leader of group 1 answers".into()),
        };
        let document = Document { moves: vec![told], pending: vec![waits], ..empty };
        let shown = text(&document);
        for words in ["1/4", "copying", "4.0 KiB", "6 s", "0-9 (10 buckets)", "(paused) (no leader"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }
}

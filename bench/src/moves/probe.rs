//! One key, written again and again over connections of its own, without waiting for answers: at a plain port, as any
//! client would, and at all cluster ports, of which only that of the leader of the owning group takes it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Between two writes of a connection.
const EVERY: Duration = Duration::from_millis(2);
/// Writing goes on for so long before and after the work.
const AROUND: Duration = Duration::from_millis(50);
/// What is not answered by then is an error.
const LAST: Duration = Duration::from_secs(5);

/// What was seen of one key.
pub struct Seen {
    /// The longest time without an answer at the plain port. Whatever else keeps the machine busy is in it.
    pub wait: Duration,
    /// From the last write that one node took at its cluster port to the first that another took: the key could not be
    /// written for so long at most. `None` if it did not change hands.
    pub switch: Option<Duration>,
    /// Writes that the plain port did not answer OK.
    pub errors: u64,
    /// The first of these.
    pub trouble: Option<String>,
}

/// Writes `key` while `work` goes on, and a moment before and after it.
pub async fn during<T>(
    plain: &str,
    cluster: &[String],
    key: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<(Seen, T)> {
    let (over_in, over) = watch::channel(false);
    let work = async {
        tokio::time::sleep(AROUND).await;
        let outcome = work.await;
        tokio::time::sleep(AROUND).await;
        over_in.send_replace(true);
        outcome
    };
    let mut nodes = JoinSet::new();
    for address in cluster {
        nodes.spawn(converse(address.clone(), key.to_owned(), over.clone()));
    }
    let plain = converse(plain.to_owned(), key.to_owned(), over);
    let (outcome, plain, nodes) = tokio::join!(work, plain, nodes.join_all());
    let (plain, nodes) = (plain?, nodes.into_iter().collect::<Result<Vec<Told>>>()?);
    let wait = plain.taken.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default();
    let switch = switch(nodes.into_iter().map(|node| node.taken).collect());
    Ok((Seen { wait, switch, errors: plain.errors, trouble: plain.trouble }, outcome?))
}

/// When a node took writes, and what it said to the others.
#[derive(Default)]
struct Told {
    taken: Vec<Instant>,
    errors: u64,
    trouble: Option<String>,
}

async fn converse(address: String, key: String, over: watch::Receiver<bool>) -> Result<Told> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let request = format!("SET {key} x\r\n");
    let (sent_in, mut sent_out) = watch::channel((0u64, false));
    let write = async {
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !*over.borrow() {
            clock.tick().await;
            writer.write_all(request.as_bytes()).await?;
            sent_in.send_modify(|(sent, _)| *sent += 1);
        }
        sent_in.send_modify(|(_, all)| *all = true);
        anyhow::Ok(())
    };
    let read = async {
        let mut told = Told::default();
        let mut lines = BufReader::new(reader).lines();
        let mut answered = 0;
        loop {
            let (sent, all) = *sent_out.borrow_and_update();
            if answered == sent {
                if all {
                    return anyhow::Ok(told);
                }
                sent_out.changed().await?;
                continue;
            }
            let Some(line) = tokio::time::timeout(LAST, lines.next_line()).await?? else {
                bail!("{address} closed the connection");
            };
            answered += 1;
            if line == "+OK" {
                told.taken.push(Instant::now());
            } else {
                told.errors += 1;
                told.trouble.get_or_insert(line);
            }
        }
    };
    let (told, ()) = tokio::try_join!(read, write)?;
    Ok(told)
}

/// The longest time between two writes that different nodes took.
fn switch(nodes: Vec<Vec<Instant>>) -> Option<Duration> {
    let of = |(node, taken): (usize, Vec<Instant>)| taken.into_iter().map(move |at| (at, node));
    let mut all: Vec<(Instant, usize)> = nodes.into_iter().enumerate().flat_map(of).collect();
    all.sort_unstable();
    let changed = all.windows(2).filter(|two| two[0].1 != two[1].1);
    changed.map(|two| two[1].0 - two[0].0).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_hands_is_a_switch() {
        let begun = Instant::now();
        let at = |millis: &[u64]| {
            millis.iter().map(|&at| begun + Duration::from_millis(at)).collect::<Vec<_>>()
        };
        assert_eq!(switch(vec![at(&[0, 1, 90]), at(&[]), at(&[])]), None);
        let seen = switch(vec![at(&[0, 1, 40, 42]), at(&[]), at(&[50, 51, 99])]);
        assert_eq!(seen, Some(Duration::from_millis(8)));
    }
}

//! One key, written again and again on one connection, without waiting for answers: the longest time between two
//! answers is the longest time for which the key could not be written, and one write's latency more at most.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Between two writes.
const EVERY: Duration = Duration::from_millis(1);
/// What is not answered by then is an error.
const LAST: Duration = Duration::from_secs(5);

/// What was seen of one key.
#[derive(Default)]
pub struct Seen {
    /// The longest time without an answer.
    pub gap: Duration,
    /// Writes that were not answered OK.
    pub errors: u64,
    /// The first of these.
    pub trouble: Option<String>,
}

/// Writes `key` while `work` goes on, and a moment before and after it.
pub async fn during<T>(
    address: &str,
    key: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<(Seen, T)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let request = format!("SET {key} x\r\n");
    let (sent_in, mut sent_out) = tokio::sync::watch::channel((0u64, false));
    let write = async {
        let work = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let outcome = work.await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            outcome
        };
        tokio::pin!(work);
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                outcome = &mut work => {
                    sent_in.send_modify(|(_, over)| *over = true);
                    return outcome;
                }
                _ = clock.tick() => {
                    writer.write_all(request.as_bytes()).await?;
                    sent_in.send_modify(|(sent, _)| *sent += 1);
                }
            }
        }
    };
    let read = async {
        let mut seen = Seen::default();
        let mut lines = BufReader::new(reader).lines();
        let (mut answered, mut last) = (0, None::<Instant>);
        loop {
            let (sent, over) = *sent_out.borrow_and_update();
            if answered == sent {
                if over {
                    return anyhow::Ok(seen);
                }
                sent_out.changed().await?;
                continue;
            }
            let Some(line) = tokio::time::timeout(LAST, lines.next_line()).await?? else {
                bail!("{address} closed the connection");
            };
            answered += 1;
            let now = Instant::now();
            if line == "+OK" {
                let gap = last.map_or(Duration::ZERO, |last| now - last);
                seen.gap = seen.gap.max(gap);
                last = Some(now);
            } else {
                seen.errors += 1;
                seen.trouble.get_or_insert(line);
            }
        }
    };
    let (done, seen) = tokio::join!(write, read);
    Ok((seen?, done?))
}

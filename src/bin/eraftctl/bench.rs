//! `bench`: how fast this cluster serves native clients. Each connection has one command under way at a time.

use crate::answer::{Answer, Trouble, print, print_json};
use crate::args::{Bench, Operation};
use crate::reach::Reach;
use bytes::Bytes;
use eraft::client::{Client, ClientError};
use eraft::kv::{Command, Condition, Expiry};
use hdrhistogram::Histogram;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The longest latency told apart, microseconds.
const LATENCY_MAX: u64 = 600_000_000;
/// The largest value, bytes: what a node takes at most.
const VALUE_BYTES_MAX: usize = eraft::limits::VALUE_BYTES_MAX;

/// What came of some of the connections.
struct Tally {
    /// Microseconds.
    latencies: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("bounds in order");
        Self { latencies, errors: 0, first_error: None }
    }

    fn add(&mut self, other: Tally) {
        self.latencies.add(&other.latencies).expect("equal bounds");
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// Measures, and prints.
pub(crate) async fn run(reach: &Reach, bench: &Bench) -> Result<Answer, Trouble> {
    if bench.value_bytes > VALUE_BYTES_MAX {
        return Err(Trouble::new(format!("--value-bytes is at most {VALUE_BYTES_MAX}")));
    }
    // So that trouble is told before the threads start.
    drop(reach.client().await?);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = processors.min(bench.connections.into()).max(1);
    let mut running = Vec::new();
    for thread in 0..threads {
        let mine: Vec<usize> = (thread..bench.connections.into()).step_by(threads).collect();
        let (reach, load) = (reach.clone(), Load::new(bench));
        running.push(tokio::task::spawn_blocking(move || on_thread(&reach, &load, mine)));
    }
    let mut tally = Tally::new();
    for one in running {
        let one = one.await.map_err(|error| Trouble::new(error.to_string()))?;
        tally.add(one?);
    }
    report(reach, bench, &tally)?;
    match tally.first_error {
        Some(error) => {
            Err(Trouble::new(format!("{} requests failed, the first: {error}", tally.errors)))
        }
        None => Ok(Answer::Yes),
    }
}

/// What every connection does.
#[derive(Clone)]
struct Load {
    op: Operation,
    keys: u64,
    value: Bytes,
    time: Duration,
}

impl Load {
    fn new(bench: &Bench) -> Self {
        Self {
            op: bench.op,
            keys: bench.keys,
            value: Bytes::from(vec![b'x'; bench.value_bytes]),
            time: Duration::from_secs(bench.seconds.into()),
        }
    }

    fn command(&self, number: u64) -> Command {
        let key = Bytes::from(format!("eraftctl-bench:{}", number % self.keys));
        match self.op {
            Operation::Get => Command::Get { key },
            Operation::Set => Command::Set {
                key,
                value: self.value.clone(),
                condition: Condition::Always,
                expiry: Expiry::Clear,
                get: false,
            },
        }
    }
}

fn on_thread(reach: &Reach, load: &Load, connections: Vec<usize>) -> Result<Tally, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::new(format!("cannot start: {error}")))?;
    let done = runtime.block_on(async {
        let mut clients = Vec::new();
        for connection in connections {
            clients.push((connection, reach.client_from(connection).await?));
        }
        let mut running = JoinSet::new();
        for (connection, client) in clients {
            running.spawn(one_connection(client, load.clone(), connection));
        }
        let mut tally = Tally::new();
        for one in running.join_all().await {
            tally.add(one);
        }
        Ok(tally)
    });
    runtime.shutdown_background();
    done
}

async fn one_connection(client: Client, load: Load, connection: usize) -> Tally {
    let mut tally = Tally::new();
    // A stride that visits all keys, from another start for each connection.
    let mut number = (connection as u64).wrapping_mul(7_919);
    let begun = Instant::now();
    while begun.elapsed() < load.time {
        let sent = Instant::now();
        let done: Result<_, ClientError> = client.execute(load.command(number)).await;
        let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(LATENCY_MAX);
        match done {
            Ok(_) => tally.latencies.saturating_record(micros.max(1)),
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| error.to_string());
            }
        }
        number = number.wrapping_add(104_729);
    }
    tally
}

fn report(reach: &Reach, bench: &Bench, tally: &Tally) -> Result<(), Trouble> {
    let done = tally.latencies.len();
    let rate = done as f64 / f64::from(bench.seconds);
    let millis = |quantile| tally.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let (p50, p99, max) = (millis(0.5), millis(0.99), tally.latencies.max() as f64 / 1000.0);
    let op = match bench.op {
        Operation::Set => "set",
        Operation::Get => "get",
    };
    if reach.json {
        return print_json(&json!({
            "op": op, "connections": bench.connections, "seconds": bench.seconds,
            "value_bytes": bench.value_bytes, "done": done, "errors": tally.errors, "ops_per_second": rate,
            "p50_ms": p50, "p99_ms": p99, "max_ms": max,
        }));
    }
    print(format!(
        "{op}: {done} done, {} failed, {} connections, {} s, values of {} bytes\n\
         {rate:.0} ops/s   p50 {p50:.2} ms   p99 {p99:.2} ms   max {max:.2} ms",
        tally.errors, bench.connections, bench.seconds, bench.value_bytes
    ))
}

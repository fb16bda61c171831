//! The load: so many connections, spread evenly over a system's nodes, each sending its next request when the last
//! one is answered. One loop drives every system.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::session::{Op, Protocol, Session, Values};

/// How long after the end a request may still be outstanding before it counts as an error.
const GRACE: Duration = Duration::from_secs(5);
/// Pause before a broken connection is made anew.
const RECONNECT: Duration = Duration::from_millis(100);

/// One load.
#[derive(Clone)]
pub struct Load {
    /// What each request does.
    pub op: Op,
    /// Connections, spread evenly over the addresses.
    pub connections: usize,
    /// Requests sent together on a connection.
    pub pipeline: usize,
    /// Keys are drawn evenly from this many.
    pub keys: u64,
    /// Size of a value, bytes.
    pub value_bytes: usize,
    /// Time before measuring starts.
    pub warm_up: Duration,
    /// Time measured.
    pub time: Duration,
    /// Threads of the generator.
    pub threads: usize,
    /// Requests per second of all connections together, at most.
    pub rate: Option<f64>,
}

impl Load {
    /// How often each connection sends its next pipeline, if the rate is limited.
    fn pace(&self) -> Option<Duration> {
        let pipelines = self.rate? / self.pipeline as f64;
        Some(Duration::from_secs_f64(self.connections as f64 / pipelines))
    }
}

/// What came of a load.
pub struct Outcome {
    /// Requests answered well within the measured time.
    pub done: u64,
    /// Requests that failed or were not answered.
    pub errors: u64,
    /// Latency of each pipeline, microseconds.
    pub latency: Histogram<u64>,
    /// The measured time, seconds.
    pub seconds: f64,
    /// The first trouble seen, if any.
    pub trouble: Option<String>,
}

impl Outcome {
    fn new() -> Outcome {
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are valid");
        Outcome { done: 0, errors: 0, latency, seconds: 0.0, trouble: None }
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    fn fail(&mut self, count: usize, trouble: impl FnOnce() -> String) {
        self.errors += count as u64;
        self.trouble.get_or_insert_with(trouble);
    }

    fn merge(&mut self, other: &Outcome) -> Result<()> {
        self.done += other.done;
        self.errors += other.errors;
        self.latency.add(&other.latency)?;
        if self.trouble.is_none() {
            self.trouble.clone_from(&other.trouble);
        }
        Ok(())
    }
}

/// The measured span of a running load.
#[derive(Clone, Copy)]
pub struct Span {
    /// Measuring starts.
    pub start: Instant,
    /// Measuring ends.
    pub end: Instant,
}

/// Drives `addresses` with `load`. `read` is called when measuring starts and when it ends, for readings that belong to
/// the same span (processor time); all connections stand before the first.
pub async fn drive<T: Send + 'static>(
    protocol: Protocol,
    addresses: &[String],
    load: &Load,
    read: impl Fn() -> T + Send + 'static,
) -> Result<(Outcome, T, T)> {
    let values = Arc::new(Values::new(load.value_bytes));
    let threads = load.threads.clamp(1, load.connections);
    let barrier = Arc::new(std::sync::Barrier::new(threads + 1));
    let (span_in, span_out) = tokio::sync::watch::channel(None::<Span>);
    let mut workers = Vec::new();
    for thread in 0..threads {
        let mine: Vec<String> = (thread..load.connections)
            .step_by(threads)
            .map(|connection| addresses[connection % addresses.len()].clone())
            .collect();
        let (load, values, barrier, span) =
            (load.clone(), values.clone(), barrier.clone(), span_out.clone());
        workers.push(
            std::thread::Builder::new()
                .name(format!("generator-{thread}"))
                .spawn(move || generate(protocol, mine, &load, &values, &barrier, span))
                .context("cannot start a generator thread")?,
        );
    }
    tokio::task::spawn_blocking({
        let barrier = barrier.clone();
        move || barrier.wait()
    })
    .await?;
    let start = Instant::now() + load.warm_up;
    let span = Span { start, end: start + load.time };
    // Without a receiver all workers have failed already, and say so below.
    let _ = span_in.send(Some(span));
    tokio::time::sleep_until(span.start.into()).await;
    let before = read();
    tokio::time::sleep_until(span.end.into()).await;
    let after = read();

    let mut total = Outcome::new();
    total.seconds = load.time.as_secs_f64();
    for worker in workers {
        let one = tokio::task::spawn_blocking(move || worker.join())
            .await?
            .map_err(|_| anyhow::anyhow!("a generator thread panicked"))??;
        total.merge(&one)?;
    }
    Ok((total, before, after))
}

/// One generator thread: connects, waits for the others, then runs its share of the connections.
fn generate(
    protocol: Protocol,
    addresses: Vec<String>,
    load: &Load,
    values: &Arc<Values>,
    barrier: &std::sync::Barrier,
    mut span: tokio::sync::watch::Receiver<Option<Span>>,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut sessions = Vec::new();
        let mut trouble = None;
        for address in addresses {
            let connect = Session::connect(protocol, &address, load.value_bytes);
            match tokio::time::timeout(GRACE, connect).await {
                Ok(Ok(session)) => sessions.push((Some(session), address)),
                Ok(Err(error)) => {
                    trouble = Some(format!("{address}: {error:#}"));
                    sessions.push((None, address));
                }
                Err(_) => {
                    trouble = Some(format!("{address}: no connection in time"));
                    sessions.push((None, address));
                }
            }
        }
        barrier.wait();
        let span = span.wait_for(Option::is_some).await?.expect("waited for it");
        let tally = Rc::new(RefCell::new(Outcome { trouble, ..Outcome::new() }));
        let tasks: Vec<_> = sessions
            .into_iter()
            .map(|(session, address)| {
                let (tally, values, load) = (tally.clone(), values.clone(), load.clone());
                tokio::task::spawn_local(async move {
                    let work =
                        connection(protocol, &address, session, &load, &values, span, &tally);
                    if tokio::time::timeout_at((span.end + GRACE).into(), work).await.is_err() {
                        tally
                            .borrow_mut()
                            .fail(load.pipeline, || format!("{address}: no answer in time"));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(tally.replace(Outcome::new()))
    })
}

/// One connection's life.
async fn connection(
    protocol: Protocol,
    address: &str,
    mut session: Option<Session>,
    load: &Load,
    values: &Values,
    span: Span,
    tally: &RefCell<Outcome>,
) {
    let mut keys = vec![0; load.pipeline];
    // Connections begin at different times; one that is late goes on at once, and does not make up for it.
    let mut next = Instant::now() + load.pace().unwrap_or_default().mul_f64(fastrand::f64());
    loop {
        if let Some(pace) = load.pace() {
            tokio::time::sleep_until(next.into()).await;
            next = (next + pace).max(Instant::now());
        }
        let sent = Instant::now();
        if sent >= span.end {
            return;
        }
        let Some(open) = &mut session else {
            match Session::connect(protocol, address, load.value_bytes).await {
                Ok(made) => session = Some(made),
                Err(error) => {
                    tally.borrow_mut().fail(1, || format!("{address}: {error:#}"));
                    tokio::time::sleep(RECONNECT).await;
                }
            }
            continue;
        };
        keys.fill_with(|| fastrand::u64(..load.keys));
        let outcome = open.call(load.op, &keys, values).await;
        let answered = Instant::now();
        let mut tally = tally.borrow_mut();
        match outcome {
            Ok(errors) => {
                if errors > 0 {
                    tally.fail(errors, || format!("{address}: an error reply"));
                }
                if answered >= span.start && answered <= span.end {
                    tally.done += (load.pipeline - errors) as u64;
                }
                // Latencies of requests begun in time count even if they end late: a stall must show.
                if sent >= span.start {
                    let micros = (answered - sent).as_micros() as u64;
                    tally.latency.saturating_record(micros.max(1));
                }
            }
            Err(error) => {
                tally.fail(load.pipeline, || format!("{address}: {error:#}"));
                session = None;
            }
        }
    }
}

/// Writes each of the keys once, in batches.
pub async fn fill(
    protocol: Protocol,
    addresses: &[String],
    keys: std::ops::Range<u64>,
    value_bytes: usize,
    batch: usize,
) -> Result<()> {
    const CONNECTIONS: u64 = 16;
    let values = Arc::new(Values::new(value_bytes));
    let next = Arc::new(std::sync::atomic::AtomicU64::new(keys.start));
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let address = addresses[connection as usize % addresses.len()].clone();
        let (values, next, end) = (values.clone(), next.clone(), keys.end);
        tasks.spawn(async move {
            let mut session = Session::connect(protocol, &address, value_bytes).await?;
            loop {
                let from = next.fetch_add(batch as u64, std::sync::atomic::Ordering::Relaxed);
                if from >= end {
                    return anyhow::Ok(());
                }
                let numbers: Vec<u64> = (from..end.min(from + batch as u64)).collect();
                let errors = session.call(Op::Set, &numbers, &values).await?;
                anyhow::ensure!(
                    errors == 0,
                    "{address}: {errors} of {} writes failed",
                    numbers.len()
                );
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

//! `moves`: what moves of buckets cost those who write meanwhile, and how fast they are.

mod pause;
mod probe;
mod speed;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::Place;

/// Options of `moves`.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How long a bucket cannot be written while it is handed over, under load
    Pause(pause::Options),
    /// How fast a lot of data moves, and what clients notice of a move under a limit
    Speed(speed::Options),
}

/// Runs it.
pub async fn run(place: &Place, options: &Options) -> Result<bool> {
    match &options.what {
        What::Pause(options) => pause::run(place, options).await,
        What::Speed(options) => speed::run(place, options).await,
    }
}

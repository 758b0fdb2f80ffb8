//! The progress of a load test, on a terminal only.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::load::{Phase, Progress};

const REFRESH: Duration = Duration::from_millis(250);
const BAR: &str = "{prefix:>12.green.bold} [{bar:30}] {msg}";

/// Someone who watches; nobody where standard error is no terminal.
pub struct Watcher(Option<(JoinHandle<()>, ProgressBar)>);

/// Shows how far the test has come until [`Watcher::end`].
pub fn watch(progress: Arc<Progress>, warm_up: Duration, duration: Duration) -> Watcher {
    if !std::io::stderr().is_terminal() {
        return Watcher(None);
    }
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(1000).with_style(style.progress_chars("=> "));
    let task = tokio::spawn(show(bar.clone(), progress, warm_up, duration));
    Watcher(Some((task, bar)))
}

impl Watcher {
    /// Takes the progress off the screen.
    pub async fn end(self) {
        if let Some((task, bar)) = self.0 {
            task.abort();
            let _ = task.await;
            bar.finish_and_clear();
        }
    }
}

async fn show(bar: ProgressBar, progress: Arc<Progress>, warm_up: Duration, duration: Duration) {
    let (mut phase, mut since, mut done) = (Phase::Preparing, Instant::now(), 0);
    loop {
        if progress.phase() != phase {
            (phase, since) = (progress.phase(), Instant::now());
        }
        let (name, length) = match phase {
            Phase::Preparing => ("Preparing", None),
            Phase::WarmingUp => ("Warming up", Some(warm_up)),
            Phase::Measuring => ("Measuring", Some(duration)),
            Phase::CleaningUp => ("Cleaning up", None),
        };
        bar.set_prefix(name);
        bar.set_position(length.map_or(0, |length| permille(since.elapsed(), length)));
        let now = progress.done();
        bar.set_message(message(now - done, progress.failed()));
        done = now;
        sleep(REFRESH).await;
    }
}

fn permille(elapsed: Duration, length: Duration) -> u64 {
    let share = elapsed.as_millis() * 1000 / length.as_millis().max(1);
    u64::try_from(share).unwrap_or(1000).min(1000)
}

fn message(done: u64, failed: u64) -> String {
    let per_second = u128::from(done) * 1000 / REFRESH.as_millis();
    if failed == 0 { format!("{per_second}/s") } else { format!("{per_second}/s, {failed} failed") }
}

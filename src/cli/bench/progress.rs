//! The progress of a load test: a bar on a terminal, and a line when good answers stop and when they come again.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cli::Output;
use crate::client::load::{LoadPlan, LoadProgress, Phase};

const REFRESH: Duration = Duration::from_millis(250);
const BAR: &str = "{prefix:>12.green.bold} [{bar:30}] {msg}";
/// An outage is reported after this long without a good answer.
const SILENCE: Duration = Duration::from_millis(500);

/// The task that shows the progress, and its bar.
pub struct Watcher {
    task: JoinHandle<()>,
    bar: ProgressBar,
}

/// Shows how far the test has come until [`Watcher::end`].
pub fn watch(progress: Arc<LoadProgress>, plan: &LoadPlan, output: Output) -> Watcher {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(1000) } else { ProgressBar::hidden() };
    let bar = bar.with_style(style.progress_chars("=> "));
    let outage = Outage::new(plan.rate);
    let task = tokio::spawn(show(bar.clone(), progress, (plan.warm_up, plan.duration), outage, output));
    Watcher { task, bar }
}

impl Watcher {
    /// Stops the task, and removes the bar from the screen.
    pub async fn end(self) {
        self.task.abort();
        let _ = self.task.await;
        self.bar.finish_and_clear();
    }
}

async fn show(
    bar: ProgressBar,
    progress: Arc<LoadProgress>,
    (warm_up, duration): (Duration, Duration),
    mut outage: Outage,
    output: Output,
) {
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
        bar.set_message(message(now - done, &progress.failures()));
        done = now;
        if length.is_some()
            && let Some(event) = outage.look(progress.silence(), &progress.failures())
        {
            bar.suspend(|| output.note(&event));
        }
        sleep(REFRESH).await;
    }
}

/// Notices when good answers stop, and when they come again.
struct Outage {
    /// How long without a good answer counts as an outage.
    limit: Duration,
    /// How long the present outage has lasted at the latest look.
    seen: Option<Duration>,
    /// The failures counted before the outage.
    before: BTreeMap<String, u64>,
}

impl Outage {
    /// At a low rate answers come at longer intervals, so the limit is longer, too.
    fn new(rate: Option<f64>) -> Self {
        let limit = rate.map_or(SILENCE, |rate| SILENCE.max(Duration::from_secs_f64(3.0 / rate)));
        Self { limit, seen: None, before: BTreeMap::new() }
    }

    /// What to report about a time without good answers that lasts until now, if anything.
    fn look(&mut self, silence: Duration, failures: &BTreeMap<String, u64>) -> Option<String> {
        match self.seen {
            None if silence >= self.limit => {
                self.seen = Some(silence);
                Some(format!("no good answer for {}{}", seconds(silence), new_failures(&self.before, failures)))
            }
            Some(_) if silence >= self.limit => {
                self.seen = Some(silence);
                None
            }
            Some(seen) => {
                self.seen = None;
                let lasted = format!("good answers again after {} or a little more", seconds(seen));
                let event = format!("{lasted}{}", new_failures(&self.before, failures));
                self.before.clone_from(failures);
                Some(event)
            }
            None => {
                self.before.clone_from(failures);
                None
            }
        }
    }
}

/// The failures since `before`, in parentheses.
fn new_failures(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> String {
    let more = |(kind, count): (&String, &u64)| {
        let more = count - before.get(kind).copied().unwrap_or_default();
        (more > 0).then(|| format!("{kind}: {more}"))
    };
    let kinds: Vec<_> = now.iter().filter_map(more).collect();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn permille(elapsed: Duration, length: Duration) -> u64 {
    let share = elapsed.as_millis() * 1000 / length.as_millis().max(1);
    u64::try_from(share).unwrap_or(1000).min(1000)
}

fn message(done: u64, failures: &BTreeMap<String, u64>) -> String {
    let per_second = u128::from(done) * 1000 / REFRESH.as_millis();
    let kinds = failures.iter().map(|(kind, count)| format!(", {kind}: {count}"));
    format!("{per_second}/s{}", kinds.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_once_when_it_begins_and_once_when_it_ends() {
        let mut outage = Outage::new(None);
        let failures = |count: u64| BTreeMap::from([("connection_refused".to_owned(), count)]);
        let mut look = |ms, count| outage.look(Duration::from_millis(ms), &failures(count));
        assert_eq!((look(3, 2), look(300, 2)), (None, None));
        assert_eq!(look(520, 7).as_deref(), Some("no good answer for 0.5 s (connection_refused: 5)"));
        assert_eq!((look(770, 9), look(1240, 12)), (None, None));
        let end = "good answers again after 1.2 s or a little more (connection_refused: 10)";
        assert_eq!(look(1, 12).as_deref(), Some(end));
        assert_eq!(look(2, 12), None);
        assert_eq!(message(50, &failures(3)), "200/s, connection_refused: 3");
    }

    #[test]
    fn at_a_low_rate_answers_may_be_further_apart() {
        let mut outage = Outage::new(Some(0.5));
        assert_eq!(outage.look(Duration::from_secs(5), &BTreeMap::new()), None);
        assert!(outage.look(Duration::from_secs(7), &BTreeMap::new()).is_some());
    }
}

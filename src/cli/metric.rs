//! `keyraft metric`: shows a server's metrics.

use super::connect::Connect;
use super::denial::explained;
use super::output::table;
use super::{Error, Output};

/// Show the metrics of a server, as a table or for Prometheus
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Show the metrics of consensus and storage, in place of those that KES has, too
    #[arg(long)]
    cluster: bool,
    /// Only metrics whose names contain this
    #[arg(value_name = "TEXT")]
    filter: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  keyraft metric
  keyraft metric request                        those with `request` in their names
  keyraft metric --cluster
  keyraft metric | grep kes_http_request_active  in a pipe, the text that Prometheus reads
  keyraft metric --json | jq .";

/// Prints the metrics.
pub async fn run(args: &Args, output: Output) -> Result<(), Error> {
    explained(&args.connect, act(args, output)).await
}

async fn act(args: &Args, output: Output) -> Result<(), Error> {
    let text = args.connect.client()?.metrics(args.cluster).await?;
    let wanted = args.filter.as_deref().unwrap_or_default();
    if output.is_json_asked() {
        return output.json(&samples(&text, wanted).map(Sample::json).collect::<Vec<_>>());
    }
    if output.is_json() {
        return output.line(lines(&text, wanted).collect::<Vec<_>>().join("\n").trim_end());
    }
    output.line(&render(&text, wanted))
}

/// A sample: one line of the Prometheus text format.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: &'a str,
}

impl Sample<'_> {
    fn json(self) -> serde_json::Value {
        let value = self.value.parse::<f64>().ok().filter(|value| value.is_finite());
        let value = value.map_or_else(|| self.value.into(), serde_json::Value::from);
        serde_json::json!({ "name": self.name, "labels": self.labels, "value": value })
    }
}

fn lines<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let name =
        |line: &'a str| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").split([' ', '{']).next();
    text.lines().filter(move |line| wanted.is_empty() || name(line).is_some_and(|name| name.contains(wanted)))
}

fn samples<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = Sample<'a>> {
    lines(text, wanted).filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Sample { name, labels: labels.trim_end_matches('}'), value })
    })
}

/// A table. For a histogram it has count and mean, because buckets are hard to read.
fn render(text: &str, wanted: &str) -> String {
    let all: Vec<_> = samples(text, wanted).collect();
    let rows = all.iter().filter(|sample| !sample.name.ends_with("_bucket")).map(|sample| {
        let mean = sample.name.strip_suffix("_sum").and_then(|family| mean(&all, family, sample));
        match (sample.name.strip_suffix("_sum"), mean) {
            (Some(family), Some(mean)) => [format!("{family} (mean)"), sample.labels.to_owned(), mean],
            _ => [sample.name.to_owned(), sample.labels.to_owned(), sample.value.to_owned()],
        }
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { "No metrics.".to_owned() } else { table(["METRIC", "LABELS", "VALUE"], rows) }
}

fn mean(all: &[Sample<'_>], family: &str, sum: &Sample<'_>) -> Option<String> {
    let is_count =
        |sample: &&Sample<'_>| sample.name.strip_suffix("_count") == Some(family) && sample.labels == sum.labels;
    let count: f64 = all.iter().find(is_count)?.value.parse().ok()?;
    let sum: f64 = sum.value.parse().ok()?;
    Some(if count > 0.0 { format!("{:.6}", sum / count) } else { "-".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP a_requests Requests.
# TYPE a_requests counter
a_requests{code=\"200\"} 7
b_time_bucket{le=\"0.1\"} 3
b_time_sum 0.5
b_time_count 4
c 1e+06
";

    #[test]
    fn a_histogram_is_shown_as_its_mean() {
        let shown = render(TEXT, "");
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["a_requests", "code=\"200\"", "7"]);
        assert_eq!(rows[2], ["b_time", "(mean)", "0.125000"]);
        assert_eq!(rows[3..], [["b_time_count", "4"], ["c", "1e+06"]]);
    }

    #[test]
    fn metrics_are_selected_by_their_name() {
        assert_eq!(lines(TEXT, "requests").count(), 3);
        assert_eq!(samples(TEXT, "time").count(), 3);
        assert_eq!(render(TEXT, "nothing"), "No metrics.");
    }
}

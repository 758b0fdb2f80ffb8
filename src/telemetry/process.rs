//! Figures of this process from `/proc/self`. They are zero on systems without it.

use std::fs;
use std::thread;

use rustix::time::{ClockId, clock_gettime};

/// The ticks a second in which Linux gives times in `/proc`, on every architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// What this process uses of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFigures {
    /// Seconds since the process started.
    pub uptime_s: f64,
    /// Logical CPUs that the process may run on.
    pub num_cpu: u64,
    /// CPUs' worth of time that the process may use. A control group may allow less than `num_cpu`.
    pub num_cpu_used: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Bytes of anonymous memory in use: the heap, and the other threads' stacks.
    pub heap_used: u64,
    /// Bytes of the main thread's stack.
    pub stack_used: u64,
}

/// Reads the figures.
pub fn process_figures() -> ProcessFigures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let now = clock_gettime(ClockId::Boottime);
    let num_cpu_used = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    ProcessFigures {
        uptime_s: uptime_s(&stat, now.tv_sec as f64 + now.tv_nsec as f64 / 1e9).unwrap_or_default(),
        num_cpu: status_field(&status, "Cpus_allowed_list").map_or(num_cpu_used, list_len),
        num_cpu_used,
        threads: status_field(&status, "Threads").and_then(|n| n.parse().ok()).unwrap_or_default(),
        heap_used: status_field(&status, "RssAnon").and_then(kib).unwrap_or_default(),
        stack_used: status_field(&status, "VmStk").and_then(kib).unwrap_or_default(),
    }
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn kib(value: &str) -> Option<u64> {
    value.strip_suffix(" kB")?.parse().ok().map(|n: u64| n * 1024)
}

/// Counts the numbers in a list such as `0-3,8`.
fn list_len(list: &str) -> u64 {
    let span = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').filter_map(span).sum()
}

/// Returns the seconds from the process's start, which `/proc/self/stat` has, to `now_s`. Both count from the boot.
fn uptime_s(stat: &str, now_s: f64) -> Option<f64> {
    // The second field is the program's name in parentheses and may hold any character. The start is the 22nd
    // (proc(5)).
    let after_name = stat.rsplit_once(')')?.1;
    let start_ticks: f64 = after_name.split_whitespace().nth(22 - 3)?.parse().ok()?;
    Some((now_s - start_ticks / TICKS_PER_SECOND).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_proc_5_has_them() {
        let status =
            "Name:\tkeyraft\nThreads:\t12\nCpus_allowed_list:\t0-3,8\nRssAnon:\t     2048 kB\nVmStk:\t 132 kB\n";
        assert_eq!(status_field(status, "Threads"), Some("12"));
        assert_eq!(status_field(status, "Cpus_allowed_list").map(list_len), Some(5));
        assert_eq!(status_field(status, "RssAnon").and_then(kib), Some(2 << 20));
        assert_eq!(status_field(status, "Cpus"), None);
        let stat = "1 (a) b (c) S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 1500 23";
        assert_eq!(uptime_s(stat, 20.0), Some(5.0));
        assert_eq!(uptime_s("", 20.0), None);
    }

    #[test]
    fn this_process_has_a_start_threads_and_memory() {
        let figures = process_figures();
        assert!(figures.uptime_s < 3_600.0, "{figures:?}");
        assert!(figures.num_cpu >= figures.num_cpu_used && figures.num_cpu_used >= 1, "{figures:?}");
        assert!(figures.threads >= 1 && figures.heap_used > 0 && figures.stack_used > 0, "{figures:?}");
    }
}

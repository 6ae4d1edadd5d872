//! Counters and gauges in, Prometheus' text format out.

use std::fmt::{Display, Write};

use unmogrowp_spool::{SYNC_BOUNDS_US, Stats};

use crate::Status;
use crate::counters::Counters;

/// One name with its help and its samples.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(&format!("# HELP unmogrowp_{name} {help}"));
        self.line(&format!("# TYPE unmogrowp_{name} {kind}"));
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "unmogrowp_{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, "", value);
    }
}

/// Everything an intake counts.
pub(crate) fn render(counters: &Counters, stats: &Stats, status: &Status) -> String {
    let mut page = Page(String::with_capacity(8_192));
    events(&mut page, counters);
    commits(&mut page, stats);
    spool(&mut page, status);
    page.0
}

fn events(page: &mut Page, counters: &Counters) {
    let stored = counters.events_stored();
    page.counter("events_stored_total", "Events that became durable.", stored);
    let duplicate = counters.events_duplicate();
    page.counter("events_duplicate_total", "Events that were known already.", duplicate);
    page.head("events_rejected_total", "counter", "Records that were refused, by reason.");
    for (code, count) in counters.events_rejected() {
        page.sample("events_rejected_total", &format!("{{code=\"{code}\"}}"), count);
    }
    page.head("requests_total", "counter", "Ingest requests answered by the intake, by status.");
    for (status, count) in counters.requests() {
        page.sample("requests_total", &format!("{{status=\"{status}\"}}"), count);
    }
    page.counter("body_bytes_total", "Bytes of bodies as sent.", counters.body_bytes());
    let decoded = counters.decoded_bytes();
    page.counter("decoded_bytes_total", "Bytes of bodies after decompression.", decoded);
}

fn commits(page: &mut Page, stats: &Stats) {
    page.counter("commits_total", "Group commits that became durable.", stats.commits());
    let failures = stats.failures();
    page.counter("commit_failures_total", "Group commits that failed.", failures);
    let bytes = stats.committed_bytes();
    page.counter("committed_bytes_total", "Bytes that became durable.", bytes);
    let failures = stats.publish_failures();
    page.counter("publish_failures_total", "Durable commits not shown at once.", failures);
    let failures = stats.tidy_failures();
    page.counter("tidy_failures_total", "Rounds that removed no shipped segments.", failures);
    let sync = stats.sync();
    page.head("fdatasync_seconds", "histogram", "Time of each fdatasync.");
    let mut count = 0;
    for (index, bucket) in sync.buckets.iter().enumerate() {
        count += bucket;
        let bound = SYNC_BOUNDS_US.get(index).map(|&us| (us as f64 / 1e6).to_string());
        let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
        page.sample("fdatasync_seconds_bucket", &format!("{{le=\"{bound}\"}}"), count);
    }
    page.sample("fdatasync_seconds_sum", "", sync.total_us as f64 / 1e6);
    page.sample("fdatasync_seconds_count", "", count);
}

fn spool(page: &mut Page, status: &Status) {
    let spool = &status.spool;
    page.gauge("spool_bytes", "Bytes of all segments.", spool.bytes);
    page.gauge("spool_bytes_max", "Bytes that segments may take.", spool.bytes_max);
    page.gauge("spool_segments", "Segments on the disk.", spool.segments);
    page.gauge("spool_unshipped_bytes", "Bytes not yet in the sink.", spool.unshipped_bytes);
    page.gauge("spool_ids_bytes", "Bytes of the id log.", spool.ids_bytes);
    page.gauge("spool_ids_remembered", "Ids in the duplicate window.", status.ids);
    page.gauge("spool_ids_memory_bytes", "Memory they take.", status.ids_memory_bytes);
    let covers = status.window_covers_us as f64 / 1e6;
    page.gauge("duplicate_window_seconds", "How far back every id is known.", covers);
    page.gauge("queue_requests", "Requests that wait for their commit.", status.queued);
}
